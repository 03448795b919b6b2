//! Which bus has which number: the variable BIRTHMARK_I2C, and the paths under which programs look for a bus.
//!
//! The variable is a list `N=unix:PATH` or `N=tcp:IP:PORT`, joined by commas. What cannot be read in it is left out; a bus
//! that is left out is not there, which is what a program finds then.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use i2c_bus::{Error, SocketClient};

use crate::limits::BUSES_MAX;

/// The variable that names the buses.
const VARIABLE: &str = "BIRTHMARK_I2C";

/// Where a bus is served.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// A bus with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bus {
    pub(crate) number: u32,
    place: Place,
}

impl Bus {
    pub(crate) fn connect(&self) -> Result<SocketClient, Error> {
        match &self.place {
            Place::Unix(path) => SocketClient::unix(path),
            Place::Tcp(address) => SocketClient::tcp(*address),
        }
    }

    /// What the adapter calls itself.
    pub(crate) fn name(&self) -> String {
        match &self.place {
            Place::Unix(path) => format!("birthmark SIMULATED {}\n", path.display()),
            Place::Tcp(address) => format!("birthmark SIMULATED {address}\n"),
        }
    }
}

/// All buses that the variable names.
pub(crate) fn buses() -> &'static [Bus] {
    static BUSES: OnceLock<Vec<Bus>> = OnceLock::new();
    BUSES.get_or_init(|| parse(&std::env::var(VARIABLE).unwrap_or_default()))
}

/// The bus behind a device file.
pub(crate) fn of_device(path: &[u8]) -> Option<&'static Bus> {
    let number = number_of(path)?;
    buses().iter().find(|bus| bus.number == number)
}

/// The bus whose name a program asks sysfs for: `/sys/class/i2c-dev/i2c-N/name`.
pub(crate) fn of_name_file(path: &[u8]) -> Option<&'static Bus> {
    if !path.ends_with(b"/name") {
        return None;
    }
    let path = plain(path);
    let entry = path.strip_prefix("/sys/class/i2c-dev/")?.strip_suffix("/name")?;
    let number = decimal(entry.strip_prefix("i2c-")?)?;
    buses().iter().find(|bus| bus.number == number)
}

/// A folder in which our buses are listed.
pub(crate) fn is_listed_in(path: &[u8]) -> bool {
    matches!(path.first(), Some(b'/')) && matches!(plain(path).as_str(), "/dev" | "/sys/class/i2c-dev")
}

fn number_of(path: &[u8]) -> Option<u32> {
    if !path.starts_with(b"/dev/") {
        return None;
    }
    let path = plain(path);
    let rest = path.strip_prefix("/dev/i2c")?;
    decimal(rest.strip_prefix(['-', '/'])?)
}

/// A path with one slash where it has several, and none at its end.
fn plain(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
    format!("/{}", parts.join("/"))
}

fn decimal(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

fn parse(text: &str) -> Vec<Bus> {
    let mut buses: Vec<Bus> = Vec::new();
    for bus in text.split(',').filter_map(|entry| parse_one(entry.trim())) {
        if buses.len() < BUSES_MAX && buses.iter().all(|known| known.number != bus.number) {
            buses.push(bus);
        }
    }
    buses
}

fn parse_one(entry: &str) -> Option<Bus> {
    let (number, place) = entry.split_once('=')?;
    let place = match place.split_once(':')? {
        ("unix", path) if !path.is_empty() => Place::Unix(Path::new(path).to_owned()),
        ("tcp", address) => Place::Tcp(address.parse().ok()?),
        _ => return None,
    };
    Some(Bus {
        number: decimal(number)?,
        place,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_a_list_and_what_is_wrong_in_it_is_left_out() {
        let numbers = |text: &str| parse(text).iter().map(|bus| bus.number).collect::<Vec<_>>();
        assert_eq!(numbers(""), [] as [u32; 0]);
        assert_eq!(numbers("7=unix:/run/chip"), [7]);
        assert_eq!(numbers("1=unix:/a=b, 2=tcp:127.0.0.1:9"), [1, 2]);
        assert_eq!(numbers("1=unix:/a,1=unix:/b"), [1]);
        for wrong in [
            "unix:/a",
            "1=/a",
            "1=unix:",
            "-1=unix:/a",
            "+1=unix:/a",
            "1=tcp:nowhere",
            "x=unix:/a",
        ] {
            assert_eq!(numbers(wrong), [] as [u32; 0], "{wrong}");
        }
        assert_eq!(parse("1=unix:/a,1=unix:/b")[0].place, Place::Unix("/a".into()));
    }

    #[test]
    fn device_files_have_numbers_and_others_have_none() {
        for (path, number) in [
            ("/dev/i2c-7", Some(7)),
            ("/dev/i2c/7", Some(7)),
            ("/dev//i2c-12", Some(12)),
            ("/dev/i2c-", None),
            ("/dev/i2c-7x", None),
            ("/dev/i2c7", None),
            ("/dev/i2c-+7", None),
            ("i2c-7", None),
            ("/dev/null", None),
            ("/dev/i2c-99999999999", None),
        ] {
            assert_eq!(number_of(path.as_bytes()), number, "{path}");
        }
    }

    #[test]
    fn folders_that_list_buses() {
        for (path, listed) in [
            ("/dev", true),
            ("/dev/", true),
            ("/sys/class/i2c-dev/", true),
            ("/sys//class/i2c-dev", true),
            ("/sys/class", false),
            ("dev", false),
            ("", false),
        ] {
            assert_eq!(is_listed_in(path.as_bytes()), listed, "{path}");
        }
    }
}
