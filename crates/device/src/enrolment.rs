//! How one device gets its identity by hand: a key born in the token, a request that the token signs, and the certificate
//! that comes back. A production line does the same by the thousand, without this crate.

use identity::certificate::Certificate;
use identity::key::SignatureAlgorithm;
use identity::name::Name;
use identity::request;

use crate::device_token::{DeviceToken, private_key};
use crate::key::KeyError;
use crate::token_key::{Labels, signature_der};

/// Generates a key in the token and gives a certification request for it (PKCS #10, DER), signed by the token. A key that is
/// there already is only replaced if `replace` says so: with it, the identity that it stands for is lost.
pub fn request<T: DeviceToken>(
    token: &T,
    labels: &Labels,
    subject: &Name,
    replace: bool,
) -> Result<Vec<u8>, KeyError> {
    if !replace && !token.private_keys(&labels.key)?.is_empty() {
        let label = labels.key.clone();
        return Err(KeyError::Occupied { label });
    }
    signed_request(token, token.generate(&labels.key)?, subject)
}

/// A request for the key that is already there: to go on after an enrolment that was interrupted, or to renew a certificate.
pub fn request_again<T: DeviceToken>(
    token: &T,
    labels: &Labels,
    subject: &Name,
) -> Result<Vec<u8>, KeyError> {
    signed_request(token, private_key(token, &labels.key)?, subject)
}

fn signed_request<T: DeviceToken>(token: &T, key: T::Key, subject: &Name) -> Result<Vec<u8>, KeyError> {
    let unknown = KeyError::Malformed("its public half is not known; generate a new one");
    let public = token.public_key(key)?.ok_or(unknown)?;
    let to_be_signed = request::to_be_signed(subject, &public);
    let signature = token.sign(key, &to_be_signed)?;
    Ok(request::assemble(
        &to_be_signed,
        SignatureAlgorithm::EcdsaSha256,
        &signature_der(&signature)?,
    ))
}

/// Writes the certificate that came back, and the root that servers must have, into the token. A certificate for another key
/// is refused.
pub fn store<T: DeviceToken>(
    token: &T,
    labels: &Labels,
    certificate: &[u8],
    root: &[u8],
) -> Result<(), KeyError> {
    let key = private_key(token, &labels.key)?;
    let parsed = Certificate::parse(certificate);
    let parsed = parsed.map_err(|_| KeyError::Malformed("what came back is no certificate"))?;
    let public = token.public_key(key)?;
    if public.is_some_and(|public| public != *parsed.public_key()) {
        let label = labels.certificate.clone();
        return Err(KeyError::Mismatch { label });
    }
    token.store_certificate(&labels.certificate, certificate, Some(key))?;
    token.store_certificate(&labels.root, root, None)
}
