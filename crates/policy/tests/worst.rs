//! The most work that a document can make: whatever it says, parsing it, deciding by it and explaining the decision end soon.
//!
//! A comparison looks at each character of the resource at most once for each token of the pattern, since only the last `*` is
//! ever taken up again. These documents are as long as AWS lets them be and make that product as large as it can become: some
//! five million steps for ten policies, a few milliseconds. Work that doubled with each star would never end here.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;

use identity::{CertificateId, Tenant, UnixMillis};
use policy::{Action, CertificateFacts, Context, Grant, NamedPolicy, Policy, Request, Resource, decide};

/// Characters of a document that count.
const CHARACTERS: usize = 2_048;
/// Bytes of the longest topic (AWS IoT quotas).
const TOPIC_BYTES: usize = 256;
/// Policies of one certificate (AWS IoT quotas).
const POLICIES: usize = 10;
/// A document with this list of resources.
fn on(resources: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"iot:Publish","Resource":[{resources}]}}]}}"#
    )
}

/// One pattern that fills the document: `unit` again and again between a beginning and an end.
fn long(begin: &str, unit: &str, end: &str) -> String {
    let head = r#"arn:aws:iot:us-east-1:123456789012:topic/"#;
    let room = CHARACTERS - on(&format!(r#""{head}{begin}{end}""#)).len();
    on(&format!(
        r#""{head}{begin}{}{end}""#,
        unit.repeat(room / unit.len())
    ))
}

/// As many resources as there is room for.
fn many(unit: &str) -> String {
    let one = format!(r#""{unit}","#);
    let room = CHARACTERS - on(r#""arn:aws:iot:*:*:topic/*b""#).len();
    on(&format!(
        r#"{}"arn:aws:iot:*:*:topic/*b""#,
        one.repeat(room / one.len())
    ))
}

/// An action of as many stars as there is room for.
fn starred_action() -> String {
    let with = |stars: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"iot:{stars}z","Resource":"*"}}]}}"#
        )
    };
    with(&"*".repeat(CHARACTERS - with("").len()))
}

/// As many conditions as there is room for.
fn conditional(operator: &str, unit: &str) -> String {
    let with = |values: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{{"{operator}":{{"iot:ClientId":[{values}"x"]}}}}}}]}}"#
        )
    };
    let one = format!(r#""{unit}","#);
    with(&one.repeat((CHARACTERS - with("").len()) / one.len()))
}

fn check(what: &str, document: &str) {
    let parsed = |number: usize| NamedPolicy::new(number.to_string(), Policy::parse(document).unwrap());
    let policies: Vec<_> = (0..POLICIES).map(parsed).collect();
    let grant = Grant::new(Tenant::default(), CertificateId([7; 32]), 1, policies);
    let facts = Arc::new(CertificateFacts::new(CertificateId([7; 32])));
    let context = Context::new(&"a".repeat(128), [127, 0, 0, 1].into(), facts, None);
    let topic = "a".repeat(TOPIC_BYTES);
    let request = Request {
        action: Action::Publish,
        resource: Resource::topic(&topic),
        context: &context,
        now: UnixMillis(0),
    };
    let verdict = decide(&grant, &request);
    assert!(!verdict.is_allowed(), "{what} allows what nothing allows");
    let explained = verdict.explain(&grant, &request);
    assert!(explained.len() < 1024 * 1024, "{what}: {} bytes", explained.len());
}

#[test]
fn the_longest_comparisons_end_soon() {
    check("stars in actions", &starred_action());
    check("stars", &long("", "*a", "b"));
    check("stars alone", &long("", "*", "b"));
    check("one star and questions", &long("*", "?", "b"));
    check("one star and letters", &long("*", "a", "b"));
    check("one star, letters and questions", &long("*", "a?", "b"));
    check("stars between long texts", &long("", "*aaaaaaaaaaaaaaaa", "b"));
    check("stars and variables", &long("", "*${iot:ClientId}", "b"));
    check("variables", &long("*", "${iot:ClientId}", "b"));
    check("many resources", &many("arn:aws:iot:*:*:topic/*a*b"));
    check(
        "many variables",
        &many("arn:aws:iot:*:*:topic/*${iot:ClientId}*b"),
    );
    check("many values", &conditional("StringLike", "*a*a*b"));
    check("many sets", &conditional("ForAllValues:StringLike", "*a*a*b"));
}

#[test]
fn the_longest_documents_are_read_or_refused() {
    let nested = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    assert!(Policy::parse(&nested).is_err());
    // White space does not count as a character of a document, but it has to be read.
    let spaced = on(r#""*""#).replace(',', &format!(",{}", " ".repeat(80_000)));
    assert!(Policy::parse(&spaced).is_ok());
    assert!(Policy::parse(&spaced.replace(' ', "    ")).is_err());
}
