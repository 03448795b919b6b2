//! Queries over the things of a fleet: the language of AWS's fleet indexing, decided thing by thing.
//!
//! A query is parsed once ([`Query::parse`]), says where to look for things that it may find ([`Query::plan`]), and decides
//! about each ([`Query::admits`]). `store` keeps an index by field and value and finds candidates; it never decides. Names of
//! fields are compared as they are, values without regard to case (AWS IoT developer guide, "Query syntax").

mod aggregate;
mod document;
mod parse;
mod plan;

pub use aggregate::{
    Bucket, Statistics, buckets, cardinality, check_percents, numbers, percentiles, statistics,
};
pub use document::{Document, Field, ThingRef, index_rows};
pub use plan::Plan;

use crate::refusal::{Exception, Refusal};

/// A parsed query.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    root: Node,
    text: String,
}

/// A part of a query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// All of them.
    And(Vec<Self>),
    /// One of them.
    Or(Vec<Self>),
    /// Not that.
    Not(Box<Self>),
    /// A condition on one field, or on any of them.
    Term(Option<String>, Test),
    /// Everything.
    All,
}

/// What is asked of a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    /// It is this, in lower case.
    Is(String),
    /// It is like this pattern, in lower case; its first character is no wildcard.
    Like(Vec<Piece>),
    /// There is one.
    Exists,
    /// It is between these.
    Between(Bound, Bound),
}

/// A piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// This character.
    Char(char),
    /// Any one.
    One,
    /// Any number of any.
    Many,
}

/// One end of a range.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bound {
    /// None.
    Open,
    /// A number, and whether it is inside.
    Number(f64, bool),
    /// A text in lower case, and whether it is inside.
    Text(String, bool),
}

impl Query {
    /// Reads a query.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        Ok(Self {
            root: parse::parse(text)?,
            text: text.to_owned(),
        })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it finds this thing.
    pub fn admits(&self, document: &Document<'_>) -> bool {
        admits(&self.root, document)
    }

    /// Where to look for what it may find.
    pub fn plan(&self) -> Plan {
        plan::of(&self.root)
    }
}

fn admits(node: &Node, document: &Document<'_>) -> bool {
    match node {
        Node::And(parts) => parts.iter().all(|part| admits(part, document)),
        Node::Or(parts) => parts.iter().any(|part| admits(part, document)),
        Node::Not(part) => !admits(part, document),
        Node::All => true,
        Node::Term(Some(field), test) => {
            let field = Field::named(field);
            field.is_some_and(|field| document.any_of(&field, |value| test.holds(value)))
        }
        Node::Term(None, test) => document.any(|value| test.holds(value)),
    }
}

impl Test {
    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Is(wanted) => is_same(wanted, value),
            Self::Like(pattern) => is_like(pattern, value),
            Self::Exists => true,
            Self::Between(low, high) => low.is_below(value) && high.is_above(value),
        }
    }
}

/// `wanted` is in lower case. `75` and `75.0` are the same.
fn is_same(wanted: &str, value: &str) -> bool {
    if wanted.eq_ignore_ascii_case(value) {
        return true;
    }
    match (number(wanted), number(value)) {
        (Some(wanted), Some(value)) => wanted == value,
        _ => false,
    }
}

/// A number as a person writes it; no infinity.
pub(crate) fn number(text: &str) -> Option<f64> {
    let is_numeric = text
        .bytes()
        .next()
        .is_some_and(|first| first.is_ascii_digit() || matches!(first, b'-' | b'.'))
        && text.bytes().any(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|number: &f64| is_numeric && number.is_finite())
}

/// Linear in the length of the value for each wildcard.
fn is_like(pattern: &[Piece], value: &str) -> bool {
    let value: Vec<char> = value.chars().map(|letter| letter.to_ascii_lowercase()).collect();
    let (mut at, mut place) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while place < value.len() {
        match pattern.get(at) {
            Some(Piece::Many) => {
                again = Some((at + 1, place));
                at += 1;
            }
            Some(Piece::One) => (at, place) = (at + 1, place + 1),
            Some(Piece::Char(letter)) if value.get(place) == Some(letter) => {
                (at, place) = (at + 1, place + 1)
            }
            _ => match &mut again {
                Some((from, begun)) => {
                    *begun += 1;
                    (at, place) = (*from, *begun);
                }
                None => return false,
            },
        }
    }
    pattern
        .get(at..)
        .unwrap_or_default()
        .iter()
        .all(|piece| *piece == Piece::Many)
}

impl Bound {
    fn is_below(&self, value: &str) -> bool {
        match self {
            Self::Open => true,
            Self::Number(bound, inside) => {
                number(value).is_some_and(|value| value > *bound || (*inside && value == *bound))
            }
            Self::Text(bound, inside) => {
                let value = value.to_ascii_lowercase();
                value > *bound || (*inside && value == *bound)
            }
        }
    }

    fn is_above(&self, value: &str) -> bool {
        match self {
            Self::Open => true,
            Self::Number(bound, inside) => {
                number(value).is_some_and(|value| value < *bound || (*inside && value == *bound))
            }
            Self::Text(bound, inside) => {
                let value = value.to_ascii_lowercase();
                value < *bound || (*inside && value == *bound)
            }
        }
    }
}

/// The only index over things.
pub const THINGS_INDEX: &str = "AWS_Things";
/// The only version of the language.
pub const QUERY_VERSION: &str = "2017-09-30";

/// Refuses another index or another version of the language.
pub fn check_target(index: Option<&str>, version: Option<&str>) -> Result<(), Refusal> {
    if index.is_some_and(|index| index != THINGS_INDEX) {
        return Err(no_such_index(index.unwrap_or_default()));
    }
    match version {
        None | Some(QUERY_VERSION) => Ok(()),
        Some(other) => Err(Refusal::new(
            Exception::InvalidQuery,
            "fleet.search.version",
            format!(
                "the query version \"{}\" is not known",
                other.chars().take(32).collect::<String>()
            ),
        )
        .hint("leave queryVersion out, or use 2017-09-30")),
    }
}

/// Refuses an index that there is not.
pub fn no_such_index(name: &str) -> Refusal {
    Refusal::new(
        Exception::ResourceNotFound,
        "fleet.search.index",
        format!(
            "there is no index named {}",
            name.chars().take(128).collect::<String>()
        ),
    )
    .hint("the index of things is AWS_Things")
}
