//! How long the chip works on a command (Trust X Datasheet v2.70, table 15: 400 kHz, no current limit, 25 °C; the short ones
//! as on the capture of firmware build 1048).

/// Whether time has a meaning for the chip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// Every answer is ready at once, as fast as the protocol allows.
    #[default]
    None,
    /// Answers take as long as on silicon, in the time of a virtual bus.
    Virtual,
    /// Answers take as long as on silicon, in the machine's time.
    Wall,
}

/// An answer that is ready sooner is sent without a control frame before it. Less than the 10 ms after which hosts repeat
/// their frame, more than a metadata read takes.
pub(crate) const ACKNOWLEDGE_TIMER_US: u64 = 5_000;

/// From power or reset to the first answer.
pub(crate) const STARTUP_US: u64 = 10_000;

/// After a fragment that is not the last one, silicon is deaf for this long.
pub(crate) const FRAGMENT_US: u64 = 2_400;

pub(crate) const OPEN_US: u64 = 8_000;
pub(crate) const METADATA_READ_US: u64 = 4_000;
pub(crate) const SIGN_US: u64 = 60_000;
pub(crate) const VERIFY_US: u64 = 85_000;
pub(crate) const AGREE_US: u64 = 65_000;
pub(crate) const DERIVE_US: u64 = 140_000;
pub(crate) const GENERATE_US: u64 = 80_000;
pub(crate) const REFUSAL_US: u64 = 6_000;

pub(crate) const fn read_us(bytes: usize) -> u64 {
    8_900 + bytes as u64
}

pub(crate) const fn write_us(bytes: usize) -> u64 {
    5_000 + 100 * bytes as u64
}

pub(crate) const fn random_us(bytes: usize) -> u64 {
    5_200 + 50 * bytes as u64
}

/// 5 kB in a second.
pub(crate) const fn hash_us(bytes: usize) -> u64 {
    2_000 + 200 * bytes as u64
}
