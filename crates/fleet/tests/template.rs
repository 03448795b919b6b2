//! Provisioning templates: what is read, what is refused when the CA is registered, what each function gives, and that no
//! subject can widen a policy.
#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as the tests do")]

mod fixtures;

use fixtures::{Authority, refused};
use fleet::template::{Parameters, Plan, PolicyPlan, Template};
use identity::Explained as _;
use identity::name::AttributeKind as Kind;

const CERTIFICATE: &str = r#""c": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}}}"#;

fn with(resources: &str) -> String {
    format!(r#"{{"Resources": {{{CERTIFICATE}, {resources}}}}}"#)
}

fn thing(name: &str) -> String {
    with(&format!(
        r#""t": {{"Type": "AWS::IoT::Thing", "Properties": {{"ThingName": {name}}}}}"#
    ))
}

fn policy(properties: &str) -> String {
    with(&format!(
        r#""p": {{"Type": "AWS::IoT::Policy", "Properties": {properties}}}"#
    ))
}

fn evaluate(body: &str, subject: &[(Kind, &str)]) -> Result<Plan, fleet::Refusal> {
    let template = Template::parse(body)?;
    template.lint()?;
    let leaf = Authority::named("Signer").device_of(subject, -1, 100);
    template.evaluate(&Parameters::of(&leaf))
}

/// The thing name that an expression gives for a certain subject.
fn check(expression: &str, expected: Result<&str, &str>) {
    let subject = [
        (Kind::CommonName, "unit-7"),
        (Kind::Organization, "Acme"),
        (Kind::SerialNumber, "a:b:c"),
    ];
    let mapped = thing(expression)
        .replacen('{', r#"{"Mappings": {"m": {"Acme": {"line": "north"}}}, "Parameters": {"site": {"Type": "String", "Default": "akl"}}, "#, 1);
    match (evaluate(&mapped, &subject), expected) {
        (Ok(plan), Ok(name)) => assert_eq!(plan.thing.unwrap().name.as_str(), name, "{expression}"),
        (Err(refusal), Err(code)) => assert_eq!(refusal.code(), code, "{expression}: {refusal}"),
        (outcome, expected) => panic!("{expression}: {outcome:?}, expected {expected:?}"),
    }
}

#[test]
fn every_intrinsic_function_gives_its_value() {
    let cn = r#"{"Ref": "AWS::IoT::Certificate::CommonName"}"#;
    let serial = r#"{"Ref": "AWS::IoT::Certificate::SerialNumber"}"#;
    let organization = r#"{"Ref": "AWS::IoT::Certificate::Organization"}"#;
    check(r#""fixed""#, Ok("fixed"));
    check(cn, Ok("unit-7"));
    check(r#"{"Ref": "site"}"#, Ok("akl"));
    check(
        &format!(r#"{{"Fn::Join": ["_", ["x", {cn}, "y"]]}}"#),
        Ok("x_unit-7_y"),
    );
    check(
        &format!(r#"{{"Fn::Select": [2, {{"Fn::Split": [":", {serial}]}}]}}"#),
        Ok("c"),
    );
    check(&format!(r#"{{"Fn::Select": ["0", ["{}", {cn}]]}}"#, "a"), Ok("a"));
    check(
        r#"{"Fn::Sub": "dev-${AWS::IoT::Certificate::CommonName}-${site}"}"#,
        Ok("dev-unit-7-akl"),
    );
    check(
        &format!(r#"{{"Fn::Sub": ["${{mine}}_${{site}}", {{"mine": {organization}}}]}}"#),
        Ok("Acme_akl"),
    );
    check(
        &format!(r#"{{"Fn::FindInMap": ["m", {organization}, "line"]}}"#),
        Ok("north"),
    );
}

#[test]
fn what_a_function_cannot_give_is_refused() {
    let cn = r#"{"Ref": "AWS::IoT::Certificate::CommonName"}"#;
    check(
        &format!(r#"{{"Fn::Select": [3, {{"Fn::Split": ["-", {cn}]}}]}}"#),
        Err("fleet.template.select"),
    );
    check(
        &format!(r#"{{"Fn::Select": ["x", [{cn}]]}}"#),
        Err("fleet.template.select"),
    );
    check(
        r#"{"Fn::FindInMap": ["m", "Acme", "nothing"]}"#,
        Err("fleet.template.map"),
    );
    check(
        &format!(r#"{{"Fn::Join": ["", {cn}]}}"#),
        Err("fleet.template.value"),
    );
    check(&format!("[{cn}]"), Err("fleet.template.value"));
    check(
        r#"{"Ref": "AWS::IoT::Certificate::Country"}"#,
        Err("fleet.template.parameter"),
    );
    check(
        r#"{"Fn::Sub": "${AWS::IoT::Certificate::CommonName}:${AWS::IoT::Certificate::StateName}"}"#,
        Err("fleet.template.parameter"),
    );
    check(
        &format!(r#"{{"Fn::Join": ["", [{}]]}}"#, vec![cn; 30].join(",")),
        Err("fleet.template.thing_name"),
    );
}

#[test]
fn values_grow_up_to_their_limit() {
    let subject = "x".repeat(200);
    let document = |times: usize| {
        let text = "${AWS::IoT::Certificate::CommonName}".repeat(times);
        policy(&format!(r#"{{"PolicyDocument": {{"Fn::Sub": "{text}"}}}}"#))
    };
    let code = |times| {
        evaluate(&document(times), &[(Kind::CommonName, &subject)])
            .unwrap_err()
            .code()
    };
    assert_eq!(
        code(81),
        "fleet.template.policy",
        "16 200 bytes are made, and are no policy"
    );
    assert_eq!(code(82), "fleet.template.value", "16 400 bytes are too many");
}

#[test]
fn what_can_never_work_is_refused_when_it_is_registered() {
    let lint = |body: &str| Template::parse(body).and_then(|template| template.lint());
    let deep = (0..20).fold(r#""x""#.to_owned(), |inner, _| {
        format!(r#"{{"Fn::Join": ["", [{inner}]]}}"#)
    });
    let cases = [
        ("", "fleet.template.form"),
        ("[]", "fleet.template.form"),
        ("{}", "fleet.template.form"),
        (&"x".repeat(10_241), "fleet.template.form"),
        (r#"{"Resources": {}}"#, "fleet.template.lint"),
        (
            &format!(r#"{{"Conditions": {{}}, "Resources": {{{CERTIFICATE}}}}}"#),
            "fleet.template.form",
        ),
        (
            &with(r#""b": {"Type": "AWS::IoT::Bucket"}"#),
            "fleet.template.form",
        ),
        (&with(r#""b": {"Properties": {}}"#), "fleet.template.form"),
        (
            &with(r#""t": {"Type": "AWS::IoT::Thing", "Properties": {}}"#),
            "fleet.template.form",
        ),
        (
            &with(
                r#""t": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "a", "ThingGroups": "g"}}"#,
            ),
            "fleet.template.form",
        ),
        (
            &with(r#""t": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "a", "Color": "red"}}"#),
            "fleet.template.form",
        ),
        (
            &with(r#""d": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": "x"}}"#),
            "fleet.template.form",
        ),
        (&thing(r#""not a name""#), "fleet.template.lint"),
        (
            &thing(r#"{"Fn::Join": ["/", ["a", "b"]]}"#),
            "fleet.template.lint",
        ),
        (
            &thing(r#"{"Fn::Sub": "a b ${AWS::IoT::Certificate::Id}"}"#),
            "fleet.template.lint",
        ),
        (&thing(r#"{"Ref": "Serial"}"#), "fleet.template.lint"),
        (
            &thing(r#"{"Ref": "AWS::IoT::Certificate::Locality"}"#),
            "fleet.template.lint",
        ),
        (&thing(r#"{"Fn::Base64": "x"}"#), "fleet.template.form"),
        (&thing(r#"{"Fn::Sub": "${open"}"#), "fleet.template.form"),
        (&thing("null"), "fleet.template.form"),
        (&thing(&deep), "fleet.template.form"),
        (&policy(r#"{"PolicyName": "a b"}"#), "fleet.policy.name"),
        (
            &policy(r#"{"PolicyName": "a", "PolicyDocument": "{}"}"#),
            "fleet.template.form",
        ),
        (&policy(r#"{"PolicyDocument": "{}"}"#), "fleet.policy.document"),
        (
            r#"{"Parameters": {"P": {"Type": "Number"}}, "Resources": {}}"#,
            "fleet.template.form",
        ),
        (
            &format!(r#"{{"Parameters": {{"P": {{"Type": "String"}}}}, "Resources": {{{CERTIFICATE}}}}}"#),
            "fleet.template.lint",
        ),
        (
            r#"{"Resources": {"c": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": "abc"}}}}"#,
            "fleet.template.lint",
        ),
        (
            r#"{"Resources": {"c": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificatePem": "abc"}}}}"#,
            "fleet.template.lint",
        ),
        (
            r#"{"Resources": {"c": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "REVOKED"}}}}"#,
            "fleet.template.status",
        ),
    ];
    for (body, code) in cases {
        assert_eq!(refused(lint(body)).1, code, "{body}");
    }
}

#[test]
fn a_declared_parameter_that_the_subject_lacks_is_told_with_the_subject() {
    let body = format!(
        r#"{{"Parameters": {{"AWS::IoT::Certificate::Country": {{"Type": "String"}}}}, "Resources": {{{CERTIFICATE}}}}}"#
    );
    let refusal = evaluate(&body, &[(Kind::CommonName, "testThingC=US")]).unwrap_err();
    assert_eq!(refusal.code(), "fleet.template.parameter");
    assert!(refusal.reason().contains("has no Country"), "{refusal}");
    assert!(refusal.reason().contains("testThingC"), "{refusal}");
}

#[test]
fn a_policy_document_is_filled_and_named_by_its_hash() {
    let tree = policy(
        r#"{"PolicyDocument": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["iot:Connect"],
        "Resource": {"Fn::Sub": "arn:aws:iot:us-east-1:123456789012:client/${AWS::IoT::Certificate::CommonName}"}}]}}"#,
    );
    let plan = evaluate(&tree, &[(Kind::CommonName, "unit-7")]).unwrap();
    let [PolicyPlan::Inline { name, document }] = plan.policies.as_slice() else {
        panic!("{plan:?}")
    };
    assert!(document.contains("client/unit-7"), "{document}");
    assert_eq!(name.as_str().len(), 40);
    let again = evaluate(&tree, &[(Kind::CommonName, "unit-7")]).unwrap();
    assert_eq!(again.policies, plan.policies, "equal documents share one policy");

    let text = policy(
        r#"{"PolicyDocument": {"Fn::Join": ["", ["{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"iot:Connect\",\"Resource\":\"arn:aws:iot:us-east-1:123456789012:client/",
        {"Ref": "AWS::IoT::Certificate::CommonName"}, "\"}]}"]]}}"#,
    );
    let plan = evaluate(&text, &[(Kind::CommonName, "unit-7")]).unwrap();
    assert!(
        matches!(&plan.policies[..], [PolicyPlan::Inline { document, .. }] if document.contains("client/unit-7"))
    );
}

#[test]
fn no_subject_widens_a_policy() {
    let bodies = [
        policy(
            r#"{"PolicyDocument": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect",
            "Resource": {"Fn::Sub": "arn:aws:iot:us-east-1:123456789012:client/${AWS::IoT::Certificate::CommonName}"}}]}}"#,
        ),
        policy(
            r#"{"PolicyDocument": {"Fn::Join": ["", ["{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"iot:Connect\",\"Resource\":\"arn:aws:iot:us-east-1:123456789012:client/",
            {"Ref": "AWS::IoT::Certificate::CommonName"}, "\"}]}"]]}}"#,
        ),
    ];
    let subjects = [
        "*",
        "a?b",
        "${iot:ClientId}",
        "a+b",
        "a#",
        "a\",\"arn:aws:iot:x",
        "a\\",
    ];
    for body in &bodies {
        for subject in subjects {
            let refusal = evaluate(body, &[(Kind::CommonName, subject)]).unwrap_err();
            assert_eq!(refusal.code(), "fleet.template.injection", "{subject:?}");
        }
        evaluate(body, &[(Kind::CommonName, "unit/7 ü")]).unwrap();
    }
}

#[test]
fn status_is_read_as_aws_writes_it() {
    for (status, active) in [
        ("ACTIVE", true),
        ("Active", true),
        ("INACTIVE", false),
        ("inactive", false),
    ] {
        let body = format!(
            r#"{{"Resources": {{"c": {{"Type": "AWS::IoT::Certificate", "Properties": {{
            "CertificateId": {{"Ref": "AWS::IoT::Certificate::Id"}}, "Status": "{status}"}}}}}}}}"#
        );
        assert_eq!(
            evaluate(&body, &[(Kind::CommonName, "x")]).unwrap().activate,
            active,
            "{status}"
        );
    }
}
