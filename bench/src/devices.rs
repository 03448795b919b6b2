//! Device certificates, made as the factory makes them but with keys in memory: here the server is measured, not the chip.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use identity::UnixMillis;
use identity::certificate::Certificate;
use identity::crypto::{SoftwareKey, random};
use identity::issue::{Profile, Serial, Validity, prepare};
use identity::key::Curve;
use identity::name::Name;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use crate::Outcome;

/// What one device connects with.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) key: Arc<CertifiedKey>,
}

/// The CA that signs devices.
pub(crate) struct Signer {
    certificate: Certificate,
    key: SoftwareKey,
    profile: Profile,
}

impl Signer {
    /// From the files of a factory.
    pub(crate) fn open(certificate: &Path, key: &Path) -> Outcome<Self> {
        let certificate = Certificate::from_pem(&fs::read_to_string(certificate)?)?;
        let key = SoftwareKey::from_pkcs8_pem(&fs::read_to_string(key)?)?;
        let profile = Profile::device(&certificate, Validity::days(now(), 365)?)?;
        Ok(Self {
            certificate,
            key,
            profile,
        })
    }

    /// New devices, named after a number.
    pub(crate) fn devices(&self, prefix: &str, count: usize) -> Outcome<Vec<Device>> {
        (0..count)
            .map(|number| self.named(format!("{prefix}-{number}")))
            .collect()
    }

    /// One new device.
    pub(crate) fn named(&self, name: String) -> Outcome<Device> {
        let key = SoftwareKey::generate(Curve::P256)?;
        let subject = Name::with_common_name(&name)?;
        let mut serial = [0; 16];
        random(&mut serial)?;
        let proven = key.prove(&subject)?;
        let certificate =
            prepare(&self.profile, proven, &subject, &Serial::from_random(serial))?.sign(&self.key)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_pkcs8_der()?.to_vec()));
        let signing = aws_lc_rs::sign::any_ecdsa_type(&private)?;
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        Ok(Device {
            name,
            key: Arc::new(CertifiedKey::new(chain, signing)),
        })
    }

    /// The CA's own certificate.
    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(since.as_millis() as i64)
}
