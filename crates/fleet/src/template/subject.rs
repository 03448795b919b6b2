//! The parameters that just-in-time provisioning takes from the subject of the device certificate.
//!
//! AWS IoT developer guide, "Just-in-time provisioning": seven attributes of the subject, of which the first value counts,
//! and the id of the certificate. SerialNumber is the subject's attribute, not the serial number of the certificate.

use std::borrow::Cow;
use std::collections::BTreeMap;

use identity::certificate::Certificate;
use identity::name::AttributeKind;

use crate::manifest::Listed;

/// Prefix of every parameter name.
const PREFIX: &str = "AWS::IoT::Certificate::";
/// Prefix of what a manifest says of the device: `Unit`, `Thing`, `Order`, or the name of one of its parameters.
pub(crate) const MANIFEST_PREFIX: &str = "Birthmark::Manifest::";

/// The parameter that is the id of the certificate.
pub const CERTIFICATE_ID: &str = "AWS::IoT::Certificate::Id";

/// The parameters that exist, in full.
pub const PARAMETERS: [&str; 8] = [
    "AWS::IoT::Certificate::Country",
    "AWS::IoT::Certificate::Organization",
    "AWS::IoT::Certificate::OrganizationalUnit",
    "AWS::IoT::Certificate::DistinguishedNameQualifier",
    "AWS::IoT::Certificate::StateName",
    "AWS::IoT::Certificate::CommonName",
    "AWS::IoT::Certificate::SerialNumber",
    "AWS::IoT::Certificate::Id",
];

/// The parameters of one certificate, or those that a caller gave.
#[derive(Debug, Clone)]
pub struct Parameters {
    certificate: Option<Certificate>,
    listed: Option<Listed>,
    given: BTreeMap<String, String>,
}

impl Parameters {
    /// The parameters that a certificate carries.
    pub fn of(certificate: &Certificate) -> Self {
        Self {
            certificate: Some(certificate.clone()),
            listed: None,
            given: BTreeMap::new(),
        }
    }

    /// The same, and what a manifest says of the device.
    #[must_use]
    pub fn with_listed(mut self, listed: Option<Listed>) -> Self {
        self.listed = listed;
        self
    }

    /// Parameters that a caller gave (RegisterThing).
    pub fn given(given: BTreeMap<String, String>) -> Self {
        Self {
            certificate: None,
            listed: None,
            given,
        }
    }

    /// The same, with these in the place of what the certificate carries.
    #[must_use]
    pub fn overridden(mut self, given: BTreeMap<String, String>) -> Self {
        self.given.extend(given);
        self
    }

    /// Every parameter that has a value.
    pub fn values(&self) -> BTreeMap<String, String> {
        let carried = PARAMETERS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), self.value(name)?.into_owned())));
        let mut values: BTreeMap<String, String> = carried.collect();
        values.extend(self.given.clone());
        values
    }

    /// The value of a parameter; `None` when the subject has no such attribute or there is no such parameter.
    pub fn value(&self, parameter: &str) -> Option<Cow<'_, str>> {
        if let Some(given) = self.given.get(parameter) {
            return Some(Cow::Borrowed(given.as_str()));
        }
        let certificate = self.certificate.as_ref()?;
        if let Some(name) = parameter.strip_prefix(MANIFEST_PREFIX) {
            return self.listed.as_ref()?.parameter(name).map(Cow::Borrowed);
        }
        let kind = match parameter.strip_prefix(PREFIX)? {
            "Country" => AttributeKind::Country,
            "Organization" => AttributeKind::Organization,
            "OrganizationalUnit" => AttributeKind::OrganizationalUnit,
            "DistinguishedNameQualifier" => AttributeKind::DnQualifier,
            "StateName" => AttributeKind::State,
            "CommonName" => AttributeKind::CommonName,
            "SerialNumber" => AttributeKind::SerialNumber,
            "Id" => return Some(Cow::Owned(certificate.id().to_string())),
            _ => return None,
        };
        certificate.subject().first(&kind).map(Cow::Borrowed)
    }

    /// The subject, for people; `None` when the parameters do not come from a certificate.
    pub fn subject(&self) -> Option<String> {
        Some(self.certificate.as_ref()?.subject().to_string())
    }
}

/// Whether just-in-time provisioning has this parameter.
pub(super) fn exists(parameter: &str) -> bool {
    PARAMETERS.contains(&parameter) || parameter.starts_with(MANIFEST_PREFIX)
}
