//! The canonical form of a request: the text that client and server must arrive at independently.
//!
//! "Signature Version 4 signing process", task 1: method, path, query, headers and the hash of the body, each in the one
//! way it may be written.

use aws_lc_rs::digest;
use http::HeaderMap;

use super::claim::Claim;
use super::{Denied, Form, Incoming, hex};
use crate::api::encoding::{decode, encode_into, query_pairs};

const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// The canonical request, ending with the hash of the body.
pub(super) fn request(request: &Incoming<'_>, claim: &Claim, form: Form) -> Result<Vec<u8>, Denied> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(request.method.as_bytes());
    out.push(b'\n');
    encode_into(&mut out, normalized_path(request.path).as_bytes(), true);
    out.push(b'\n');
    query(&mut out, request.query, claim.expires_seconds.is_some(), form);
    out.push(b'\n');
    headers(&mut out, request.headers, &claim.signed_headers, form)?;
    out.push(b'\n');
    out.extend_from_slice(claim.signed_headers.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload_hash(request)?.as_bytes());
    Ok(out)
}

/// The path without empty, `.` and `..` segments (RFC 3986 5.2.4, as the AWS SDKs do it).
fn normalized_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    let mut normalized = String::with_capacity(path.len());
    for segment in &segments {
        normalized.push('/');
        normalized.push_str(segment);
    }
    if normalized.is_empty() || path.ends_with('/') {
        normalized.push('/');
    }
    normalized
}

fn query(out: &mut Vec<u8>, query: &str, presigned: bool, form: Form) {
    let encoded = |text: &str| {
        let mut out = Vec::with_capacity(text.len());
        encode_into(&mut out, &decode(text), false);
        out
    };
    let mut pairs: Vec<_> = query_pairs(query)
        .filter(|(name, _)| !(presigned && *name == "X-Amz-Signature"))
        .filter(|(name, _)| !(form.token_added && *name == "X-Amz-Security-Token"))
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    pairs.sort();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
    }
}

fn headers(out: &mut Vec<u8>, headers: &HeaderMap, signed: &str, form: Form) -> Result<(), Denied> {
    if !signed.split(';').any(|name| name == "host") {
        return Err(Denied::Incomplete("the header Host must be signed"));
    }
    for name in signed.split(';') {
        if !headers.contains_key(name) {
            return Err(Denied::Incomplete("a header in SignedHeaders is missing"));
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        for (index, value) in headers.get_all(name).iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let value = match form.bare_host && name == "host" {
                true => without_port(value.as_bytes()),
                false => value.as_bytes(),
            };
            collapse_spaces(out, value);
        }
        out.push(b'\n');
    }
    Ok(())
}

/// `localhost` of `localhost:443`; an IPv6 address stands in brackets.
fn without_port(host: &[u8]) -> &[u8] {
    let is_port = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) if host.get(colon + 1..).is_some_and(is_port) => host.get(..colon).unwrap_or(host),
        _ => host,
    }
}

/// Trims a header value and makes one space of many.
fn collapse_spaces(out: &mut Vec<u8>, value: &[u8]) {
    let words = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

/// The hash of the body as the request names it; a request that names a wrong one is refused. What names none has it
/// computed. Unsigned bodies are taken because every request here comes over TLS.
fn payload_hash(request: &Incoming<'_>) -> Result<String, Denied> {
    let named = request
        .headers
        .get("x-amz-content-sha256")
        .and_then(|value| value.to_str().ok());
    let hash = hex(digest::digest(&digest::SHA256, request.body).as_ref());
    match named {
        Some(UNSIGNED_PAYLOAD) => Ok(UNSIGNED_PAYLOAD.into()),
        Some(named) if !named.eq_ignore_ascii_case(&hash) => Err(Denied::Mismatch),
        Some(named) => Ok(named.into()),
        None => Ok(hash),
    }
}
