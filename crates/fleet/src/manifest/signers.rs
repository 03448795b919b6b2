//! Who may sign manifests: enrolled by an administrator, and revoked by one.
//!
//! A signer is a public key, or a certificate of one (Microchip's manifests name their signer by it). Revoking one stops its
//! manifests and every device of them that has not come in yet; those that came in stay.

use identity::certificate::Certificate;
use identity::key::PublicKey;
use identity::manifest::KeyHash;
use identity::pem;

use super::ManifestSigner;
use crate::call::{Call, Decided, Decision};
use crate::certificate::is_key_accepted;
use crate::limits::SIGNER_LABEL_BYTES_MAX;
use crate::record::{CaCertificate, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::resource;

/// A signer's document, read.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its key.
    pub key: PublicKey,
    /// Its certificate, if it came as one.
    pub certificate: Option<Certificate>,
    pem: String,
}

impl Document {
    /// Reads the PEM of a certificate or of a public key.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        let unreadable = |fault: identity::Error| {
            wrong(
                "fleet.manifest.signer_document",
                format!("its document cannot be read: {fault}"),
            )
            .hint("give one CERTIFICATE or one PUBLIC KEY in PEM")
        };
        let (key, certificate) = if text.contains("BEGIN CERTIFICATE") {
            let certificate = Certificate::from_pem(text).map_err(unreadable)?;
            (certificate.public_key().clone(), Some(certificate))
        } else {
            let der = pem::decode_one("PUBLIC KEY", text).map_err(unreadable)?;
            (PublicKey::from_spki_der(&der).map_err(unreadable)?, None)
        };
        Ok(Self {
            key,
            certificate,
            pem: text.trim().to_owned(),
        })
    }

    /// What the signer is called: the hash of its key.
    pub fn id(&self) -> KeyHash {
        KeyHash::of(&self.key)
    }
}

impl ManifestSigner {
    /// Its document.
    pub fn read(&self) -> Result<Document, Refusal> {
        Document::read(&self.document)
    }
}

/// Enrols a signer. `cas` are the CAs of the tenant: a CA that vouches for its own devices proves nothing.
pub fn enroll(
    call: &Call,
    document: &Document,
    label: &str,
    cas: &[CaCertificate],
    existing: Option<&Versioned<ManifestSigner>>,
) -> Decided<ManifestSigner> {
    if label.len() > SIGNER_LABEL_BYTES_MAX || label.chars().any(char::is_control) {
        return Err(wrong(
            "fleet.manifest.signer_label",
            "its label is too long or holds control characters".into(),
        ));
    }
    if !is_key_accepted(document.key.kind()) {
        return Err(wrong(
            "fleet.manifest.signer_key",
            "its key is too weak or of an unknown kind".into(),
        ));
    }
    let is_ca = |ca: &&CaCertificate| ca.key_id == document.key.key_id();
    if let Some(ca) = cas.iter().find(is_ca) {
        return Err(wrong(
            "fleet.manifest.signer_is_ca",
            format!("its key is that of the registered CA {}", ca.id),
        )
        .hint("sign manifests with a key of their own: whoever steals the CA's key must not hold this one"));
    }
    if let Some(existing) = existing {
        return match existing.record.revoked {
            false => Ok(Decision::unchanged(call, existing.record.clone())),
            true => Err(wrong(
                "fleet.manifest.signer_revoked",
                "it was revoked, which is for ever".into(),
            )
            .hint("make another key, and enrol that")),
        };
    }
    let signer = ManifestSigner {
        id: document.id().to_string(),
        label: label.to_owned(),
        document: document.pem.clone(),
        certificate: document
            .certificate
            .as_ref()
            .map(|certificate| certificate.id().to_string())
            .unwrap_or_default(),
        revoked: false,
        created: call.now,
        modified: call.now,
    };
    Ok(resource::insert(call, "manifest.signer.enroll", signer))
}

/// Revokes a signer, for ever.
pub fn revoke(
    call: &Call,
    id: &str,
    existing: Option<&Versioned<ManifestSigner>>,
) -> Decided<ManifestSigner> {
    let existing = resource::found(id, existing)?;
    if existing.record.revoked {
        return Ok(Decision::unchanged(call, existing.record.clone()));
    }
    let signer = ManifestSigner {
        revoked: true,
        modified: call.now,
        ..existing.record.clone()
    };
    Ok(resource::replace(
        call,
        "manifest.signer.revoke",
        signer,
        existing.version,
    ))
}

/// The signer, if its manifests count.
pub(super) fn trusted<'a>(
    id: &str,
    existing: Option<&'a Versioned<ManifestSigner>>,
) -> Result<&'a Versioned<ManifestSigner>, Refusal> {
    let refuse = |why: &str| {
        Refusal::new(
            Exception::Unauthorized,
            "fleet.manifest.signer",
            format!("the signer {id} of the manifest {why}"),
        )
        .hint("an administrator enrols a signer (birthmark fleet manifest signers enroll)")
    };
    match existing {
        None => Err(refuse("is not enrolled")),
        Some(signer) if signer.record.revoked => Err(refuse("was revoked")),
        Some(signer) => Ok(signer),
    }
}

fn wrong(code: &'static str, why: String) -> Refusal {
    Refusal::new(
        Exception::InvalidRequest,
        code,
        format!("the signer cannot be enrolled: {why}"),
    )
}
