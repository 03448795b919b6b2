//! Profiles: what every certificate of one kind under one issuer has in common, compiled once per order.
//!
//! A certificate of the profile differs from the next only in serial number, subject, key and key identifier; everything
//! else is bytes that were laid out when the profile was made.

use alloc::{boxed::Box, vec::Vec};
use core::net::IpAddr;

use crate::{
    Error, UnixMillis,
    certificate::Certificate,
    der::{Oid, Tag, Writer},
    extension::{self, KeyUsage},
    key::{PublicKey, SignatureAlgorithm},
    limits,
    name::Name,
};

/// The common name of every certificate that AWS IoT Core issues itself (AWS IoT developer guide, X.509 client certificates).
pub const AWS_ISSUED_COMMON_NAME: &str = "AWS IoT Certificate";
/// When those end: 2049-12-31T23:59:59Z (same page).
const AWS_ISSUED_END: UnixMillis = UnixMillis::from_seconds(2_524_607_999);

/// From when to when a certificate is valid, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    not_before: UnixMillis,
    not_after: UnixMillis,
}

impl Validity {
    /// A validity whose ends are in order and in the years that a certificate can hold.
    pub fn new(not_before: UnixMillis, not_after: UnixMillis) -> Result<Self, Error> {
        let writable = Writer::writable_time(not_before) && Writer::writable_time(not_after);
        if writable && not_before.seconds() <= not_after.seconds() {
            Ok(Self {
                not_before,
                not_after,
            })
        } else {
            let allowed = "it begins before it ends, both in the years 1950 to 9999";
            Err(Error::OutOfRange {
                what: "validity",
                allowed,
            })
        }
    }

    /// From a day before `now`, for devices with slow clocks, until `days` after `now`.
    pub fn days(now: UnixMillis, days: i64) -> Result<Self, Error> {
        Self::new(now.plus_days(-1), now.plus_days(days))
    }

    /// The first moment.
    pub const fn not_before(&self) -> UnixMillis {
        self.not_before
    }

    /// The last moment.
    pub const fn not_after(&self) -> UnixMillis {
        self.not_after
    }

    fn at_most_days(self, days: i64, rule: &'static str) -> Result<Self, Error> {
        let span = self.not_after.since(self.not_before);
        if span <= days.saturating_mul(UnixMillis::DAY) {
            Ok(self)
        } else {
            Err(Error::Profile { rule })
        }
    }
}

/// Which subjects a profile takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SubjectRule {
    /// Any.
    Free,
    /// Exactly the issuer's: it signs itself.
    Issuer,
    /// A common name of 64 hexadecimal digits and nothing else.
    RegistrationCode,
}

/// One kind of certificate under one issuer.
#[derive(Clone, Debug)]
pub struct Profile {
    issuer_key: PublicKey,
    algorithm: SignatureAlgorithm,
    rule: SubjectRule,
    issuer: Box<[u8]>,
    /// Algorithm, issuer and validity: what stands between serial number and subject.
    middle: Box<[u8]>,
    /// The extensions one behind the other, the subject key identifier first.
    extensions: Vec<u8>,
    /// `extensions` inside its wrappers `[3]` and SEQUENCE.
    tail: Vec<u8>,
    /// Where in `tail` the 20 bytes of the subject key identifier go.
    key_id_at: usize,
}

impl Profile {
    /// The root of a hierarchy: signs itself with `key`; CAs may stand below it.
    pub fn root(key: &PublicKey, subject: &Name, validity: Validity) -> Self {
        let mut profile = Self::under(key, subject, None, validity, SubjectRule::Issuer);
        profile.push_ca(None);
        profile.compile()
    }

    /// A CA under `issuer` that signs devices and no further CAs.
    pub fn signer_ca(issuer: &Certificate, validity: Validity) -> Result<Self, Error> {
        let mut profile = Self::issued_by(issuer, validity, SubjectRule::Free)?;
        profile.push_ca(Some(0));
        Ok(profile.compile())
    }

    /// A device: it signs handshakes as a TLS client.
    pub fn device(issuer: &Certificate, validity: Validity) -> Result<Self, Error> {
        let mut profile = Self::issued_by(issuer, validity, SubjectRule::Free)?;
        profile.push_leaf();
        profile.push_purpose(&extension::CLIENT_AUTH);
        Ok(profile.compile())
    }

    /// A TLS server with these names; at most [`limits::SERVER_DAYS_MAX`] days and a day back.
    pub fn server(
        issuer: &Certificate,
        dns: &[&str],
        ips: &[IpAddr],
        validity: Validity,
    ) -> Result<Self, Error> {
        let rule = "a server certificate is valid for at most 397 days";
        let validity = validity.at_most_days(limits::SERVER_DAYS_MAX, rule)?;
        check_alternative_names(dns, ips)?;
        let mut profile = Self::issued_by(issuer, validity, SubjectRule::Free)?;
        profile.push_leaf();
        profile.push_purpose(&extension::SERVER_AUTH);
        profile.push(
            &extension::SUBJECT_ALTERNATIVE_NAME,
            false,
            &alternative_names(dns, ips),
        );
        Ok(profile.compile())
    }

    /// A verification certificate, which proves to a cloud that the issuer's key is at hand (AWS IoT developer guide,
    /// Register your CA certificate): its common name is the registration code, it lives at most
    /// [`limits::VERIFICATION_DAYS_MAX`] days, and it is good for nothing else.
    pub fn verification(issuer: &Certificate, validity: Validity) -> Result<Self, Error> {
        let rule = "a verification certificate is valid for at most 7 days";
        let validity = validity.at_most_days(limits::VERIFICATION_DAYS_MAX, rule)?;
        let mut profile = Self::issued_by(issuer, validity, SubjectRule::RegistrationCode)?;
        profile.push_leaf();
        Ok(profile.compile())
    }

    /// What CreateCertificateFromCsr and CreateKeysAndCertificate issue: valid until 2049-12-31T23:59:59Z.
    pub fn aws_issued(issuer: &Certificate, not_before: UnixMillis) -> Result<Self, Error> {
        let mut profile = Self::issued_by(
            issuer,
            Validity::new(not_before, AWS_ISSUED_END)?,
            SubjectRule::Free,
        )?;
        profile.push_leaf();
        Ok(profile.compile())
    }

    /// The same profile with the mark of simulated chips (see [`extension::SIMULATED`]).
    #[must_use]
    pub fn simulated(mut self) -> Self {
        let word =
            Writer::build(|writer| writer.element(Tag::UTF8_STRING, extension::SIMULATED_WORD.as_bytes()));
        self.push(&extension::SIMULATED, false, &word);
        self.compile()
    }

    fn issued_by(issuer: &Certificate, validity: Validity, rule: SubjectRule) -> Result<Self, Error> {
        if !issuer.is_ca() {
            return Err(Error::Profile {
                rule: "the issuer's certificate says that it is no CA",
            });
        }
        let key = issuer.public_key();
        let computed = key.key_id();
        let key_id = issuer.subject_key_id().unwrap_or(&computed);
        Ok(Self::under(key, issuer.subject(), Some(key_id), validity, rule))
    }

    fn under(
        key: &PublicKey,
        issuer: &Name,
        key_id: Option<&[u8]>,
        validity: Validity,
        rule: SubjectRule,
    ) -> Self {
        let algorithm = SignatureAlgorithm::of(key.kind());
        let middle = Writer::build(|writer| {
            writer.raw(&algorithm.identifier_der());
            writer.raw(issuer.der());
            writer.sequence(|times| {
                times.time(validity.not_before);
                times.time(validity.not_after);
            });
        });
        let mut profile = Self {
            issuer_key: key.clone(),
            algorithm,
            rule,
            issuer: issuer.der().into(),
            middle: middle.into(),
            extensions: Vec::new(),
            tail: Vec::new(),
            key_id_at: 0,
        };
        let room = Writer::build(|writer| writer.element(Tag::OCTET_STRING, &[0; 20]));
        profile.push(&extension::SUBJECT_KEY_ID, false, &room);
        if let Some(key_id) = key_id {
            let authority =
                Writer::build(|writer| writer.sequence(|inner| inner.element(Tag::context(0), key_id)));
            profile.push(&extension::AUTHORITY_KEY_ID, false, &authority);
        }
        profile
    }

    fn push(&mut self, oid: &Oid, critical: bool, value: &[u8]) {
        self.extensions.extend(Writer::build(|writer| {
            writer.sequence(|extension| {
                extension.oid(oid);
                if critical {
                    extension.boolean(true);
                }
                extension.element(Tag::OCTET_STRING, value);
            });
        }));
    }

    fn push_ca(&mut self, path_len: Option<u8>) {
        let value = Writer::build(|writer| {
            writer.sequence(|constraints| {
                constraints.boolean(true);
                if let Some(path_len) = path_len {
                    constraints.unsigned(&[path_len]);
                }
            });
        });
        self.push(&extension::BASIC_CONSTRAINTS, true, &value);
        self.push(
            &extension::KEY_USAGE,
            true,
            &KeyUsage::KEY_CERT_SIGN.and(KeyUsage::CRL_SIGN).value(),
        );
    }

    fn push_leaf(&mut self) {
        self.push(
            &extension::BASIC_CONSTRAINTS,
            true,
            &Writer::build(|writer| writer.sequence(|_| ())),
        );
        self.push(&extension::KEY_USAGE, true, &KeyUsage::DIGITAL_SIGNATURE.value());
    }

    fn push_purpose(&mut self, purpose: &Oid) {
        let value = Writer::build(|writer| writer.sequence(|purposes| purposes.oid(purpose)));
        self.push(&extension::EXTENDED_KEY_USAGE, false, &value);
    }

    /// Wraps the extensions and finds the place of the key identifier in them.
    fn compile(mut self) -> Self {
        self.tail = Writer::build(|writer| {
            writer.nested(Tag::context_constructed(3), |outer| {
                outer.element(Tag::SEQUENCE, &self.extensions)
            });
        });
        // The key identifier is the first extension: SEQUENCE, OID 2.5.29.14, OCTET STRING in OCTET STRING, 11 bytes in all.
        self.key_id_at = self.tail.len() - self.extensions.len() + 11;
        self
    }
}

impl Profile {
    /// The key whose signature a certificate of this profile needs.
    pub const fn issuer_key(&self) -> &PublicKey {
        &self.issuer_key
    }

    /// How it is signed.
    pub const fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// Refuses a subject that the profile does not take.
    pub(super) fn check_subject(&self, subject: &Name) -> Result<(), Error> {
        let rule = match self.rule {
            SubjectRule::Issuer if subject.der() != &*self.issuer => "the subject of a root is its issuer",
            SubjectRule::RegistrationCode if !is_registration_code(subject) => {
                "the subject of a verification certificate is a common name of 64 hexadecimal digits"
            }
            _ => return Ok(()),
        };
        Err(Error::Profile { rule })
    }

    /// Whether it is issued to its own issuer.
    pub(super) fn is_root(&self) -> bool {
        self.rule == SubjectRule::Issuer
    }

    /// What stands between serial number and subject.
    pub(super) fn middle(&self) -> &[u8] {
        &self.middle
    }

    /// What stands behind the key: before, in place of, and after the key identifier.
    pub(super) fn tail(&self) -> (&[u8], &[u8]) {
        let (before, rest) = self.tail.split_at_checked(self.key_id_at).unwrap_or_default();
        (before, rest.get(20..).unwrap_or_default())
    }
}

fn is_registration_code(subject: &Name) -> bool {
    match (subject.attributes(), subject.common_name()) {
        ([_], Some(code)) => {
            code.len() == limits::REGISTRATION_CODE_CHARACTERS
                && code.bytes().all(|byte| byte.is_ascii_hexdigit())
        }
        _ => false,
    }
}

fn check_alternative_names(dns: &[&str], ips: &[IpAddr]) -> Result<(), Error> {
    let count = dns.len() + ips.len();
    if count > limits::ALTERNATIVE_NAMES_MAX {
        let limit = limits::ALTERNATIVE_NAMES_MAX;
        return Err(Error::TooLarge {
            what: "alternative names",
            found: count,
            limit,
        });
    }
    if count == 0 {
        return Err(Error::Profile {
            rule: "a server certificate has at least one name or address",
        });
    }
    if dns.iter().all(|name| is_host_name(name)) {
        Ok(())
    } else {
        let allowed =
            "letters, digits, hyphens and dots, at most 253 characters, a wildcard only as the first label";
        Err(Error::OutOfRange {
            what: "host name",
            allowed,
        })
    }
}

fn is_host_name(name: &str) -> bool {
    let plain = name.strip_prefix("*.").unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= 253 && plain.split('.').all(label)
}

fn alternative_names(dns: &[&str], ips: &[IpAddr]) -> Vec<u8> {
    Writer::build(|writer| {
        writer.sequence(|names| {
            for name in dns {
                names.element(Tag::context(2), name.as_bytes());
            }
            for ip in ips {
                match ip {
                    IpAddr::V4(ip) => names.element(Tag::context(7), &ip.octets()),
                    IpAddr::V6(ip) => names.element(Tag::context(7), &ip.octets()),
                }
            }
        });
    })
}
