//! Manifests: signed lists of the devices that were really made, so that a stolen CA key alone brings in nobody.
//!
//! A manifest is a file of lines, each a signed [`Segment`]: some entries of one order, its number in the order, and the hash
//! of the segment before. A factory appends lines as it goes on; whoever reads them sees a line that is missing, that comes
//! twice, or that another key has signed. The key that signs is never that of the CA. [`microchip`] reads the manifests that
//! Microchip delivers, [`rows`] plain tables that somebody is about to sign.
//!
//! It must never take an entry from a line whose signature was not verified: [`open`] is the only way in.

pub mod jws;
pub mod microchip;
pub mod rows;

use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    vec::Vec,
};

use serde_json::{Map, Value, json};

use crate::{
    CertificateId, Error, ThingName, UnixMillis, crypto,
    issue::Signer,
    key::PublicKey,
    limits::{
        MANIFEST_ENTRIES_MAX, MANIFEST_LINE_BYTES_MAX, MANIFEST_ORDER_CHARACTERS_MAX,
        MANIFEST_PARAMETERS_MAX, MANIFEST_TEXT_BYTES_MAX,
    },
};

/// What a payload says that it is.
const FORM: &str = "birthmark-manifest-1";

/// SHA-256 of a public key (its SubjectPublicKeyInfo, DER): what an entry is found by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// The hash of this key.
    pub fn of(key: &PublicKey) -> Self {
        Self(crypto::sha256(key.spki_der()))
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let id: Result<CertificateId, _> = text.parse();
        id.map(|id| Self(id.0)).map_err(|_| Error::Identifier {
            kind: "hash of a public key",
            allowed: "64 hexadecimal digits",
        })
    }
}

impl core::fmt::Display for KeyHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        CertificateId(self.0).fmt(f)
    }
}

impl core::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "KeyHash({self})")
    }
}

/// One device that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: KeyHash,
    /// Its certificate, if the manifest names it: then no other one is meant.
    pub certificate: Option<CertificateId>,
    /// What its maker calls it: the UID of its chip, a serial number; may be empty.
    pub unit: String,
    /// The name it is to have.
    pub thing: Option<ThingName>,
    /// What else is known of it.
    pub parameters: BTreeMap<String, String>,
}

/// What an order allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The CA whose devices these are.
    pub ca: CertificateId,
    /// How many devices there may ever be.
    pub count: u64,
    /// Nobody comes in for the first time before this.
    pub not_before: UnixMillis,
    /// Nobody comes in for the first time after this.
    pub not_after: UnixMillis,
    /// How many may come in for the first time in one hour; 0 is as many as like.
    pub per_hour: u64,
}

/// Some entries of one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The order's name.
    pub order: String,
    /// What it allows; the same in each of its segments.
    pub terms: Terms,
    /// Its number in the order, from 1.
    pub sequence: u64,
    /// The digest of the segment before; zeros before the first.
    pub previous: [u8; 32],
    /// The devices.
    pub entries: Vec<Entry>,
}

/// A segment whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The segment.
    pub segment: Segment,
    /// What the next one names as the one before.
    pub digest: [u8; 32],
    /// The hash of the key that signed it.
    pub signer: KeyHash,
}

/// Signs a segment: one line of a manifest, and its digest.
pub fn seal(segment: &Segment, signer: &dyn Signer) -> Result<(String, [u8; 32]), Error> {
    check(segment)?;
    let payload = written(segment).to_string();
    let mut header = Map::new();
    header.insert("kid".into(), KeyHash::of(signer.public_key()).to_string().into());
    header.insert("typ".into(), FORM.into());
    let line = jws::sign(payload.as_bytes(), header, signer)?;
    if line.len() > MANIFEST_LINE_BYTES_MAX {
        return Err(Error::TooLarge {
            what: "a line of a manifest",
            found: line.len(),
            limit: MANIFEST_LINE_BYTES_MAX,
        });
    }
    Ok((line, crypto::sha256(payload.as_bytes())))
}

/// Verifies one line of a manifest. `enrolled` gives the key of a signer that is trusted.
pub fn open(line: &str, enrolled: impl FnOnce(KeyHash) -> Option<PublicKey>) -> Result<Opened, Error> {
    let token = jws::Token::read(line)?;
    if token.header_text("typ") != Some(FORM) {
        return Err(Error::Manifest {
            why: "it is not a line of a manifest of this form",
        });
    }
    let signer = KeyHash::parse(token.header_text("kid").unwrap_or_default())?;
    let key = enrolled(signer).ok_or(Error::ManifestSigner)?;
    // Whoever looks the key up may be wrong; the name in the header is of exactly this key.
    if KeyHash::of(&key) != signer {
        return Err(Error::ManifestSigner);
    }
    let payload = token.verify(&key)?;
    let segment = read(&payload)?;
    check(&segment)?;
    Ok(Opened {
        segment,
        digest: crypto::sha256(&payload),
        signer,
    })
}

/// The signer that a line names; nothing of it is verified.
pub fn signer_of(line: &str) -> Result<KeyHash, Error> {
    KeyHash::parse(jws::Token::read(line)?.header_text("kid").unwrap_or_default())
}

/// What a line says of itself; nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glimpse {
    /// The order.
    pub order: String,
    /// The number of the segment.
    pub sequence: u64,
    /// Its digest.
    pub digest: KeyHash,
    /// How many devices it lists.
    pub devices: usize,
}

/// Looks at a line without a key: to know where to go on, never to believe it.
pub fn glimpse(line: &str) -> Result<Glimpse, Error> {
    let payload = jws::Token::read(line)?.unverified()?;
    let segment = read(&payload)?;
    Ok(Glimpse {
        order: segment.order,
        sequence: segment.sequence,
        digest: KeyHash(crypto::sha256(&payload)),
        devices: segment.entries.len(),
    })
}

fn written(segment: &Segment) -> Value {
    let entries: Vec<Value> = segment.entries.iter().map(written_entry).collect();
    json!({
        "form": FORM,
        "order": segment.order,
        "ca": segment.terms.ca.to_string(),
        "count": segment.terms.count,
        "notBefore": segment.terms.not_before.0,
        "notAfter": segment.terms.not_after.0,
        "perHour": segment.terms.per_hour,
        "sequence": segment.sequence,
        "previous": KeyHash(segment.previous).to_string(),
        "entries": entries,
    })
}

fn written_entry(entry: &Entry) -> Value {
    let mut members = Map::new();
    members.insert("key".into(), entry.key.to_string().into());
    if let Some(certificate) = &entry.certificate {
        members.insert("certificate".into(), certificate.to_string().into());
    }
    if !entry.unit.is_empty() {
        members.insert("unit".into(), entry.unit.as_str().into());
    }
    if let Some(thing) = &entry.thing {
        members.insert("thing".into(), thing.as_str().into());
    }
    if !entry.parameters.is_empty() {
        members.insert("parameters".into(), json!(entry.parameters));
    }
    Value::Object(members)
}

fn read(payload: &[u8]) -> Result<Segment, Error> {
    let malformed = |_| Error::Manifest {
        why: "its payload is not JSON",
    };
    let value: Value = serde_json::from_slice(payload).map_err(malformed)?;
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let number = |name: &str| value.get(name).and_then(Value::as_u64);
    let time = |name: &str| value.get(name).and_then(Value::as_i64).map(UnixMillis);
    if text("form") != Some(FORM) {
        return Err(Error::Manifest {
            why: "its payload is not of this form",
        });
    }
    let missing = Error::Manifest {
        why: "a member of its payload is missing or of another kind",
    };
    let entries = value
        .get("entries")
        .and_then(Value::as_array)
        .ok_or_else(|| missing.clone())?;
    let members = (|| {
        Some((
            text("order")?,
            text("ca")?,
            number("count")?,
            time("notBefore")?,
            time("notAfter")?,
            number("perHour")?,
            number("sequence")?,
            text("previous")?,
        ))
    })();
    let (order, ca, count, not_before, not_after, per_hour, sequence, previous) = members.ok_or(missing)?;
    Ok(Segment {
        order: order.to_string(),
        terms: Terms {
            ca: ca.parse()?,
            count,
            not_before,
            not_after,
            per_hour,
        },
        sequence,
        previous: KeyHash::parse(previous)?.0,
        entries: entries.iter().map(read_entry).collect::<Result<_, _>>()?,
    })
}

fn read_entry(value: &Value) -> Result<Entry, Error> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let parameters = match value.get("parameters") {
        None => BTreeMap::new(),
        Some(parameters) => serde_json::from_value(parameters.clone()).map_err(|_| Error::Manifest {
            why: "the parameters of an entry are not texts",
        })?,
    };
    Ok(Entry {
        key: KeyHash::parse(text("key").unwrap_or_default())?,
        certificate: text("certificate").map(str::parse).transpose()?,
        unit: text("unit").unwrap_or_default().to_string(),
        thing: text("thing").map(str::parse).transpose()?,
        parameters,
    })
}

/// Whether an order may have this name: 1 to 64 letters, digits, dots, underscores and hyphens.
pub fn is_order_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MANIFEST_ORDER_CHARACTERS_MAX).contains(&name.len()) && name.bytes().all(plain)
}

fn check(segment: &Segment) -> Result<(), Error> {
    if !is_order_name(&segment.order) {
        return Err(Error::Identifier {
            kind: "name of an order",
            allowed: "1 to 64 letters, digits, dots, underscores and hyphens",
        });
    }
    let Terms {
        count,
        not_before,
        not_after,
        ..
    } = &segment.terms;
    if *count == 0 || not_before >= not_after || segment.sequence == 0 {
        return Err(Error::OutOfRange {
            what: "a term of the order",
            allowed: "a count and a sequence from 1, and a window that begins before it ends",
        });
    }
    if segment.entries.is_empty() || segment.entries.len() > MANIFEST_ENTRIES_MAX {
        return Err(Error::TooLarge {
            what: "the entries of one segment",
            found: segment.entries.len(),
            limit: MANIFEST_ENTRIES_MAX,
        });
    }
    segment.entries.iter().try_for_each(check_entry)
}

/// Whether an entry is within its limits.
pub fn check_entry(entry: &Entry) -> Result<(), Error> {
    let name = |name: &str| {
        (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    let fits = |text: &str| text.len() <= MANIFEST_TEXT_BYTES_MAX && !text.chars().any(char::is_control);
    let parameters = &entry.parameters;
    let whole = fits(&entry.unit)
        && parameters.len() <= MANIFEST_PARAMETERS_MAX
        && parameters.iter().all(|(key, value)| name(key) && fits(value));
    if whole {
        return Ok(());
    }
    Err(Error::OutOfRange {
        what: "an entry of a manifest",
        allowed: "a unit of at most 256 bytes, and 16 parameters with names of letters, digits, _ and - and values of at most 256 bytes, none with control characters",
    })
}
