//! What a certificate is granted, and who may get what under it.

use std::sync::Arc;

use identity::{CertificateId, Tenant};
use policy::{Grant, NamedPolicy, Policy};

/// What a certificate is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Everything,
    /// Listens to all, but gets nothing from `secret/`.
    NoSecrets,
    /// Nothing at all: the certificate is not active.
    Revoked,
}

impl Role {
    pub(crate) fn may_receive(self, topic: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::NoSecrets => !topic.starts_with("secret/"),
            Self::Revoked => false,
        }
    }

    /// `None` for what nobody is granted.
    pub(crate) fn grant(self, client: usize, epoch: u64) -> Option<Arc<Grant>> {
        let all = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#;
        let mute =
            r#"{"Effect": "Deny", "Action": "iot:Receive", "Resource": "arn:aws:iot:*:*:topic/secret/*"}"#;
        let statements = match self {
            Self::Everything => all.to_owned(),
            Self::NoSecrets => format!("[{all}, {mute}]"),
            Self::Revoked => return None,
        };
        let document = format!(r#"{{"Version": "2012-10-17", "Statement": {statements}}}"#);
        let policy = NamedPolicy::new("role", Policy::parse(&document).unwrap());
        let certificate = certificate(client);
        Some(Arc::new(Grant::new(
            Tenant::default(),
            certificate,
            epoch,
            [policy],
        )))
    }
}

pub(crate) fn certificate(client: usize) -> CertificateId {
    CertificateId([u8::try_from(client).unwrap(); 32])
}
