//! What policies allow and what they do not: for every line that allows there is one that does not.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::net::IpAddr;
use std::sync::Arc;

use identity::certificate::Certificate;
use identity::{CertificateId, Tenant, UnixMillis};
use policy::{
    Action, CertificateFacts, Context, Grant, NamedPolicy, Policy, Request, Resource, ThingFacts, Verdict,
    decide,
};

const CERTIFICATE: CertificateId = CertificateId([0xab; 32]);
/// 2026-11-22T09:30:00Z
const NOW: UnixMillis = UnixMillis(1_795_339_800_000);

fn thing(name: &str, is_attached: bool) -> ThingFacts {
    ThingFacts {
        name: name.parse().unwrap(),
        type_name: Some("sensor".to_owned()),
        attributes: vec![
            ("room".to_owned(), "r-1".to_owned()),
            ("bad".to_owned(), "a*".to_owned()),
        ],
        is_attached,
    }
}

fn context_of(client_id: &str, facts: CertificateFacts, thing: Option<&ThingFacts>) -> Context {
    Context::new(client_id, IpAddr::from([203, 0, 113, 7]), Arc::new(facts), thing)
}

fn context() -> Context {
    context_of(
        "bm-1",
        CertificateFacts::new(CERTIFICATE),
        Some(&thing("bm-1", true)),
    )
}

fn grant(documents: &[&str]) -> Grant {
    let policies = documents.iter().enumerate();
    let policies: Vec<_> = policies
        .map(|(index, text)| NamedPolicy::new(format!("p{index}"), Policy::parse(text).unwrap()))
        .collect();
    Grant::new(Tenant::default(), CERTIFICATE, 1, policies)
}

fn statement(text: &str) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": {text}}}"#)
}

fn ask(grant: &Grant, context: &Context, action: Action, resource: Resource<'_>) -> Verdict {
    decide(
        grant,
        &Request {
            action,
            resource,
            context,
            now: NOW,
        },
    )
}

fn allow_on(resource: &str) -> Grant {
    grant(&[&statement(&format!(
        r#"{{"Effect": "Allow", "Action": "iot:Publish", "Resource": "{resource}"}}"#
    ))])
}

#[test]
fn resources_are_arns_of_the_own_tenant() {
    let check = |resource: &str, topic: &str, expected| {
        let verdict = ask(
            &allow_on(resource),
            &context(),
            Action::Publish,
            Resource::topic(topic),
        );
        assert_eq!(verdict.is_allowed(), expected, "{resource} {topic}");
    };
    let prefix = "arn:aws:iot:us-east-1:123456789012:topic/";
    let on = |rest: &str| format!("{prefix}{rest}");
    check("*", "any/thing", true);
    check(&on("a/b"), "a/b", true);
    check(&on("a/b"), "a/b/c", false);
    check(&on("a/*"), "a/b/c", true);
    check(&on("a/*"), "a", false);
    check(&on("a/+/c"), "a/b/c", false);
    check(&on("a/#"), "a/b", false);
    check(&on("a?c"), "abc", true);
    check("arn:aws:iot:*:*:topic/a", "a", true);
    check("arn:aws:iot:us-east-1:123456789012:*", "a", true);
    check("arn:aws:iot:eu-west-1:123456789012:topic/a", "a", false);
    check("arn:aws:iot:us-east-1:000000000000:topic/a", "a", false);
    check("arn:aws:iot:us-east-1:123456789012:topicfilter/a", "a", false);
    check("arn:aws:iot:us-east-1:123456789012:TOPIC/a", "a", false);
    check(&on("dt/${iot:ClientId}/*"), "dt/bm-1/x", true);
    check(&on("dt/${iot:ClientId}/*"), "dt/bm-2/x", false);
    check(&on("${iot:Connection.Thing.ThingName}"), "bm-1", true);
    check(&on("${iot:Connection.Thing.ThingTypeName}"), "sensor", true);
    check(&on("${iot:Connection.Thing.Attributes[room]}"), "r-1", true);
    check(&on("${iot:Connection.Thing.Attributes[ROOM]}"), "r-1", false);
    check(&on("${iot:Connection.Thing.Attributes[bad]}"), "a*", false);
    check(&on("${iot:Connection.Thing.IsAttached}"), "true", true);
    check(&on("${aws:SourceIp}"), "203.0.113.7", true);
    check(&on("${iot:CertificateId}"), &CERTIFICATE.to_string(), true);
    check(&on("${$}${*}${?}"), "$*?", true);
    check(&on("${$}${*}${?}"), "$xx", false);
}

#[test]
fn a_thing_counts_only_when_it_is_attached_and_named_like_the_client() {
    let resource = "arn:aws:iot:us-east-1:123456789012:topic/${iot:Connection.Thing.ThingName}";
    let check = |client_id: &str, facts: Option<ThingFacts>, topic: &str, expected| {
        let context = context_of(client_id, CertificateFacts::new(CERTIFICATE), facts.as_ref());
        let verdict = ask(
            &allow_on(resource),
            &context,
            Action::Publish,
            Resource::topic(topic),
        );
        assert_eq!(verdict.is_allowed(), expected, "{client_id} {topic}");
    };
    check("bm-1", Some(thing("bm-1", true)), "bm-1", true);
    check("bm-1", Some(thing("bm-1", false)), "bm-1", false);
    check("bm-1", Some(thing("bm-2", true)), "bm-2", false);
    check("bm-1", None, "bm-1", false);
    check("bm-1", None, "${iot:Connection.Thing.ThingName}", false);
}

#[test]
fn a_thing_can_change_while_its_client_is_connected() {
    let grant = allow_on("arn:aws:iot:us-east-1:123456789012:topic/${iot:Connection.Thing.ThingName}");
    let mut context = context_of("bm-1", CertificateFacts::new(CERTIFICATE), None);
    let allowed =
        |context: &Context| ask(&grant, context, Action::Publish, Resource::topic("bm-1")).is_allowed();
    assert!(!allowed(&context));
    context.set_thing(Some(&thing("bm-1", true)));
    assert!(allowed(&context));
    context.set_thing(Some(&thing("bm-1", false)));
    assert!(!allowed(&context));
}

/// Subject `CN=bm-1, CN=second, O=a*b, C=DE`, and issuer with the same name; made with `openssl req -x509 -nodes -newkey ec
/// -pkeyopt ec_paramgen_curve:P-256 -subj '/C=DE/O=a*b/CN=bm-1/CN=second' -addext 'subjectAltName=DNS:bm-1.example,IP:192.0.2.9'`.
const NAMED: &str = include_str!("named.pem");

#[test]
fn certificate_variables() {
    let certificate = Certificate::from_pem(NAMED).unwrap();
    let context = context_of("c", CertificateFacts::of(CERTIFICATE, &certificate), None);
    let check = |variable: &str, topic: &str, expected| {
        let grant = allow_on(&format!(
            "arn:aws:iot:us-east-1:123456789012:topic/${{{variable}}}"
        ));
        let verdict = ask(&grant, &context, Action::Publish, Resource::topic(topic));
        assert_eq!(verdict.is_allowed(), expected, "{variable} {topic}");
    };
    check("iot:Certificate.Subject.CommonName", "bm-1", true);
    check("iot:Certificate.Subject.CommonName", "second", false);
    check("iot:Certificate.Subject.CommonName.1", "second", true);
    check("iot:Certificate.Subject.CommonName.2", "", false);
    check("iot:Certificate.Subject.CommonName.List", "bm-1", false);
    check("iot:Certificate.Subject.Country", "DE", true);
    check("iot:Certificate.Issuer.Country", "DE", true);
    check("iot:Certificate.Subject.Organization", "a*b", false);
    check("iot:Certificate.Subject.Organization", "axb", false);
    check("iot:Certificate.Subject.Title", "", false);
    check(
        "iot:Certificate.Subject.AlternativeName.DNSName",
        "bm-1.example",
        true,
    );
    check(
        "iot:Certificate.Subject.AlternativeName.IPAddress",
        "192.0.2.9",
        true,
    );
    check("iot:Certificate.Subject.AlternativeName.RFC822Name", "", false);

    let any = r#"{"ForAnyValue:StringEquals": {"iot:Certificate.Subject.CommonName.List": "second"}}"#;
    assert!(ask(&allow_if(any), &context, Action::Publish, Resource::topic("t")).is_allowed());
    let all = r#"{"ForAllValues:StringEquals": {"iot:Certificate.Subject.CommonName.List": "second"}}"#;
    assert!(!ask(&allow_if(all), &context, Action::Publish, Resource::topic("t")).is_allowed());
}

#[test]
fn explicit_deny_wins_wherever_it_stands() {
    let allow = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#;
    let deny = r#"{"Effect": "Deny", "Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/secret"}"#;
    let documents = [
        vec![statement(&format!("[{allow}, {deny}]"))],
        vec![statement(&format!("[{deny}, {allow}]"))],
        vec![statement(allow), statement(deny)],
        vec![statement(deny), statement(allow)],
    ];
    for documents in documents {
        let grant = grant(&documents.iter().map(String::as_str).collect::<Vec<_>>());
        let secret = ask(&grant, &context(), Action::Publish, Resource::topic("secret"));
        assert!(matches!(secret, Verdict::ExplicitDeny(_)), "{documents:?}");
        assert!(ask(&grant, &context(), Action::Publish, Resource::topic("open")).is_allowed());
        assert!(ask(&grant, &context(), Action::Receive, Resource::topic("secret")).is_allowed());
    }
}

#[test]
fn nothing_said_means_no() {
    let nothing = grant(&[]);
    assert_eq!(
        ask(&nothing, &context(), Action::Connect, Resource::client("bm-1")),
        Verdict::ImplicitDeny { considered: 0 }
    );
    let deny_only = grant(&[&statement(
        r#"{"Effect": "Deny", "Action": "iot:Publish", "Resource": "*"}"#,
    )]);
    let verdict = ask(&deny_only, &context(), Action::Connect, Resource::client("bm-1"));
    assert_eq!(verdict, Verdict::ImplicitDeny { considered: 1 });
}

#[test]
fn negated_elements() {
    let check = |text: &str, action, topic: &str, expected| {
        let grant = grant(&[&statement(text)]);
        assert_eq!(
            ask(&grant, &context(), action, Resource::topic(topic)).is_allowed(),
            expected,
            "{text} {action} {topic}"
        );
    };
    let not_action = r#"{"Effect": "Allow", "NotAction": "iot:Publish", "Resource": "*"}"#;
    check(not_action, Action::Receive, "a", true);
    check(not_action, Action::Publish, "a", false);
    let not_resource = r#"{"Effect": "Allow", "Action": "iot:Publish", "NotResource": ["arn:aws:iot:*:*:topic/a", "arn:aws:iot:*:*:topic/b"]}"#;
    check(not_resource, Action::Publish, "c", true);
    check(not_resource, Action::Publish, "a", false);
    check(not_resource, Action::Publish, "b", false);
}

#[test]
fn an_unset_variable_never_widens() {
    let unset = "arn:aws:iot:*:*:topic/${iot:Certificate.Subject.Title}";
    let decide = |text: String| {
        ask(
            &grant(&[&statement(&text)]),
            &context(),
            Action::Publish,
            Resource::topic("x"),
        )
    };
    let not_resource = |effect: &str| {
        format!(r#"{{"Effect": "{effect}", "Action": "iot:Publish", "NotResource": "{unset}"}}"#)
    };
    assert_eq!(
        decide(not_resource("Allow")),
        Verdict::ImplicitDeny { considered: 1 }
    );
    assert!(matches!(decide(not_resource("Deny")), Verdict::ExplicitDeny(_)));
    let not_equals = |effect: &str| {
        format!(
            r#"{{"Effect": "{effect}", "Action": "*", "Resource": "*", "Condition": {{"StringNotEquals": {{"iot:ClientId": "${{iot:Nope}}"}}}}}}"#
        )
    };
    assert_eq!(
        decide(not_equals("Allow")),
        Verdict::ImplicitDeny { considered: 1 }
    );
    assert!(matches!(decide(not_equals("Deny")), Verdict::ExplicitDeny(_)));
}

fn allow_if(condition: &str) -> Grant {
    grant(&[&statement(&format!(
        r#"{{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {condition}}}"#
    ))])
}

fn holds(condition: &str, context: &Context) -> bool {
    ask(
        &allow_if(condition),
        context,
        Action::Publish,
        Resource::topic("t"),
    )
    .is_allowed()
}

#[test]
fn operators_hold_and_do_not_hold() {
    let check = |operator: &str, key: &str, values: &str, expected| {
        let condition = format!(r#"{{"{operator}": {{"{key}": {values}}}}}"#);
        assert_eq!(holds(&condition, &context()), expected, "{condition}");
    };
    check("StringEquals", "iot:ClientId", r#""bm-1""#, true);
    check("StringEquals", "iot:ClientId", r#"["x", "bm-1"]"#, true);
    check("StringEquals", "iot:ClientId", r#""BM-1""#, false);
    check("StringEquals", "iot:ClientId", r#""bm-*""#, false);
    check(
        "StringEquals",
        "iot:ClientId",
        r#""${iot:Connection.Thing.ThingName}""#,
        true,
    );
    check("StringNotEquals", "iot:ClientId", r#"["x", "y"]"#, true);
    check("StringNotEquals", "iot:ClientId", r#"["x", "bm-1"]"#, false);
    check("StringEqualsIgnoreCase", "iot:ClientId", r#""BM-1""#, true);
    check("StringEqualsIgnoreCase", "iot:ClientId", r#""BM-2""#, false);
    check("StringNotEqualsIgnoreCase", "iot:ClientId", r#""BM-1""#, false);
    check("StringLike", "iot:ClientId", r#""bm-?""#, true);
    check("StringLike", "iot:ClientId", r#""cm-*""#, false);
    check("StringNotLike", "iot:ClientId", r#""bm-*""#, false);
    check("StringNotLike", "iot:ClientId", r#""cm-*""#, true);
    check("IpAddress", "aws:SourceIp", r#""203.0.113.0/24""#, true);
    check(
        "IpAddress",
        "aws:SourceIp",
        r#"["10.0.0.0/8", "2001:db8::/32"]"#,
        false,
    );
    check("NotIpAddress", "aws:SourceIp", r#""10.0.0.0/8""#, true);
    check("NotIpAddress", "aws:SourceIp", r#""203.0.113.7""#, false);
    check("Bool", "iot:Connection.Thing.IsAttached", "true", true);
    check("Bool", "iot:Connection.Thing.IsAttached", r#"["false"]"#, false);
    check("Bool", "aws:SecureTransport", "true", true);
    check("NumericEquals", "aws:EpochTime", "1795339800", true);
    check("NumericNotEquals", "aws:EpochTime", "1795339800", false);
    check("NumericLessThan", "aws:EpochTime", "1795339800", false);
    check("NumericLessThanEquals", "aws:EpochTime", "1795339800", true);
    check("NumericGreaterThan", "aws:EpochTime", "1795339799.5", true);
    check("NumericGreaterThanEquals", "aws:EpochTime", "1795339801", false);
    check("NumericEquals", "iot:ClientId", "1", false);
    check("DateEquals", "aws:CurrentTime", r#""2026-11-22T09:30:00Z""#, true);
    check(
        "DateNotEquals",
        "aws:CurrentTime",
        r#""2026-11-22T09:30:00Z""#,
        false,
    );
    check(
        "DateLessThan",
        "aws:CurrentTime",
        r#""2026-11-22T10:30:00+01:00""#,
        false,
    );
    check(
        "DateLessThanEquals",
        "aws:CurrentTime",
        r#""2026-11-22T10:30:00+01:00""#,
        true,
    );
    check("DateGreaterThan", "aws:CurrentTime", r#""2026-11-22""#, true);
    check(
        "DateGreaterThanEquals",
        "aws:CurrentTime",
        r#""2026-11-23""#,
        false,
    );
    check("Null", "iot:LastWillTopic", "true", true);
    check("Null", "iot:LastWillTopic", "false", false);
    check("Null", "iot:ClientId", "false", true);
    check("ArnLike", "iot:ClientId", r#""arn:aws:iot:*:*:thing/*""#, false);
}

#[test]
fn absent_keys() {
    let check = |operator: &str, expected| {
        let condition = format!(r#"{{"{operator}": {{"iot:LastWillTopic": "x"}}}}"#);
        assert_eq!(holds(&condition, &context()), expected, "{condition}");
    };
    check("StringEquals", false);
    check("StringEqualsIfExists", true);
    check("StringNotEquals", true);
    check("ForAnyValue:StringEquals", false);
    check("ForAllValues:StringEquals", true);
}

#[test]
fn all_conditions_of_a_statement_must_hold() {
    let both = |ip: &str| {
        format!(r#"{{"StringEquals": {{"iot:ClientId": "bm-1"}}, "IpAddress": {{"aws:SourceIp": "{ip}"}}}}"#)
    };
    assert!(holds(&both("203.0.113.7"), &context()));
    assert!(!holds(&both("203.0.113.8"), &context()));
}

#[test]
fn connect_attributes() {
    let only_will = r#"{"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["LastWill"]}, "StringEqualsIfExists": {"iot:LastWillTopic": "w"}}"#;
    let check = |persistent, will, expected| {
        let context = context().with_connect_attributes(persistent, will);
        assert_eq!(holds(only_will, &context), expected, "{persistent} {will:?}");
    };
    check(false, None, true);
    check(false, Some("w"), true);
    check(false, Some("v"), false);
    check(true, None, false);
    check(true, Some("w"), false);
}

#[test]
fn an_ipv4_address_in_ipv6_form_is_ipv4() {
    let mapped: IpAddr = "::ffff:203.0.113.7".parse().unwrap();
    let context = Context::new("c", mapped, Arc::new(CertificateFacts::new(CERTIFICATE)), None);
    assert!(holds(
        r#"{"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}"#,
        &context
    ));
    assert_eq!(context.source_ip(), IpAddr::from([203, 0, 113, 7]));
}

#[test]
fn statements_for_other_services_say_nothing_here() {
    let grant = grant(&[&statement(
        r#"{"Effect": "Allow", "Action": "greengrass:*", "Resource": "*"}"#,
    )]);
    assert!(!ask(&grant, &context(), Action::Connect, Resource::client("bm-1")).is_allowed());
}
