//! How one device gets its identity by hand: a key born in the token, a request that the token signs, and the certificate
//! that comes back. A production line does the same by the thousand, without this crate.

use identity::certificate::Certificate;
use identity::key::{PublicKey, SignatureAlgorithm};
use identity::name::Name;
use identity::request;
use token::{CertificateTemplate, Class, Handle, KeyPairTemplate, Session};

use crate::key::KeyError;
use crate::token_key::{ECDSA_SHA256, Labels, first, signature_der};

/// Generates a key in the token and gives a certification request for it (PKCS #10, DER), signed by the token. A key that is
/// there already is only replaced if `replace` says so: with it, the identity that it stands for is lost.
pub fn request(
    session: &Session,
    labels: &Labels,
    subject: &Name,
    replace: bool,
) -> Result<Vec<u8>, KeyError> {
    let template = KeyPairTemplate {
        overwrite: replace,
        ..KeyPairTemplate::signing(&labels.key)
    };
    let (public, private) = session.generate_key_pair(&template)?;
    let object = session.object(public)?;
    let key = object
        .public_key()
        .ok_or(KeyError::Malformed("a public key object without public key"))?;
    signed_request(session, private, &key, subject)
}

/// A request for the key that is already there: to go on after an enrolment that was interrupted, or to renew a certificate.
pub fn request_again(session: &Session, labels: &Labels, subject: &Name) -> Result<Vec<u8>, KeyError> {
    let private = first(session, Class::PrivateKey, &labels.key)?;
    let object = session.object(private)?;
    let unknown = KeyError::Malformed("its public half is not known; generate a new one");
    signed_request(session, private, &object.public_key().ok_or(unknown)?, subject)
}

fn signed_request(
    session: &Session,
    private: Handle,
    key: &PublicKey,
    subject: &Name,
) -> Result<Vec<u8>, KeyError> {
    let to_be_signed = request::to_be_signed(subject, key);
    let signature = session.sign(private, &ECDSA_SHA256, &to_be_signed)?;
    Ok(request::assemble(
        &to_be_signed,
        SignatureAlgorithm::EcdsaSha256,
        &signature_der(&signature)?,
    ))
}

/// Writes the certificate that came back, and the root that servers must have, into the token. A
/// certificate for another key is refused.
pub fn store(session: &Session, labels: &Labels, certificate: &[u8], root: &[u8]) -> Result<(), KeyError> {
    let private = first(session, Class::PrivateKey, &labels.key)?;
    let belongs = session.object(private)?.public_key().is_none_or(|key| {
        Certificate::parse(certificate).is_ok_and(|certificate| *certificate.public_key() == key)
    });
    if !belongs {
        let label = labels.certificate.clone();
        return Err(KeyError::Mismatch { label });
    }
    session.create_certificate(&CertificateTemplate {
        label: &labels.certificate,
        value: certificate,
    })?;
    session.create_certificate(&CertificateTemplate {
        label: &labels.root,
        value: root,
    })?;
    Ok(())
}
