//! Which documents are policies, and which element makes one malformed.

use identity::Explained;
use policy::Policy;
use policy::limits::{DOCUMENT_BYTES_MAX, DOCUMENT_CHARACTERS_MAX};

fn taken(document: &str) {
    if let Err(error) = Policy::parse(document) {
        panic!("{document}: {error}");
    }
}

fn refused(document: &str, code: &str, at: &str) {
    match Policy::parse(document) {
        Ok(_) => panic!("{document} must be refused"),
        Err(error) => assert_eq!(
            (error.code(), error.at.as_str()),
            (code, at),
            "{document}: {error}"
        ),
    }
}

fn with_statement(statement: &str) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": {statement}}}"#)
}

fn with_condition(condition: &str) -> String {
    with_statement(&format!(
        r#"{{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {condition}}}"#
    ))
}

#[test]
fn documents_of_the_developer_guide_are_taken() {
    taken(&with_statement(
        r#"[{"Effect": "Allow", "Action": ["iot:*"], "Resource": ["*"]}]"#,
    ));
    taken(&with_statement(
        r#"{"Effect": "Deny", "NotAction": "iot:Connect", "NotResource": "arn:aws:iot:*:*:topic/a"}"#,
    ));
    taken(
        r#"{"Version": "2012-10-17", "Id": "x", "Statement": [
            {"Sid": "Connect", "Effect": "Allow", "Action": ["iot:Connect"],
             "Resource": ["arn:aws:iot:us-east-1:123456789012:client/${iot:Connection.Thing.ThingName}"],
             "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}}},
            {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"],
             "Resource": "arn:aws:iot:us-east-1:123456789012:topic/$aws/things/${iot:Connection.Thing.ThingName}/shadow/*"}]}"#,
    );
    taken(&with_condition(
        r#"{"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect", "LastWill"]}}"#,
    ));
    taken(&with_condition(
        r#"{"StringLike": {"iot:Connection.Thing.Attributes[room]": "r-*"}, "Bool": {"aws:SecureTransport": true}}"#,
    ));
    taken(&with_condition(
        r#"{"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:db8::/32"]}}"#,
    ));
    taken(&with_condition(
        r#"{"NumericLessThan": {"aws:EpochTime": 1}, "DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}}"#,
    ));
    taken(&with_condition(
        r#"{"StringEqualsIfExists": {"iot:ClientId": "a"}, "Null": {"iot:LastWillTopic": "true"}}"#,
    ));
    taken(&with_condition(
        r#"{"ArnLike": {"aws:SourceArn": "arn:aws:iot:*:*:thing/*"}}"#,
    ));
}

#[test]
fn what_is_no_json_is_refused() {
    refused("", "policy.json", "");
    refused("{", "policy.json", "");
    refused("[]", "policy.element.type", "");
    refused(
        r#"{"Version": "2012-10-17", "Statement": []} x"#,
        "policy.json",
        "",
    );
    refused(
        r#"{"Version": "2012-10-17", "Version": "2012-10-17"}"#,
        "policy.json",
        "",
    );
    refused(
        &with_statement(r#"{"Effect": "Deny", "Effect": "Allow", "Action": "*", "Resource": "*"}"#),
        "policy.json",
        "",
    );
    refused(&"[".repeat(1_000), "policy.json", "");
}

#[test]
fn elements_of_the_document() {
    refused("{}", "policy.element.missing", "");
    refused(r#"{"Version": "2012-10-17"}"#, "policy.element.missing", "");
    refused(r#"{"Statement": {}}"#, "policy.element.missing", "");
    refused(
        r#"{"Version": "2008-10-17", "Statement": {}}"#,
        "policy.version",
        "Version",
    );
    refused(
        r#"{"Version": 2012, "Statement": {}}"#,
        "policy.element.type",
        "Version",
    );
    refused(
        r#"{"Version": "2012-10-17", "Id": 1, "Statement": {}}"#,
        "policy.element.type",
        "Id",
    );
    refused(
        r#"{"Version": "2012-10-17", "Statement": {}, "Extra": 1}"#,
        "policy.element.unknown",
        "",
    );
    refused(&with_statement("[]"), "policy.element.empty", "Statement");
    refused(&with_statement("5"), "policy.element.type", "Statement");
    refused(&with_statement("[5]"), "policy.element.type", "Statement[0]");
}

#[test]
fn elements_of_a_statement() {
    let check = |statement: &str, code: &str, at: &str| {
        refused(
            &with_statement(&format!("[{statement}]")),
            code,
            &format!("Statement[0]{at}"),
        );
    };
    check(
        r#"{"Action": "*", "Resource": "*"}"#,
        "policy.element.missing",
        "",
    );
    check(
        r#"{"Effect": "allow", "Action": "*", "Resource": "*"}"#,
        "policy.effect",
        ".Effect",
    );
    check(
        r#"{"Effect": true, "Action": "*", "Resource": "*"}"#,
        "policy.element.type",
        ".Effect",
    );
    check(
        r#"{"Effect": "Allow", "Resource": "*"}"#,
        "policy.element.missing",
        "",
    );
    check(
        r#"{"Effect": "Allow", "Action": "*"}"#,
        "policy.element.missing",
        "",
    );
    check(
        r#"{"Effect": "Allow", "Action": "*", "NotAction": "*", "Resource": "*"}"#,
        "policy.element.both",
        "",
    );
    check(
        r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "NotResource": "*"}"#,
        "policy.element.both",
        "",
    );
    check(
        r#"{"Effect": "Allow", "Action": [], "Resource": "*"}"#,
        "policy.element.empty",
        ".Action",
    );
    check(
        r#"{"Effect": "Allow", "Action": "Publish", "Resource": "*"}"#,
        "policy.action",
        ".Action",
    );
    check(
        r#"{"Effect": "Allow", "Action": ["iot:Publish", 5], "Resource": "*"}"#,
        "policy.element.type",
        ".Action[1]",
    );
    check(
        r#"{"Effect": "Allow", "NotAction": ["x"], "Resource": "*"}"#,
        "policy.action",
        ".NotAction[0]",
    );
    check(
        r#"{"Effect": "Allow", "Action": "*", "Resource": "topic/a"}"#,
        "policy.resource",
        ".Resource",
    );
    check(
        r#"{"Effect": "Allow", "Action": "*", "Resource": ["*", "arn:${x"]}"#,
        "policy.variable",
        ".Resource[1]",
    );
    check(
        r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}"#,
        "policy.element.unknown",
        "",
    );
    check(
        r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Sid": 5}"#,
        "policy.element.type",
        ".Sid",
    );
}

#[test]
fn conditions() {
    let check = |condition: &str, code: &str, at: &str| {
        let statement = with_condition(condition);
        refused(&statement, code, &format!("Statement.Condition{at}"));
    };
    check("5", "policy.element.type", "");
    check(r#"{"StringEquals": "a"}"#, "policy.element.type", ".StringEquals");
    check(
        r#"{"StringEquals": {"iot:ClientId": []}}"#,
        "policy.element.empty",
        ".StringEquals.iot:ClientId",
    );
    check(
        r#"{"StringEquals": {"iot:ClientId": {}}}"#,
        "policy.element.type",
        ".StringEquals.iot:ClientId",
    );
    check(
        r#"{"StringEquals": {"iot:ClientId": ["a", null]}}"#,
        "policy.element.type",
        ".StringEquals.iot:ClientId[1]",
    );
    check(
        r#"{"StringLike": {"iot:ClientId": "${a"}}"#,
        "policy.variable",
        ".StringLike.iot:ClientId",
    );
    for unknown in [
        "StringMatches",
        "stringEquals",
        "ForSomeValues:StringEquals",
        "NullIfExists",
        "IfExists",
        "NumericLike",
        "",
    ] {
        let at = if unknown.is_empty() {
            "..k".to_owned()
        } else {
            format!(".{unknown}.k")
        };
        check(
            &format!(r#"{{"{unknown}": {{"k": "1"}}}}"#),
            "policy.condition.operator",
            &at,
        );
    }
    for (operator, value) in [
        ("Bool", "yes"),
        ("Null", "1"),
        ("NumericEquals", "ten"),
        ("NumericEquals", "NaN"),
        ("DateEquals", "tomorrow"),
        ("IpAddress", "203.0.113.0/33"),
        ("NotIpAddress", "localhost"),
    ] {
        check(
            &format!(r#"{{"{operator}": {{"k": "{value}"}}}}"#),
            "policy.condition.value",
            &format!(".{operator}.k"),
        );
    }
}

#[test]
fn the_longest_document_is_taken_and_one_character_more_refused() {
    let document = |characters: usize| {
        let frame = with_statement(r#"{"Effect": "Allow", "Action": "*", "Resource": "arn:"}"#);
        let used = frame.chars().filter(|c| !c.is_whitespace()).count();
        frame.replace("arn:", &format!("arn:{}", "x".repeat(characters - used)))
    };
    taken(&document(DOCUMENT_CHARACTERS_MAX));
    taken(&format!(
        "{}{}",
        " \n\t".repeat(10_000),
        document(DOCUMENT_CHARACTERS_MAX)
    ));
    refused(&document(DOCUMENT_CHARACTERS_MAX + 1), "policy.too_long", "");
    refused(&" ".repeat(DOCUMENT_BYTES_MAX + 1), "policy.too_long", "");
}

#[test]
fn errors_say_where_and_what_to_do() {
    let error = Policy::parse(&with_statement(
        r#"{"Effect": "Allow", "Action": "Publish", "Resource": "*"}"#,
    ))
    .unwrap_err();
    let text = r#"malformed policy at Statement.Action: "Publish" is no action, must be like "iot:Publish", "iot:*" or "*""#;
    assert_eq!(error.to_string(), text);
    let principal =
        with_statement(r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}"#);
    assert!(
        Policy::parse(&principal)
            .unwrap_err()
            .to_string()
            .contains("the principal is what the policy is attached to")
    );
}
