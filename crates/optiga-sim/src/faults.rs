//! Everything that goes wrong on purpose: refused addresses, lost, repeated and torn frames, and the power.
//!
//! All of it comes from one seed and the chip's number, so that a run that failed can be run again.

/// Control byte and length: where a wrong bit makes another frame.
const FRAME_HEAD_BYTES: usize = 3;

/// When the chip refuses its address although it could answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NackPolicy {
    /// Never.
    #[default]
    None,
    /// In the windows that were measured on silicon: while it works on a frame, shortly after it, and when woken.
    Silicon,
    /// Only the first access after it fell asleep.
    Sleep,
    /// At random, for up to 100 ms.
    Adversarial,
}

/// How often something goes wrong, each in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Decides everything that follows, together with the chip's number.
    pub seed: u64,
    /// An access starts a storm of refused addresses.
    pub nack_storm_permille: u16,
    /// Most refusals of one storm.
    pub nack_storm_length_max: u16,
    /// A frame from the host does not arrive.
    pub lost_in_permille: u16,
    /// A frame from the host arrives twice.
    pub repeated_in_permille: u16,
    /// A bit of a frame from the host is another one.
    pub corrupted_in_permille: u16,
    /// The host reads nothing but FF, and the chip believes that it read the frame.
    pub lost_out_permille: u16,
    /// A frame that the host has read is offered once more.
    pub repeated_out_permille: u16,
    /// The host reads another bit than the chip sent.
    pub corrupted_out_permille: u16,
}

/// A small generator (SplitMix64): good enough for accidents, useless for keys.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64, chip: u32) -> Self {
        Self(seed ^ u64::from(chip).wrapping_mul(0xA076_1D64_78BD_642F))
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 if there is none.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.roll().checked_rem(limit).unwrap_or(0)
    }

    pub(crate) fn happens(&mut self, permille: u16) -> bool {
        permille > 0 && self.below(1_000) < u64::from(permille)
    }

    /// Turns one bit of a frame: half of the time in its head. A longer frame, such as one with another signature in it,
    /// meets the same fate, so that a seed tells the same story each time.
    pub(crate) fn corrupt(&mut self, frame: &mut [u8]) {
        let (in_head, roll) = (self.below(2) == 0, self.roll());
        let (head, rest) = frame.split_at_mut(frame.len().min(FRAME_HEAD_BYTES));
        let part = if in_head || rest.is_empty() { head } else { rest };
        let bit = roll.checked_rem(part.len() as u64 * 8).unwrap_or(0);
        if let Some(byte) = part.get_mut((bit / 8) as usize) {
            *byte ^= 1 << (bit % 8);
        }
    }
}

/// What happens to a frame from the host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    Arrives,
    IsLost,
    ArrivesTwice,
    IsCorrupted,
}

/// What happens to a frame for the host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outgoing {
    Arrives,
    IsLost,
    StaysOffered,
    IsCorrupted,
}

/// The faults of one chip.
#[derive(Debug)]
pub(crate) struct Accidents {
    pub(crate) dice: Dice,
    faults: Faults,
    nacks_left: u16,
}

impl Accidents {
    pub(crate) fn new(faults: Faults, chip: u32) -> Self {
        Self {
            dice: Dice::new(faults.seed, chip),
            faults,
            nacks_left: 0,
        }
    }

    /// Whether this access is one of a storm.
    pub(crate) fn nacks(&mut self) -> bool {
        if self.nacks_left == 0 && self.dice.happens(self.faults.nack_storm_permille) {
            // One access after the storm gets through: a storm is not the end of the bus.
            self.nacks_left = 2 + self.dice.below(u64::from(self.faults.nack_storm_length_max)) as u16;
        }
        self.nacks_left = self.nacks_left.saturating_sub(1);
        self.nacks_left > 0
    }

    pub(crate) fn incoming(&mut self) -> Incoming {
        let (dice, faults) = (&mut self.dice, &self.faults);
        if dice.happens(faults.lost_in_permille) {
            Incoming::IsLost
        } else if dice.happens(faults.repeated_in_permille) {
            Incoming::ArrivesTwice
        } else if dice.happens(faults.corrupted_in_permille) {
            Incoming::IsCorrupted
        } else {
            Incoming::Arrives
        }
    }

    pub(crate) fn outgoing(&mut self) -> Outgoing {
        let (dice, faults) = (&mut self.dice, &self.faults);
        if dice.happens(faults.lost_out_permille) {
            Outgoing::IsLost
        } else if dice.happens(faults.repeated_out_permille) {
            Outgoing::StaysOffered
        } else if dice.happens(faults.corrupted_out_permille) {
            Outgoing::IsCorrupted
        } else {
            Outgoing::Arrives
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_accident() {
        let rolls = |seed, chip| {
            let mut dice = Dice::new(seed, chip);
            [dice.roll(), dice.roll(), dice.roll()]
        };
        assert_eq!(rolls(1, 2), rolls(1, 2));
        assert_ne!(rolls(1, 2), rolls(1, 3));
        assert_ne!(rolls(1, 2), rolls(2, 2));
    }

    #[test]
    fn a_storm_ends() {
        let faults = Faults {
            seed: 3,
            nack_storm_permille: 1_000,
            nack_storm_length_max: 9,
            ..Faults::default()
        };
        let mut accidents = Accidents::new(faults, 0);
        let mut longest = 0;
        let mut current = 0;
        for _ in 0..1_000 {
            current = if accidents.nacks() { current + 1 } else { 0 };
            longest = longest.max(current);
        }
        assert!((1..=9).contains(&longest), "{longest}");
    }

    #[test]
    fn nothing_happens_without_faults() {
        let mut accidents = Accidents::new(Faults::default(), 0);
        for _ in 0..1_000 {
            assert!(!accidents.nacks());
            assert_eq!(accidents.incoming(), Incoming::Arrives);
            assert_eq!(accidents.outgoing(), Outgoing::Arrives);
        }
    }

    #[test]
    fn corruption_turns_exactly_one_bit() {
        let mut dice = Dice::new(1, 1);
        for _ in 0..100 {
            let mut bytes = [0; 9];
            dice.corrupt(&mut bytes);
            assert_eq!(bytes.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        }
        dice.corrupt(&mut []);
    }
}
