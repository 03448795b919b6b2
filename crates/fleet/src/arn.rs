//! Amazon resource names of our own resources: written for answers, read from requests.
//!
//! `arn:aws:iot:<region>:<account>:<kind>/<name>` (AWS service authorisation reference, "Resource types defined by AWS
//! IoT"). A name that belongs to another account or region is refused here, so no decision ever looks across tenants.

use identity::{CertificateId, Tenant, ThingName};

use crate::names::{GroupName, PolicyName, TemplateName};
use crate::record::PolicyTarget;
use crate::refusal::{Exception, Refusal};

/// `cert/<id>`
pub fn certificate(tenant: &Tenant, id: &CertificateId) -> String {
    write(tenant, "cert", &id.to_string())
}

/// `cacert/<id>`
pub fn ca_certificate(tenant: &Tenant, id: &CertificateId) -> String {
    write(tenant, "cacert", &id.to_string())
}

/// `thing/<name>`
pub fn thing(tenant: &Tenant, name: &ThingName) -> String {
    write(tenant, "thing", name.as_str())
}

/// `policy/<name>`
pub fn policy(tenant: &Tenant, name: &PolicyName) -> String {
    write(tenant, "policy", name.as_str())
}

/// `provisioningtemplate/<name>`
pub fn template(tenant: &Tenant, name: &TemplateName) -> String {
    write(tenant, "provisioningtemplate", name.as_str())
}

/// `thinggroup/<name>`
pub fn group(tenant: &Tenant, name: &GroupName) -> String {
    write(tenant, "thinggroup", name.as_str())
}

/// `<kind>/<name>` of a kind that has no function of its own.
pub fn named(tenant: &Tenant, kind: &str, name: &str) -> String {
    write(tenant, kind, name)
}

/// `policy/<name>` of a name that was checked before.
pub fn policy_text(tenant: &Tenant, name: &str) -> String {
    write(tenant, "policy", name)
}

/// The ARN of what a policy is attached to.
pub fn target(tenant: &Tenant, target: &PolicyTarget) -> String {
    match target {
        PolicyTarget::Certificate(id) => certificate(tenant, id),
        PolicyTarget::Group(name) => group(tenant, name),
    }
}

/// Reads the principal of AttachThingPrincipal and its family: the ARN of a certificate of this tenant.
pub fn parse_principal(tenant: &Tenant, text: &str) -> Result<CertificateId, Refusal> {
    match resource(tenant, text)? {
        ("cert", id) => parse_id(id),
        (kind, _) => Err(refusal(
            text,
            &format!("a principal is a certificate, not a {kind}"),
        )),
    }
}

/// Reads the target of AttachPolicy and its family.
pub fn parse_target(tenant: &Tenant, text: &str) -> Result<PolicyTarget, Refusal> {
    match resource(tenant, text)? {
        ("cert", id) => parse_id(id).map(PolicyTarget::Certificate),
        ("thinggroup", name) => GroupName::parse(name).map(PolicyTarget::Group),
        (kind, _) => Err(refusal(text, &format!("a policy cannot be attached to a {kind}"))),
    }
}

/// The name of a resource that can be given by name, by ARN or by both, which must then agree. `member` is what the
/// caller is told to give.
pub fn either<'a>(
    tenant: &Tenant,
    kind: &str,
    member: &str,
    given: (Option<&'a str>, Option<&'a str>),
) -> Result<&'a str, Refusal> {
    let (name, arn) = given;
    let Some(arn) = arn else {
        return name.ok_or_else(|| {
            Refusal::new(
                Exception::InvalidRequest,
                "fleet.arn.neither",
                format!("neither {member} nor its ARN is given"),
            )
        });
    };
    match resource(tenant, arn)? {
        (found, named) if found == kind && name.is_none_or(|name| name == named) => Ok(named),
        (found, _) if found == kind => Err(refusal(arn, &format!("{member} names another one"))),
        (found, _) => Err(refusal(arn, &format!("{member} cannot be a {found}"))),
    }
}

/// Reads a certificate id from a path: 64 hexadecimal digits, with or without `0x`.
pub fn parse_id(text: &str) -> Result<CertificateId, Refusal> {
    text.parse().map_err(|_| {
        Refusal::new(
            Exception::InvalidRequest,
            "fleet.certificate.id",
            format!(
                "\"{}\" is not a certificate id",
                text.chars().take(80).collect::<String>()
            ),
        )
        .hint("a certificate id is the SHA-256 of the DER certificate in 64 hexadecimal digits")
    })
}

/// Reads a thing name from a path.
pub fn parse_thing(text: &str) -> Result<ThingName, Refusal> {
    text.parse().map_err(|_| {
        Refusal::new(
            Exception::InvalidRequest,
            "fleet.thing.name",
            format!(
                "\"{}\" is not a thing name",
                text.chars().take(80).collect::<String>()
            ),
        )
        .hint("a thing name has 1 to 128 of the characters A-Z a-z 0-9 : _ -")
    })
}

fn write(tenant: &Tenant, kind: &str, name: &str) -> String {
    format!("arn:aws:iot:{}:{}:{kind}/{name}", tenant.region, tenant.account)
}

/// Splits an ARN of this tenant into kind and name.
pub fn resource<'a>(tenant: &Tenant, text: &'a str) -> Result<(&'a str, &'a str), Refusal> {
    let rest = text
        .strip_prefix("arn:")
        .and_then(|rest| rest.split_once(":iot:"))
        .filter(|(partition, _)| matches!(*partition, "aws" | "aws-cn" | "aws-us-gov"))
        .map(|(_, rest)| rest)
        .ok_or_else(|| refusal(text, "not an ARN of AWS IoT"))?;
    let mut parts = rest.splitn(3, ':');
    let (region, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if region != tenant.region.to_string() || account != tenant.account.to_string() {
        return Err(
            refusal(text, "the ARN names another account or region").hint(format!(
                "this request speaks for account {} in {}",
                tenant.account, tenant.region
            )),
        );
    }
    parts
        .next()
        .and_then(|resource| resource.split_once('/'))
        .ok_or_else(|| refusal(text, "the ARN names no resource"))
}

fn refusal(text: &str, why: &str) -> Refusal {
    let shown: String = text.chars().take(160).collect();
    Refusal::new(
        Exception::InvalidRequest,
        "fleet.arn",
        format!("cannot use \"{shown}\": {why}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_are_read_back_as_written() {
        let tenant = Tenant::default();
        let id = CertificateId([7; 32]);
        let text = certificate(&tenant, &id);
        assert_eq!(
            text,
            format!("arn:aws:iot:us-east-1:123456789012:cert/{}", "07".repeat(32))
        );
        assert_eq!(parse_principal(&tenant, &text).unwrap(), id);
        assert_eq!(
            parse_target(&tenant, &text).unwrap(),
            PolicyTarget::Certificate(id)
        );
    }

    #[test]
    fn a_name_an_arn_or_both_that_agree() {
        let tenant = Tenant::default();
        let arn = "arn:aws:iot:us-east-1:123456789012:thinggroup/g";
        let check = |name, arn| either(&tenant, "thinggroup", "thingGroupName", (name, arn)).ok();
        assert_eq!(check(Some("g"), None), Some("g"));
        assert_eq!(check(None, Some(arn)), Some("g"));
        assert_eq!(check(Some("g"), Some(arn)), Some("g"));
        assert_eq!(check(Some("h"), Some(arn)), None);
        assert_eq!(
            check(None, Some("arn:aws:iot:us-east-1:123456789012:thing/g")),
            None
        );
        assert_eq!(check(None, None), None);
    }

    #[test]
    fn foreign_and_unknown_arns_are_refused() {
        let tenant = Tenant::default();
        let id = "07".repeat(32);
        let cases = [
            format!("arn:aws:iot:eu-west-1:123456789012:cert/{id}"),
            format!("arn:aws:iot:us-east-1:999999999999:cert/{id}"),
            format!("arn:aws:s3:us-east-1:123456789012:cert/{id}"),
            "arn:aws:iot:us-east-1:123456789012:cert/xyz".to_owned(),
            "arn:aws:iot:us-east-1:123456789012:thinggroup/g h".to_owned(),
            "arn:aws:iot:us-east-1:123456789012".to_owned(),
            String::new(),
        ];
        for case in cases {
            assert!(parse_target(&tenant, &case).is_err(), "{case}");
            assert!(parse_principal(&tenant, &case).is_err(), "{case}");
        }
    }
}
