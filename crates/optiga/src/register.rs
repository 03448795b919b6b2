//! The registers of the chip's bus interface (IFX I2C Protocol v1.65, table 2-1): addresses and the state word.

/// Frames, one per transaction.
pub const DATA: u8 = 0x80;
/// The longest frame that [`DATA`] takes; two bytes, read back what the chip made of it.
pub const DATA_REG_LEN: u8 = 0x81;
/// Whether a frame waits; four bytes, see [`State`].
pub const I2C_STATE: u8 = 0x82;
/// The bus address: bit 15 keeps it over a reset; two bytes, valid from the next access.
pub const BASE_ADDR: u8 = 0x83;
/// Fastest clock in kHz that the chip follows in its present mode; four bytes.
pub const MAX_SCL_FREQU: u8 = 0x84;
/// Bus mode: bit 15 keeps it over a reset; two bytes, see [`mode`].
pub const I2C_MODE: u8 = 0x89;
/// Any two bytes written here reset the chip, when [`State::soft_reset`] says so.
pub const SOFT_RESET: u8 = 0x88;
/// Time from a reset until the chip answers (Infineon's host library waits as long).
pub const STARTUP_US: u32 = 12_000;

/// What to write to [`I2C_MODE`] for a clock of this speed; it is kept over a reset.
#[must_use]
pub const fn mode(khz: u16) -> [u8; 2] {
    // 4 is Fm+, 3 standard and fast mode together.
    if khz > FAST_MODE_KHZ {
        [0x80, 0x04]
    } else {
        [0x80, 0x03]
    }
}

/// The fastest clock of the mode that chips leave the factory in.
pub const FAST_MODE_KHZ: u16 = 400;

/// The state word (IFX I2C Protocol v1.65, table 2-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State(u32);

impl State {
    /// From the four bytes of the register.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(bytes))
    }

    /// A command is running.
    #[must_use]
    pub const fn busy(self) -> bool {
        self.0 & 1 << 31 != 0
    }

    /// The soft reset register works.
    #[must_use]
    pub const fn soft_reset(self) -> bool {
        self.0 & 1 << 27 != 0
    }

    /// Packets carry a presentation layer: this is another product (OPTIGA Trust M).
    #[must_use]
    pub const fn presentation_layer(self) -> bool {
        self.0 & 1 << 23 != 0
    }

    /// Length of the frame that waits in [`DATA`], if one does.
    #[must_use]
    pub const fn frame_bytes(self) -> Option<usize> {
        let length = (self.0 & 0xFFFF) as usize;
        if self.0 & 1 << 30 != 0 && length > 0 {
            Some(length)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_seen_on_silicon() {
        let cases = [
            ([0x08, 0, 0, 0], false, None),
            ([0x48, 0, 0, 5], false, Some(5)),
            ([0xC8, 0, 0, 5], true, Some(5)),
            ([0x48, 0, 0, 0x25], false, Some(37)),
            ([0x88, 0, 0, 0], true, None),
            ([0x48, 0, 0, 0], false, None),
        ];
        for (bytes, busy, frame) in cases {
            let state = State::from_bytes(bytes);
            assert_eq!((state.busy(), state.frame_bytes()), (busy, frame), "{bytes:02X?}");
            assert!(state.soft_reset() && !state.presentation_layer());
        }
        assert!(State::from_bytes([0x08, 0x80, 0, 0]).presentation_layer());
    }
}
