//! Plain tables of devices, CSV (RFC 4180) or one JSON object a line: what somebody has before he signs a manifest of it.
//!
//! A row names the key or the certificate, as its hash or whole (PEM, or DER in base64), and perhaps `unit` and `thing`; every
//! other column becomes a parameter.

use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    vec::Vec,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::{Entry, KeyHash, check_entry};
use crate::{
    CertificateId, Error, certificate::Certificate, key::PublicKey, limits::MANIFEST_PARAMETERS_MAX, pem,
};

/// Reads one JSON object.
pub fn from_json(line: &str) -> Result<Entry, Error> {
    let malformed = |_| Error::Manifest {
        why: "a line is no JSON object",
    };
    let members: Map<String, Value> = serde_json::from_str(line).map_err(malformed)?;
    let mut row = BTreeMap::new();
    for (name, value) in members {
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Null => continue,
            _ => {
                return Err(Error::Manifest {
                    why: "a member of a line is neither a text nor a number",
                });
            }
        };
        row.insert(name, text);
    }
    from_row(row)
}

/// Makes an entry of the columns of one row.
pub fn from_row(mut row: BTreeMap<String, String>) -> Result<Entry, Error> {
    let mut take = |name: &str| row.remove(name).filter(|text| !text.trim().is_empty());
    let (key, certificate) = (take("key"), take("certificate"));
    let (unit, thing) = (take("unit"), take("thing"));
    let named = certificate.as_deref().map(certificate_of).transpose()?;
    let (id, of_certificate) = named.map_or((None, None), |(id, key)| (Some(id), key));
    let of_key = key.as_deref().map(key_of).transpose()?;
    if of_key
        .zip(of_certificate)
        .is_some_and(|(key, other)| key != other)
    {
        return Err(Error::Manifest {
            why: "the certificate of a row is for another key",
        });
    }
    let entry = Entry {
        key: of_key.or(of_certificate).ok_or(Error::Manifest {
            why: "a row names neither a key nor a whole certificate",
        })?,
        certificate: id,
        unit: unit.unwrap_or_default(),
        thing: thing.as_deref().map(str::parse).transpose()?,
        parameters: row.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
    };
    check_entry(&entry)?;
    Ok(entry)
}

fn key_of(text: &str) -> Result<KeyHash, Error> {
    if let Ok(hash) = KeyHash::parse(text.trim()) {
        return Ok(hash);
    }
    PublicKey::from_spki_der(&whole("PUBLIC KEY", text)?).map(|key| KeyHash::of(&key))
}

fn certificate_of(text: &str) -> Result<(CertificateId, Option<KeyHash>), Error> {
    if let Ok(id) = text.trim().parse() {
        return Ok((id, None));
    }
    let certificate = Certificate::parse(&whole("CERTIFICATE", text)?)?;
    Ok((certificate.id(), Some(KeyHash::of(certificate.public_key()))))
}

/// PEM, or DER in base64.
fn whole(label: &str, text: &str) -> Result<Vec<u8>, Error> {
    if text.contains("-----BEGIN") {
        return pem::decode_one(label, text);
    }
    let joined: String = text.split_whitespace().collect();
    STANDARD.decode(joined).map_err(|_| Error::Manifest {
        why: "a column is neither a hash, nor PEM, nor base64",
    })
}

/// Reads CSV from bytes that come piece by piece; a record may span lines inside quotes.
#[derive(Clone, Debug, Default)]
pub struct Csv {
    header: Option<Vec<String>>,
    fields: Vec<String>,
    field: String,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the first character of a field.
    #[default]
    Begin,
    /// Inside a field without quotes.
    Plain,
    /// Inside quotes.
    Quoted,
    /// Behind a quote inside quotes: the end, or the first half of a quote that is meant.
    Quote,
}

impl Csv {
    /// Takes one line, with its end; gives an entry when a record is complete.
    pub fn line(&mut self, line: &str) -> Result<Option<Entry>, Error> {
        for c in line.chars() {
            self.character(c)?;
        }
        if self.state == State::Quoted {
            return Ok(None);
        }
        self.end_field();
        self.finish()
    }

    fn character(&mut self, c: char) -> Result<(), Error> {
        self.state = match (self.state, c) {
            (State::Quoted, '"') => State::Quote,
            (State::Quoted, c) => {
                self.field.push(c);
                State::Quoted
            }
            (State::Quote, '"') => {
                self.field.push('"');
                State::Quoted
            }
            (_, ',') => {
                self.end_field();
                State::Begin
            }
            (state, '\r' | '\n') => state,
            (State::Begin, '"') => State::Quoted,
            (State::Quote, _) => {
                return Err(Error::Manifest {
                    why: "something follows a closing quote in a CSV record",
                });
            }
            (_, c) => {
                self.field.push(c);
                State::Plain
            }
        };
        match self.field.len() > crate::limits::MANIFEST_LINE_BYTES_MAX / 4
            || self.fields.len() > 2 * MANIFEST_PARAMETERS_MAX
        {
            true => Err(Error::Manifest {
                why: "a CSV record is too long",
            }),
            false => Ok(()),
        }
    }

    fn end_field(&mut self) {
        self.fields.push(core::mem::take(&mut self.field));
        self.state = State::Begin;
    }

    fn finish(&mut self) -> Result<Option<Entry>, Error> {
        let fields = core::mem::take(&mut self.fields);
        if let [only] = fields.as_slice()
            && only.trim().is_empty()
        {
            return Ok(None);
        }
        let Some(header) = &self.header else {
            let names = fields
                .iter()
                .map(|name| name.trim_start_matches('\u{feff}').trim().to_string());
            self.header = Some(names.collect());
            return Ok(None);
        };
        if header.len() != fields.len() {
            return Err(Error::Manifest {
                why: "a CSV record has more or fewer fields than the header",
            });
        }
        from_row(header.iter().cloned().zip(fields).collect()).map(Some)
    }
}
