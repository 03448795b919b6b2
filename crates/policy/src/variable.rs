//! Policy variables and condition keys: the words a document has for what is known about a connection.
//!
//! Names are compared without regard to case, as IAM compares them; names of thing attributes are compared exactly. A name that
//! nobody knows is a variable without a value, so it matches nothing, and an explanation can say so.

use identity::name::AttributeKind;

/// Something a document can refer to (AWS IoT developer guide, "AWS IoT Core policy variables").
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    ClientId,
    SourceIp,
    SecureTransport,
    CurrentTime,
    EpochTime,
    CertificateId,
    CertificateSerialNumber,
    Name {
        whose: Whose,
        kind: AttributeKind,
        value: Which,
    },
    Alternative {
        kind: AlternativeKind,
        value: Which,
    },
    ThingName,
    ThingTypeName,
    ThingAttribute(Box<str>),
    IsAttached,
    ConnectAttributes,
    LastWillTopic,
    Unknown,
}

/// Whose distinguished name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Subject,
    Issuer,
}

/// A form of the subject's alternative names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AlternativeKind {
    Email,
    Dns,
    Directory,
    Uri,
    Ip,
}

/// Which value of an attribute that has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Nth(usize),
    List,
}

impl Variable {
    /// The variable of a name without its `${` and `}`.
    pub(crate) fn named(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "iot:clientid" => Self::ClientId,
            "aws:sourceip" => Self::SourceIp,
            "aws:securetransport" => Self::SecureTransport,
            "aws:currenttime" => Self::CurrentTime,
            "aws:epochtime" => Self::EpochTime,
            "iot:certificateid" => Self::CertificateId,
            "iot:certificate.serialnumber" => Self::CertificateSerialNumber,
            "iot:connection.thing.thingname" => Self::ThingName,
            "iot:connection.thing.thingtypename" => Self::ThingTypeName,
            "iot:connection.thing.isattached" => Self::IsAttached,
            "iot:connectattributes" => Self::ConnectAttributes,
            "iot:lastwilltopic" => Self::LastWillTopic,
            _ => thing_attribute(name, &lower)
                .or_else(|| certificate_name(&lower))
                .unwrap_or(Self::Unknown),
        }
    }
}

/// `iot:Connection.Thing.Attributes[serial]`
fn thing_attribute(name: &str, lower: &str) -> Option<Variable> {
    let prefix = "iot:connection.thing.attributes[";
    lower.strip_prefix(prefix)?;
    let attribute = name.get(prefix.len()..)?.strip_suffix(']')?;
    Some(Variable::ThingAttribute(attribute.into()))
}

/// `iot:Certificate.Subject.CommonName`, `….CommonName.1`, `….CommonName.List`, `….AlternativeName.DNSName`
fn certificate_name(lower: &str) -> Option<Variable> {
    let rest = lower.strip_prefix("iot:certificate.")?;
    let (whose, rest) = match rest.split_once('.')? {
        ("subject", rest) => (Whose::Subject, rest),
        ("issuer", rest) => (Whose::Issuer, rest),
        _ => return None,
    };
    if let Some(rest) = rest.strip_prefix("alternativename.") {
        let (kind, value) = split_value(rest)?;
        let kind = alternative_kind(kind)?;
        return (whose == Whose::Subject).then_some(Variable::Alternative { kind, value });
    }
    let (kind, value) = split_value(rest)?;
    Some(Variable::Name {
        whose,
        kind: attribute_kind(kind)?,
        value,
    })
}

/// `commonname.1` is the second common name, `commonname` the first, `commonname.list` all of them.
fn split_value(text: &str) -> Option<(&str, Which)> {
    match text.split_once('.') {
        None => Some((text, Which::Nth(0))),
        Some((kind, "list")) => Some((kind, Which::List)),
        Some((kind, index)) => Some((kind, Which::Nth(index.parse().ok()?))),
    }
}

fn attribute_kind(lower: &str) -> Option<AttributeKind> {
    Some(match lower {
        "distinguishednamequalifier" => AttributeKind::DnQualifier,
        "country" => AttributeKind::Country,
        "organization" => AttributeKind::Organization,
        "organizationalunit" => AttributeKind::OrganizationalUnit,
        "state" => AttributeKind::State,
        "commonname" => AttributeKind::CommonName,
        "serialnumber" => AttributeKind::SerialNumber,
        "title" => AttributeKind::Title,
        "surname" => AttributeKind::Surname,
        "givenname" => AttributeKind::GivenName,
        "initials" => AttributeKind::Initials,
        "pseudonym" => AttributeKind::Pseudonym,
        "generationqualifier" => AttributeKind::GenerationQualifier,
        _ => return None,
    })
}

fn alternative_kind(lower: &str) -> Option<AlternativeKind> {
    Some(match lower {
        "rfc822name" => AlternativeKind::Email,
        "dnsname" => AlternativeKind::Dns,
        "directoryname" => AlternativeKind::Directory,
        "uniformresourceidentifier" => AlternativeKind::Uri,
        "ipaddress" => AlternativeKind::Ip,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case() {
        let check = |name: &str, expected| assert_eq!(Variable::named(name), expected, "{name}");
        let subject = |kind, value| Variable::Name {
            whose: Whose::Subject,
            kind,
            value,
        };
        check("iot:ClientId", Variable::ClientId);
        check("IOT:CLIENTID", Variable::ClientId);
        check("aws:SourceIp", Variable::SourceIp);
        check("iot:Connection.Thing.ThingName", Variable::ThingName);
        check(
            "iot:Connection.Thing.Attributes[Serial.No]",
            Variable::ThingAttribute("Serial.No".into()),
        );
        check(
            "iot:Certificate.Subject.CommonName",
            subject(AttributeKind::CommonName, Which::Nth(0)),
        );
        check(
            "iot:Certificate.Subject.CommonName.1",
            subject(AttributeKind::CommonName, Which::Nth(1)),
        );
        check(
            "iot:Certificate.Subject.Country.List",
            subject(AttributeKind::Country, Which::List),
        );
        let dns = Variable::Alternative {
            kind: AlternativeKind::Dns,
            value: Which::Nth(0),
        };
        check("iot:Certificate.Subject.AlternativeName.DNSName", dns);
        check("iot:Certificate.SerialNumber", Variable::CertificateSerialNumber);
        for unknown in [
            "",
            "iot:ClientID2",
            "iot:Connection.Thing.Attributes[x",
            "iot:Certificate.Subject.Nope",
            "iot:Certificate.Subject.CommonName.x",
        ] {
            check(unknown, Variable::Unknown);
        }
    }
}
