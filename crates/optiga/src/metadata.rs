//! What the chip says about an object and who may do what with it (Datasheet v2.70; Solution Reference Manual, metadata).
//!
//! `20 len { tag len value }`, lengths of one byte, 28 bytes at most. Reading tolerates tags it does not know; writing carries
//! only the tags to change, in rising order, and the chip takes all of them or none.

use core::fmt;

use crate::limits::{ACCESS_BYTES_MAX, METADATA_BYTES_MAX};
use crate::object::{Curve, KeyUsage, Lifecycle};

const CONTAINER: u8 = 0x20;
const LIFECYCLE: u8 = 0xC0;
const MAX_BYTES: u8 = 0xC4;
const USED_BYTES: u8 = 0xC5;
const CHANGE: u8 = 0xD0;
const READ: u8 = 0xD1;
const DELETE: u8 = 0xD2;
const EXECUTE: u8 = 0xD3;
const ALGORITHM: u8 = 0xE0;
const USAGE: u8 = 0xE1;

/// What the chip said about one object. Absent tags are `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Life cycle of the object; without it the object counts as operational.
    pub lifecycle: Option<Lifecycle>,
    /// Room for data.
    pub max_bytes: Option<u16>,
    /// Data in it; without it the object is full.
    pub used_bytes: Option<u16>,
    /// Who may change it; without it nobody.
    pub change: Option<Access>,
    /// Who may read it; without it nobody.
    pub read: Option<Access>,
    /// Who may delete it; without it nobody.
    pub delete: Option<Access>,
    /// Who may use it as a key; without it nobody.
    pub execute: Option<Access>,
    /// The curve of the key in it. An empty key slot has none.
    pub algorithm: Option<Curve>,
    /// What the key in it may do.
    pub usage: Option<KeyUsage>,
}

impl Metadata {
    /// Reads a container and everything in it; nothing may follow.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (&[tag, length], mut rest) = bytes.split_first_chunk()?;
        if tag != CONTAINER || usize::from(length) != rest.len() || bytes.len() > METADATA_BYTES_MAX {
            return None;
        }
        let mut metadata = Self::default();
        while !rest.is_empty() {
            let (&[tag, length], after) = rest.split_first_chunk()?;
            let (value, next) = after.split_at_checked(usize::from(length))?;
            metadata.take(tag, value)?;
            rest = next;
        }
        Some(metadata)
    }

    fn take(&mut self, tag: u8, value: &[u8]) -> Option<()> {
        match tag {
            LIFECYCLE => self.lifecycle = Some(Lifecycle::from_byte(single(value)?)?),
            MAX_BYTES => self.max_bytes = Some(number(value)?),
            USED_BYTES => self.used_bytes = Some(number(value)?),
            CHANGE => self.change = Some(Access::from_bytes(value)?),
            READ => self.read = Some(Access::from_bytes(value)?),
            DELETE => self.delete = Some(Access::from_bytes(value)?),
            EXECUTE => self.execute = Some(Access::from_bytes(value)?),
            ALGORITHM => self.algorithm = Curve::from_identifier(single(value)?),
            USAGE => self.usage = Some(KeyUsage(single(value)?)),
            _ => {}
        }
        Some(())
    }
}

fn single(value: &[u8]) -> Option<u8> {
    let &[byte] = value else { return None };
    Some(byte)
}

/// One or two bytes: the chip writes as few as the value needs.
fn number(value: &[u8]) -> Option<u16> {
    match *value {
        [low] => Some(u16::from(low)),
        [high, low] => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

/// Whose life cycle a condition looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The chip's (LcsG).
    Chip,
    /// The application's (LcsA).
    Application,
    /// The object's own (LcsO).
    Object,
}

/// How a condition compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Exactly in this state.
    Equal,
    /// Past this state.
    After,
    /// Not yet in this state.
    Before,
}

/// An access condition as the chip stores it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Access {
    bytes: [u8; ACCESS_BYTES_MAX],
    length: u8,
}

impl Access {
    /// Everybody, always (ALW).
    pub const ALWAYS: Self = Self::from_array([0x00]);
    /// Nobody, ever (NEV).
    pub const NEVER: Self = Self::from_array([0xFF]);
    /// Until the object is operational (LcsO<op), the state in which empty objects leave the factory.
    pub const UNTIL_OPERATIONAL: Self = Self::when(Of::Object, Comparison::Before, Lifecycle::Operational);

    const fn from_array<const N: usize>(array: [u8; N]) -> Self {
        let mut bytes = [0; ACCESS_BYTES_MAX];
        let mut at = 0;
        while at < N {
            bytes[at] = array[at];
            at += 1;
        }
        Self {
            bytes,
            length: N as u8,
        }
    }

    /// One condition.
    #[must_use]
    pub const fn when(of: Of, comparison: Comparison, state: Lifecycle) -> Self {
        let of = match of {
            Of::Chip => 0x70,
            Of::Application => 0xE0,
            Of::Object => 0xE1,
        };
        let comparison = match comparison {
            Comparison::Equal => 0xFA,
            Comparison::After => 0xFB,
            Comparison::Before => 0xFC,
        };
        Self::from_array([of, comparison, state.byte()])
    }

    /// Both must hold. Binds tighter than [`Self::or`], as in the chip: `a.or(b).and(c)` reads "a or (b and c)".
    /// `None` when the whole no longer fits into one metadata container or a side is ALWAYS or NEVER.
    #[must_use]
    pub fn and(self, other: Self) -> Option<Self> {
        self.join(0xFD, other)
    }

    /// One of both must hold; see [`Self::and`] for the limits.
    #[must_use]
    pub fn or(self, other: Self) -> Option<Self> {
        self.join(0xFE, other)
    }

    fn join(mut self, operator: u8, other: Self) -> Option<Self> {
        let (start, end) = (
            self.as_bytes().len(),
            self.as_bytes().len() + 1 + other.as_bytes().len(),
        );
        if start < 3 || other.as_bytes().len() < 3 {
            return None;
        }
        let room = self.bytes.get_mut(start..end)?;
        let (sign, rest) = room.split_first_mut()?;
        *sign = operator;
        rest.copy_from_slice(other.as_bytes());
        self.length = u8::try_from(end).ok()?;
        Some(self)
    }

    /// From the chip's encoding. The grammar is left to the chip, so that conditions of newer firmware can be read too.
    #[must_use]
    pub fn from_bytes(value: &[u8]) -> Option<Self> {
        let mut bytes = [0; ACCESS_BYTES_MAX];
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        (!value.is_empty()).then_some(Self {
            bytes,
            length: u8::try_from(value.len()).ok()?,
        })
    }

    /// The chip's encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.as_bytes() {
            [0x00] => return f.write_str("ALW"),
            [0xFF] => return f.write_str("NEV"),
            _ => {}
        }
        let mut value = false;
        self.as_bytes().iter().try_for_each(|&byte| {
            let is_value = core::mem::replace(&mut value, matches!(byte, 0xFA..=0xFC));
            match byte {
                _ if is_value => match Lifecycle::from_byte(byte) {
                    Some(Lifecycle::Creation) => f.write_str("cr"),
                    Some(Lifecycle::Initialisation) => f.write_str("in"),
                    Some(Lifecycle::Operational) => f.write_str("op"),
                    Some(Lifecycle::Termination) => f.write_str("te"),
                    None => write!(f, "{byte:02X}"),
                },
                0x70 => f.write_str("LcsG"),
                0xE0 => f.write_str("LcsA"),
                0xE1 => f.write_str("LcsO"),
                0xFA => f.write_str("="),
                0xFB => f.write_str(">"),
                0xFC => f.write_str("<"),
                0xFD => f.write_str(" and "),
                0xFE => f.write_str(" or "),
                _ => write!(f, "{byte:02X}"),
            }
        })
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Tags to change, for `write_metadata`. The chip takes all or none, and only while the object is not operational (the life
/// cycle itself may always go forward).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetadataChange {
    /// Move the life cycle forward. **Irreversible.**
    pub lifecycle: Option<Lifecycle>,
    /// Who may change the object.
    pub change: Option<Access>,
    /// Who may read the object.
    pub read: Option<Access>,
    /// Who may use the object as a key.
    pub execute: Option<Access>,
}

impl MetadataChange {
    /// Operational, and nobody may change it any more. **Irreversible**: this is how a finished identity is locked.
    pub const LOCK: Self = Self {
        lifecycle: Some(Lifecycle::Operational),
        change: Some(Access::NEVER),
        read: None,
        execute: None,
    };

    /// Writes the container to the front of `out`; `None` when it is longer than the chip takes.
    pub fn write<'a>(&self, out: &'a mut [u8; METADATA_BYTES_MAX]) -> Option<&'a [u8]> {
        let lifecycle = self.lifecycle.map(|state| [state.byte()]);
        let tags = [
            (LIFECYCLE, lifecycle.as_ref().map(<[u8; 1]>::as_slice)),
            (CHANGE, self.change.as_ref().map(Access::as_bytes)),
            (READ, self.read.as_ref().map(Access::as_bytes)),
            (EXECUTE, self.execute.as_ref().map(Access::as_bytes)),
        ];
        let mut end = 2;
        for (tag, value) in tags {
            let Some(value) = value else { continue };
            let room = out.get_mut(end..end + 2 + value.len())?;
            room.get_mut(..2)?
                .copy_from_slice(&[tag, u8::try_from(value.len()).ok()?]);
            room.get_mut(2..)?.copy_from_slice(value);
            end += 2 + value.len();
        }
        out.get_mut(..2)?
            .copy_from_slice(&[CONTAINER, u8::try_from(end - 2).ok()?]);
        out.get(..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn what_silicon_says() {
        // Trust X firmware 1118, object E0E1 (golden trace G-18).
        let bytes = [
            0x20, 0x16, 0xC0, 1, 1, 0xC4, 2, 6, 0xC0, 0xC5, 1, 0x0F, 0xD0, 7, 0xE1, 0xFB, 3, 0xFE, 0x70,
            0xFC, 4, 0xD1, 1, 0,
        ];
        let metadata = Metadata::parse(&bytes).unwrap();
        assert_eq!(metadata.lifecycle, Some(Lifecycle::Creation));
        assert_eq!((metadata.max_bytes, metadata.used_bytes), (Some(1728), Some(15)));
        assert_eq!(metadata.change.unwrap().to_string(), "LcsO>in or LcsG<04");
        assert_eq!(metadata.read, Some(Access::ALWAYS));
        // Trust M key metadata has the same grammar (G-14).
        let key = [
            0x20, 0x11, 0xC0, 1, 1, 0xD0, 3, 0xE1, 0xFC, 7, 0xD3, 1, 0, 0xE0, 1, 3, 0xE1, 1, 0x13,
        ];
        let key = Metadata::parse(&key).unwrap();
        assert_eq!(
            (key.algorithm, key.usage),
            (Some(Curve::P256), Some(KeyUsage(0x13)))
        );
        assert_eq!(key.change, Some(Access::UNTIL_OPERATIONAL));
    }

    #[test]
    fn broken_containers_are_refused() {
        let cases: [&[u8]; 8] = [
            &[],
            &[0x20],
            &[0x20, 1],
            &[0x21, 0],
            &[0x20, 0, 0],
            &[0x20, 2, 0xC0, 1],
            &[0x20, 3, 0xC0, 1, 2],
            &[0x20, 5, 0xC4, 3, 1, 2, 3],
        ];
        for bytes in cases {
            assert_eq!(Metadata::parse(bytes), None, "{bytes:02X?}");
        }
        let mut long = [0xFF; 29];
        long[..4].copy_from_slice(&[0x20, 27, 0xF7, 25]);
        assert_eq!(Metadata::parse(&long), None);
    }

    #[test]
    fn changes_as_the_chip_wants_them() {
        let mut out = [0; METADATA_BYTES_MAX];
        assert_eq!(
            MetadataChange::LOCK.write(&mut out).unwrap(),
            [0x20, 6, 0xC0, 1, 7, 0xD0, 1, 0xFF]
        );
        let change = MetadataChange {
            change: Some(Access::NEVER),
            read: Some(Access::ALWAYS),
            ..MetadataChange::default()
        };
        assert_eq!(
            change.write(&mut out).unwrap(),
            [0x20, 6, 0xD0, 1, 0xFF, 0xD1, 1, 0]
        );
        let read = MetadataChange {
            read: Some(Access::UNTIL_OPERATIONAL),
            ..MetadataChange::default()
        };
        assert_eq!(read.write(&mut out).unwrap(), [0x20, 5, 0xD1, 3, 0xE1, 0xFC, 7]);
    }

    #[test]
    fn conditions_join_until_they_no_longer_fit() {
        let term = Access::UNTIL_OPERATIONAL;
        let both = term
            .and(Access::when(Of::Chip, Comparison::Equal, Lifecycle::Operational))
            .unwrap();
        assert_eq!(both.to_string(), "LcsO<op and LcsG=op");
        assert_eq!(both.as_bytes(), [0xE1, 0xFC, 7, 0xFD, 0x70, 0xFA, 7]);
        let mut long = term;
        for _ in 1..6 {
            long = long.or(term).unwrap();
        }
        assert_eq!(long.as_bytes().len(), 23);
        assert_eq!(long.or(term), None);
        assert_eq!(Access::ALWAYS.or(term), None);
        assert_eq!(term.and(Access::NEVER), None);
        // One container holds 24 bytes of conditions; two long ones do not fit.
        let mut out = [0; METADATA_BYTES_MAX];
        let one = MetadataChange {
            change: Some(long),
            ..MetadataChange::default()
        };
        assert_eq!(one.write(&mut out).unwrap().len(), 27);
        assert_eq!(
            MetadataChange {
                read: Some(Access::ALWAYS),
                ..one
            }
            .write(&mut out),
            None
        );
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Metadata::parse(&bytes);
            let _ = Access::from_bytes(&bytes).map(|access| access.to_string());
        }
    }
}
