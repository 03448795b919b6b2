//! TestAuthorization: what a device would be allowed, answered by the very code that decides on its connections.
//!
//! [`Question::parse`] reads what is asked for, [`test`] asks `policy::decide`. Nothing here interprets a policy itself,
//! so the answer cannot differ from what the data plane does with the same policies.

use identity::{Tenant, UnixMillis};
use policy::{Action, Context, Grant, NamedPolicy, Resource, Verdict};

use crate::arn;
use crate::limits::{AUTHORIZATION_NAMES_MAX, AUTHORIZATION_QUESTIONS_MAX};
use crate::refusal::{Exception, Refusal};

/// An action on resources, one item of `authInfos`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The action.
    pub action: Action,
    /// What it is done to: ARNs of this tenant.
    pub resources: Vec<String>,
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The whole.
    pub decision: Authorized,
    /// Names of policies with a statement that allows it.
    pub allowing: Vec<String>,
    /// Names of policies with a statement that denies it.
    pub denying: Vec<String>,
    /// Names of policies that say nothing about it.
    pub silent: Vec<String>,
}

/// Whether it would happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorized {
    /// Every resource is allowed.
    Allowed,
    /// A statement denies one of them.
    ExplicitDeny,
    /// Nothing allows one of them.
    ImplicitDeny,
}

impl Authorized {
    /// The AWS word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "ALLOWED",
            Self::ExplicitDeny => "EXPLICIT_DENY",
            Self::ImplicitDeny => "IMPLICIT_DENY",
        }
    }
}

impl Question {
    /// Reads one item of `authInfos`.
    pub fn parse(tenant: &Tenant, action: &str, resources: Vec<String>) -> Result<Self, Refusal> {
        let action = match action {
            "CONNECT" => Action::Connect,
            "PUBLISH" => Action::Publish,
            "SUBSCRIBE" => Action::Subscribe,
            "RECEIVE" => Action::Receive,
            other => {
                let shown: String = other.chars().take(32).collect();
                return Err(wrong(format!("\"{shown}\" is not an action type"))
                    .hint("the types are CONNECT, PUBLISH, SUBSCRIBE and RECEIVE"));
            }
        };
        if !(1..=AUTHORIZATION_NAMES_MAX).contains(&resources.len()) {
            return Err(wrong(format!(
                "a question has 1 to {AUTHORIZATION_NAMES_MAX} resources, not {}",
                resources.len()
            )));
        }
        resources
            .iter()
            .try_for_each(|text| resource(tenant, text).map(drop))?;
        Ok(Self { action, resources })
    }
}

/// Refuses a request that asks too much at once.
pub fn check_size(questions: usize, names: usize) -> Result<(), Refusal> {
    if !(1..=AUTHORIZATION_QUESTIONS_MAX).contains(&questions) {
        return Err(wrong(format!(
            "authInfos has 1 to {AUTHORIZATION_QUESTIONS_MAX} items, not {questions}"
        )));
    }
    if names > AUTHORIZATION_NAMES_MAX {
        return Err(Refusal::new(
            Exception::LimitExceeded,
            "fleet.authorization.limit",
            format!("it adds or skips {names} policies, more than {AUTHORIZATION_NAMES_MAX}"),
        ));
    }
    Ok(())
}

/// What the grant says to a question.
pub fn test(
    grant: &Grant,
    question: &Question,
    context: &Context,
    now: UnixMillis,
) -> Result<Answer, Refusal> {
    let decision = decide(grant, question, context, now)?;
    let mut answer = Answer {
        decision: decision.worst,
        allowing: Vec::new(),
        denying: Vec::new(),
        silent: Vec::new(),
    };
    for policy in grant.policies() {
        let alone = decide(&only(grant, policy), question, context, now)?;
        let list = match (alone.denied, alone.allowed) {
            (true, _) => &mut answer.denying,
            (false, true) => &mut answer.allowing,
            (false, false) => &mut answer.silent,
        };
        list.push(policy.name().to_owned());
    }
    Ok(answer)
}

/// The verdicts on all resources of one question.
struct Decided {
    worst: Authorized,
    allowed: bool,
    denied: bool,
}

fn decide(
    grant: &Grant,
    question: &Question,
    context: &Context,
    now: UnixMillis,
) -> Result<Decided, Refusal> {
    let (mut allowed, mut denied, mut silent) = (false, false, false);
    for text in &question.resources {
        let request = policy::Request {
            action: question.action,
            resource: resource(&grant.tenant, text)?,
            context,
            now,
        };
        match policy::decide(grant, &request) {
            Verdict::Allowed(_) => allowed = true,
            Verdict::ExplicitDeny(_) => denied = true,
            Verdict::ImplicitDeny { .. } => silent = true,
        }
    }
    let worst = match (denied, silent) {
        (true, _) => Authorized::ExplicitDeny,
        (false, true) => Authorized::ImplicitDeny,
        (false, false) => Authorized::Allowed,
    };
    Ok(Decided {
        worst,
        allowed,
        denied,
    })
}

fn only(grant: &Grant, policy: &NamedPolicy) -> Grant {
    Grant::new(grant.tenant, grant.certificate, grant.epoch, [policy.clone()])
}

fn resource<'a>(tenant: &Tenant, text: &'a str) -> Result<Resource<'a>, Refusal> {
    match arn::resource(tenant, text)? {
        ("client", name) => Ok(Resource::client(name)),
        ("topic", name) => Ok(Resource::topic(name)),
        ("topicfilter", name) => Ok(Resource::topic_filter(name)),
        (kind, _) => Err(wrong(format!("nothing can be asked of a {kind}"))
            .hint("the resources are client/…, topic/… and topicfilter/…")),
    }
}

fn wrong(reason: String) -> Refusal {
    Refusal::new(Exception::InvalidRequest, "fleet.authorization.question", reason)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use identity::CertificateId;
    use policy::{CertificateFacts, Policy};

    use super::*;

    const ARN: &str = "arn:aws:iot:us-east-1:123456789012";

    fn grant() -> Grant {
        let named = |name: &str, effect: &str, resource: &str| {
            let document = format!(
                r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}","Action":"iot:Publish","Resource":"{ARN}:{resource}"}}]}}"#
            );
            NamedPolicy::new(name, Policy::parse(&document).unwrap())
        };
        let policies = [
            named("own", "Allow", "topic/dt/${iot:ClientId}/*"),
            named("all", "Allow", "topic/all"),
            named("never", "Deny", "topic/dt/bm-1/secret"),
        ];
        Grant::new(Tenant::default(), CertificateId([7; 32]), 1, policies)
    }

    fn ask(action: &str, resources: &[&str]) -> Answer {
        let resources = resources.iter().map(|name| format!("{ARN}:{name}")).collect();
        let question = Question::parse(&Tenant::default(), action, resources).unwrap();
        let facts = Arc::new(CertificateFacts::new(CertificateId([7; 32])));
        let context = Context::new("bm-1", Ipv4Addr::LOCALHOST.into(), facts, None);
        test(&grant(), &question, &context, UnixMillis(0)).unwrap()
    }

    #[test]
    fn each_policy_is_named_by_what_it_says() {
        let answer = ask("PUBLISH", &["topic/dt/bm-1/x"]);
        assert_eq!(answer.decision, Authorized::Allowed);
        assert_eq!(
            (answer.allowing, answer.denying),
            (vec!["own".to_owned()], vec![])
        );
        assert_eq!(answer.silent, ["all", "never"]);

        let answer = ask("PUBLISH", &["topic/dt/bm-1/secret"]);
        assert_eq!(answer.decision, Authorized::ExplicitDeny);
        assert_eq!(
            (answer.allowing, answer.denying),
            (vec!["own".to_owned()], vec!["never".to_owned()])
        );
    }

    #[test]
    fn one_resource_that_is_not_allowed_is_enough() {
        assert_eq!(
            ask("PUBLISH", &["topic/all", "topic/dt/bm-1/x"]).decision,
            Authorized::Allowed
        );
        for refused in [
            ask("PUBLISH", &["topic/all", "topic/dt/bm-2/x"]),
            ask("RECEIVE", &["topic/all"]),
            ask("SUBSCRIBE", &["topicfilter/all"]),
            ask("CONNECT", &["client/bm-1"]),
        ] {
            assert_eq!(refused.decision, Authorized::ImplicitDeny);
        }
    }

    #[test]
    fn questions_that_mean_nothing_are_refused() {
        let topic = format!("{ARN}:topic/x");
        let check = |action: &str, resources: Vec<String>| {
            let refused = Question::parse(&Tenant::default(), action, resources).unwrap_err();
            assert_eq!(refused.exception(), Exception::InvalidRequest);
        };
        check("publish", vec![topic.clone()]);
        check("PUBLISH", vec![]);
        check("PUBLISH", vec![topic; AUTHORIZATION_NAMES_MAX + 1]);
        check("PUBLISH", vec![format!("{ARN}:thing/x")]);
        check(
            "PUBLISH",
            vec!["arn:aws:iot:us-east-1:999999999999:topic/x".to_owned()],
        );
        check("PUBLISH", vec!["topic/x".to_owned()]);
        assert!(check_size(AUTHORIZATION_QUESTIONS_MAX, AUTHORIZATION_NAMES_MAX).is_ok());
        assert!(check_size(0, 0).is_err());
        assert!(check_size(AUTHORIZATION_QUESTIONS_MAX + 1, 0).is_err());
        assert!(check_size(1, AUTHORIZATION_NAMES_MAX + 1).is_err());
    }
}
