//! Where a chip is, and a bus that is opened when it is first used.
//!
//! A configuration names a device of Linux, `/dev/i2c-1`, or the virtual bus, `unix:PATH` or `tcp:IP:PORT`. Nobody may be
//! there yet, and whoever is there may be gone and come back: that is a token that is absent for a while, not a module that fails.

use std::boxed::Box;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::string::String;

use embedded_hal::i2c::{Error as I2cError, ErrorKind, ErrorType, I2c, Operation};
use i2c_bus::{Error as BusError, SocketClient, SocketDelay};
use optiga::Config;

use crate::backend::Backend;
use crate::bus_lock::{BusLock, LockFile, usual_place};
use crate::chip::{Chip, Options};
use crate::error::Error;

/// Where a chip is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChipAddress {
    /// A bus of this machine, by its device file.
    #[cfg(target_os = "linux")]
    Device(PathBuf),
    /// The virtual bus at a Unix socket.
    #[cfg(unix)]
    Unix(PathBuf),
    /// The virtual bus over loopback TCP.
    Tcp(SocketAddr),
}

/// How to reach the chip there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChipSetting {
    /// Its address on the bus.
    pub i2c_address: u8,
    /// The longest frame; a bus controller may limit a transfer to less than the chip takes.
    pub frame_bytes_max: u16,
    /// Where the processes that share the chip meet, if not at the usual file.
    pub lock: Option<PathBuf>,
    /// What its owner decides.
    pub options: Options,
}

impl Default for ChipSetting {
    fn default() -> Self {
        let config = Config::default();
        Self {
            i2c_address: config.address,
            frame_bytes_max: config.frame_bytes_max,
            lock: None,
            options: Options::default(),
        }
    }
}

impl ChipAddress {
    /// From `/dev/i2c-N`, `unix:PATH` or `tcp:HOST:PORT`, the host as a number.
    pub fn parse(text: &str) -> Result<Self, Error> {
        #[cfg(target_os = "linux")]
        if text.starts_with("/dev/") && !text.ends_with('/') {
            return Ok(Self::Device(PathBuf::from(text)));
        }
        #[cfg(unix)]
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let tcp = text.strip_prefix("tcp:").and_then(|address| address.parse().ok());
        tcp.map(Self::Tcp).ok_or(Error::ArgumentsBad(
            "a chip's address must be /dev/i2c-N (on Linux), unix:PATH or tcp:IP:PORT",
        ))
    }

    /// The chip there as a backend; it is not spoken to yet.
    pub fn backend(self, setting: ChipSetting) -> Result<Box<dyn Backend>, Error> {
        if !optiga::limits::ADDRESSES.contains(&setting.i2c_address) {
            return Err(Error::ArgumentsBad("an i2c address must be 0x08 to 0x77"));
        }
        let frames = optiga::limits::FRAME_BYTES_MIN..=optiga::limits::FRAME_BYTES_MAX;
        if !frames.contains(&usize::from(setting.frame_bytes_max)) {
            return Err(Error::ArgumentsBad("a frame must have 16 to 277 bytes"));
        }
        let config = Config {
            address: setting.i2c_address,
            frame_bytes_max: setting.frame_bytes_max,
            ..Config::default()
        };
        let lock = self.lock(&setting);
        let wires = Wires {
            address: self,
            open: None,
        };
        Ok(Box::new(Chip::with(
            wires,
            SocketDelay,
            config,
            lock,
            setting.options,
        )))
    }

    fn lock(&self, setting: &ChipSetting) -> BusLock {
        let (address, i2c_address) = (self.clone(), setting.i2c_address);
        let chosen = setting.lock.clone();
        BusLock::at(move || match &chosen {
            Some(path) => LockFile {
                path: path.clone(),
                guards: address.file(),
            },
            None => address.usual_lock(i2c_address),
        })
    }

    /// A socket is its owner's, in a folder where he may write: its lock lies beside it. Without the folder there is no chip
    /// either, and nothing to lie beside.
    fn usual_lock(&self, i2c_address: u8) -> LockFile {
        match self {
            #[cfg(unix)]
            Self::Unix(path) if path.parent().is_some_and(Path::is_dir) => LockFile {
                path: beside(path),
                guards: self.file(),
            },
            _ => usual_place(&self.name(), i2c_address, self.file()),
        }
    }

    /// The file whose rights say who may use the bus.
    fn file(&self) -> Option<PathBuf> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Device(path) => Some(path.clone()),
            #[cfg(unix)]
            Self::Unix(path) => Some(path.clone()),
            Self::Tcp(_) => None,
        }
    }

    /// The same for every process, whatever its folder and however it writes the path.
    fn name(&self) -> String {
        match self {
            #[cfg(target_os = "linux")]
            Self::Device(path) => std::format!("device {}", settled(path).display()),
            #[cfg(unix)]
            Self::Unix(path) => std::format!("unix {}", settled(path).display()),
            Self::Tcp(address) => std::format!("tcp {address}"),
        }
    }

    fn open(&self) -> Result<Open, Fault> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Device(path) => Ok(Open::Device(linux::Bus::open(path)?)),
            #[cfg(unix)]
            Self::Unix(path) => Ok(Open::Virtual(
                SocketClient::unix(path).map_err(|_| Fault::NOBODY)?,
            )),
            Self::Tcp(address) => Ok(Open::Virtual(
                SocketClient::tcp(*address).map_err(|_| Fault::NOBODY)?,
            )),
        }
    }
}

impl fmt::Display for ChipAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(target_os = "linux")]
            Self::Device(path) => write!(f, "{}", path.display()),
            #[cfg(unix)]
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

#[cfg(unix)]
fn beside(socket: &Path) -> PathBuf {
    let mut name = socket.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// The path without links, as far as it exists: of a file that is not there its folder's.
fn settled(path: &Path) -> PathBuf {
    let folder = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new(".")).canonicalize().ok()?;
        Some(folder.join(path.file_name()?))
    };
    path.canonicalize()
        .ok()
        .or_else(folder)
        .unwrap_or_else(|| path.to_owned())
}

/// What a bus says when it does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault(ErrorKind);

impl Fault {
    /// There is no bus at all.
    const NOBODY: Self = Self(ErrorKind::Other);
}

impl I2cError for Fault {
    fn kind(&self) -> ErrorKind {
        self.0
    }
}

struct Wires {
    address: ChipAddress,
    open: Option<Open>,
}

enum Open {
    #[cfg(target_os = "linux")]
    Device(linux::Bus),
    Virtual(SocketClient),
}

impl fmt::Debug for Wires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wires({})", self.address)
    }
}

impl ErrorType for Wires {
    type Error = Fault;
}

impl I2c for Wires {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Fault> {
        let open = match &mut self.open {
            Some(open) => open,
            empty => empty.insert(self.address.open()?),
        };
        let done = match open {
            #[cfg(target_os = "linux")]
            Open::Device(bus) => return bus.transaction(address, operations),
            Open::Virtual(client) => client.transaction(address, operations),
        };
        if matches!(
            done,
            Err(BusError::Socket(_) | BusError::GarbledReply | BusError::Version(_) | BusError::Malformed)
        ) {
            self.open = None;
        }
        done.map_err(|error| Fault(error.kind()))
    }
}

#[cfg(target_os = "linux")]
mod linux {
    //! A bus of this machine, through the kernel's i2c-dev.

    use std::path::Path;

    use embedded_hal::i2c::{Error as _, ErrorKind, I2c, NoAcknowledgeSource, Operation, SevenBitAddress};
    use linux_embedded_hal::I2cdev;
    use linux_embedded_hal::i2cdev::linux::LinuxI2CError;

    use super::Fault;

    /// What several controllers say (that of the Raspberry Pi among them) when an address is not acknowledged; others
    /// say ENXIO.
    const REMOTE_IO: i32 = 121;

    pub(super) struct Bus(I2cdev);

    impl Bus {
        pub(super) fn open(path: &Path) -> Result<Self, Fault> {
            I2cdev::new(path).map(Self).map_err(|_| Fault::NOBODY)
        }

        pub(super) fn transaction(
            &mut self,
            address: u8,
            operations: &mut [Operation<'_>],
        ) -> Result<(), Fault> {
            let done = I2c::<SevenBitAddress>::transaction(&mut self.0, address, operations);
            done.map_err(|error| {
                let errno = match error.inner() {
                    LinuxI2CError::Errno(errno) => Some(*errno),
                    LinuxI2CError::Io(error) => error.raw_os_error(),
                };
                Fault(match errno {
                    Some(REMOTE_IO) => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown),
                    _ => error.kind(),
                })
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_its_kind() {
        assert!(ChipAddress::parse("tcp:127.0.0.1:4000").is_ok());
        #[cfg(unix)]
        assert!(ChipAddress::parse("unix:/run/chip").is_ok());
        #[cfg(target_os = "linux")]
        for device in ["/dev/i2c-1", "/dev/i2c/1", "/dev/optiga"] {
            assert_eq!(
                ChipAddress::parse(device).unwrap(),
                ChipAddress::Device(device.into())
            );
        }
        for wrong in [
            "",
            "unix:",
            "tcp:localhost:1",
            "i2c-1",
            "/dev/",
            "/tmp/bus",
            "tcp:127.0.0.1",
        ] {
            assert!(ChipAddress::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_setting_that_no_bus_has_is_refused() {
        let address = || ChipAddress::parse("tcp:127.0.0.1:1").unwrap();
        for (i2c_address, frame_bytes_max, fits) in [
            (0x30, 277, true),
            (0x77, 16, true),
            (0x78, 277, false),
            (0x07, 277, false),
            (0x30, 15, false),
            (0x30, 278, false),
        ] {
            let setting = ChipSetting {
                i2c_address,
                frame_bytes_max,
                ..ChipSetting::default()
            };
            assert_eq!(address().backend(setting).is_ok(), fits);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn one_bus_has_one_lock_however_it_is_written() {
        let lock = |text: &str| ChipAddress::parse(text).unwrap().usual_lock(0x30).path;
        assert_eq!(lock("/dev/i2c-nowhere"), lock("/dev/./i2c-nowhere"));
        assert_ne!(lock("/dev/i2c-nowhere"), lock("/dev/i2c-elsewhere"));
        assert_eq!(lock("unix:/run/chip"), Path::new("/run/chip.lock"));
        assert_ne!(usual_place("a", 0x30, None), usual_place("a", 0x31, None));
    }

    #[cfg(unix)]
    #[test]
    fn nobody_there_is_a_token_that_is_absent() {
        let folder = tempfile::tempdir().unwrap();
        for text in [
            std::format!("unix:{}/chip", folder.path().display()),
            "/dev/i2c-nowhere".into(),
        ] {
            let setting = ChipSetting {
                lock: Some(folder.path().join("lock")),
                ..ChipSetting::default()
            };
            let backend = ChipAddress::parse(&text).unwrap().backend(setting).unwrap();
            let error = backend.describe().unwrap_err();
            assert!(matches!(error, Error::DeviceRemoved(_)), "{error:?}");
        }
    }
}
