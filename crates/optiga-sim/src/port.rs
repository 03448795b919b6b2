//! The physical layer: registers behind one address, and when that address is refused (IFX I2C Protocol v1.65, chapter 2; Trust X
//! Datasheet v2.70, app. B).
//!
//! Only the address byte is ever refused. A register read past its end, or one that does not exist, gives FF.

use crate::faults::{Dice, NackPolicy};
use crate::limits::{ADDRESS_DEFAULT, FRAME_BYTES_MAX, FRAME_BYTES_MIN, NACK_US_MAX};
use crate::timing::FRAGMENT_US;

const DATA: u8 = 0x80;
const DATA_REG_LEN: u8 = 0x81;
const I2C_STATE: u8 = 0x82;
const BASE_ADDR: u8 = 0x83;
const MAX_SCL_FREQU: u8 = 0x84;
const GUARD_TIME: u8 = 0x85;
const TRANS_TIMEOUT: u8 = 0x86;
const PWR_SAVE_TIMEOUT: u8 = 0x87;
const SOFT_RESET: u8 = 0x88;
const I2C_MODE: u8 = 0x89;
const APP_STATE_FIRST: u8 = 0x90;
const APP_STATE_LAST: u8 = 0x9F;

/// I2C_STATE: working on a command.
const BUSY: u8 = 0x80;
/// I2C_STATE: a frame can be read.
const RESPONSE_READY: u8 = 0x40;
/// I2C_STATE: there is a soft reset register.
const SOFT_RESET_SUPPORTED: u8 = 0x08;

/// Standard and Fast mode, as after production.
const MODE_DEFAULT: u8 = 3;
const MODE_FAST_PLUS: u8 = 4;
/// In BASE_ADDR and I2C_MODE: keep it over a reset.
const PERSISTENT: u8 = 0x80;

/// What a write transaction was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written<'a> {
    /// It set the pointer, or a register that matters to nobody else.
    Nothing,
    /// A frame for the data link.
    Frame(&'a [u8]),
    /// A soft reset.
    Reset,
    /// The address shall outlive a reset.
    KeepAddress(u8),
    /// The mode shall outlive a reset.
    KeepMode(u8),
}

/// What the chip did with the frame that was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// It was a control frame, or nothing came of it.
    Little,
    /// A fragment was put away.
    Fragment,
    /// A command is being executed.
    Command,
}

/// Registers and lines.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) powered: bool,
    pub(crate) released: bool,
    pub(crate) frame_bytes: u16,
    pub(crate) address: u8,
    pub(crate) pointer: u8,
    mode: u8,
    dice: Dice,
    deaf_until_us: u64,
    heard_us: u64,
    /// A frame was written since the state was last looked at.
    exchanged: bool,
    /// An adversarial window ended; the next access is let through.
    merciful: bool,
}

impl Port {
    pub(crate) fn new(dice: Dice) -> Self {
        Self {
            powered: true,
            released: true,
            frame_bytes: FRAME_BYTES_MAX,
            address: ADDRESS_DEFAULT,
            pointer: DATA,
            mode: MODE_DEFAULT,
            dice,
            deaf_until_us: 0,
            heard_us: 0,
            exchanged: false,
            merciful: false,
        }
    }

    /// Power or reset, with what was kept; deaf until `ready_us`.
    pub(crate) fn reset(&mut self, address: Option<u8>, mode: Option<u8>, ready_us: u64) {
        let dice = self.dice.clone();
        *self = Self {
            deaf_until_us: ready_us,
            heard_us: ready_us,
            ..Self::new(dice)
        };
        self.address = address.unwrap_or(self.address);
        self.mode = mode.unwrap_or(self.mode);
    }

    pub(crate) fn answers(&self) -> bool {
        self.powered && self.released
    }

    /// A write transaction whose address was acknowledged.
    pub(crate) fn write<'a>(&mut self, bytes: &'a [u8]) -> Written<'a> {
        let [register, value @ ..] = bytes else {
            return Written::Nothing;
        };
        self.pointer = *register;
        match (*register, value) {
            (_, []) => Written::Nothing,
            (DATA, frame) => {
                self.exchanged = true;
                Written::Frame(frame)
            }
            (DATA_REG_LEN, [high, low, ..]) => {
                let wanted = u16::from_be_bytes([*high, *low]);
                self.frame_bytes = wanted.clamp(FRAME_BYTES_MIN, FRAME_BYTES_MAX);
                Written::Nothing
            }
            (BASE_ADDR, [flags, address, ..]) => self.write_address(*flags, address & 0x7F),
            (SOFT_RESET, _) => Written::Reset,
            (I2C_MODE, [flags, mode, ..]) => self.write_mode(*flags, mode & 7),
            _ => Written::Nothing,
        }
    }

    /// Addresses that the I2C specification keeps for itself are ignored.
    fn write_address<'a>(&mut self, flags: u8, address: u8) -> Written<'a> {
        if !(0x08..=0x77).contains(&address) {
            return Written::Nothing;
        }
        self.address = address;
        if flags & PERSISTENT != 0 {
            Written::KeepAddress(address)
        } else {
            Written::Nothing
        }
    }

    fn write_mode<'a>(&mut self, flags: u8, mode: u8) -> Written<'a> {
        if !(1..=MODE_FAST_PLUS).contains(&mode) {
            return Written::Nothing;
        }
        self.mode = mode;
        if flags & PERSISTENT != 0 {
            Written::KeepMode(mode)
        } else {
            Written::Nothing
        }
    }

    /// Whether the pointer stands on the DATA register.
    pub(crate) fn at_data(&self) -> bool {
        self.pointer == DATA
    }

    /// Fills the buffer from any register but DATA.
    pub(crate) fn read(&self, buffer: &mut [u8], busy: bool, offered_bytes: Option<usize>) {
        let value: [u8; 4] = match self.pointer {
            I2C_STATE => state(busy, offered_bytes),
            MAX_SCL_FREQU if self.mode == MODE_FAST_PLUS => 1_000_u32.to_be_bytes(),
            MAX_SCL_FREQU => 400_u32.to_be_bytes(),
            GUARD_TIME => 50_u32.to_be_bytes(),
            TRANS_TIMEOUT => 10_u32.to_be_bytes(),
            APP_STATE_FIRST..=APP_STATE_LAST => [0; 4],
            DATA_REG_LEN => return fill(buffer, &self.frame_bytes.to_be_bytes()),
            I2C_MODE => return fill(buffer, &[0, self.mode]),
            // Not implemented on this chip, write-only, or not there: all the same to a reader.
            PWR_SAVE_TIMEOUT | BASE_ADDR | SOFT_RESET => [0xFF; 4],
            _ => [0xFF; 4],
        };
        fill(buffer, &value);
    }

    /// Whether this access is refused. `sleeps_after_us` is `None` while the chip has something to do.
    pub(crate) fn refuses(&mut self, policy: NackPolicy, now_us: u64, sleeps_after_us: Option<u64>) -> bool {
        if now_us < self.deaf_until_us {
            return true;
        }
        let idle_us = now_us.saturating_sub(self.heard_us);
        self.heard_us = now_us;
        match policy {
            NackPolicy::None => false,
            NackPolicy::Silicon | NackPolicy::Sleep => sleeps_after_us.is_some_and(|limit| idle_us > limit),
            NackPolicy::Adversarial => self.refuses_at_random(now_us),
        }
    }

    fn refuses_at_random(&mut self, now_us: u64) -> bool {
        self.merciful = !self.merciful && self.dice.happens(125);
        if self.merciful {
            self.deaf_until_us = now_us + self.dice.below(NACK_US_MAX);
        }
        self.merciful
    }

    /// The chip has taken a write: on silicon it is deaf for a while.
    pub(crate) fn settle(&mut self, policy: NackPolicy, work: Work, now_us: u64) {
        if policy != NackPolicy::Silicon {
            return;
        }
        let deaf_us = match work {
            Work::Command => 4_200 + self.dice.below(2_000),
            Work::Fragment => FRAGMENT_US,
            Work::Little if self.pointer == I2C_STATE && core::mem::take(&mut self.exchanged) => {
                if self.dice.happens(500) {
                    200 + self.dice.below(550)
                } else {
                    0
                }
            }
            Work::Little => 0,
        };
        self.deaf_until_us = self.deaf_until_us.max(now_us + deaf_us);
    }
}

fn state(busy: bool, offered_bytes: Option<usize>) -> [u8; 4] {
    let flags = if busy { BUSY } else { 0 }
        | if offered_bytes.is_some() {
            RESPONSE_READY
        } else {
            0
        };
    let [high, low] = (offered_bytes.unwrap_or(0) as u16).to_be_bytes();
    [flags | SOFT_RESET_SUPPORTED, 0, high, low]
}

/// As much of the value as fits, then FF.
pub(crate) fn fill(buffer: &mut [u8], value: &[u8]) {
    let (start, rest) = buffer.split_at_mut(buffer.len().min(value.len()));
    for (place, byte) in start.iter_mut().zip(value) {
        *place = *byte;
    }
    rest.fill(0xFF);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port() -> Port {
        Port::new(Dice::new(1, 1))
    }

    fn read<const N: usize>(port: &mut Port, register: u8) -> [u8; N] {
        port.write(&[register]);
        let mut buffer = [0; N];
        port.read(&mut buffer, false, None);
        buffer
    }

    #[test]
    fn registers_after_a_reset_and_beyond_their_end() {
        let mut port = port();
        assert_eq!(read(&mut port, 0x81), [0x01, 0x15]);
        assert_eq!(read(&mut port, 0x82), [0x08, 0, 0, 0]);
        assert_eq!(read(&mut port, 0x84), [0, 0, 0x01, 0x90]);
        assert_eq!(read(&mut port, 0x87), [0xFF; 4]);
        assert_eq!(read(&mut port, 0x89), [0, 3]);
        assert_eq!(read(&mut port, 0x90), [0; 4]);
        assert_eq!(read(&mut port, 0x9F), [0; 4]);
        assert_eq!(read(&mut port, 0xA0), [0xFF; 4]);
        assert_eq!(read(&mut port, 0x12), [0xFF; 2]);
        assert_eq!(read(&mut port, 0x81), [0x01, 0x15, 0xFF, 0xFF]);
        assert_eq!(read(&mut port, 0x82), [0x08, 0, 0, 0, 0xFF]);
        assert_eq!(read(&mut port, 0x84), [0, 0]);
    }

    #[test]
    fn the_state_tells_what_waits() {
        for (busy, offered, expected) in [
            (false, None, [0x08, 0, 0, 0]),
            (true, None, [0x88, 0, 0, 0]),
            (false, Some(5), [0x48, 0, 0, 5]),
            (true, Some(5), [0xC8, 0, 0, 5]),
            (false, Some(0x115), [0x48, 0, 1, 0x15]),
        ] {
            assert_eq!(state(busy, offered), expected);
        }
    }

    #[test]
    fn the_frame_size_is_clamped_and_read_back() {
        let mut port = port();
        for (wanted, taken) in [
            (0x19, 0x19),
            (0x10, 0x10),
            (0x0F, 0x10),
            (0, 0x10),
            (0x115, 0x115),
            (0x116, 0x115),
            (0xFFFF, 0x115),
        ] {
            let [high, low] = u16::to_be_bytes(wanted);
            assert_eq!(port.write(&[0x81, high, low]), Written::Nothing);
            assert_eq!(u16::from_be_bytes(read(&mut port, 0x81)), taken, "{wanted:04X}");
        }
        port.write(&[0x81, 0]);
        assert_eq!(port.frame_bytes, 0x115, "half a value is none");
    }

    #[test]
    fn address_and_mode_change_and_may_be_kept() {
        let mut port = port();
        assert_eq!(port.write(&[0x83, 0x00, 0x58]), Written::Nothing);
        assert_eq!(port.address, 0x58);
        assert_eq!(port.write(&[0x83, 0x80, 0x59]), Written::KeepAddress(0x59));
        assert_eq!(port.write(&[0x83, 0x80, 0x03]), Written::Nothing);
        assert_eq!(port.address, 0x59);
        assert_eq!(port.write(&[0x89, 0x80, 0x04]), Written::KeepMode(4));
        assert_eq!(read(&mut port, 0x84), [0, 0, 0x03, 0xE8]);
        assert_eq!(read(&mut port, 0x89), [0, 4]);
        assert_eq!(port.write(&[0x89, 0x00, 0x05]), Written::Nothing);
        assert_eq!(read(&mut port, 0x89), [0, 4]);
        assert_eq!(port.write(&[0x88, 0, 0]), Written::Reset);
        port.reset(Some(0x59), None, 0);
        assert_eq!((port.address, read(&mut port, 0x89)), (0x59, [0, 3]));
    }

    #[test]
    fn a_sleeping_chip_misses_the_first_access() {
        for policy in [NackPolicy::Sleep, NackPolicy::Silicon] {
            let mut port = port();
            assert!(!port.refuses(policy, 20_000, Some(20_000)));
            assert!(port.refuses(policy, 40_001, Some(20_000)));
            assert!(!port.refuses(policy, 40_002, Some(20_000)));
            assert!(!port.refuses(policy, 90_000, None), "it is at work");
        }
    }

    #[test]
    fn silicon_is_deaf_after_a_frame() {
        let mut port = port();
        port.settle(NackPolicy::Silicon, Work::Command, 0);
        assert!(port.refuses(NackPolicy::Silicon, 4_199, None));
        assert!(!port.refuses(NackPolicy::Silicon, 6_200, None));
        port.settle(NackPolicy::Silicon, Work::Fragment, 10_000);
        assert!(port.refuses(NackPolicy::Silicon, 12_399, None));
        assert!(!port.refuses(NackPolicy::Silicon, 12_400, None));
    }

    #[test]
    fn an_adversary_is_bounded() {
        let mut port = port();
        let (mut now_us, mut refused_since, mut refusals) = (0, None, 0);
        for _ in 0..100_000 {
            now_us += 1_000;
            if port.refuses(NackPolicy::Adversarial, now_us, None) {
                refusals += 1;
                let since = *refused_since.get_or_insert(now_us);
                assert!(now_us - since <= NACK_US_MAX);
            } else {
                refused_since = None;
            }
        }
        assert!(refusals > 1_000);
    }
}
