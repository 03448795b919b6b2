//! The `[[slot]]` of a secure element: where the chip is, and what its owner decides.

use std::path::PathBuf;

use serde::Deserialize;
use token::chip::{Ephemeral, Login, Options, Random, Verify};
use token::{ChipAddress, ChipSetting, Error, Setup};

/// A secure element.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChipSlot {
    /// `/dev/i2c-N`, or `unix:PATH` or `tcp:IP:PORT` on the virtual I²C bus.
    pub address: String,
    /// What the token is called.
    pub label: Option<String>,
    /// The chip's address on the bus; 0x30 leaves the factory.
    pub i2c_address: Option<u8>,
    /// The longest frame, for bus controllers that limit a transfer.
    pub frame_bytes: Option<u16>,
    /// The file at which the processes that share the chip meet, if not the usual one.
    pub lock: Option<PathBuf>,
    /// Who may use the private keys.
    #[serde(default)]
    pub login: LoginMode,
    /// The file on this host that checks the PIN, with `login = "host-pin"`.
    pub pin_file: Option<PathBuf>,
    /// Where random bytes come from.
    #[serde(default)]
    pub rng: RandomMode,
    /// Who checks signatures.
    #[serde(default)]
    pub verify: VerifyMode,
    /// Where the keys of a session live.
    #[serde(default)]
    pub ephemeral: EphemeralMode,
    /// `C_InitToken` may empty the chip.
    #[serde(default)]
    pub allow_init: bool,
    /// A new object may take the place of one that has the same label.
    #[serde(default)]
    pub overwrite: bool,
}

/// `login`
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum LoginMode {
    /// Whoever can open the bus; any PIN is right.
    #[default]
    None,
    /// Whoever knows the PIN that `pin_file` checks.
    HostPin,
}

/// `rng`
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RandomMode {
    /// Each byte from the chip.
    #[default]
    Chip,
    /// A generator on the host that begins with bytes of the chip.
    HostSeededFromChip,
}

/// `verify`
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerifyMode {
    /// The host.
    #[default]
    Host,
    /// The chip.
    Chip,
}

/// `ephemeral`
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EphemeralMode {
    /// In the chip while it has room, else in memory.
    #[default]
    Chip,
    /// In the chip or nowhere.
    ChipOnly,
    /// In memory.
    Host,
}

impl ChipSlot {
    pub(crate) fn setup(self) -> Result<Setup, Error> {
        let usual = ChipSetting::default();
        let setting = ChipSetting {
            i2c_address: self.i2c_address.unwrap_or(usual.i2c_address),
            frame_bytes_max: self.frame_bytes.unwrap_or(usual.frame_bytes_max),
            lock: self.lock.clone(),
            options: self.options()?,
        };
        let address = ChipAddress::parse(&self.address)?;
        Ok(Setup {
            description: format!("OPTIGA Trust X at {address}"),
            backend: address.backend(setting)?,
            label: self.label,
            hardware: true,
        })
    }

    fn options(&self) -> Result<Options, Error> {
        let login = match (self.login, self.pin_file.clone()) {
            (LoginMode::None, None) => Login::None,
            (LoginMode::HostPin, Some(path)) => Login::HostPin(path),
            (LoginMode::None, Some(_)) => {
                return Err(Error::ArgumentsBad("pin_file needs login = \"host-pin\""));
            }
            (LoginMode::HostPin, None) => {
                return Err(Error::ArgumentsBad("login = \"host-pin\" needs pin_file"));
            }
        };
        Ok(Options {
            login,
            random: match self.rng {
                RandomMode::Chip => Random::Chip,
                RandomMode::HostSeededFromChip => Random::HostSeededFromChip,
            },
            verify: match self.verify {
                VerifyMode::Host => Verify::Host,
                VerifyMode::Chip => Verify::Chip,
            },
            ephemeral: match self.ephemeral {
                EphemeralMode::Chip => Ephemeral::Chip,
                EphemeralMode::ChipOnly => Ephemeral::ChipOnly,
                EphemeralMode::Host => Ephemeral::Host,
            },
            allow_init: self.allow_init,
            overwrite: self.overwrite,
        })
    }
}
