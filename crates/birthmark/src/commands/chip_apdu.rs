//! Commands and answers of the chip in words: what is asked of which object, and what came back.
//!
//! Secrets that cross the bus are counted, not shown, in these words.

use optiga::{
    Curve, ErrorCode, KeyUsage, Lifecycle, Metadata, ObjectId, Uid,
    apdu::{Answer, record},
};

/// Most bytes of data that are shown in words.
const SHOWN_BYTES_MAX: usize = 32;

/// What people call an object.
pub(super) const fn object_name(object: ObjectId) -> &'static str {
    match object.0 {
        0xE0C0 => "chip life cycle",
        0xE0C1 => "chip security status",
        0xE0C2 => "coprocessor UID",
        0xE0C3 => "sleep delay",
        0xE0C4 => "current limit",
        0xE0C5 => "security event counter",
        0xE0C6 => "longest command",
        0xE0E0 => "factory certificate",
        0xE0E1 => "device certificate 1",
        0xE0E2 => "device certificate 2",
        0xE0E3 => "device certificate 3",
        0xE0E8 => "trust anchor",
        0xE0EF => "firmware trust anchor",
        0xE0F0 => "factory key",
        0xE0F1 => "device key 1",
        0xE0F2 => "device key 2",
        0xE0F3 => "device key 3",
        0xE100..=0xE103 => "session context",
        0xF1C0 => "application life cycle",
        0xF1C1 => "application security status",
        0xF1C2 => "last error",
        0xF1D0..=0xF1DF => "data object of 100 bytes",
        0xF1E0 | 0xF1E1 => "data object of 1500 bytes",
        _ => "unknown object",
    }
}

fn named(object: ObjectId) -> String {
    format!("{object} ({})", object_name(object))
}

/// A command in words.
pub(super) fn command(bytes: &[u8]) -> String {
    let Some((&[code, parameter, high, low], data)) = bytes.split_first_chunk() else {
        return format!("a command of only {} bytes", bytes.len());
    };
    let clears = if code & 0x80 != 0 {
        ", clears the last error"
    } else {
        ""
    };
    let said = usize::from(u16::from_be_bytes([high, low]));
    let wrong = if said == data.len() {
        String::new()
    } else {
        format!(", says {said} bytes of data and has {}", data.len())
    };
    format!("{}{clears}{wrong}", words(code & 0x7F, parameter, data))
}

fn words(code: u8, parameter: u8, data: &[u8]) -> String {
    let object = data.first_chunk().map(|id| ObjectId(u16::from_be_bytes(*id)));
    let of = object.map_or_else(|| "nothing".to_owned(), named);
    let number = |at: usize| {
        let bytes = data.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u16::from_be_bytes)
    };
    match (code, parameter) {
        (0x01, 0) if data.len() == 6 => {
            format!("GetDataObject {of}, {} bytes from {}", number(4), number(2))
        }
        (0x01, 0) => format!("GetDataObject {of}"),
        (0x01, 1) => format!("GetDataObject {of}, its metadata"),
        (0x02, 1) => format!(
            "SetDataObject {of}, its metadata: {}",
            metadata(data.get(4..).unwrap_or_default())
        ),
        (0x02, _) => format!(
            "SetDataObject {of}, {} bytes from {}{}",
            data.len().saturating_sub(4),
            number(2),
            if parameter == 0x40 { ", erased first" } else { "" }
        ),
        (0x0C, _) => format!(
            "GetRandom {} bytes ({})",
            number(0),
            if parameter == 1 { "DRNG" } else { "TRNG" }
        ),
        (0x10, 0x91) => format!("SetAuthScheme ECDSA with {of}"),
        (0x10, _) => format!("SetAuthScheme DTLS client with {of}, session {:04X}", number(2)),
        (0x18, _) => "GetAuthMsg: sign the challenge".to_owned(),
        (0x19, _) => format!("SetAuthMsg: a challenge of {} bytes", data.len()),
        (0x1A, message) => format!("ProcUpLinkMsg {}, session {:04X}", up_message(message), number(0)),
        (0x1B, message) => format!(
            "ProcDownLinkMsg {}, session {:04X}",
            down_message(message),
            number(0)
        ),
        (0x30, _) => hash(data),
        (0x31, _) => format!(
            "CalcSign a digest of {} bytes with {}",
            length(data, 1),
            key(data, 3)
        ),
        (0x32, _) => verify(data),
        (0x33, _) => format!("CalcSSec with {}{}", key(data, 1), destination(data)),
        (0x34, _) => format!(
            "DeriveKey of {} bytes from {}, over {} bytes{}",
            value(data, 3),
            key(data, 1),
            length(data, 2),
            destination(data)
        ),
        (0x38, curve) => generate(curve, data),
        (0x70, _) => "OpenApplication".to_owned(),
        _ => format!(
            "command {code:02X} with parameter {parameter:02X}, {} bytes: not known",
            data.len()
        ),
    }
}

fn length(data: &[u8], tag: u8) -> usize {
    record(data, tag).map_or(0, <[u8]>::len)
}

fn value(data: &[u8], tag: u8) -> u64 {
    record(data, tag).map_or(0, |value| {
        value.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    })
}

fn key(data: &[u8], tag: u8) -> String {
    match record(data, tag).map(<[u8; 2]>::try_from) {
        Ok(Ok(id)) => named(ObjectId(u16::from_be_bytes(id))),
        _ => "no key".to_owned(),
    }
}

fn destination(data: &[u8]) -> String {
    match record(data, 8).map(<[u8; 2]>::try_from) {
        Ok(Ok(id)) => format!(", kept in {:04X}", u16::from_be_bytes(id)),
        _ => ", given out".to_owned(),
    }
}

fn verify(data: &[u8]) -> String {
    let by = match record(data, 4) {
        Ok(_) => format!("the certificate in {}", key(data, 4)),
        Err(_) => format!(
            "a public key on {}",
            curve_name(u8::try_from(value(data, 5)).unwrap_or(0))
        ),
    };
    format!("VerifySign over a digest of {} bytes by {by}", length(data, 1))
}

fn generate(curve: u8, data: &[u8]) -> String {
    let curve = curve_name(curve);
    match record(data, 1) {
        Ok(_) => {
            let usage = KeyUsage(u8::try_from(value(data, 2)).unwrap_or(0));
            format!("GenKeyPair {curve} in {} to {}", key(data, 1), usage_words(usage))
        }
        Err(_) => format!("GenKeyPair {curve}, both keys given out"),
    }
}

fn hash(data: &[u8]) -> String {
    let Some((&[tag, high, low], rest)) = data.split_first_chunk() else {
        return "CalcHash without input".to_owned();
    };
    let bytes = usize::from(u16::from_be_bytes([high, low]));
    let step = match tag & 0x0F {
        0 => "start",
        1 => "start and end",
        2 => "continue",
        3 => "end",
        4 => "terminate",
        5 => "digest so far",
        _ => "unknown step",
    };
    let input = match rest.first_chunk() {
        Some(&[id_high, id_low, _, _, count_high, count_low]) if tag & 0x10 != 0 => format!(
            "{} bytes of {}",
            u16::from_be_bytes([count_high, count_low]),
            named(ObjectId(u16::from_be_bytes([id_high, id_low])))
        ),
        _ => format!("{bytes} bytes"),
    };
    let more = rest.get(bytes..).unwrap_or_default();
    let import = if record(more, 6).is_ok() {
        ", state brought along"
    } else {
        ""
    };
    let export = if record(more, 7).is_ok() {
        ", state given out"
    } else {
        ""
    };
    format!("CalcHash SHA-256, {step}, {input}{import}{export}")
}

const fn up_message(parameter: u8) -> &'static str {
    match parameter {
        0x01 => "ClientHello",
        0x03 => "ClientHello with cookie",
        0x0B => "Certificate",
        0x0F => "CertificateVerify",
        0x10 => "ClientKeyExchange",
        0x14 => "Finished",
        0x61 => "encrypt a record",
        0x71 => "close the session",
        _ => "unknown message",
    }
}

const fn down_message(parameter: u8) -> &'static str {
    match parameter {
        0x02 => "ServerHello",
        0x03 => "HelloVerifyRequest",
        0x0B => "Certificate",
        0x0C => "ServerKeyExchange",
        0x0D => "CertificateRequest",
        0x0E => "ServerHelloDone",
        0x14 => "Finished",
        0x51 => "decrypt a record",
        _ => "unknown message",
    }
}

/// An answer in words; what it answers decides how its data are read.
pub(super) fn answer(command: Option<&[u8]>, bytes: &[u8]) -> String {
    let data = match Answer::parse(bytes) {
        Ok(Answer::Data(data)) => data,
        Ok(Answer::Refused) => return "refused; the last error object says why".to_owned(),
        Err(_) => return format!("an answer that makes no sense, {} bytes", bytes.len()),
    };
    if data.is_empty() {
        return "done".to_owned();
    }
    match command.and_then(<[u8]>::split_first_chunk) {
        Some((&[code, parameter, _, _], asked)) => answered(code & 0x7F, parameter, asked, data),
        None => format!("done: {}", shown(data)),
    }
}

fn answered(code: u8, parameter: u8, asked: &[u8], data: &[u8]) -> String {
    let of = asked.first_chunk().map(|id| ObjectId(u16::from_be_bytes(*id)));
    match (code, parameter) {
        (0x01, 0) if of == Some(ObjectId::LAST_ERROR) => match data {
            [0] => "done: no error".to_owned(),
            [code] => format!("done: {}", ErrorCode(*code)),
            _ => format!("done: {}", shown(data)),
        },
        (0x01, 1) => format!("done: {}", metadata(data)),
        (0x38, _) if record(data, 1).is_ok() => format!(
            "done: a private key of {} bytes (not shown) and its public key",
            length(data, 1).saturating_sub(2)
        ),
        (0x38, _) => format!("done: a public key of {} bytes", length(data, 2)),
        (0x33 | 0x34, _) => format!("done: a secret of {} bytes (not shown)", data.len()),
        (0x31 | 0x18, _) => format!("done: a signature of {} bytes", data.len()),
        (0x30, _) => match record(data, 1) {
            Ok(digest) => format!("done: digest {}", shown(digest)),
            Err(_) => format!("done: a state of {} bytes", length(data, 6)),
        },
        _ => format!("done: {}", shown(data)),
    }
}

fn shown(data: &[u8]) -> String {
    let head = hexadecimal(data.get(..SHOWN_BYTES_MAX).unwrap_or(data));
    if data.len() > SHOWN_BYTES_MAX {
        format!("{} bytes, {head}...", data.len())
    } else {
        format!("{} bytes, {head}", data.len())
    }
}

/// Metadata in words.
pub(super) fn metadata(bytes: &[u8]) -> String {
    Metadata::parse(bytes).map_or_else(
        || format!("metadata that does not parse, {}", shown(bytes)),
        |metadata| metadata_words(&metadata).join(", "),
    )
}

/// Each thing that metadata says, in the chip's order.
pub(super) fn metadata_words(metadata: &Metadata) -> Vec<String> {
    let access = [
        ("change", metadata.change),
        ("read", metadata.read),
        ("delete", metadata.delete),
        ("use", metadata.execute),
    ];
    let mut words = Vec::new();
    words.extend(metadata.lifecycle.map(|state| lifecycle_name(state).to_owned()));
    words.extend(metadata.max_bytes.map(|bytes| format!("room for {bytes} bytes")));
    words.extend(metadata.used_bytes.map(|bytes| format!("{bytes} bytes used")));
    words.extend(
        access
            .into_iter()
            .filter_map(|(verb, access)| Some(format!("{verb} {}", access?))),
    );
    words.extend(
        metadata
            .algorithm
            .map(|curve| curve_name(curve.identifier()).to_owned()),
    );
    words.extend(metadata.usage.map(|usage| format!("may {}", usage_words(usage))));
    words
}

/// A life cycle state in words.
pub(super) const fn lifecycle_name(state: Lifecycle) -> &'static str {
    match state {
        Lifecycle::Creation => "creation",
        Lifecycle::Initialisation => "initialisation",
        Lifecycle::Operational => "operational",
        Lifecycle::Termination => "termination",
    }
}

/// A curve in words.
pub(super) const fn curve_name(identifier: u8) -> &'static str {
    match Curve::from_identifier(identifier) {
        Some(Curve::P256) => "P-256",
        Some(Curve::P384) => "P-384",
        None => "an unknown curve",
    }
}

/// What a key may do, in words.
pub(super) fn usage_words(usage: KeyUsage) -> String {
    let bits = [
        (KeyUsage::AUTHENTICATE, "authenticate"),
        (KeyUsage::ENCRYPT, "encrypt"),
        (KeyUsage::UPDATE_HOST, "update the host"),
        (KeyUsage::MANAGE_DEVICE, "manage the device"),
        (KeyUsage::SIGN, "sign"),
        (KeyUsage::AGREE, "agree on secrets"),
    ];
    let words: Vec<_> = bits
        .iter()
        .filter(|(bit, _)| usage.0 & bit.0 != 0)
        .map(|(_, word)| *word)
        .collect();
    if words.is_empty() {
        "do nothing".to_owned()
    } else {
        words.join(" and ")
    }
}

/// Firmware builds that documents know, and the product version of each.
pub(super) const fn build_name(uid: &Uid) -> Option<&'static str> {
    match uid.firmware_build() {
        0x0510 => Some("1.0"),
        0x0715 => Some("1.1"),
        0x1048 => Some("1.2"),
        0x1112 => Some("1.30"),
        0x1118 => Some("1.40"),
        _ => None,
    }
}

/// Hexadecimal without spaces.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
