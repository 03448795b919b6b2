//! Conditions of a statement: operator, key, values (AWS IAM user guide, "IAM JSON policy elements: Condition operators").
//!
//! All conditions of a statement must hold. Of the values of one condition any may match; of a negated operator none may. A key
//! that is absent fails a condition, unless the operator is negated, ends in `IfExists` or begins with `ForAllValues:`.

use std::net::IpAddr;

use identity::UnixMillis;

use crate::context::Context;
use crate::document::Effect;
use crate::error::Fault;
use crate::network::Network;
use crate::pattern::{Match, Pattern};
use crate::timestamp;
use crate::variable::Variable;

/// One operator applied to one key.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    operator: Box<str>,
    key: Box<str>,
    variable: Variable,
    quantifier: Quantifier,
    if_exists: bool,
    test: Test,
}

/// How many of a key's values must pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    Any,
    All,
}

#[derive(Clone, Debug)]
enum Test {
    Text {
        form: TextForm,
        negated: bool,
        values: Box<[Pattern]>,
    },
    Number {
        order: Order,
        values: Box<[f64]>,
    },
    Moment {
        order: Order,
        values: Box<[UnixMillis]>,
    },
    Truth(Box<[bool]>),
    Address {
        negated: bool,
        networks: Box<[Network]>,
    },
    /// The key must be absent (true) or there (false).
    Absent(Box<[bool]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextForm {
    Whole,
    IgnoringCase,
    Arn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Condition {
    /// Compiles one line of a `Condition` element.
    pub(crate) fn compile(operator: &str, key: &str, values: &[String]) -> Result<Self, Fault> {
        let (quantifier, name) = match operator.split_once(':') {
            Some(("ForAllValues", name)) => (Quantifier::All, name),
            Some(("ForAnyValue", name)) => (Quantifier::Any, name),
            Some(_) => return Err(Fault::Operator(operator.to_owned())),
            None => (Quantifier::Any, operator),
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(name) if name != "Null" => (name, true),
            _ => (name, false),
        };
        let test = Test::compile(name, values)?.ok_or_else(|| Fault::Operator(operator.to_owned()))?;
        Ok(Self {
            operator: operator.into(),
            key: key.into(),
            variable: Variable::named(key),
            quantifier,
            if_exists,
            test,
        })
    }

    /// The operator as written.
    pub(crate) fn operator(&self) -> &str {
        &self.operator
    }

    /// The key as written.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// What the key's values are here, for an explanation.
    pub(crate) fn found(&self, context: &Context, now: UnixMillis) -> String {
        let facts = context.facts(&self.variable, now);
        if facts.is_empty() {
            "absent".to_owned()
        } else {
            format!("{:?}", facts.join(", "))
        }
    }

    /// Whether it holds. A value with an unset variable matches nothing; where that would make a negation true, it decides in
    /// favour of the denial, whatever the effect of the statement.
    pub(crate) fn holds(&self, effect: Effect, context: &Context, now: UnixMillis) -> bool {
        let facts = context.facts(&self.variable, now);
        if let Test::Absent(wanted) = &self.test {
            return wanted.contains(&facts.is_empty());
        }
        if facts.is_empty() {
            return self.if_exists || self.quantifier == Quantifier::All || self.test.is_negated();
        }
        let passes = |fact: &str| self.test.passes(fact, effect, context);
        match self.quantifier {
            Quantifier::Any => facts.iter().any(|fact| passes(fact)),
            Quantifier::All => facts.iter().all(|fact| passes(fact)),
        }
    }
}

impl Test {
    /// `None` for an operator that the language does not have.
    fn compile(name: &str, values: &[String]) -> Result<Option<Self>, Fault> {
        let exact = || {
            values
                .iter()
                .map(|value| Pattern::exact(value))
                .collect::<Result<_, _>>()
        };
        let like = || {
            values
                .iter()
                .map(|value| Pattern::with_wildcards(value))
                .collect::<Result<_, _>>()
        };
        let text = |form, negated, values| {
            Ok(Some(Self::Text {
                form,
                negated,
                values,
            }))
        };
        match name {
            "StringEquals" => text(TextForm::Whole, false, exact()?),
            "StringNotEquals" => text(TextForm::Whole, true, exact()?),
            "StringEqualsIgnoreCase" => text(TextForm::IgnoringCase, false, exact()?),
            "StringNotEqualsIgnoreCase" => text(TextForm::IgnoringCase, true, exact()?),
            "StringLike" => text(TextForm::Whole, false, like()?),
            "StringNotLike" => text(TextForm::Whole, true, like()?),
            "ArnEquals" | "ArnLike" => text(TextForm::Arn, false, like()?),
            "ArnNotEquals" | "ArnNotLike" => text(TextForm::Arn, true, like()?),
            "Bool" => Ok(Some(Self::Truth(truths(values)?))),
            "Null" => Ok(Some(Self::Absent(truths(values)?))),
            "IpAddress" => Ok(Some(Self::Address {
                negated: false,
                networks: networks(values)?,
            })),
            "NotIpAddress" => Ok(Some(Self::Address {
                negated: true,
                networks: networks(values)?,
            })),
            _ => Self::compile_ordered(name, values),
        }
    }

    fn compile_ordered(name: &str, values: &[String]) -> Result<Option<Self>, Fault> {
        if let Some(order) = name.strip_prefix("Numeric").and_then(Order::named) {
            let number = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite());
            return Ok(Some(Self::Number {
                order,
                values: each(values, "a number", number)?,
            }));
        }
        if let Some(order) = name.strip_prefix("Date").and_then(Order::named) {
            let values = each(
                values,
                "a moment such as 2026-11-22T09:30:00Z, or seconds since 1970",
                timestamp::parse,
            )?;
            return Ok(Some(Self::Moment { order, values }));
        }
        Ok(None)
    }

    fn is_negated(&self) -> bool {
        match self {
            Self::Text { negated, .. } | Self::Address { negated, .. } => *negated,
            Self::Number { order, .. } | Self::Moment { order, .. } => *order == Order::NotEqual,
            Self::Truth(_) | Self::Absent(_) => false,
        }
    }

    fn passes(&self, fact: &str, effect: Effect, context: &Context) -> bool {
        match self {
            Self::Text {
                form,
                negated,
                values,
            } => {
                let outcome = any_match(values.iter().map(|value| form.compare(value, fact, context)));
                match outcome {
                    Match::Yes => !negated,
                    Match::No => *negated,
                    Match::Unresolved => *negated && effect == Effect::Deny,
                }
            }
            Self::Number { order, values } => match fact.parse::<f64>() {
                Ok(fact) => order.holds(&fact, values),
                Err(_) => self.is_negated(),
            },
            Self::Moment { order, values } => match timestamp::parse(fact) {
                Some(fact) => order.holds(&fact, values),
                None => self.is_negated(),
            },
            Self::Truth(values) => parse_truth(fact).is_some_and(|fact| values.contains(&fact)),
            Self::Address { negated, networks } => {
                let inside = |address: IpAddr| networks.iter().any(|network| network.contains(address));
                fact.parse().is_ok_and(inside) != *negated
            }
            Self::Absent(_) => false,
        }
    }
}

/// Any value that matches counts; otherwise one that could not be compared.
pub(crate) fn any_match(outcomes: impl Iterator<Item = Match>) -> Match {
    let mut any = Match::No;
    for outcome in outcomes {
        match outcome {
            Match::Yes => return Match::Yes,
            Match::Unresolved => any = Match::Unresolved,
            Match::No => {}
        }
    }
    any
}

impl TextForm {
    fn compare(self, value: &Pattern, fact: &str, context: &Context) -> Match {
        match self {
            Self::Whole => value.matches(fact, context),
            _ if value.unset_variable(context).is_some() => Match::Unresolved,
            Self::IgnoringCase => yes_or_no(value.expanded(context).to_lowercase() == fact.to_lowercase()),
            Self::Arn => arn_matches(value, fact, context),
        }
    }
}

/// Each of the six parts of an ARN is compared alone, so that a `*` does not reach across a colon.
fn arn_matches(value: &Pattern, fact: &str, context: &Context) -> Match {
    let wanted = value.expanded(context);
    let (wanted, found): (Vec<_>, Vec<_>) = (wanted.splitn(6, ':').collect(), fact.splitn(6, ':').collect());
    let part_matches = |(wanted, found): (&&str, &&str)| {
        Pattern::with_wildcards(wanted).is_ok_and(|wanted| wanted.matches(found, context) == Match::Yes)
    };
    yes_or_no(wanted.len() == 6 && found.len() == 6 && wanted.iter().zip(&found).all(part_matches))
}

fn yes_or_no(condition: bool) -> Match {
    if condition { Match::Yes } else { Match::No }
}

impl Order {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "Equals" => Self::Equal,
            "NotEquals" => Self::NotEqual,
            "LessThan" => Self::Less,
            "LessThanEquals" => Self::LessOrEqual,
            "GreaterThan" => Self::Greater,
            "GreaterThanEquals" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    fn holds<T: PartialOrd>(self, fact: &T, values: &[T]) -> bool {
        match self {
            Self::Equal => values.contains(fact),
            Self::NotEqual => !values.contains(fact),
            Self::Less => values.iter().any(|value| fact < value),
            Self::LessOrEqual => values.iter().any(|value| fact <= value),
            Self::Greater => values.iter().any(|value| fact > value),
            Self::GreaterOrEqual => values.iter().any(|value| fact >= value),
        }
    }
}

fn parse_truth(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

fn truths(values: &[String]) -> Result<Box<[bool]>, Fault> {
    each(values, "true or false", parse_truth)
}

fn networks(values: &[String]) -> Result<Box<[Network]>, Fault> {
    each(
        values,
        "an address or a range such as 203.0.113.0/24",
        Network::parse,
    )
}

fn each<T>(
    values: &[String],
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Box<[T]>, Fault> {
    let refused = |value: &String| Fault::Value {
        found: value.clone(),
        expected,
    };
    values
        .iter()
        .map(|value| parse(value).ok_or_else(|| refused(value)))
        .collect()
}
