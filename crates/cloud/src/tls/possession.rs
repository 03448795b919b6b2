//! Proof that a client holds the private key of the certificate it shows, and of nothing else.
//!
//! It stands inside the handshake. Who the client is and whether it may come in is decided after the handshake, as AWS
//! does, so every certificate whose key can be read is taken here: expired ones, unknown issuers, unknown critical
//! extensions; only where the operator wants it strict must it come from a registered CA. What must never happen: a handshake that completes without a valid signature of that key over it.
//!
//! The certificate is also caught when the handshake fails afterwards, so that the attempt record can name it: the TLS
//! library calls the verifier from inside, and [`watch`] gives that call a place where it can leave what it saw.

use core::cell::RefCell;
use std::sync::Arc;

use identity::certificate::Certificate;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved, SignatureScheme,
};

use super::anchors::Anchors;

thread_local! {
    static SEEN: RefCell<Option<Box<Certificate>>> = const { RefCell::new(None) };
}

/// Runs one step of a handshake and keeps in `seen` the certificate that the client showed during it.
///
/// `seen` is also what the verifier compares with when the signature arrives in a later step.
pub(super) fn watch<T>(seen: &mut Option<Box<Certificate>>, step: impl FnOnce() -> T) -> T {
    SEEN.with(|slot| slot.replace(seen.take()));
    let outcome = step();
    *seen = SEEN.with(RefCell::take);
    outcome
}

/// The verifier of client certificates.
#[derive(Debug)]
pub struct Possession {
    algorithms: WebPkiSupportedAlgorithms,
    mandatory: bool,
    anchors: Option<Arc<Anchors>>,
}

impl Possession {
    /// A verifier that asks every client for a certificate; `mandatory` refuses those who have none.
    pub fn new(algorithms: WebPkiSupportedAlgorithms, mandatory: bool) -> Self {
        Self {
            algorithms,
            mandatory,
            anchors: None,
        }
    }

    /// The same for a listener that takes certificates of these CAs only.
    #[must_use]
    pub fn of(self, anchors: Option<Arc<Anchors>>) -> Self {
        Self { anchors, ..self }
    }
}

impl ClientCertVerifier for Possession {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// No hints: AWS sends none, and a list of customers' CAs is nobody's business.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let certificate = Certificate::parse(end_entity)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        SEEN.with(|slot| slot.replace(Some(Box::new(certificate))));
        if let Some(anchors) = &self.anchors {
            anchors.check(end_entity, intermediates, now)?;
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = key_of(certificate)?;
        let (algorithm_id, key_bits) = split_key_info(&key).ok_or_else(unreadable)?;
        let candidates = self
            .algorithms
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == signed.scheme)
            .map(|(_, candidates)| *candidates)
            .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        let fits = candidates
            .iter()
            .filter(|candidate| candidate.public_key_alg_id().as_ref() == algorithm_id);
        for candidate in fits {
            if candidate
                .verify_signature(key_bits, message, signed.signature())
                .is_ok()
            {
                return Ok(HandshakeSignatureValid::assertion());
            }
        }
        Err(Error::InvalidCertificate(CertificateError::BadSignature))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(key_of(certificate)?);
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The public key of the certificate that this handshake showed, as `identity` read it.
fn key_of(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, Error> {
    SEEN.with_borrow(|seen| match seen {
        Some(seen) if seen.der() == certificate.as_ref() => Ok(seen.public_key().spki_der().to_vec()),
        _ => Certificate::parse(certificate)
            .map(|parsed| parsed.public_key().spki_der().to_vec())
            .map_err(|_| unreadable()),
    })
}

fn unreadable() -> Error {
    Error::InvalidCertificate(CertificateError::BadEncoding)
}

/// Takes a SubjectPublicKeyInfo apart (RFC 5280 4.1.2.7): the content of the algorithm identifier, and the key's bits.
fn split_key_info(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let (body, rest) = element(0x30, spki)?;
    let (algorithm_id, bits) = element(0x30, body)?;
    let (bits, end) = element(0x03, bits)?;
    let (unused, bits) = bits.split_first()?;
    (rest.is_empty() && end.is_empty() && *unused == 0).then_some((algorithm_id, bits))
}

/// One DER element with this tag: its content, and what follows it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81 => rest
            .split_first()
            .map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    (*found == tag).then_some((content, rest))
}
