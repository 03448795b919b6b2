//! Certificates, requests and names: what a peer sends in a handshake and what a stranger sends to the API.

use identity::certificate::Certificate;
use identity::name::Name;
use identity::request::Request;
use identity::{UnixMillis, pem};

/// DER of a certificate.
pub(super) fn certificate(bytes: &[u8]) {
    let Ok(certificate) = Certificate::parse(bytes) else {
        return;
    };
    assert_eq!(certificate.der(), bytes, "the exact input is kept");
    let again = Certificate::from_pem(&certificate.pem()).expect("its own PEM");
    assert_eq!((again.id(), again.der()), (certificate.id(), bytes));
    for name in [certificate.issuer(), certificate.subject()] {
        let again = Name::from_der(name.der()).expect("a name that was read");
        assert_eq!(again.to_string(), name.to_string());
    }
    let moments = [certificate.not_before(), certificate.not_after(), UnixMillis(0)];
    moments
        .iter()
        .for_each(|moment| assert!(!moment.to_rfc3339().is_empty()));
    let _ = (
        certificate.is_valid_at(UnixMillis(0)),
        certificate.is_self_issued(),
        certificate.is_simulated(),
    );
    let _ = (
        certificate.extensions().count(),
        certificate.public_key().key_id(),
        certificate.alternative_names().len(),
    );
}

/// DER of a certification request.
pub(super) fn request(bytes: &[u8]) {
    let Ok(request) = Request::parse(bytes) else {
        return;
    };
    assert!(request.tbs().len() + request.signature().len() < bytes.len());
    let _ = request.subject().to_string();
}

/// Text that should hold PEM blocks.
pub(super) fn blocks(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(found) = pem::decode_all("CERTIFICATE", text) else {
        return;
    };
    let written: String = found.iter().map(|der| pem::encode("CERTIFICATE", der)).collect();
    assert_eq!(
        pem::decode_all("CERTIFICATE", &written).expect("our own PEM"),
        found
    );
}
