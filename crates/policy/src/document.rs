//! A policy document: JSON in, compiled statements out, or the element that is wrong.
//!
//! The grammar is that of the AWS IAM user guide, "Grammar of the IAM JSON policy language", without principals. Anything that is
//! not understood refuses the document as a whole: a policy of which a part is ignored is a wrong policy.

use identity::UnixMillis;

use crate::action::{Action, ActionSet};
use crate::condition::{Condition, any_match};
use crate::context::Context;
use crate::error::{Fault, MalformedPolicy};
use crate::json::Json;
use crate::limits::{DOCUMENT_BYTES_MAX, DOCUMENT_CHARACTERS_MAX};
use crate::pattern::{Match, Pattern};

/// A compiled policy document.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) statements: Box<[Statement]>,
}

#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) sid: Option<Box<str>>,
    pub(crate) effect: Effect,
    pub(crate) actions: ActionSet,
    pub(crate) resources: Resources,
    pub(crate) conditions: Box<[Condition]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

/// `Resource`, or all but these: `NotResource`.
#[derive(Clone, Debug)]
pub(crate) struct Resources {
    pub(crate) patterns: Box<[Pattern]>,
    pub(crate) negated: bool,
}

type Members = Vec<(String, Json)>;

impl Policy {
    /// Reads and compiles a document.
    ///
    /// # Errors
    /// [`MalformedPolicy`] says what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, MalformedPolicy> {
        check_length(text)?;
        let json = Json::parse(text).map_err(|error| Fault::Json(error.to_string()))?;
        let mut members = object(json)?;
        check_version(take(&mut members, "Version"))?;
        if let Some(id) = take(&mut members, "Id") {
            text_of(id).map_err(|fault| at(fault, "Id"))?;
        }
        let statements = take(&mut members, "Statement").ok_or(Fault::Missing("Statement"))?;
        refuse_others(members)?;
        let statements = match statements {
            Json::List(elements) if elements.is_empty() => return Err(at(Fault::Empty, "Statement")),
            Json::List(elements) => {
                let numbered = elements.into_iter().enumerate();
                numbered
                    .map(|(index, json)| {
                        statement(json).map_err(|error| error.within(&format!("Statement[{index}]")))
                    })
                    .collect()
            }
            single => statement(single)
                .map(|statement| vec![statement].into())
                .map_err(|error| error.within("Statement")),
        };
        Ok(Self {
            statements: statements?,
        })
    }

    /// How many statements it has.
    #[must_use]
    pub fn statement_count(&self) -> usize {
        self.statements.len()
    }
}

impl Statement {
    /// Whether it says anything about the action on this resource.
    #[inline]
    pub(crate) fn applies(&self, action: Action, arn: &str, context: &Context, now: UnixMillis) -> bool {
        self.actions.contains(action)
            && self.resources.contain(arn, self.effect, context)
            && self
                .conditions
                .iter()
                .all(|condition| condition.holds(self.effect, context, now))
    }
}

impl Resources {
    /// A pattern with an unset variable matches nothing. Under `NotResource` that would widen an Allow, so there it does not.
    pub(crate) fn contain(&self, arn: &str, effect: Effect, context: &Context) -> bool {
        let outcome = any_match(self.patterns.iter().map(|pattern| pattern.matches(arn, context)));
        match outcome {
            Match::Yes => !self.negated,
            Match::No => self.negated,
            Match::Unresolved => self.negated && effect == Effect::Deny,
        }
    }
}

fn check_length(text: &str) -> Result<(), Fault> {
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(Fault::TooLong {
            found: text.len(),
            limit: DOCUMENT_BYTES_MAX,
        });
    }
    let found = text.chars().filter(|c| !c.is_whitespace()).count();
    if found > DOCUMENT_CHARACTERS_MAX {
        return Err(Fault::TooLong {
            found,
            limit: DOCUMENT_CHARACTERS_MAX,
        });
    }
    Ok(())
}

fn check_version(version: Option<Json>) -> Result<(), MalformedPolicy> {
    let version = text_of(version.ok_or(Fault::Missing("Version"))?).map_err(|fault| at(fault, "Version"))?;
    if version == "2012-10-17" {
        Ok(())
    } else {
        Err(at(Fault::Version(version), "Version"))
    }
}

fn statement(json: Json) -> Result<Statement, MalformedPolicy> {
    let mut members = object(json)?;
    let sid = take(&mut members, "Sid")
        .map(text_of)
        .transpose()
        .map_err(|fault| at(fault, "Sid"))?;
    let effect = take(&mut members, "Effect").ok_or(Fault::Missing("Effect"))?;
    let effect = effect_of(effect).map_err(|fault| at(fault, "Effect"))?;
    let actions = actions(&mut members)?;
    let resources = resources(&mut members)?;
    let conditions = match take(&mut members, "Condition") {
        Some(json) => conditions(json).map_err(|error| error.within("Condition"))?,
        None => Box::default(),
    };
    refuse_others(members)?;
    Ok(Statement {
        sid: sid.map(Into::into),
        effect,
        actions,
        resources,
        conditions,
    })
}

fn effect_of(json: Json) -> Result<Effect, Fault> {
    let text = text_of(json)?;
    match text.as_str() {
        "Allow" => Ok(Effect::Allow),
        "Deny" => Ok(Effect::Deny),
        _ => Err(Fault::Effect(text)),
    }
}

fn actions(members: &mut Members) -> Result<ActionSet, MalformedPolicy> {
    let (name, json) = either(members, "Action", "NotAction")?;
    let sets = each(json, name, |json| ActionSet::named(&text_of(json)?))?;
    let union = sets.into_iter().fold(ActionSet::default(), ActionSet::union);
    Ok(if name == "Action" {
        union
    } else {
        union.complement()
    })
}

fn resources(members: &mut Members) -> Result<Resources, MalformedPolicy> {
    let (name, json) = either(members, "Resource", "NotResource")?;
    let patterns = each(json, name, |json| {
        let text = text_of(json)?;
        if text == "*" || text.starts_with("arn:") {
            Pattern::with_wildcards(&text)
        } else {
            Err(Fault::Resource(text))
        }
    })?;
    Ok(Resources {
        patterns: patterns.into(),
        negated: name == "NotResource",
    })
}

fn conditions(json: Json) -> Result<Box<[Condition]>, MalformedPolicy> {
    let mut conditions = Vec::new();
    for (operator, keys) in object(json)? {
        let keys = object(keys).map_err(|fault| at(fault, &operator))?;
        for (key, values) in keys {
            let within = |error: MalformedPolicy| error.within(&key).within(&operator);
            let values = each(values, "", value_of).map_err(within)?;
            let condition = Condition::compile(&operator, &key, &values);
            conditions.push(condition.map_err(|fault| within(fault.into()))?);
        }
    }
    Ok(conditions.into())
}

fn either(
    members: &mut Members,
    one: &'static str,
    other: &'static str,
) -> Result<(&'static str, Json), Fault> {
    match (take(members, one), take(members, other)) {
        (Some(json), None) => Ok((one, json)),
        (None, Some(json)) => Ok((other, json)),
        (Some(_), Some(_)) => Err(Fault::Both(one, other)),
        (None, None) => Err(Fault::Missing(one)),
    }
}

/// One value or a list of them, each made into something. The element's name goes into the place of a fault.
fn each<T>(
    json: Json,
    element: &str,
    make: impl Fn(Json) -> Result<T, Fault>,
) -> Result<Vec<T>, MalformedPolicy> {
    let make_at = |json: Json, place: &str| make(json).map_err(|fault| at(fault, place));
    match json {
        Json::List(list) if list.is_empty() => Err(at(Fault::Empty, element)),
        Json::List(list) => {
            let numbered = list.into_iter().enumerate();
            numbered
                .map(|(index, json)| make_at(json, &format!("{element}[{index}]")))
                .collect()
        }
        single => Ok(vec![make_at(single, element)?]),
    }
}

fn text_of(json: Json) -> Result<String, Fault> {
    match json {
        Json::Text(text) => Ok(text),
        _ => Err(Fault::Type { expected: "a string" }),
    }
}

/// A value of a condition: numbers and truths may be written without quotes.
fn value_of(json: Json) -> Result<String, Fault> {
    match json {
        Json::Number(text) => Ok(text),
        Json::Bool(value) => Ok(value.to_string()),
        other => text_of(other),
    }
}

fn object(json: Json) -> Result<Members, Fault> {
    match json {
        Json::Object(members) => Ok(members),
        _ => Err(Fault::Type {
            expected: "an object",
        }),
    }
}

fn take(members: &mut Members, name: &str) -> Option<Json> {
    let index = members.iter().position(|(known, _)| known == name)?;
    Some(members.remove(index).1)
}

fn refuse_others(members: Members) -> Result<(), Fault> {
    match members.into_iter().next() {
        Some((name, _)) => Err(Fault::UnknownElement(name)),
        None => Ok(()),
    }
}

fn at(fault: Fault, element: &str) -> MalformedPolicy {
    MalformedPolicy {
        what: fault,
        at: element.to_owned(),
    }
}
