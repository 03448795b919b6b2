//! Percent-encoding, the way AWS signs it.
//!
//! It stands under the signature check and the binding of path and query members. Decoding never fails: a `%` that
//! starts no escape is a percent sign; what must be UTF-8 is checked by who asks for text.

/// Encodes everything but `A-Z a-z 0-9 - . _ ~` (and `/` where it is kept) as `%XX`.
pub(super) fn encode_into(out: &mut Vec<u8>, bytes: &[u8], keep_slash: bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte),
            b'/' if keep_slash => out.push(byte),
            _ => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
}

/// Decodes every `%XX`.
pub(super) fn decode(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let escape = after
            .first_chunk::<2>()
            .and_then(|[high, low]| Some(hex(*high)? << 4 | hex(*low)?));
        match (first, escape) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => out.push(first),
        }
    }
    out
}

/// Decodes every `%XX`; `None` if the outcome is not UTF-8.
pub(crate) fn decode_text(text: &str) -> Option<String> {
    String::from_utf8(decode(text)).ok()
}

/// The pairs of a query string, still encoded; a name without `=` has an empty value.
pub(crate) fn query_pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}
