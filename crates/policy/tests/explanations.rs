//! What a person reads about a verdict, word for word.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::net::IpAddr;
use std::sync::Arc;

use identity::{CertificateId, Tenant, UnixMillis};
use policy::{Action, CertificateFacts, Context, Grant, NamedPolicy, Policy, Request, Resource, decide};

const CERTIFICATE: CertificateId = CertificateId([0xab; 32]);

fn check(statements: &[&str], action: Action, resource: Resource<'_>, expected: &str) {
    let policies: Vec<_> = statements
        .iter()
        .map(|statement| {
            let document = format!(r#"{{"Version": "2012-10-17", "Statement": {statement}}}"#);
            NamedPolicy::new("fleet", Policy::parse(&document).unwrap())
        })
        .collect();
    let grant = Grant::new(Tenant::default(), CERTIFICATE, 1, policies);
    let facts = Arc::new(CertificateFacts::new(CERTIFICATE));
    let context = Context::new("bm-1", IpAddr::from([203, 0, 113, 7]), facts, None);
    let request = Request {
        action,
        resource,
        context: &context,
        now: UnixMillis(0),
    };
    assert_eq!(decide(&grant, &request).explain(&grant, &request), expected);
}

#[test]
fn allowed() {
    check(
        &[r#"{"Sid": "Own", "Effect": "Allow", "Action": "iot:*", "Resource": "*"}"#],
        Action::Connect,
        Resource::client("bm-1"),
        r#"iot:Connect on arn:aws:iot:us-east-1:123456789012:client/bm-1 is allowed by policy "fleet", statement 1 (Sid "Own")"#,
    );
}

#[test]
fn denied() {
    check(
        &[
            r#"[{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Effect": "Deny", "Action": "iot:Publish", "Resource": "*"}]"#,
        ],
        Action::Publish,
        Resource::topic("a"),
        r#"iot:Publish on arn:aws:iot:us-east-1:123456789012:topic/a is denied by policy "fleet", statement 2; a Deny wins over every Allow"#,
    );
}

#[test]
fn no_policy() {
    let certificate = "ab".repeat(32);
    check(
        &[],
        Action::Connect,
        Resource::client("bm-1"),
        &format!(
            r#"iot:Connect on arn:aws:iot:us-east-1:123456789012:client/bm-1 is not allowed: no policy is attached to certificate {certificate}. This statement would allow it: {{"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:us-east-1:123456789012:client/bm-1"}}"#
        ),
    );
}

#[test]
fn another_resource() {
    check(
        &[
            r#"{"Effect": "Allow", "Action": "iot:Publish", "Resource": ["arn:aws:iot:us-east-1:123456789012:topic/dt/${iot:ClientId}/*", "arn:aws:iot:*:*:topic/x"]}"#,
        ],
        Action::Publish,
        Resource::topic("dt/bm-2/$*?\"x"),
        r#"iot:Publish on arn:aws:iot:us-east-1:123456789012:topic/dt/bm-2/$*?"x is not allowed: policy "fleet", statement 1, allows it on arn:aws:iot:us-east-1:123456789012:topic/dt/${iot:ClientId}/* (here arn:aws:iot:us-east-1:123456789012:topic/dt/bm-1/*), arn:aws:iot:*:*:topic/x only. This statement would allow it: {"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:us-east-1:123456789012:topic/dt/bm-2/${$}${*}${?}\"x"}"#,
    );
}

#[test]
fn another_action() {
    check(
        &[r#"{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}"#],
        Action::Publish,
        Resource::topic("a"),
        r#"iot:Publish on arn:aws:iot:us-east-1:123456789012:topic/a is not allowed: no statement of "fleet" allows iot:Publish. This statement would allow it: {"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:us-east-1:123456789012:topic/a"}"#,
    );
}

#[test]
fn the_wrong_kind_of_resource() {
    check(
        &[
            r#"{"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "arn:aws:iot:us-east-1:123456789012:topic/a"}"#,
        ],
        Action::Subscribe,
        Resource::topic_filter("a"),
        r#"iot:Subscribe on arn:aws:iot:us-east-1:123456789012:topicfilter/a is not allowed: policy "fleet", statement 1, allows it on topic/a, but iot:Subscribe is decided on topicfilter/, not topic/. This statement would allow it: {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "arn:aws:iot:us-east-1:123456789012:topicfilter/a"}"#,
    );
}

#[test]
fn a_variable_without_a_value() {
    check(
        &[
            r#"{"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:us-east-1:123456789012:client/${iot:Connection.Thing.ThingName}"}"#,
        ],
        Action::Connect,
        Resource::client("bm-1"),
        r#"iot:Connect on arn:aws:iot:us-east-1:123456789012:client/bm-1 is not allowed: policy "fleet", statement 1, needs ${iot:Connection.Thing.ThingName}, which has no value here: the client id must be the name of a thing, and the certificate must be attached to that thing. This statement would allow it: {"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:us-east-1:123456789012:client/bm-1"}"#,
    );
}

#[test]
fn a_condition_that_does_not_hold() {
    check(
        &[
            r#"{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}"#,
        ],
        Action::Connect,
        Resource::client("bm-1"),
        r#"iot:Connect on arn:aws:iot:us-east-1:123456789012:client/bm-1 is not allowed: policy "fleet", statement 1, needs IpAddress of aws:SourceIp, which is "203.0.113.7" here. This statement would allow it: {"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:us-east-1:123456789012:client/bm-1"}"#,
    );
}

#[test]
fn a_negated_resource() {
    check(
        &[r#"{"Effect": "Allow", "Action": "iot:Publish", "NotResource": "arn:aws:iot:*:*:topic/a"}"#],
        Action::Publish,
        Resource::topic("a"),
        r#"iot:Publish on arn:aws:iot:us-east-1:123456789012:topic/a is not allowed: policy "fleet", statement 1, allows it on everything but arn:aws:iot:*:*:topic/a. This statement would allow it: {"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:us-east-1:123456789012:topic/a"}"#,
    );
}

#[test]
fn many_statements_are_not_all_gone_through() {
    let one = r#"{"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/x"}"#;
    let statements = format!("[{}]", [one; 8].join(", "));
    let allows = |number: usize| {
        format!(r#"policy "fleet", statement {number}, allows it on arn:aws:iot:*:*:topic/x only"#)
    };
    let shown = (1..=5).map(allows).collect::<Vec<_>>().join("; ");
    check(
        &[&statements],
        Action::Publish,
        Resource::topic("a"),
        &format!(
            r#"iot:Publish on arn:aws:iot:us-east-1:123456789012:topic/a is not allowed: {shown}; and 3 more statements that do not match. This statement would allow it: {{"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:us-east-1:123456789012:topic/a"}}"#
        ),
    );
}
