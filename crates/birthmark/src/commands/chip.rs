//! `birthmark chip serve`: simulated secure elements on the virtual I²C bus.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::PoisonError,
};

use i2c_bus::{Listener, Serving};
use optiga_sim::{Settings, Tray};
use serde_json::json;

use super::chip_serve;
use crate::{
    args::{ChipPlace, ChipProfile, ChipServe},
    exit::{Context, DONE, Failure},
    words::{say, tell},
};

/// Serves chips until the process is asked to stop.
pub(crate) fn serve(typed: &ChipServe) -> Result<u8, Failure> {
    let tray = tray(typed)?;
    cut_power(&tray, typed);
    if let Some(line) = &typed.place.serial {
        return serve_on_line(&tray, typed, line);
    }
    let serving = (0..typed.chips)
        .map(|index| place_chip(&tray, &typed.place, index, typed.chips))
        .collect::<Result<Vec<_>, _>>()?;
    let addresses: Vec<String> = serving
        .iter()
        .map(|serving| serving.address().to_string())
        .collect();
    say(&format!(
        "{} simulated chips (SIMULATED: no security whatsoever); stop with Ctrl-C",
        typed.chips
    ));
    tell(&json!({ "simulated": true, "chips": addresses }).to_string())
        .fault(|| "could not write to stdout".to_owned())?;
    super::serve::wait_for_the_end()?;
    serving.into_iter().for_each(Serving::stop);
    Ok(DONE)
}

/// One chip on a serial line instead of a socket.
fn serve_on_line(tray: &Tray, typed: &ChipServe, line: &Path) -> Result<u8, Failure> {
    if typed.chips != 1 {
        return Err(Failure::usage("a serial line has room for one chip"));
    }
    let bus = tray
        .bus(0)
        .ok_or_else(|| Failure::fault("the tray lost a chip"))?;
    let name = chip_serve::serve_line(line, bus)?;
    say("a simulated chip (SIMULATED: no security whatsoever) on a serial line; stop with Ctrl-C");
    tell(&json!({ "simulated": true, "chips": [format!("serial:{}", name.display())] }).to_string())
        .fault(|| "could not write to stdout".to_owned())?;
    super::serve::wait_for_the_end()?;
    Ok(DONE)
}

/// Lets the power of each chip go after the pages that were asked for.
fn cut_power(tray: &Tray, typed: &ChipServe) {
    let Some(pages) = typed.faults.as_ref().and_then(|faults| faults.power_cut) else {
        return;
    };
    for chip in (0..typed.chips).filter_map(|index| tray.chip(index)) {
        chip.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .cut_power_after(pages);
    }
}

fn tray(typed: &ChipServe) -> Result<Tray, Failure> {
    let seed = typed.seed.map_or_else(new_seed, Ok)?;
    let settings = Settings {
        profile: chip_serve::profile(typed.profile.unwrap_or(ChipProfile::Prod)),
        behaviour: chip_serve::behaviour(typed, seed),
        ..Settings::default()
    };
    match &typed.tray {
        Some(path) if path.exists() => Tray::open_existing(path, settings.behaviour)
            .fault(|| format!("could not open the chips in {}", path.display()))
            .and_then(|tray| {
                let (chips, profile) = (tray.chips(), tray.settings().profile);
                if typed.profile.is_some() && profile != settings.profile {
                    let path = path.display();
                    return Err(Failure::usage(format!(
                        "{path} holds chips of profile {profile:?}; leave --profile out"
                    )));
                }
                let fits = typed.chips <= chips;
                fits.then_some(tray).ok_or_else(|| {
                    Failure::usage(format!(
                        "{} holds {chips} chips, not {}",
                        path.display(),
                        typed.chips
                    ))
                })
            }),
        Some(path) => Tray::open_file_with(path, typed.chips, seed, settings)
            .fault(|| format!("could not keep chips in {}", path.display())),
        None => {
            Tray::memory_with(typed.chips, seed, settings).fault(|| "could not make the chips".to_owned())
        }
    }
}

/// A new tray's chips have identifiers that no other tray's have.
pub(crate) fn new_seed() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    identity::crypto::random(&mut bytes).fault(|| "the system gives no random bytes".to_owned())?;
    Ok(u64::from_be_bytes(bytes))
}

fn place_chip(tray: &Tray, place: &ChipPlace, index: u32, chips: u32) -> Result<Serving, Failure> {
    let bus = tray
        .bus(index)
        .ok_or_else(|| Failure::fault("the tray lost a chip"))?;
    let listener = match (&place.socket, place.tcp) {
        (Some(path), _) => Listener::unix(&numbered(path, index, chips))
            .fault(|| format!("could not listen on {}", path.display()))?,
        (None, Some(address)) => {
            Listener::tcp(behind(address, index)?).fault(|| format!("could not listen on {address}"))?
        }
        (None, None) => {
            return Err(Failure::usage(
                "--socket, --tcp or --serial says where the chips are served",
            ));
        }
    };
    listener
        .spawn(bus)
        .fault(|| "could not start serving a chip".to_owned())
}

fn numbered(path: &Path, index: u32, chips: u32) -> PathBuf {
    if chips == 1 {
        return path.to_owned();
    }
    let mut name = path.to_owned().into_os_string();
    name.push(format!(".{index}"));
    name.into()
}

/// The port for chip `index`: counted up from the first one, or any free one.
fn behind(mut address: SocketAddr, index: u32) -> Result<SocketAddr, Failure> {
    if address.port() != 0 {
        let port = u32::from(address.port()) + index;
        let port = u16::try_from(port)
            .map_err(|_| Failure::usage(format!("there is no port {port} for chip {index}")))?;
        address.set_port(port);
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{behind, numbered};

    #[test]
    fn several_chips_have_numbered_places() {
        let path = PathBuf::from("/run/chip");
        assert_eq!(numbered(&path, 0, 1), path);
        assert_eq!(numbered(&path, 3, 4), PathBuf::from("/run/chip.3"));
        assert_eq!(behind("127.0.0.1:9000".parse().unwrap(), 2).unwrap().port(), 9002);
        assert_eq!(behind("127.0.0.1:0".parse().unwrap(), 2).unwrap().port(), 0);
        assert!(behind("127.0.0.1:65535".parse().unwrap(), 1).is_err());
    }
}
