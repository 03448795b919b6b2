//! A signature as the chip gives it, two INTEGERs without a SEQUENCE around them, and the two forms that the world wants:
//! fixed halves (PKCS #11) and the DER SEQUENCE (X.509, TLS).

use crate::object::Curve;

/// An ECDSA signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    r: [u8; 48],
    s: [u8; 48],
}

impl Signature {
    /// From `02 len r 02 len s` and nothing after it.
    pub(crate) fn from_integers(bytes: &[u8]) -> Option<Self> {
        let (r, rest) = split_integer(bytes)?;
        let (s, rest) = split_integer(rest)?;
        rest.is_empty().then_some(Self { r, s })
    }

    /// From `r ‖ s`, both of the same length, at most 48 bytes each.
    #[must_use]
    pub fn from_fixed(bytes: &[u8]) -> Option<Self> {
        let half = bytes.len() / 2;
        let (r, s) = bytes.split_at_checked(half)?;
        Some(Self {
            r: right_aligned(r)?,
            s: right_aligned(s)?,
        })
        .filter(|_| half * 2 == bytes.len() && half > 0)
    }

    /// Writes `r ‖ s` with halves of the curve's size and gives what was written. `None` if `out` is too short or a half
    /// does not belong to this curve.
    pub fn write_fixed<'a>(&self, curve: Curve, out: &'a mut [u8]) -> Option<&'a [u8]> {
        let half = curve.scalar_bytes();
        let out = out.get_mut(..2 * half)?;
        for (part, value) in out.chunks_exact_mut(half).zip([&self.r, &self.s]) {
            let (spare, digits) = value.split_at_checked(48 - half)?;
            if spare.iter().any(|byte| *byte != 0) {
                return None;
            }
            part.copy_from_slice(digits);
        }
        Some(out)
    }

    /// Writes `SEQUENCE { r, s }` and gives what was written. `None` if `out` is too short: [`crate::limits::SIGNATURE_DER_BYTES_MAX`] is enough.
    pub fn write_der<'a>(&self, out: &'a mut [u8]) -> Option<&'a [u8]> {
        let end = write_integer(&self.r, 2, out)?;
        let end = write_integer(&self.s, end, out)?;
        let length = u8::try_from(end - 2).ok()?;
        out.get_mut(..2)?.copy_from_slice(&[0x30, length]);
        out.get(..end)
    }
}

/// Takes one INTEGER off the front. The chip encodes minimally; we only insist on the range.
fn split_integer(bytes: &[u8]) -> Option<([u8; 48], &[u8])> {
    let (&[tag, length], rest) = bytes.split_first_chunk()?;
    let (value, rest) = rest.split_at_checked(usize::from(length))?;
    let value = value.strip_prefix(&[0]).unwrap_or(value);
    (tag == 0x02 && length > 0).then_some((right_aligned(value)?, rest))
}

fn right_aligned(value: &[u8]) -> Option<[u8; 48]> {
    let mut whole = [0; 48];
    let start = whole.len().checked_sub(value.len())?;
    whole.get_mut(start..)?.copy_from_slice(value);
    Some(whole)
}

fn write_integer(value: &[u8; 48], at: usize, out: &mut [u8]) -> Option<usize> {
    let zeros = value.iter().take_while(|byte| **byte == 0).count().min(47);
    let digits = value.get(zeros..)?;
    let sign = usize::from(digits.first()? & 0x80 != 0);
    let length = digits.len() + sign;
    let room = out.get_mut(at..at + 2 + length)?;
    room.fill(0);
    room.get_mut(..2)?
        .copy_from_slice(&[0x02, u8::try_from(length).ok()?]);
    room.get_mut(2 + sign..)?.copy_from_slice(digits);
    Some(at + 2 + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SIGNATURE_DER_BYTES_MAX;
    use proptest::prelude::*;

    #[test]
    fn short_halves_are_padded_and_high_bits_get_a_zero() {
        let signature = Signature::from_integers(&[2, 1, 5, 2, 2, 0, 0x80]).unwrap();
        let mut out = [0xEE; SIGNATURE_DER_BYTES_MAX];
        assert_eq!(
            signature.write_der(&mut out).unwrap(),
            [0x30, 7, 2, 1, 5, 2, 2, 0, 0x80]
        );
        let fixed = signature.write_fixed(Curve::P256, &mut out).unwrap();
        assert_eq!((fixed.len(), fixed[31], fixed[63]), (64, 5, 0x80));
        assert_eq!(Signature::from_fixed(fixed), Some(signature));
    }

    #[test]
    fn broken_signatures_are_refused() {
        let cases: [&[u8]; 8] = [
            &[],
            &[2, 1, 5],
            &[2, 1, 5, 2, 1],
            &[2, 0, 2, 1, 5],
            &[3, 1, 5, 2, 1, 5],
            &[2, 1, 5, 2, 1, 5, 0],
            &[0x30, 6, 2, 1, 5, 2, 1, 5],
            &[2, 50, 1],
        ];
        for bytes in cases {
            assert_eq!(Signature::from_integers(bytes), None, "{bytes:02X?}");
        }
        assert_eq!(Signature::from_fixed(&[1; 63]), None);
        assert_eq!(Signature::from_fixed(&[1; 98]), None);
        let wide = Signature::from_fixed(&[1; 96]).unwrap();
        assert_eq!(wide.write_fixed(Curve::P256, &mut [0; 96]), None);
        assert_eq!(wide.write_fixed(Curve::P384, &mut [0; 95]), None);
    }

    proptest! {
        #[test]
        fn all_three_forms_agree(bytes in proptest::collection::vec(any::<u8>(), 96..=96)) {
            let signature = Signature::from_fixed(&bytes).unwrap();
            let mut der = [0; SIGNATURE_DER_BYTES_MAX];
            let der = signature.write_der(&mut der).unwrap();
            prop_assert_eq!(Signature::from_integers(&der[2..]), Some(signature));
        }
    }
}
