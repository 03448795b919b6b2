//! Object identifiers, kept as their content bytes: comparing two is comparing bytes.

use alloc::borrow::Cow;
use core::fmt;

use crate::der::Fault;

/// An object identifier.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(Cow<'static, [u8]>);

impl Oid {
    /// An identifier that is known when the program is compiled; `content` is what stands behind tag and length.
    pub const fn from_static(content: &'static [u8]) -> Self {
        Self(Cow::Borrowed(content))
    }

    /// Reads the content bytes: each arc minimal, complete, and below 2^128.
    pub fn from_content(content: &[u8]) -> Result<Self, Fault> {
        if content.is_empty() || content.last().is_some_and(|byte| byte & 0x80 != 0) {
            return Err(Fault::Content);
        }
        let sound = content.split_inclusive(|byte| byte & 0x80 == 0).all(is_sound_arc);
        if sound {
            Ok(Self(Cow::Owned(content.to_vec())))
        } else {
            Err(Fault::Content)
        }
    }

    /// The content bytes.
    pub fn content(&self) -> &[u8] {
        &self.0
    }
}

/// An arc has no leading zero group and fits in 128 bits (18 groups of seven, or 19 that begin with at most two bits).
fn is_sound_arc(arc: &[u8]) -> bool {
    match arc {
        [0x80, ..] => false,
        [first, rest @ ..] => rest.len() < 18 || (rest.len() == 18 && first & 0x7f <= 3),
        [] => false,
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut arcs = self.0.split_inclusive(|byte| byte & 0x80 == 0).map(|arc| {
            arc.iter()
                .fold(0_u128, |value, byte| value << 7 | u128::from(byte & 0x7f))
        });
        // The first two arcs share a number: 40 times the first, plus the second (X.690 8.19.4).
        let joined = arcs.next().unwrap_or_default();
        let root = (joined / 40).min(2);
        write!(f, "{root}.{}", joined - root * 40)?;
        arcs.try_for_each(|arc| write!(f, ".{arc}"))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({self})")
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn identifiers_print_in_dots() {
        for (content, text) in [
            (&[0x55, 0x04, 0x03][..], "2.5.4.3"),
            (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01], "1.2.840.10045.2.1"),
            (&[0x00], "0.0"),
            (&[0x88, 0x37], "2.999"),
            (
                &[
                    0x69, 0x83, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
                    255, 255, 0x7f,
                ],
                "2.25.340282366920938463463374607431768211455",
            ),
        ] {
            assert_eq!(Oid::from_content(content).unwrap().to_string(), text);
        }
    }

    #[test]
    fn padded_cut_and_huge_arcs_are_refused() {
        let huge = [&[0x69, 0x84][..], &[255; 17], &[0x7f]].concat();
        for content in [&[][..], &[0x55, 0x84], &[0x80, 0x01], &[0x55, 0x80, 0x01], &huge] {
            assert_eq!(Oid::from_content(content), Err(Fault::Content), "{content:02x?}");
        }
    }
}
