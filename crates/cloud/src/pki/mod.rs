//! The server's own identity: a root that stays, a leaf that is renewed, and the issuer of certificates for devices that
//! ask for one.
//!
//! It stands at the start of the server, before anything listens. The first start makes everything, later ones only what
//! is missing or about to end. Keys are files that only their owner can read. What must never happen: a root that
//! changes although devices carry it, so whatever does not fit together is an error and not an occasion to begin anew.

mod credentials;
mod ready;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use identity::certificate::Certificate;
use identity::crypto::SoftwareKey;
use identity::extension::AlternativeName;
use identity::issue::{AWS_ISSUED_COMMON_NAME, Profile, Serial, Signer as _, Validity, prepare};
use identity::key::Curve;
use identity::name::{AttributeKind, Name};
use identity::request::ProvenKey;
use identity::{CertificateId, Civil, Tenant, UnixMillis};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

pub(crate) use credentials::{access_key, access_key_name, fresh_access_key, read_credentials};
pub(crate) use ready::Ready;

use crate::clock;
use crate::error::Error;
use crate::files::{self, Readers};
use crate::limits::{SERVER_CERTIFICATE_DAYS, SERVER_CERTIFICATE_RENEWAL_DAYS, SERVER_ROOT_BYTES_MAX};
use crate::tls::ServerIdentity;

const SERVER_ROOT: &str = "server-root";
const SERVER: &str = "server";
const SERVER_ROOT_RSA: &str = "server-root-rsa";
const SERVER_RSA: &str = "server-rsa";
/// Bits of the server's own RSA keys: what every client takes.
const RSA_BITS: u32 = 2048;
const DEVICE_ISSUER: &str = "device-issuer";

/// Everything that the server says who it is with.
#[derive(Debug)]
pub(crate) struct Pki {
    /// What TLS needs: the certificate with a P-256 key, and behind it the one with an RSA key, if there is to be one.
    pub(crate) server: Vec<ServerIdentity>,
    /// Where the server root is, for clients.
    pub(crate) server_root: PathBuf,
    /// The issuer of device certificates.
    pub(crate) issuer: DeviceIssuer,
    /// The issuer of certificates for domains whose names this server makes up.
    pub(crate) server_issuer: ServerIssuer,
}

impl Pki {
    /// Opens the identity in `directory`, or makes what is missing.
    pub(crate) fn open(
        directory: &Path,
        hostnames: &[String],
        with_rsa: bool,
        now: UnixMillis,
    ) -> Result<Self, Error> {
        files::make_directory(directory)?;
        let root = Authority::open(
            directory,
            SERVER_ROOT,
            KeyFamily::P256,
            "Birthmark Server Root",
            now,
        )?;
        if root.certificate.der().len() > SERVER_ROOT_BYTES_MAX {
            let what =
                format!("it is longer than the {SERVER_ROOT_BYTES_MAX} bytes that fit into a secure element");
            return Err(Error::Identity {
                path: certificate_path(directory, SERVER_ROOT),
                what,
            });
        }
        let names = AddressNames::new(hostnames);
        let mut server = vec![open_server(
            directory,
            (SERVER, KeyFamily::P256),
            &root,
            &names,
            now,
        )?];
        if with_rsa {
            // Who verifies no ECDSA verifies it nowhere in the chain.
            let root = Authority::open(
                directory,
                SERVER_ROOT_RSA,
                KeyFamily::Rsa,
                "Birthmark Server Root RSA",
                now,
            )?;
            server.push(open_server(
                directory,
                (SERVER_RSA, KeyFamily::Rsa),
                &root,
                &names,
                now,
            )?);
        }
        let issuer = DeviceIssuer(Authority::open(
            directory,
            DEVICE_ISSUER,
            KeyFamily::P256,
            "Birthmark Device Issuer",
            now,
        )?);
        Ok(Self {
            server,
            server_root: certificate_path(directory, SERVER_ROOT),
            issuer,
            server_issuer: ServerIssuer {
                root,
                key: SoftwareKey::generate(Curve::P256).map_err(Error::Issue)?,
            },
        })
    }
}

/// What kind of key to make where there is none.
#[derive(Clone, Copy, Debug)]
enum KeyFamily {
    P256,
    Rsa,
}

/// A certificate authority whose key is a file.
struct Authority {
    certificate: Certificate,
    key: SoftwareKey,
}

impl Authority {
    /// Reads it, or makes it: the key first, so that a kill in between leaves a key that only waits for its certificate.
    fn open(
        directory: &Path,
        stem: &str,
        family: KeyFamily,
        title: &str,
        now: UnixMillis,
    ) -> Result<Self, Error> {
        let path = certificate_path(directory, stem);
        if let Some(text) = files::read_text(&path)? {
            let certificate = read_certificate(&path, &text)?;
            let key = read_key(directory, stem)?.ok_or_else(|| Error::Identity {
                path: key_path(directory, stem),
                what: "it is missing, although its certificate is there".into(),
            })?;
            check_pair(&path, &certificate, &key)?;
            return Ok(Self { certificate, key });
        }
        let key = open_key(directory, stem, family)?;
        let certificate = make_root(&key, title, now).map_err(Error::Issue)?;
        files::write(&path, certificate.pem().as_bytes(), Readers::All)?;
        Ok(Self { certificate, key })
    }

    fn issue(
        &self,
        profile: &Profile,
        key: ProvenKey,
        subject: &Name,
    ) -> Result<Certificate, identity::Error> {
        prepare(profile, key, subject, &serial()?)?.sign_here(&self.key)
    }
}

impl core::fmt::Debug for Authority {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Authority")
            .field("subject", self.certificate.subject())
            .finish_non_exhaustive()
    }
}

/// The issuer of CreateCertificateFromCsr and CreateKeysAndCertificate.
#[derive(Debug)]
pub(crate) struct DeviceIssuer(Authority);

impl DeviceIssuer {
    /// A certificate for this key, as AWS issues them: a fixed subject, valid until the end of 2049.
    pub(crate) fn issue(&self, key: ProvenKey, now: UnixMillis) -> Result<Certificate, identity::Error> {
        let profile = Profile::aws_issued(&self.0.certificate, now.plus_millis(-120_000))?;
        self.0
            .issue(&profile, key, &Name::with_common_name(AWS_ISSUED_COMMON_NAME)?)
    }
}

/// The issuer of server certificates for further names, under the root that devices carry.
pub(crate) struct ServerIssuer {
    root: Authority,
    key: SoftwareKey,
}

impl ServerIssuer {
    /// A certificate for one name, with its key.
    pub(crate) fn certify(&self, name: &str) -> Result<Arc<CertifiedKey>, Error> {
        let names = AddressNames {
            dns: BTreeSet::from([name.to_owned()]),
            ips: BTreeSet::new(),
        };
        let leaf = make_server(&self.root, &self.key, &names, clock::now()).map_err(Error::Issue)?;
        let pkcs8 = self.key.to_pkcs8_der().map_err(Error::Issue)?;
        let chain = vec![CertificateDer::from(leaf.der().to_vec())];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pkcs8.to_vec()));
        let certified = CertifiedKey::from_der(chain, key, &crate::tls::provider()).map_err(Error::Tls)?;
        Ok(Arc::new(certified))
    }
}

impl core::fmt::Debug for ServerIssuer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.root.fmt(f)
    }
}

impl DeviceIssuer {
    /// A claim certificate for this key, good until then.
    pub(crate) fn issue_claim(
        &self,
        key: ProvenKey,
        now: UnixMillis,
        until: UnixMillis,
    ) -> Result<Certificate, identity::Error> {
        let validity = Validity::new(now.plus_millis(-120_000), until)?;
        let profile = Profile::device(&self.0.certificate, validity)?;
        self.0
            .issue(&profile, key, &Name::with_common_name(CLAIM_COMMON_NAME)?)
    }

    /// Its certificate, as a CA of no tenant.
    pub(crate) fn anchor(&self) -> (Option<Tenant>, CertificateId, Arc<[u8]>) {
        let certificate = &self.0.certificate;
        (None, certificate.id(), certificate.der().into())
    }

    /// Whether a certificate says that it was issued here.
    pub(crate) fn is_named_by(&self, certificate: &Certificate) -> bool {
        certificate.issuer().der() == self.0.certificate.subject().der()
    }
}

/// The subject of claim certificates.
const CLAIM_COMMON_NAME: &str = "AWS IoT Provisioning Claim";

/// A root that ends with the last year that UTCTime can write (RFC 5280 4.1.2.5.1): small devices read no other form. Two
/// installations can be told apart by the end of its name.
fn make_root(key: &SoftwareKey, title: &str, now: UnixMillis) -> Result<Certificate, identity::Error> {
    let end = Civil {
        year: 2049,
        month: 12,
        day: 31,
        hour: 23,
        minute: 59,
        second: 59,
    };
    let end = UnixMillis::from_civil(end).unwrap_or(UnixMillis::NO_EXPIRY);
    let [a, b, ..] = key.public_key().key_id();
    let name = format!("{title} {a:02x}{b:02x}");
    let subject = Name::build(&[
        (AttributeKind::Organization, "Birthmark"),
        (AttributeKind::CommonName, name.as_str()),
    ])?;
    let profile = Profile::root(key.public_key(), &subject, Validity::new(now.plus_days(-1), end)?);
    prepare(&profile, key.prove(&subject)?, &subject, &serial()?)?.sign(key)
}

fn serial() -> Result<Serial, identity::Error> {
    clock::random().map(Serial::from_random)
}

/// The names that the server's certificate is for.
#[derive(Debug, PartialEq, Eq)]
struct AddressNames {
    dns: BTreeSet<String>,
    ips: BTreeSet<IpAddr>,
}

impl AddressNames {
    /// The configured names, and those by which this machine always reaches itself.
    fn new(hostnames: &[String]) -> Self {
        let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut names = Self {
            dns: BTreeSet::new(),
            ips: BTreeSet::new(),
        };
        for name in hostnames.iter().chain(&own) {
            match name.parse() {
                Ok(ip) => drop(names.ips.insert(ip)),
                Err(_) => drop(names.dns.insert(name.to_ascii_lowercase())),
            }
        }
        names
    }

    fn of(certificate: &Certificate) -> Self {
        let mut names = Self {
            dns: BTreeSet::new(),
            ips: BTreeSet::new(),
        };
        for name in certificate.alternative_names() {
            match name {
                AlternativeName::Dns(name) => drop(names.dns.insert(name.clone())),
                AlternativeName::Ip(ip) => drop(names.ips.insert(*ip)),
                _ => {}
            }
        }
        names
    }
}

/// The server's leaf: the one that is there if it still serves, else a new one under the same root.
fn open_server(
    directory: &Path,
    (stem, family): (&str, KeyFamily),
    root: &Authority,
    names: &AddressNames,
    now: UnixMillis,
) -> Result<ServerIdentity, Error> {
    let key = open_key(directory, stem, family)?;
    let path = certificate_path(directory, stem);
    let present = match files::read_text(&path)? {
        Some(text) => Some(read_certificate(&path, &text)?),
        None => None,
    };
    let leaf = match present.filter(|leaf| still_serves(leaf, root, &key, names, now)) {
        Some(leaf) => leaf,
        None => {
            let leaf = make_server(root, &key, names, now).map_err(Error::Issue)?;
            files::write(&path, leaf.pem().as_bytes(), Readers::All)?;
            leaf
        }
    };
    let pkcs8 = key.to_pkcs8_der().map_err(Error::Issue)?;
    Ok(ServerIdentity {
        chain: vec![CertificateDer::from(leaf.der().to_vec())],
        key: PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pkcs8.to_vec())),
    })
}

fn still_serves(
    leaf: &Certificate,
    root: &Authority,
    key: &SoftwareKey,
    names: &AddressNames,
    now: UnixMillis,
) -> bool {
    leaf.public_key() == key.public_key()
        && leaf.is_signed_by(root.certificate.public_key()).is_ok()
        && leaf.not_before() <= now
        && leaf.not_after() >= now.plus_days(SERVER_CERTIFICATE_RENEWAL_DAYS)
        && AddressNames::of(leaf) == *names
}

fn make_server(
    root: &Authority,
    key: &SoftwareKey,
    names: &AddressNames,
    now: UnixMillis,
) -> Result<Certificate, identity::Error> {
    let dns: Vec<&str> = names.dns.iter().map(String::as_str).collect();
    let ips: Vec<IpAddr> = names.ips.iter().copied().collect();
    // The first day of its life lies behind it, for devices whose clocks are late.
    let validity = Validity::days(now, SERVER_CERTIFICATE_DAYS - 1)?;
    let profile = Profile::server(&root.certificate, &dns, &ips, validity)?;
    let subject = Name::with_common_name("Birthmark Server")?;
    root.issue(&profile, key.prove(&subject)?, &subject)
}

fn certificate_path(directory: &Path, stem: &str) -> PathBuf {
    directory.join(format!("{stem}.pem"))
}

fn key_path(directory: &Path, stem: &str) -> PathBuf {
    directory.join(format!("{stem}.key"))
}

fn read_certificate(path: &Path, text: &str) -> Result<Certificate, Error> {
    Certificate::from_pem(text).map_err(|error| Error::Identity {
        path: path.to_owned(),
        what: error.to_string(),
    })
}

fn read_key(directory: &Path, stem: &str) -> Result<Option<SoftwareKey>, Error> {
    let path = key_path(directory, stem);
    let Some(text) = files::read_text(&path)?.map(zeroize::Zeroizing::new) else {
        return Ok(None);
    };
    SoftwareKey::from_pkcs8_pem(&text)
        .map(Some)
        .map_err(|error| Error::Identity {
            path,
            what: error.to_string(),
        })
}

fn open_key(directory: &Path, stem: &str, family: KeyFamily) -> Result<SoftwareKey, Error> {
    if let Some(key) = read_key(directory, stem)? {
        return Ok(key);
    }
    let key = match family {
        KeyFamily::P256 => SoftwareKey::generate(Curve::P256),
        KeyFamily::Rsa => SoftwareKey::generate_rsa(RSA_BITS),
    }
    .map_err(Error::Issue)?;
    let pem = key.pkcs8_pem().map_err(Error::Issue)?;
    files::write(&key_path(directory, stem), pem.as_bytes(), Readers::Owner)?;
    Ok(key)
}

fn check_pair(path: &Path, certificate: &Certificate, key: &SoftwareKey) -> Result<(), Error> {
    match certificate.public_key() == key.public_key() {
        true => Ok(()),
        false => Err(Error::Identity {
            path: path.to_owned(),
            what: "it does not belong to the key beside it".into(),
        }),
    }
}

#[cfg(test)]
mod tests;
