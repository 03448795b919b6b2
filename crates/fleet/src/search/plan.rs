//! Where to look for the things that a query may find: never too few places, and as few as can be told beforehand.

use super::{Bound, Field, Node, Piece, Test};

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// At every thing.
    Everything,
    /// Nowhere: no thing has such a field.
    Nowhere,
    /// At the things with this value of a field that the index has.
    Exact {
        /// The name of the field.
        field: String,
        /// The value in lower case.
        value: String,
    },
    /// At the things with values of a field that begin so.
    Prefix {
        /// The name of the field.
        field: String,
        /// The beginning in lower case; empty: any value.
        prefix: String,
    },
    /// At the things in a static group, whatever the case of its name, and those in a billing group of that name.
    Group(String),
    /// Wherever one of these looks.
    Either(Vec<Self>),
}

impl Plan {
    /// How few things it is likely to look at.
    fn rank(&self) -> u8 {
        match self {
            Self::Nowhere => 0,
            Self::Exact { .. } => 1,
            Self::Either(_) => 2,
            Self::Group(_) => 3,
            Self::Prefix { prefix, .. } if !prefix.is_empty() => 4,
            Self::Prefix { .. } => 5,
            Self::Everything => 6,
        }
    }
}

pub(super) fn of(node: &Node) -> Plan {
    match node {
        Node::All | Node::Not(_) | Node::Term(None, _) => Plan::Everything,
        Node::And(parts) => {
            let best = parts.iter().map(of).min_by_key(Plan::rank);
            best.unwrap_or(Plan::Everything)
        }
        Node::Or(parts) => {
            let mut places: Vec<Plan> = parts
                .iter()
                .map(of)
                .filter(|plan| *plan != Plan::Nowhere)
                .collect();
            match places.len() {
                0 => Plan::Nowhere,
                1 => places.remove(0),
                _ if places.contains(&Plan::Everything) => Plan::Everything,
                _ => Plan::Either(places),
            }
        }
        Node::Term(Some(field), test) => match Field::named(field) {
            None => Plan::Nowhere,
            Some(field) => of_field(&field, test),
        },
    }
}

fn of_field(field: &Field, test: &Test) -> Plan {
    if let (Field::Groups, Test::Is(value)) = (field, test) {
        return Plan::Group(value.clone());
    }
    if !field.is_indexed() {
        return Plan::Everything;
    }
    let field_name = field.name().into_owned();
    let prefix = |prefix: String| Plan::Prefix {
        field: field_name.clone(),
        prefix,
    };
    match test {
        // A number can be written in several ways.
        Test::Is(value) if super::number(value).is_some() => prefix(String::new()),
        Test::Is(value) => Plan::Exact {
            field: field_name,
            value: value.clone(),
        },
        Test::Like(pieces) => {
            let letters = pieces.iter().map_while(|piece| match piece {
                Piece::Char(letter) => Some(*letter),
                _ => None,
            });
            prefix(letters.collect())
        }
        Test::Exists => prefix(String::new()),
        Test::Between(Bound::Text(low, _), Bound::Text(high, _)) => {
            let common = low
                .chars()
                .zip(high.chars())
                .take_while(|(one, other)| one == other);
            prefix(common.map(|(letter, _)| letter).collect())
        }
        Test::Between(..) => prefix(String::new()),
    }
}
