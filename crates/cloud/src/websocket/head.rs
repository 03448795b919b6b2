//! The head of a frame: what it is, how long, and what it is masked with (RFC 6455, 5.2).

use super::frames::Violation;

/// Bytes of the longest head that a client sends: two, eight of length, four of mask.
pub(super) const HEAD_BYTES_MAX: usize = 14;
/// Bytes that a control frame carries at most (RFC 6455, 5.5).
const CONTROL_BYTES_MAX: u8 = 125;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first frame of a message.
    Binary,
    /// A further one.
    Continuation,
    Close,
    Ping,
    Pong,
}

impl Kind {
    const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The head of a frame that a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// Whether it ends its message.
    pub(super) last: bool,
    pub(super) bytes: u64,
    pub(super) mask: [u8; 4],
}

/// How many bytes the head has that begins like this; two are enough to know it all.
pub(super) fn bytes_of(begun: &[u8]) -> usize {
    match begun.get(1).map(|byte| byte & 0x7f) {
        None => 2,
        Some(126) => 8,
        Some(127) => 14,
        Some(_) => 6,
    }
}

/// What can be told from the first two bytes; the rest need not be waited for.
pub(super) fn check(begun: &[u8]) -> Result<(Kind, bool), Violation> {
    let (Some(first), Some(second)) = (begun.first(), begun.get(1)) else {
        return Err(Violation::Reserved);
    };
    if first & 0x70 != 0 {
        return Err(Violation::Reserved);
    }
    let kind = match first & 0x0f {
        0 => Kind::Continuation,
        1 => return Err(Violation::Text),
        2 => Kind::Binary,
        8 => Kind::Close,
        9 => Kind::Ping,
        10 => Kind::Pong,
        _ => return Err(Violation::Reserved),
    };
    if second & 0x80 == 0 {
        return Err(Violation::Unmasked);
    }
    let last = first & 0x80 != 0;
    if kind.is_control() && (!last || second & 0x7f > CONTROL_BYTES_MAX) {
        return Err(Violation::Control);
    }
    Ok((kind, last))
}

/// Reads a complete head.
pub(super) fn read(head: &[u8]) -> Result<Head, Violation> {
    let (kind, last) = check(head)?;
    let (rest, mask) = head.split_last_chunk::<4>().ok_or(Violation::Reserved)?;
    let bytes = match rest {
        [_, second] => u64::from(second & 0x7f),
        [_, _, length @ ..] => length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        _ => return Err(Violation::Reserved),
    };
    // The first bit of the longest form must be 0.
    match bytes >> 63 {
        0 => Ok(Head {
            kind,
            last,
            bytes,
            mask: *mask,
        }),
        _ => Err(Violation::Length),
    }
}
