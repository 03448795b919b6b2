//! Metadata: what an object tells about itself, and how the host changes it.
//!
//! A container `20 length` of tags with one-byte lengths. The sizes are written with as few bytes as they need, each on its
//! own (`C4 02 06C0 C5 01 0F`, seen on silicon). A change is taken whole or not at all.

use crate::access;
use crate::code::Code;
use crate::limits::METADATA_BYTES_MAX;
use crate::memory::View;
use crate::objects::{Kind, Object, life_cycle};

const CONTAINER: u8 = 0x20;
const LIFE_CYCLE: u8 = 0xC0;
const BYTES_MAX: u8 = 0xC4;
const BYTES_USED: u8 = 0xC5;
/// The condition for changing an object.
pub(crate) const CHANGE: u8 = 0xD0;
/// The condition for reading an object.
pub(crate) const READ: u8 = 0xD1;
/// The condition for deleting an object; no command does.
const DELETE: u8 = 0xD2;
/// The condition for using an object inside the chip.
pub(crate) const EXECUTE: u8 = 0xD3;
const ALGORITHM: u8 = 0xE0;
const USAGE: u8 = 0xE1;

/// The bits of a key's usage that exist.
pub(crate) const USAGE_BITS: u8 = 0x3F;

/// The condition behind a tag.
pub(crate) fn condition(conditions: &[u8], tag: u8) -> Option<&[u8]> {
    Tags(conditions)
        .flatten()
        .find(|(found, _)| *found == tag)
        .map(|(_, value)| value)
}

/// Writes the whole container.
pub(crate) fn describe(object: &Object, view: &View<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[CONTAINER, 0]);
    if object.life_cycle.is_some() {
        out.extend_from_slice(&[LIFE_CYCLE, 1, view.life_cycle]);
    }
    if object.sized() {
        push_size(out, BYTES_MAX, object.bytes_max);
    }
    if object.shows_used() {
        push_size(out, BYTES_USED, view.content.len() as u16);
    }
    out.extend_from_slice(view.conditions);
    if view.algorithm != 0 {
        out.extend_from_slice(&[ALGORITHM, 1, view.algorithm, USAGE, 1, view.usage]);
    }
    let length = (out.len() - start - 2) as u8;
    if let Some(byte) = out.get_mut(start + 1) {
        *byte = length;
    }
}

fn push_size(out: &mut Vec<u8>, tag: u8, size: u16) {
    match size.to_be_bytes() {
        [0, low] => out.extend_from_slice(&[tag, 1, low]),
        [high, low] => out.extend_from_slice(&[tag, 2, high, low]),
    }
}

/// What the metadata are after a change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) life_cycle: u8,
    pub(crate) usage: u8,
    pub(crate) conditions: Vec<u8>,
}

/// Decides a change: `container` holds the tags that are to be other than they are.
pub(crate) fn change(object: &Object, view: &View<'_>, container: &[u8]) -> Result<Changed, Code> {
    let wanted = Wanted::parse(object, tags_of(container)?)?;
    if wanted.needs_open_life && view.life_cycle >= life_cycle::OPERATIONAL {
        return Err(Code::AccessDenied);
    }
    let life_cycle = match wanted.life_cycle {
        Some(_) if object.life_cycle.is_none() => return Err(Code::AccessDenied),
        Some(life_cycle) if life_cycle < view.life_cycle => return Err(Code::AccessDenied),
        Some(life_cycle) => life_cycle,
        None => view.life_cycle,
    };
    let mut conditions = Vec::new();
    for (tag, wanted) in (CHANGE..).zip(wanted.conditions) {
        if let Some(value) = wanted.or_else(|| condition(view.conditions, tag)) {
            conditions.extend_from_slice(&[tag, value.len() as u8]);
            conditions.extend_from_slice(value);
        }
    }
    let usage = wanted.usage.unwrap_or(view.usage);
    if longest(object, conditions.len()) > METADATA_BYTES_MAX {
        return Err(Code::Metadata);
    }
    Ok(Changed {
        life_cycle,
        usage,
        conditions,
    })
}

/// Bytes of the container when the object is full and the key is there, so that no later write makes it too long.
fn longest(object: &Object, condition_bytes: usize) -> usize {
    let size = if object.bytes_max > 0xFF { 4 } else { 3 };
    let sizes = usize::from(object.sized()) * size + usize::from(object.shows_used()) * size;
    let key = if object.sized() { 0 } else { 6 };
    2 + 3 * usize::from(object.life_cycle.is_some()) + sizes + key + condition_bytes
}

fn tags_of(container: &[u8]) -> Result<&[u8], Code> {
    match container {
        [CONTAINER, length, tags @ ..] if tags.len() < usize::from(*length) => Err(Code::Metadata),
        [CONTAINER, length, tags @ ..] if tags.len() == usize::from(*length) => Ok(tags),
        [CONTAINER] | [] => Err(Code::Metadata),
        _ => Err(Code::InvalidField),
    }
}

#[derive(Default)]
struct Wanted<'a> {
    life_cycle: Option<u8>,
    /// D0, D1, D2, D3.
    conditions: [Option<&'a [u8]>; 4],
    usage: Option<u8>,
    needs_open_life: bool,
}

impl<'a> Wanted<'a> {
    fn parse(object: &Object, tags: &'a [u8]) -> Result<Self, Code> {
        let mut wanted = Self::default();
        for tag in Tags(tags) {
            let (tag, value) = tag.ok_or(Code::Metadata)?;
            wanted.take(object, tag, value).ok_or(Code::InvalidField)?;
        }
        Ok(wanted)
    }

    fn take(&mut self, object: &Object, tag: u8, value: &'a [u8]) -> Option<()> {
        match (tag, value) {
            (LIFE_CYCLE, [lcs @ (0x01 | 0x03 | 0x07 | 0x0F)]) => fill(&mut self.life_cycle, *lcs),
            (CHANGE..=EXECUTE, value) if access::is_wellformed(value) && has_condition(object, tag) => {
                self.needs_open_life = true;
                fill(self.conditions.get_mut(usize::from(tag - CHANGE))?, value)
            }
            (USAGE, [usage]) if object.kind == Kind::Key && *usage != 0 && usage & !USAGE_BITS == 0 => {
                self.needs_open_life = true;
                fill(&mut self.usage, *usage)
            }
            _ => None,
        }
    }
}

/// A key is never read, whatever its metadata say.
fn has_condition(object: &Object, tag: u8) -> bool {
    !(tag == READ && matches!(object.kind, Kind::Key | Kind::Session)) && (tag != DELETE || object.sized())
}

fn fill<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.is_none().then(|| *slot = Some(value))
}

/// Tags with one-byte lengths; the last item is `None` if the bytes end too early.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = Option<(u8, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, length, rest) = match core::mem::take(&mut self.0) {
            [] => return None,
            [tag, length, rest @ ..] => (*tag, usize::from(*length), rest),
            [_] => return Some(None),
        };
        let Some((value, rest)) = rest.split_at_checked(length) else {
            return Some(None);
        };
        self.0 = rest;
        Some(Some((tag, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::find;

    fn view(life_cycle: u8, content: &[u8]) -> View<'_> {
        let conditions = &[0xD0, 3, 0xE1, 0xFC, 7, 0xD1, 1, 0];
        View {
            life_cycle,
            algorithm: 0,
            usage: 0,
            conditions,
            content,
        }
    }

    fn described(oid: u16, view: &View<'_>) -> Vec<u8> {
        let mut out = vec![];
        describe(find(oid).unwrap(), view, &mut out);
        out
    }

    #[test]
    fn metadata_look_as_on_silicon() {
        let mut e0e1 = view(1, &[0; 15]);
        e0e1.conditions = &[0xD0, 1, 0xFF, 0xD1, 1, 0];
        let silicon = [
            0x20, 0x10, 0xC0, 1, 1, 0xC4, 2, 6, 0xC0, 0xC5, 1, 0x0F, 0xD0, 1, 0xFF, 0xD1, 1, 0,
        ];
        assert_eq!(described(0xE0E1, &e0e1), silicon);

        let uid = View {
            conditions: &[0xD0, 1, 0xFF, 0xD1, 1, 0],
            ..view(7, &[0; 27])
        };
        assert_eq!(
            described(0xE0C2, &uid),
            [0x20, 9, 0xC4, 1, 0x1B, 0xD0, 1, 0xFF, 0xD1, 1, 0]
        );

        // Seen on a Trust M, whose keys describe themselves in the same way.
        let conditions = find(0xE0F2).unwrap().conditions;
        let key = View {
            life_cycle: 1,
            algorithm: 3,
            usage: 0x13,
            conditions,
            content: &[0; 97],
        };
        let silicon = [
            0x20, 0x11, 0xC0, 1, 1, 0xD0, 3, 0xE1, 0xFC, 7, 0xD3, 1, 0, 0xE0, 1, 3, 0xE1, 1, 0x13,
        ];
        assert_eq!(described(0xE0F2, &key), silicon);
    }

    #[test]
    fn a_size_takes_as_few_bytes_as_it_needs() {
        for (used, expected) in [
            (0, vec![0xC5, 1, 0]),
            (255, vec![0xC5, 1, 255]),
            (256, vec![0xC5, 2, 1, 0]),
        ] {
            let content = vec![0; used];
            let metadata = described(0xF1E0, &view(1, &content));
            assert!(
                metadata.windows(expected.len()).any(|window| window == expected),
                "{used}"
            );
        }
    }

    fn check(oid: u16, life_cycle: u8, container: &[u8], expected: Result<(u8, &[u8]), Code>) {
        let changed = change(find(oid).unwrap(), &view(life_cycle, &[]), container);
        let seen = changed
            .as_ref()
            .map(|changed| (changed.life_cycle, changed.conditions.as_slice()));
        assert_eq!(
            seen,
            expected.as_ref().map(|expected| *expected),
            "{oid:04X} {container:02X?}"
        );
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        check(
            0xF1D0,
            1,
            &[0x20, 3, 0xD1, 1, 0xFF],
            Ok((1, &[0xD0, 3, 0xE1, 0xFC, 7, 0xD1, 1, 0xFF])),
        );
        check(
            0xF1D0,
            1,
            &[0x20, 6, 0xD1, 1, 0xFF, 0xD0, 1, 0],
            Ok((1, &[0xD0, 1, 0, 0xD1, 1, 0xFF])),
        );
        check(
            0xF1D0,
            3,
            &[0x20, 6, 0xC0, 1, 7, 0xD0, 1, 0xFF],
            Ok((7, &[0xD0, 1, 0xFF, 0xD1, 1, 0])),
        );
        check(
            0xF1D0,
            1,
            &[0x20, 3, 0xD3, 1, 0],
            Ok((1, &[0xD0, 3, 0xE1, 0xFC, 7, 0xD1, 1, 0, 0xD3, 1, 0])),
        );
        check(
            0xF1D0,
            7,
            &[0x20, 3, 0xC0, 1, 0x0F],
            Ok((0x0F, &[0xD0, 3, 0xE1, 0xFC, 7, 0xD1, 1, 0])),
        );
        check(
            0xF1D0,
            7,
            &[0x20, 3, 0xC0, 1, 7],
            Ok((7, &[0xD0, 3, 0xE1, 0xFC, 7, 0xD1, 1, 0])),
        );
    }

    #[test]
    fn changes_that_are_refused() {
        use Code::{AccessDenied, InvalidField, Metadata};
        check(0xF1D0, 7, &[0x20, 3, 0xD0, 1, 0], Err(AccessDenied));
        check(
            0xF1D0,
            7,
            &[0x20, 6, 0xC0, 1, 0x0F, 0xD0, 1, 0],
            Err(AccessDenied),
        );
        check(0xF1D0, 7, &[0x20, 3, 0xC0, 1, 3], Err(AccessDenied));
        check(0xF1D0, 3, &[0x20, 3, 0xC0, 1, 1], Err(AccessDenied));
        check(0xE0C2, 7, &[0x20, 3, 0xC0, 1, 7], Err(AccessDenied));
        check(0xF1D0, 1, &[0x20, 3, 0xC0, 1, 2], Err(InvalidField));
        check(0xF1D0, 1, &[0x20, 3, 0xC4, 1, 9], Err(InvalidField));
        check(0xF1D0, 1, &[0x20, 3, 0xC5, 1, 9], Err(InvalidField));
        check(0xF1D0, 1, &[0x20, 3, 0xE0, 1, 3], Err(InvalidField));
        check(0xF1D0, 1, &[0x20, 3, 0xE1, 1, 1], Err(InvalidField));
        check(0xE0F1, 1, &[0x20, 3, 0xE1, 1, 0x40], Err(InvalidField));
        check(0xE0F1, 1, &[0x20, 3, 0xD1, 1, 0], Err(InvalidField));
        check(0xF1D0, 1, &[0x20, 3, 0xD0, 1, 1], Err(InvalidField));
        check(0xF1D0, 1, &[0x20, 6, 0xD0, 1, 0, 0xD0, 1, 0], Err(InvalidField));
        check(0xF1D0, 1, &[0x20, 3, 0xD0, 1, 0, 0], Err(InvalidField));
        check(0xF1D0, 1, &[0x21, 3, 0xD0, 1, 0], Err(InvalidField));
        check(0xF1D0, 1, &[0x20, 4, 0xD0, 1, 0], Err(Metadata));
        check(0xF1D0, 1, &[0x20, 3, 0xD0, 2, 0], Err(Metadata));
        check(0xF1D0, 1, &[0x20, 1, 0xD0], Err(Metadata));
        check(0xF1D0, 1, &[0x20], Err(Metadata));
    }

    #[test]
    fn metadata_end_at_28_bytes() {
        // C0, C4, C5 take nine bytes and the container two: seventeen are left for both conditions.
        let eleven = [0xE1, 0xFC, 7, 0xFD, 0xE1, 0xFC, 7, 0xFD, 0xE1, 0xFC, 7];
        let exact = [&[0x20, 16, 0xD0, 11][..], &eleven, &[0xD1, 1, 0]].concat();
        check(0xF1D0, 1, &exact, Ok((1, exact.get(2..).unwrap())));
        let long = [&[0x20, 18, 0xD0, 11][..], &eleven, &[0xD1, 3, 0xE1, 0xFC, 7]].concat();
        check(0xF1D0, 1, &long, Err(Code::Metadata));
        // A large object will need two bytes for its used size one day.
        let larger = [&[0x20, 16, 0xD0, 11][..], &eleven, &[0xD1, 1, 0]].concat();
        check(0xF1E0, 1, &larger, Err(Code::Metadata));
    }
}
