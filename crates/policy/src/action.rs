//! What can be asked for on the data plane, and sets of it.
//!
//! Action names are compared without regard to case, as IAM compares them. A document may name actions of other services;
//! they are taken and match nothing here.

use std::fmt;

use crate::error::Fault;

/// An action of AWS IoT Core that devices can be allowed (AWS IoT developer guide, "AWS IoT Core policy actions").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are AWS's own")]
pub enum Action {
    Connect,
    Publish,
    Subscribe,
    Receive,
    RetainPublish,
    GetRetainedMessage,
    ListRetainedMessages,
    GetThingShadow,
    UpdateThingShadow,
    DeleteThingShadow,
    ListNamedShadowsForThing,
    DescribeJobExecution,
    GetPendingJobExecutions,
    UpdateJobExecution,
    StartNextPendingJobExecution,
    AssumeRoleWithCertificate,
}

const ALL: [Action; 16] = [
    Action::Connect,
    Action::Publish,
    Action::Subscribe,
    Action::Receive,
    Action::RetainPublish,
    Action::GetRetainedMessage,
    Action::ListRetainedMessages,
    Action::GetThingShadow,
    Action::UpdateThingShadow,
    Action::DeleteThingShadow,
    Action::ListNamedShadowsForThing,
    Action::DescribeJobExecution,
    Action::GetPendingJobExecutions,
    Action::UpdateJobExecution,
    Action::StartNextPendingJobExecution,
    Action::AssumeRoleWithCertificate,
];

impl Action {
    /// As it is written in a document, `iot:Publish`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "iot:Connect",
            Self::Publish => "iot:Publish",
            Self::Subscribe => "iot:Subscribe",
            Self::Receive => "iot:Receive",
            Self::RetainPublish => "iot:RetainPublish",
            Self::GetRetainedMessage => "iot:GetRetainedMessage",
            Self::ListRetainedMessages => "iot:ListRetainedMessages",
            Self::GetThingShadow => "iot:GetThingShadow",
            Self::UpdateThingShadow => "iot:UpdateThingShadow",
            Self::DeleteThingShadow => "iot:DeleteThingShadow",
            Self::ListNamedShadowsForThing => "iot:ListNamedShadowsForThing",
            Self::DescribeJobExecution => "iot:DescribeJobExecution",
            Self::GetPendingJobExecutions => "iot:GetPendingJobExecutions",
            Self::UpdateJobExecution => "iot:UpdateJobExecution",
            Self::StartNextPendingJobExecution => "iot:StartNextPendingJobExecution",
            Self::AssumeRoleWithCertificate => "iot:AssumeRoleWithCertificate",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of actions, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ActionSet(u32);

impl ActionSet {
    /// The actions that one element of `Action` names: `iot:Publish`, `iot:*`, `iot:Re*`, `*`.
    pub(crate) fn named(text: &str) -> Result<Self, Fault> {
        let known_form = text == "*"
            || text
                .split_once(':')
                .is_some_and(|(service, name)| is_word(service) && is_word(name));
        if !known_form {
            return Err(Fault::Action(text.to_owned()));
        }
        let pattern = text.to_ascii_lowercase();
        let matching = ALL
            .into_iter()
            .filter(|action| is_match(&pattern, &action.name().to_ascii_lowercase()));
        Ok(matching.fold(Self::default(), |set, action| Self(set.0 | 1 << action as u8)))
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn complement(self) -> Self {
        Self(!self.0)
    }

    pub(crate) const fn contains(self, action: Action) -> bool {
        self.0 >> action as u8 & 1 == 1
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'*' | b'?'))
}

/// `*` and `?` over short ASCII names. At a mismatch only the last `*` takes one letter more, so that the work is at most the
/// product of both lengths, however many stars there are.
fn is_match(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.as_bytes(), name.as_bytes());
    let mut last_star: Option<(&[u8], &[u8])> = None;
    loop {
        (pattern, name) = match (pattern, name) {
            ([b'*', rest @ ..], _) => {
                last_star = Some((rest, name));
                (rest, name)
            }
            ([], []) => return true,
            ([first, rest @ ..], [letter, after @ ..]) if *first == b'?' || first == letter => (rest, after),
            _ => match last_star {
                Some((rest, [_, from @ ..])) => {
                    last_star = Some((rest, from));
                    (rest, from)
                }
                _ => return false,
            },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_wildcards_become_sets() {
        let check = |text: &str, inside: &[Action], outside: &[Action]| {
            let set = ActionSet::named(text).unwrap();
            assert!(inside.iter().all(|action| set.contains(*action)), "{text}");
            assert!(!outside.iter().any(|action| set.contains(*action)), "{text}");
        };
        check("*", &ALL, &[]);
        check("iot:*", &ALL, &[]);
        check(
            "iot:Publish",
            &[Action::Publish],
            &[Action::Subscribe, Action::RetainPublish],
        );
        check("IOT:publish", &[Action::Publish], &[Action::Subscribe]);
        check(
            "iot:*Publish",
            &[Action::Publish, Action::RetainPublish],
            &[Action::Receive],
        );
        check(
            "iot:Re*",
            &[Action::Receive, Action::RetainPublish],
            &[Action::Publish],
        );
        check("iot:Connec?", &[Action::Connect], &[Action::Receive]);
        check("i*t:Receive", &[Action::Receive], &[Action::Connect]);
        check("iot:*b*i*h", &[Action::Publish], &[Action::Subscribe]);
        check("iot:**?ublish", &[Action::Publish], &[Action::Receive]);
        check("greengrass:Discover", &[], &ALL);
        check("iot:Publsh", &[], &ALL);
    }

    #[test]
    fn many_stars_are_as_quick_as_one() {
        let text = format!("iot:{}z", "*".repeat(1_000));
        assert_eq!(ActionSet::named(&text).unwrap(), ActionSet::default());
        let text = format!("iot:{}z", "*s*b".repeat(300));
        assert_eq!(ActionSet::named(&text).unwrap(), ActionSet::default());
    }

    #[test]
    fn what_is_no_action_is_refused() {
        for text in [
            "",
            "Publish",
            "iot:",
            ":Publish",
            "iot:Publish ",
            "iot:Pub:lish",
            "iot Publish",
            "**",
        ] {
            assert_eq!(ActionSet::named(text), Err(Fault::Action(text.to_owned())));
        }
    }

    #[test]
    fn complement_is_everything_else() {
        let set = ActionSet::named("iot:Publish").unwrap().complement();
        assert!(!set.contains(Action::Publish));
        assert!(set.contains(Action::Connect));
    }

    #[test]
    fn each_action_is_listed_once_at_its_place() {
        assert!(
            ALL.iter()
                .enumerate()
                .all(|(index, action)| *action as usize == index)
        );
    }
}
