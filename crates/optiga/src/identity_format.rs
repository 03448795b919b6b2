//! How certificates lie in certificate objects: the TLS identity form, and plain DER.
//!
//! TLS identity: `C0 len(2)` and then the body of a TLS 1.2 Certificate message (RFC 5246 7.4.2): `len(3)` and for each
//! certificate `len(3) DER`. For a single certificate that is a head of nine bytes. Trust anchors are plain DER.

/// Bytes before a single certificate.
pub const HEAD_BYTES: usize = 9;

const TLS_IDENTITY: u8 = 0xC0;
const SEQUENCE: u8 = 0x30;

/// Why the content of an object is no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// Neither TLS identity nor DER; the first byte.
    Unknown(u8),
    /// The lengths inside do not fit each other: the object was not written completely.
    Torn,
    /// More than the form can say.
    TooLong,
}

/// The head for one certificate of `certificate_bytes`.
pub fn head(certificate_bytes: usize) -> Result<[u8; HEAD_BYTES], FormatError> {
    let total = u16::try_from(certificate_bytes + 6).map_err(|_| FormatError::TooLong)?;
    let [t1, t0] = total.to_be_bytes();
    let [.., l2, l1, l0] = (certificate_bytes as u32 + 3).to_be_bytes();
    let [.., c2, c1, c0] = (certificate_bytes as u32).to_be_bytes();
    Ok([TLS_IDENTITY, t1, t0, l2, l1, l0, c2, c1, c0])
}

/// Writes a chain, device certificate first, to the front of `out` and says how long it is.
pub fn write_chain(chain: &[&[u8]], out: &mut [u8]) -> Result<usize, FormatError> {
    let list: usize = chain.iter().map(|certificate| certificate.len() + 3).sum();
    let total = u16::try_from(list + 3).map_err(|_| FormatError::TooLong)?;
    let mut end = 0;
    append(out, &mut end, &[TLS_IDENTITY])?;
    append(out, &mut end, &total.to_be_bytes())?;
    append_length(out, &mut end, list)?;
    for certificate in chain {
        append_length(out, &mut end, certificate.len())?;
        append(out, &mut end, certificate)?;
    }
    Ok(end)
}

fn append(out: &mut [u8], end: &mut usize, bytes: &[u8]) -> Result<(), FormatError> {
    let next = *end + bytes.len();
    out.get_mut(*end..next)
        .ok_or(FormatError::TooLong)?
        .copy_from_slice(bytes);
    *end = next;
    Ok(())
}

fn append_length(out: &mut [u8], end: &mut usize, length: usize) -> Result<(), FormatError> {
    let [high, l2, l1, l0] = u32::try_from(length)
        .map_err(|_| FormatError::TooLong)?
        .to_be_bytes();
    if high != 0 {
        return Err(FormatError::TooLong);
    }
    append(out, end, &[l2, l1, l0])
}

/// The certificates in an object, in their order. Every length is checked before the first is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificates<'a> {
    form: Form,
    rest: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    List,
}

impl<'a> Certificates<'a> {
    /// Looks at the content of an object. An empty object holds no certificates.
    pub fn parse(content: &'a [u8]) -> Result<Self, FormatError> {
        let certificates = match content.first() {
            None => Self {
                form: Form::List,
                rest: content,
            },
            Some(&SEQUENCE) => Self {
                form: Form::Plain,
                rest: plain(content)?,
            },
            Some(&TLS_IDENTITY) => Self {
                form: Form::List,
                rest: list(content)?,
            },
            Some(&other) => return Err(FormatError::Unknown(other)),
        };
        let mut walk = certificates;
        while !walk.rest.is_empty() {
            walk.next().ok_or(FormatError::Torn)?;
        }
        Ok(certificates)
    }
}

impl<'a> Iterator for Certificates<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match self.form {
            Form::Plain => Some(core::mem::take(&mut self.rest)).filter(|der| !der.is_empty()),
            Form::List => {
                let (certificate, rest) = split_long(self.rest)?;
                self.rest = rest;
                Some(certificate).filter(|der| !der.is_empty())
            }
        }
    }
}

fn list(content: &[u8]) -> Result<&[u8], FormatError> {
    let (&[_, high, low], rest) = content.split_first_chunk().ok_or(FormatError::Torn)?;
    let body = rest
        .get(..usize::from(u16::from_be_bytes([high, low])))
        .ok_or(FormatError::Torn)?;
    match split_long(body) {
        Some((list, [])) => Ok(list),
        _ => Err(FormatError::Torn),
    }
}

/// Takes `len(3)` and so many bytes off the front.
fn split_long(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[l2, l1, l0], rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_be_bytes([0, l2, l1, l0]) as usize)
}

/// One DER SEQUENCE, cut where its own length says (an object can be longer than what was written last).
fn plain(content: &[u8]) -> Result<&[u8], FormatError> {
    let length = match *content {
        [_, short @ ..=0x7F, ..] => 2 + usize::from(short),
        [_, 0x81, length, ..] => 3 + usize::from(length),
        [_, 0x82, high, low, ..] => 4 + usize::from(u16::from_be_bytes([high, low])),
        _ => return Err(FormatError::Torn),
    };
    content.get(..length).ok_or(FormatError::Torn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn the_head_of_the_sample_certificate() {
        // Certificate of 447 bytes: C0 01C5 0001C2 0001BF.
        assert_eq!(
            head(447),
            Ok([0xC0, 0x01, 0xC5, 0x00, 0x01, 0xC2, 0x00, 0x01, 0xBF])
        );
        assert_eq!(head(0xFFF9).map(|head| head[1..3] == [0xFF, 0xFF]), Ok(true));
        assert_eq!(head(0xFFFA), Err(FormatError::TooLong));
    }

    #[test]
    fn head_and_chain_agree() {
        let mut out = [0; 16];
        let n = write_chain(&[&[0x30, 1, 7]], &mut out).unwrap();
        assert_eq!(
            (&out[..HEAD_BYTES], &out[HEAD_BYTES..n]),
            (&head(3).unwrap()[..], &[0x30, 1, 7][..])
        );
        assert_eq!(write_chain(&[&[0; 8]], &mut out), Err(FormatError::TooLong));
    }

    #[track_caller]
    fn check(content: &[u8], expected: Result<&[&[u8]], FormatError>) {
        let found = Certificates::parse(content).map(Iterator::collect::<Vec<_>>);
        assert_eq!(
            found.as_deref(),
            expected.as_ref().map(|list| &list[..]),
            "{content:02X?}"
        );
    }

    #[test]
    fn forms() {
        check(&[], Ok(&[]));
        check(&[0x30, 1, 9], Ok(&[&[0x30, 1, 9]]));
        check(&[0x30, 1, 9, 0xEE, 0xEE], Ok(&[&[0x30, 1, 9]]));
        check(&[0xC0, 0, 7, 0, 0, 4, 0, 0, 1, 9], Ok(&[&[9]]));
        check(
            &[0xC0, 0, 11, 0, 0, 8, 0, 0, 1, 9, 0, 0, 1, 8, 0xEE],
            Ok(&[&[9], &[8]]),
        );
        check(&[0xC0, 0, 3, 0, 0, 0], Ok(&[]));
        check(&[0xC2, 0, 0], Err(FormatError::Unknown(0xC2)));
        check(&[0x00], Err(FormatError::Unknown(0)));
        check(&[0xC0], Err(FormatError::Torn));
        check(&[0xC0, 0, 8, 0, 0, 4, 0, 0, 1, 9], Err(FormatError::Torn));
        check(&[0xC0, 0, 7, 0, 0, 4, 0, 0, 2, 9], Err(FormatError::Torn));
        check(&[0xC0, 0, 7, 0, 0, 4, 0, 0, 0, 9], Err(FormatError::Torn));
        check(&[0x30, 2, 9], Err(FormatError::Torn));
        check(&[0x30, 0x83, 0, 0, 1, 9], Err(FormatError::Torn));
        check(&[0x30], Err(FormatError::Torn));
    }

    proptest! {
        #[test]
        fn nothing_panics(content in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Certificates::parse(&content).map(Iterator::count);
        }
    }
}
