//! Reads a ClientHello before the TLS library does.
//!
//! It stands at the very beginning of a connection: what the client offers (server name, protocols, versions, suites)
//! chooses the TLS configuration and goes into the attempt record, even if the handshake fails a moment later.
//! It only looks; the same bytes are given to the TLS library afterwards, which alone decides what is valid.
//! It must never panic, recurse, or keep more than its limits allow, whatever the bytes are.

use core::fmt;

use crate::limits::{HELLO_ALPN_MAX, HELLO_BYTES_MAX, HELLO_LIST_MAX, SERVER_NAME_BYTES_MAX};

const RECORD_HANDSHAKE: u8 = 22;
const MESSAGE_CLIENT_HELLO: u8 = 1;
const RECORD_BYTES_MAX: usize = 1 << 14;
/// The least that a client may ask for (RFC 8449, section 4).
const RECORD_SIZE_LIMIT_MIN: u16 = 64;
const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_MAX_FRAGMENT_LENGTH: u16 = 1;
const EXTENSION_GROUPS: u16 = 10;
const EXTENSION_SIGNATURE_SCHEMES: u16 = 13;
const EXTENSION_ALPN: u16 = 16;
const EXTENSION_RECORD_SIZE_LIMIT: u16 = 28;
const EXTENSION_VERSIONS: u16 = 43;

/// What a client offers in its first message (RFC 8446 4.1.2, RFC 5246 7.4.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The name that the client wants to speak with, lower case (RFC 6066, section 3).
    pub server_name: Option<String>,
    /// The protocols that it offers, in its order (RFC 7301).
    pub alpn: Vec<Vec<u8>>,
    /// The TLS versions that it offers, in its order.
    pub versions: Vec<u16>,
    /// The cipher suites that it offers, in its order.
    pub suites: Vec<u16>,
    /// The key exchange groups that it offers, in its order.
    pub groups: Vec<u16>,
    /// The signature schemes that it can verify, in its order.
    pub signature_schemes: Vec<u16>,
    /// Bytes of content in a record that it has room for, if it says so (RFC 8449; else RFC 6066, section 4).
    pub record_bytes_max: Option<u16>,
}

/// The first bytes are no ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedHello {
    /// An MQTT CONNECT without TLS.
    PlainMqtt,
    /// An HTTP request without TLS.
    PlainHttp,
    /// Something else that is not TLS.
    NotTls,
    /// TLS, but another message comes first.
    NotHello,
    /// More bytes than a ClientHello may have.
    TooLong,
    /// A length inside points outside.
    Torn,
}

impl fmt::Display for MalformedHello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PlainMqtt => "the client spoke MQTT without TLS; this port takes TLS only",
            Self::PlainHttp => "the client spoke HTTP without TLS; this port takes TLS only",
            Self::NotTls => "the first bytes are not TLS",
            Self::NotHello => "the first TLS message is not a ClientHello",
            Self::TooLong => "the ClientHello is longer than is allowed",
            Self::Torn => "the ClientHello is malformed",
        })
    }
}

impl core::error::Error for MalformedHello {}

/// Reads the ClientHello at the start of `bytes`; `None` while it is incomplete.
///
/// # Errors
/// The bytes cannot become a ClientHello, however many more arrive.
pub fn parse(bytes: &[u8]) -> Result<Option<Hello>, MalformedHello> {
    match bytes.first() {
        None => return Ok(None),
        Some(&RECORD_HANDSHAKE) => {}
        Some(0x10) => return Err(MalformedHello::PlainMqtt),
        Some(b'A'..=b'Z') => return Err(MalformedHello::PlainHttp),
        Some(_) => return Err(MalformedHello::NotTls),
    }
    let incomplete = |bytes: &[u8]| match bytes.len() >= HELLO_BYTES_MAX {
        true => Err(MalformedHello::TooLong),
        false => Ok(None),
    };
    let Some(message) = handshake_bytes(bytes)? else {
        return incomplete(bytes);
    };
    let mut reader = Reader(&message);
    match reader.u8() {
        None => return incomplete(bytes),
        Some(MESSAGE_CLIENT_HELLO) => {}
        Some(_) => return Err(MalformedHello::NotHello),
    }
    let Some(length) = reader.u24() else {
        return incomplete(bytes);
    };
    if length > HELLO_BYTES_MAX {
        return Err(MalformedHello::TooLong);
    }
    match reader.take(length) {
        Some(body) => read_body(body).ok_or(MalformedHello::Torn).map(Some),
        None => incomplete(bytes),
    }
}

/// Joins the fragments of the handshake message over the records that are complete so far.
fn handshake_bytes(bytes: &[u8]) -> Result<Option<Vec<u8>>, MalformedHello> {
    let mut reader = Reader(bytes);
    let mut message = Vec::new();
    while let Some(kind) = reader.u8() {
        if kind != RECORD_HANDSHAKE {
            return Err(MalformedHello::NotHello);
        }
        let Some(version) = reader.u16() else { break };
        if version >> 8 != 3 {
            return Err(MalformedHello::NotTls);
        }
        let Some(length) = reader.u16() else { break };
        if length == 0 || usize::from(length) > RECORD_BYTES_MAX {
            return Err(MalformedHello::Torn);
        }
        let Some(fragment) = reader.take(usize::from(length)) else {
            message.extend_from_slice(reader.0);
            break;
        };
        message.extend_from_slice(fragment);
        if is_whole(&message) {
            break;
        }
    }
    Ok((!message.is_empty()).then_some(message))
}

fn is_whole(message: &[u8]) -> bool {
    let mut reader = Reader(message);
    reader
        .u8()
        .and_then(|_| reader.u24())
        .is_some_and(|length| reader.0.len() >= length)
}

fn read_body(body: &[u8]) -> Option<Hello> {
    let mut reader = Reader(body);
    let mut hello = Hello::default();
    let legacy_version = reader.u16()?;
    reader.take(32)?; // random
    reader.vector8()?; // session id
    hello.suites = read_u16s(reader.vector16()?)?;
    reader.vector8()?; // compression methods
    if !reader.0.is_empty() {
        let mut extensions = Reader(reader.vector16()?);
        while !extensions.0.is_empty() {
            let kind = extensions.u16()?;
            let content = extensions.vector16()?;
            read_extension(kind, content, &mut hello)?;
        }
    }
    if hello.versions.is_empty() {
        hello.versions.push(legacy_version);
    }
    Some(hello)
}

fn read_extension(kind: u16, content: &[u8], hello: &mut Hello) -> Option<()> {
    let mut reader = Reader(content);
    match kind {
        EXTENSION_SERVER_NAME => hello.server_name = read_server_name(reader.vector16()?)?,
        EXTENSION_ALPN => hello.alpn = read_alpn(reader.vector16()?)?,
        EXTENSION_VERSIONS => hello.versions = read_u16s(reader.vector8()?)?,
        EXTENSION_GROUPS => hello.groups = read_u16s(reader.vector16()?)?,
        EXTENSION_SIGNATURE_SCHEMES => hello.signature_schemes = read_u16s(reader.vector16()?)?,
        EXTENSION_RECORD_SIZE_LIMIT => hello.record_bytes_max = read_record_size_limit(&mut reader)?,
        EXTENSION_MAX_FRAGMENT_LENGTH if hello.record_bytes_max.is_none() => {
            hello.record_bytes_max = read_fragment_length(reader.u8()?);
        }
        _ => {}
    }
    Some(())
}

/// TLS 1.3 counts the type of the content, too, which takes one byte. Less than the least that may be asked for asks for nothing.
fn read_record_size_limit(reader: &mut Reader<'_>) -> Option<Option<u16>> {
    let limit = reader.u16()?;
    Some(
        (RECORD_SIZE_LIMIT_MIN..=RECORD_BYTES_MAX as u16)
            .contains(&limit)
            .then(|| limit - 1),
    )
}

/// Four sizes have a number; others ask for nothing.
fn read_fragment_length(code: u8) -> Option<u16> {
    (1..=4).contains(&code).then(|| 256 << code)
}

/// The first host name of the list; a name that cannot be one is left out, as if none had been sent.
fn read_server_name(list: &[u8]) -> Option<Option<String>> {
    let mut reader = Reader(list);
    while !reader.0.is_empty() {
        let kind = reader.u8()?;
        let name = reader.vector16()?;
        if kind == 0 && name.len() <= SERVER_NAME_BYTES_MAX && name.iter().all(u8::is_ascii_graphic) {
            return Some(core::str::from_utf8(name).ok().map(str::to_ascii_lowercase));
        }
    }
    Some(None)
}

fn read_alpn(list: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut reader = Reader(list);
    let mut names = Vec::new();
    while !reader.0.is_empty() {
        let name = reader.vector8()?;
        if names.len() < HELLO_ALPN_MAX {
            names.push(name.to_vec());
        }
    }
    Some(names)
}

fn read_u16s(list: &[u8]) -> Option<Vec<u16>> {
    let (pairs, rest) = list.as_chunks::<2>();
    rest.is_empty().then(|| {
        pairs
            .iter()
            .take(HELLO_LIST_MAX)
            .map(|pair| u16::from_be_bytes(*pair))
            .collect()
    })
}

/// A cursor that hands out what is there, or nothing.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u24(&mut self) -> Option<usize> {
        match self.take(3)? {
            [a, b, c] => Some(usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c)),
            _ => None,
        }
    }

    fn vector8(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(usize::from(length))
    }

    fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }
}

/// The name of a TLS version, as OpenSSL and the logs of most tools write it.
pub fn version_name(version: u16) -> String {
    match version {
        0x0300 => "SSLv3".into(),
        0x0301 => "TLSv1.0".into(),
        0x0302 => "TLSv1.1".into(),
        0x0303 => "TLSv1.2".into(),
        0x0304 => "TLSv1.3".into(),
        other => format!("0x{other:04x}"),
    }
}

/// Values that a client sprinkles in so that servers learn to ignore the unknown (RFC 8701).
pub fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}
