//! Which slots there are: a TOML file, named by `BIRTHMARK_PKCS11_CONF`, else the user's, else the machine's.
//!
//! No file at all is a valid configuration: no slots. A program that runs with more rights than its user gets the machine's
//! file whatever the user's environment says.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use token::Setup;
use token::flash::Flash;

use crate::chip_slot::ChipSlot;
use crate::limits::CONFIG_BYTES_MAX;

/// The variable that names the file.
pub const VARIABLE: &str = "BIRTHMARK_PKCS11_CONF";
/// The machine's file.
pub const MACHINE_FILE: &str = "/etc/birthmark/pkcs11.toml";

/// The file: slots in the order of their numbers. The first one holds the device's own token.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[[slot]]`
    #[serde(default)]
    pub slot: Vec<Slot>,
    /// Whether a key that decrypts may not wrap sensitive keys; it may not, unless this is false.
    pub strict_roles: Option<bool>,
}

/// One slot.
#[derive(Debug, Deserialize)]
#[serde(tag = "backend", rename_all = "lowercase", deny_unknown_fields)]
pub enum Slot {
    /// A secure element.
    Chip(Box<ChipSlot>),
    /// Files in a directory.
    Flash {
        /// The directory.
        directory: PathBuf,
        /// Where wrong PINs are counted, if not there; a sealed token needs it.
        counters: Option<PathBuf>,
    },
}

/// Why a configuration can not be used.
#[derive(Debug)]
pub enum ConfigError {
    /// The file can not be read.
    Read(PathBuf, io::Error),
    /// It is not what it must be.
    Parse(PathBuf, Box<toml::de::Error>),
    /// A slot of it makes no sense.
    Slot(PathBuf, usize, token::Error),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::Parse(path, error) => write!(f, "cannot use {}: {error}", path.display()),
            Self::Slot(path, number, error) => {
                write!(f, "cannot use slot {number} of {}: {error}", path.display())
            }
        }
    }
}

impl core::error::Error for ConfigError {}

/// The slots of this process's configuration.
pub fn setups() -> Result<Vec<Setup>, ConfigError> {
    place().map_or_else(|| Ok(Vec::new()), |path| setups_of(&path))
}

/// Whether this process's configuration keeps roles apart (see [`Config::strict_roles`]).
pub fn has_strict_roles() -> Result<bool, ConfigError> {
    let said = place().map(|path| Config::read(&path)).transpose()?;
    Ok(said.and_then(|config| config.strict_roles).unwrap_or(true))
}

/// The file of this process's configuration, if there is one.
fn place() -> Option<PathBuf> {
    let trusted = !runs_with_more_rights();
    let variable = |name: &str| std::env::var_os(name).filter(|value| trusted && !value.is_empty());
    places(variable).into_iter().find(|path| path.exists())
}

/// The slots of one file.
pub fn setups_of(path: &Path) -> Result<Vec<Setup>, ConfigError> {
    Config::read(path)?.setups(path)
}

/// Where the file may be, in this order. A file that is named stands alone.
fn places(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    if let Some(named) = variable(VARIABLE) {
        return vec![named.into()];
    }
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".config"));
    let user = variable("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home);
    let user = user.map(|folder| folder.join("birthmark").join("pkcs11.toml"));
    user.into_iter().chain([MACHINE_FILE.into()]).collect()
}

#[cfg(unix)]
fn runs_with_more_rights() -> bool {
    use rustix::process::{getegid, geteuid, getgid, getuid};
    getuid() != geteuid() || getgid() != getegid()
}

#[cfg(not(unix))]
const fn runs_with_more_rights() -> bool {
    false
}

impl Config {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |error| ConfigError::Read(path.into(), error);
        let mut text = String::new();
        let file = File::open(path).map_err(failed)?;
        file.take(CONFIG_BYTES_MAX + 1)
            .read_to_string(&mut text)
            .map_err(failed)?;
        if text.len() as u64 > CONFIG_BYTES_MAX {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        toml::from_str(&text).map_err(|error| ConfigError::Parse(path.into(), Box::new(error)))
    }

    fn setups(self, path: &Path) -> Result<Vec<Setup>, ConfigError> {
        let numbered = self.slot.into_iter().enumerate();
        numbered
            .map(|(number, slot)| {
                slot.setup()
                    .map_err(|error| ConfigError::Slot(path.into(), number, error))
            })
            .collect()
    }
}

impl Slot {
    fn setup(self) -> Result<Setup, token::Error> {
        match self {
            Self::Chip(slot) => slot.setup(),
            Self::Flash { directory, counters } => Ok(Setup {
                backend: match counters {
                    Some(counters) => Box::new(Flash::with_counters(&directory, &counters)),
                    None => Flash::backend(&directory),
                },
                label: None,
                description: format!("files in {}", directory.display()),
                hardware: false,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<usize, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pkcs11.toml");
        std::fs::write(&path, text).unwrap();
        let config = Config::read(&path).map_err(|error| error.to_string())?;
        let setups = config.setups(&path).map_err(|error| error.to_string())?;
        Ok(setups.len())
    }

    #[test]
    fn slots_are_read_and_mistakes_are_named() {
        assert_eq!(parsed(""), Ok(0));
        let chip = "[[slot]]\nbackend = \"chip\"\naddress = \"tcp:127.0.0.1:1\"\n";
        assert_eq!(parsed(chip), Ok(1));
        assert_eq!(
            parsed("[[slot]]\nbackend = \"flash\"\ndirectory = \"/nowhere\"\n"),
            Ok(1)
        );
        let sealed = "[[slot]]\nbackend = \"flash\"\ndirectory = \"/rom\"\ncounters = \"/var/pins\"\n";
        assert_eq!(parsed(sealed), Ok(1));
        assert_eq!(parsed(&format!("{chip}label = \"one\"\n{chip}")), Ok(2));
        assert_eq!(parsed(&format!("strict_roles = false\n{chip}")), Ok(1));
        for (text, word) in [
            ("[[slots]]\n", "slots"),
            ("[[slot]]\nbackend = \"chip\"\naddress = \"nowhere\"\n", "slot 0"),
            ("[[slot]]\nbackend = \"chip\"\n", "address"),
            ("[[slot]]\nbackend = \"tape\"\n", "tape"),
            (&format!("{chip}color = 1\n"), "color"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        let all = "i2c_address = 0x31\nframe_bytes = 64\nlock = \"/run/x\"\nlogin = \"host-pin\"\npin_file = \"/p\"\n\
                   rng = \"host-seeded-from-chip\"\nverify = \"chip\"\nephemeral = \"chip-only\"\nallow_init = true\n\
                   overwrite = true\n";
        assert_eq!(parsed(&format!("{chip}{all}")), Ok(1));
        for (line, word) in [
            ("i2c_address = 3", "0x08"),
            ("frame_bytes = 9", "16"),
            ("login = \"host-pin\"", "pin_file"),
            ("pin_file = \"/p\"", "host-pin"),
            ("login = \"pin\"", "pin"),
            ("rng = \"dice\"", "dice"),
            ("verify = \"nobody\"", "nobody"),
            ("ephemeral = \"ether\"", "ether"),
        ] {
            let error = parsed(&format!("{chip}{line}\n")).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        assert!(parsed(&"#".repeat(CONFIG_BYTES_MAX as usize + 1)).is_err());
    }

    #[test]
    fn the_files_in_the_documents_are_files() {
        for document in [
            include_str!("../../../docs/guides/gateway-with-a-chip.md"),
            include_str!("../../../docs/reference/pkcs11.md"),
        ] {
            let (_, rest) = document.split_once("```toml\n").unwrap();
            let (text, _) = rest.split_once("```").unwrap();
            assert!(parsed(text).unwrap() > 0, "{text}");
        }
    }

    #[test]
    fn a_named_file_wins_over_the_users_and_the_machines() {
        let all = |name: &str| Some(OsString::from(format!("/{name}")));
        assert_eq!(places(all), [PathBuf::from("/BIRTHMARK_PKCS11_CONF")]);
        let user = |name: &str| (name == "XDG_CONFIG_HOME").then(|| OsString::from("/x"));
        assert_eq!(
            places(user),
            [
                PathBuf::from("/x/birthmark/pkcs11.toml"),
                PathBuf::from(MACHINE_FILE)
            ]
        );
        assert_eq!(places(|_| None), [PathBuf::from(MACHINE_FILE)]);
    }
}
