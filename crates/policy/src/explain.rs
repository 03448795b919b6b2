//! A verdict in words: for the person whose device was refused, and who must find the statement to change.
//!
//! Only the values of the refused connection itself are shown, and never more than a few statements.

use std::fmt::Write as _;

use crate::condition::any_match;
use crate::document::{Effect, Statement};
use crate::grant::{Grant, NamedPolicy, Request, StatementId, Verdict};
use crate::limits::{RESOURCES_EXPLAINED_MAX, STATEMENTS_EXPLAINED_MAX};
use crate::pattern::Match;
use crate::resource::Resource;

pub(crate) fn explain(verdict: Verdict, grant: &Grant, request: &Request<'_>) -> String {
    let subject = format!("{} on {}", request.action, request.resource.arn(&grant.tenant));
    match verdict {
        Verdict::Allowed(id) => format!("{subject} is allowed by {}", statement_name(grant, id)),
        Verdict::ExplicitDeny(id) => {
            format!(
                "{subject} is denied by {}; a Deny wins over every Allow",
                statement_name(grant, id)
            )
        }
        Verdict::ImplicitDeny { .. } => {
            let why = why_not(grant, request);
            let missing = smallest_statement(grant, request);
            format!("{subject} is not allowed: {why}. This statement would allow it: {missing}")
        }
    }
}

fn statement_name(grant: &Grant, id: StatementId) -> String {
    grant.statement(id).map_or_else(
        || format!("policy {}, statement {}", id.policy + 1, id.statement + 1),
        |(policy, statement)| name_of(policy, id.statement, statement),
    )
}

/// Statements are counted from 1, as people count.
fn name_of(policy: &NamedPolicy, index: usize, statement: &Statement) -> String {
    let number = index + 1;
    match &statement.sid {
        Some(sid) => format!("policy {:?}, statement {number} (Sid {sid:?})", policy.name()),
        None => format!("policy {:?}, statement {number}", policy.name()),
    }
}

/// What each statement that allows the action lacks; or that there is none.
fn why_not(grant: &Grant, request: &Request<'_>) -> String {
    if grant.policies().is_empty() {
        return format!("no policy is attached to certificate {}", grant.certificate);
    }
    let arn = request.resource.arn(&grant.tenant);
    let mut reasons = Vec::new();
    for policy in grant.policies() {
        for (index, statement) in policy.statements().iter().enumerate() {
            if statement.effect == Effect::Allow && statement.actions.contains(request.action) {
                let name = name_of(policy, index, statement);
                reasons.push(format!(
                    "{name}, {}",
                    what_it_lacks(statement, &arn, grant, request)
                ));
            }
        }
    }
    if reasons.is_empty() {
        let names: Vec<_> = grant
            .policies()
            .iter()
            .map(|policy| format!("{:?}", policy.name()))
            .collect();
        return format!("no statement of {} allows {}", names.join(", "), request.action);
    }
    let more = reasons.len().saturating_sub(STATEMENTS_EXPLAINED_MAX);
    reasons.truncate(STATEMENTS_EXPLAINED_MAX);
    let mut text = reasons.join("; ");
    if more > 0 {
        let _ = write!(text, "; and {more} more statements that do not match");
    }
    text
}

fn what_it_lacks(statement: &Statement, arn: &str, grant: &Grant, request: &Request<'_>) -> String {
    let context = request.context;
    if statement.resources.contain(arn, Effect::Allow, context) {
        let failed = statement
            .conditions
            .iter()
            .find(|condition| !condition.holds(Effect::Allow, context, request.now));
        return failed.map_or_else(String::new, |condition| {
            let (operator, key, found) = (
                condition.operator(),
                condition.key(),
                condition.found(context, request.now),
            );
            format!("needs {operator} of {key}, which is {found} here")
        });
    }
    let unset = statement
        .resources
        .patterns
        .iter()
        .find_map(|pattern| pattern.unset_variable(context));
    if let Some(name) = unset {
        return format!("needs ${{{name}}}, which has no value here{}", why_unset(name));
    }
    if let Some(hint) = other_kind(statement, grant, request) {
        return hint;
    }
    let (meant, not) = if statement.resources.negated {
        ("everything but", "")
    } else {
        ("", " only")
    };
    let patterns = statement.resources.patterns.iter().take(RESOURCES_EXPLAINED_MAX);
    let patterns: Vec<_> = patterns
        .map(|pattern| shown(pattern.text(), &pattern.expanded(context)))
        .collect();
    let more = statement
        .resources
        .patterns
        .len()
        .saturating_sub(RESOURCES_EXPLAINED_MAX);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!(
        "allows it on {meant}{} {}{more}{not}",
        if meant.is_empty() { "" } else { " " },
        patterns.join(", ")
    )
    .replace("  ", " ")
}

/// The pattern, and what its variables make of it here.
fn shown(text: &str, expanded: &str) -> String {
    if text == expanded {
        text.to_owned()
    } else {
        format!("{text} (here {expanded})")
    }
}

fn why_unset(name: &str) -> &'static str {
    if name.to_ascii_lowercase().starts_with("iot:connection.thing.") {
        ": the client id must be the name of a thing, and the certificate must be attached to that thing"
    } else if name.to_ascii_lowercase().starts_with("iot:certificate.") {
        ": the certificate lacks it, or it holds one of * $ + ? #"
    } else if name.eq_ignore_ascii_case("iot:ClientId") {
        ": the client id holds one of * $ + ? # or is too long"
    } else {
        ": it is not a policy variable that is known"
    }
}

/// The commonest slip: `topic/` where subscribing needs `topicfilter/`, or the other way round.
fn other_kind(statement: &Statement, grant: &Grant, request: &Request<'_>) -> Option<String> {
    let name = request.resource.name();
    let (other, meant) = match request.resource.kind() {
        "topic" => (Resource::topic_filter(name), "topic/, not topicfilter/"),
        "topicfilter" => (Resource::topic(name), "topicfilter/, not topic/"),
        _ => return None,
    };
    let arn = other.arn(&grant.tenant);
    let outcome = any_match(
        statement
            .resources
            .patterns
            .iter()
            .map(|pattern| pattern.matches(&arn, request.context)),
    );
    let slipped = !statement.resources.negated && outcome == Match::Yes;
    slipped.then(|| {
        format!(
            "allows it on {other}, but {} is decided on {meant}",
            request.action
        )
    })
}

/// The least that must be added: this action on this resource.
fn smallest_statement(grant: &Grant, request: &Request<'_>) -> String {
    let resource = escape(&request.resource.arn(&grant.tenant));
    let resource = serde_json::Value::from(resource);
    format!(
        r#"{{"Effect": "Allow", "Action": "{}", "Resource": {resource}}}"#,
        request.action
    )
}

/// A text as a pattern that matches it alone.
fn escape(text: &str) -> String {
    text.replace('$', "${$}")
        .replace('*', "${*}")
        .replace('?', "${?}")
}
