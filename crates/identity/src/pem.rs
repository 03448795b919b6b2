//! PEM (RFC 7468): the text form in which people and tools hand documents around.
//!
//! Blocks with other labels and text around the blocks are skipped, because tools write both (`openssl ecparam -genkey`,
//! `openssl x509 -text`). The body must be base64 and nothing else.

use alloc::{string::String, vec::Vec};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::{
    Error,
    error::PemFault,
    limits::{PEM_BLOCKS_MAX, PEM_BUNDLE_CHARACTERS_MAX, PEM_CHARACTERS_MAX},
};

const LINE_CHARACTERS: usize = 64;

/// The bytes of the one block with this label; none and several are both refused.
pub fn decode_one(label: &str, text: &str) -> Result<Vec<u8>, Error> {
    within("pem document", text.len(), PEM_CHARACTERS_MAX)?;
    let mut blocks = Blocks { label, rest: text };
    let block = blocks.next().ok_or_else(|| fault(label, PemFault::Missing))??;
    match blocks.next() {
        None => Ok(block),
        Some(_) => Err(fault(label, PemFault::Several)),
    }
}

/// The bytes of every block with this label, in order; at least one.
pub fn decode_all(label: &str, text: &str) -> Result<Vec<Vec<u8>>, Error> {
    within("pem bundle", text.len(), PEM_BUNDLE_CHARACTERS_MAX)?;
    let blocks = Blocks { label, rest: text }
        .take(PEM_BLOCKS_MAX + 1)
        .collect::<Result<Vec<_>, _>>()?;
    within("pem bundle blocks", blocks.len(), PEM_BLOCKS_MAX)?;
    if blocks.is_empty() {
        Err(fault(label, PemFault::Missing))
    } else {
        Ok(blocks)
    }
}

/// The text form of `der`, ending in a newline.
pub fn encode(label: &str, der: &[u8]) -> String {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut text = String::with_capacity(body.len() + body.len() / LINE_CHARACTERS + 2 * label.len() + 64);
    for part in ["-----BEGIN ", label, "-----\n"] {
        text.push_str(part);
    }
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at_checked(LINE_CHARACTERS).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = behind;
    }
    for part in ["-----END ", label, "-----\n"] {
        text.push_str(part);
    }
    text
}

fn within(what: &'static str, found: usize, limit: usize) -> Result<(), Error> {
    if found > limit {
        Err(Error::TooLarge { what, found, limit })
    } else {
        Ok(())
    }
}

fn fault(label: &str, cause: PemFault) -> Error {
    Error::Pem {
        label: label.into(),
        cause,
    }
}

/// The blocks with one label, found one after another.
struct Blocks<'a> {
    label: &'a str,
    rest: &'a str,
}

impl Iterator for Blocks<'_> {
    type Item = Result<Vec<u8>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let begin = alloc::format!("-----BEGIN {}-----", self.label);
        let end = alloc::format!("-----END {}-----", self.label);
        let (_, behind) = self.rest.split_once(begin.as_str())?;
        let Some((body, behind)) = behind.split_once(end.as_str()) else {
            self.rest = "";
            return Some(Err(fault(self.label, PemFault::Unterminated)));
        };
        self.rest = behind;
        Some(decode_body(body).map_err(|cause| fault(self.label, cause)))
    }
}

fn decode_body(body: &str) -> Result<Vec<u8>, PemFault> {
    let packed = body
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect::<Vec<_>>();
    let packed = Zeroizing::new(packed); // it may be a private key
    match STANDARD.decode(packed.as_slice()) {
        Ok(bytes) if bytes.is_empty() => Err(PemFault::Empty),
        Ok(bytes) => Ok(bytes),
        Err(_) => Err(PemFault::Base64),
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec};

    use super::*;

    const TWO: &str = "Bag Attributes\n-----BEGIN EC PARAMETERS-----\nBgg=\n-----END EC PARAMETERS-----\n\
        -----BEGIN X-----\r\nAQ ID\r\n-----END X-----\n\n-----BEGIN X-----BAU=-----END X-----";

    #[test]
    fn blocks_are_found_among_other_text() {
        assert_eq!(decode_all("X", TWO), Ok(vec![vec![1, 2, 3], vec![4, 5]]));
        assert_eq!(decode_one("EC PARAMETERS", TWO), Ok(vec![6, 8]));
    }

    #[test]
    fn what_is_encoded_decodes() {
        for size in [1, 47, 48, 49, 96, 1_000] {
            let bytes = vec![0xa5; size];
            let text = encode("CERTIFICATE", &bytes);
            assert!(
                text.lines().all(|line| line.len() <= 64) && text.ends_with("-----END CERTIFICATE-----\n")
            );
            assert_eq!(decode_one("CERTIFICATE", &text), Ok(bytes));
        }
    }

    #[test]
    fn each_fault_is_named() {
        let begin = "-----BEGIN X-----";
        for (text, cause) in [
            ("", PemFault::Missing),
            ("-----BEGIN Y-----AQID-----END Y-----", PemFault::Missing),
            (TWO, PemFault::Several),
            (begin, PemFault::Unterminated),
            (
                &(begin.to_string() + "AQID-----END Y-----"),
                PemFault::Unterminated,
            ),
            (&(begin.to_string() + "A*ID-----END X-----"), PemFault::Base64),
            (&(begin.to_string() + "AQI-----END X-----"), PemFault::Base64),
            (&(begin.to_string() + "\n-----END X-----"), PemFault::Empty),
        ] {
            assert_eq!(decode_one("X", text), Err(fault("X", cause)), "{text}");
        }
    }

    #[test]
    fn size_and_count_are_bounded() {
        let padding = " ".repeat(PEM_CHARACTERS_MAX - 37);
        let block = "-----BEGIN X-----AQID-----END X-----";
        assert!(decode_one("X", &(block.to_string() + &padding + " ")).is_ok());
        assert!(matches!(
            decode_one("X", &(block.to_string() + &padding + "  ")),
            Err(Error::TooLarge { .. })
        ));
        assert!(decode_all("X", &block.repeat(PEM_BLOCKS_MAX)).is_ok());
        assert!(matches!(
            decode_all("X", &block.repeat(PEM_BLOCKS_MAX + 1)),
            Err(Error::TooLarge { .. })
        ));
    }
}
