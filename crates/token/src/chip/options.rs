//! What the owner of a chip decides about its token.

use std::path::PathBuf;

/// Where random bytes come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Random {
    /// Each byte from the chip.
    #[default]
    Chip,
    /// From a generator on the host that begins with bytes of the chip.
    HostSeededFromChip,
}

/// Who checks signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// The host, which needs no secret for it and is a thousand times faster.
    #[default]
    Host,
    /// The chip, so that the key of a trust anchor is the one in the chip.
    Chip,
}

/// Where the keys of a session live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ephemeral {
    /// In the chip while it has room, else in this process's memory.
    #[default]
    Chip,
    /// In the chip or nowhere.
    ChipOnly,
    /// In this process's memory.
    Host,
}

/// Who may use the private keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Login {
    /// Whoever can open the bus. Any PIN is right.
    #[default]
    None,
    /// Whoever knows the PIN that this file on the host checks.
    HostPin(PathBuf),
}

/// What the owner of a chip decides about its token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Where random bytes come from.
    pub random: Random,
    /// Who checks signatures.
    pub verify: Verify,
    /// Where the keys of a session live.
    pub ephemeral: Ephemeral,
    /// Who may use the private keys.
    pub login: Login,
    /// `C_InitToken` may empty the chip.
    pub allow_init: bool,
    /// A new object may take the place of one that has the same label.
    pub overwrite: bool,
}
