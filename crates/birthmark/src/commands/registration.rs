//! The factory's CA becomes known to a cloud, with proof that its key is held: code → verification certificate → registration.
//!
//! Used by `factory register-ca` and by the demo. The CA key signs exactly one thing here, in the factory; what crosses
//! the wall are three documents: the registration code, the CA certificate and the verification certificate.

use serde_json::{Value, json};

use crate::aws::{CallError, Client};

/// What a registration asks for.
pub(crate) struct Registration<'a> {
    /// The CA certificate, PEM.
    pub(crate) ca_pem: &'a str,
    /// Its verification certificate, PEM.
    pub(crate) verification_pem: &'a str,
    /// The provisioning template; none means that devices wait as PENDING_ACTIVATION.
    pub(crate) template: Option<&'a str>,
    /// Role of the template.
    pub(crate) role_arn: &'a str,
}

/// What a registration led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Registered {
    /// The CA is registered now, under this id.
    New(String),
    /// The CA was registered before.
    Before,
}

/// Asks for the account's registration code: 64 hexadecimal digits.
pub(crate) fn code(client: &mut Client) -> Result<String, CallError> {
    let answer = client.call("GET", "/registrationcode", &[], None)?;
    Ok(text(&answer, "registrationCode"))
}

/// Registers the CA: ACTIVE, with auto-registration, and with the template if there is one.
pub(crate) fn register(
    client: &mut Client,
    registration: &Registration<'_>,
) -> Result<Registered, CallError> {
    let mut body = json!({
        "caCertificate": registration.ca_pem,
        "verificationCertificate": registration.verification_pem,
    });
    if let (Some(template), Some(members)) = (registration.template, body.as_object_mut()) {
        let configuration = json!({ "templateBody": template, "roleArn": registration.role_arn });
        members.insert("registrationConfig".to_owned(), configuration);
    }
    let path = "/cacertificate?setAsActive=true&allowAutoRegistration=true";
    match client.call("POST", path, &[], Some(&body)) {
        Ok(answer) => Ok(Registered::New(text(&answer, "certificateId"))),
        Err(error) if error.exception() == Some("ResourceAlreadyExistsException") => Ok(Registered::Before),
        Err(error) => Err(error),
    }
}

/// A text member of an answer, or nothing.
pub(crate) fn text(answer: &Value, member: &str) -> String {
    answer
        .get(member)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}
