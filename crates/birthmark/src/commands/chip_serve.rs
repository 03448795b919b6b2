//! How served chips behave, as it was typed, and the serial line that a chip can be reached by.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::{fs::FileTypeExt, net::UnixStream},
    path::{Path, PathBuf},
    thread,
};

use i2c_bus::{LocalBus, serve_serial};
use optiga_sim::{Behaviour, Faults, NackPolicy, Profile};
use rustix::{
    fs::OFlags,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, tcgetattr, tcsetattr},
};

use crate::{
    args::{ChipNack, ChipProfile, ChipServe, Timing},
    exit::{Context, Failure},
};

/// What goes wrong on purpose, as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accidents {
    pub(crate) faults: Faults,
    /// Pages that each chip writes before its power goes.
    pub(crate) power_cut: Option<u32>,
}

/// Reads `lost-in=30,garbled-out=5,nack-storm=20x90,power-cut=3`: thousandths, and how long a storm is at most.
pub(crate) fn accidents(text: &str) -> Result<Accidents, String> {
    let mut accidents = Accidents {
        faults: Faults::default(),
        power_cut: None,
    };
    for entry in text.split(',') {
        let (name, value) = entry
            .split_once('=')
            .ok_or_else(|| format!("`{entry}` is not NAME=VALUE"))?;
        accidents.set(name.trim(), value.trim())?;
    }
    Ok(accidents)
}

impl Accidents {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let faults = &mut self.faults;
        let place = match name {
            "lost-in" => &mut faults.lost_in_permille,
            "repeated-in" => &mut faults.repeated_in_permille,
            "garbled-in" => &mut faults.corrupted_in_permille,
            "lost-out" => &mut faults.lost_out_permille,
            "repeated-out" => &mut faults.repeated_out_permille,
            "garbled-out" => &mut faults.corrupted_out_permille,
            "nack-storm" => {
                let (often, long) = value.split_once('x').ok_or("nack-storm=PERMILLExLENGTH")?;
                faults.nack_storm_length_max = number(long)?;
                faults.nack_storm_permille = permille(often)?;
                return Ok(());
            }
            "power-cut" => {
                self.power_cut = Some(number(value)?);
                return Ok(());
            }
            _ => {
                return Err(format!(
                    "no fault `{name}`; known: lost-in, repeated-in, garbled-in, lost-out, repeated-out, garbled-out, \
                     nack-storm, power-cut"
                ));
            }
        };
        *place = permille(value)?;
        Ok(())
    }
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number"))
}

fn permille(text: &str) -> Result<u16, String> {
    let permille = number(text)?;
    if permille > 1_000 {
        return Err(format!("{permille} is more than 1000 thousandths"));
    }
    Ok(permille)
}

/// The behaviour that was asked for; accidents come from `seed`.
pub(super) fn behaviour(typed: &ChipServe, seed: u64) -> Behaviour {
    let timing = match typed.timing {
        Timing::None => optiga_sim::Timing::None,
        Timing::Wall => optiga_sim::Timing::Wall,
        Timing::Virtual => optiga_sim::Timing::Virtual,
    };
    let nacks = match typed.nack {
        ChipNack::None => NackPolicy::None,
        ChipNack::Silicon => NackPolicy::Silicon,
        ChipNack::Sleep => NackPolicy::Sleep,
        ChipNack::Adversarial => NackPolicy::Adversarial,
    };
    let faults = typed.faults.as_ref().map(|accidents| Faults {
        seed,
        ..accidents.faults
    });
    Behaviour {
        timing,
        nacks,
        faults,
        ..Behaviour::default()
    }
}

/// How the factory leaves a new chip.
pub(super) fn profile(typed: ChipProfile) -> Profile {
    match typed {
        ChipProfile::Prod => Profile::Production,
        ChipProfile::Sample => Profile::Sample,
    }
}

/// Serves a bus on a serial line, on a thread that ends with the process; returns what the other side opens.
pub(super) fn serve_line(place: &Path, bus: LocalBus) -> Result<PathBuf, Failure> {
    let what = || format!("could not use {} as a serial line", place.display());
    let (line, name) = if place == Path::new("pty") {
        pseudo_terminal().fault(what)?
    } else {
        (existing(place).fault(what)?, place.to_owned())
    };
    thread::Builder::new()
        .name("serial".to_owned())
        .spawn(move || {
            let _kept = line.kept;
            // The other side has gone; there is nobody else to tell.
            let _ended = serve_serial(line.stream, &bus);
        })
        .fault(what)?;
    Ok(name)
}

/// A serial line, and what must stay open beside it.
struct Line {
    stream: Box<dyn Stream>,
    kept: Option<File>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A terminal that exists, or the Unix socket of an emulator's UART.
fn existing(place: &Path) -> std::io::Result<Line> {
    if std::fs::metadata(place)?.file_type().is_socket() {
        return Ok(Line {
            stream: Box::new(UnixStream::connect(place)?),
            kept: None,
        });
    }
    let file = terminal(place)?;
    Ok(Line {
        stream: Box::new(file),
        kept: None,
    })
}

/// A new terminal. Our own end of the other side stays open: without one, the line would end when a client goes.
fn pseudo_terminal() -> std::io::Result<(Line, PathBuf)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?;
    let name = PathBuf::from(name.to_string_lossy().into_owned());
    let kept = Some(terminal(&name)?);
    let stream = Box::new(File::from(ours));
    Ok((Line { stream, kept }, name))
}

/// Opens a terminal that carries bytes as they are.
fn terminal(place: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, OFlags::NOCTTY.bits() as i32);
    let file = options.open(place)?;
    let mut settings = tcgetattr(&file)?;
    settings.make_raw();
    tcsetattr(&file, OptionalActions::Now, &settings)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accidents_are_read_or_explained() {
        let typed = accidents("lost-in=30, garbled-out=5,nack-storm=20x90,power-cut=3").unwrap();
        let faults = Faults {
            lost_in_permille: 30,
            corrupted_out_permille: 5,
            nack_storm_permille: 20,
            nack_storm_length_max: 90,
            ..Faults::default()
        };
        assert_eq!(
            typed,
            Accidents {
                faults,
                power_cut: Some(3)
            }
        );
        for (wrong, words) in [
            ("", "NAME=VALUE"),
            ("lost=3", "no fault `lost`"),
            ("lost-in=x", "`x` is not a number"),
            ("lost-in=1001", "more than 1000"),
            ("nack-storm=20", "PERMILLExLENGTH"),
            ("power-cut=-1", "not a number"),
        ] {
            let told = accidents(wrong).unwrap_err();
            assert!(told.contains(words), "{wrong}: {told}");
        }
    }

    #[test]
    fn a_pseudo_terminal_carries_every_byte_as_it_is() {
        let bus = LocalBus::virtual_time();
        let name = serve_line(Path::new("pty"), bus).unwrap();
        let mut line = terminal(&name).unwrap();
        let mut request = Vec::new();
        i2c_bus::serial::encode(0x0A, &[b"\x00\x00\x00\x05vi2c\x01"], |part| {
            request.extend_from_slice(part)
        });
        line.write_all(&request).unwrap();
        let mut decoder = i2c_bus::serial::Decoder::new([0; 64]);
        let mut byte = [0];
        loop {
            line.read_exact(&mut byte).unwrap();
            if let Some(frame) = decoder.push(byte[0]) {
                assert_eq!(
                    (frame.number, frame.message),
                    (0x0A, &b"\x00\x00\x05vi2c\x01"[..])
                );
                return;
            }
        }
    }

    #[test]
    fn a_line_that_is_none_is_refused() {
        for wrong in ["/no/such/terminal", "/dev/null"] {
            let told = serve_line(Path::new(wrong), LocalBus::virtual_time())
                .unwrap_err()
                .to_string();
            assert!(told.contains(wrong), "{told}");
        }
    }

    #[test]
    fn options_are_typed_as_the_reference_says() {
        use clap::Parser as _;
        let parses = |words: &str| {
            let words = format!("birthmark chip serve {words}");
            crate::args::Birthmark::try_parse_from(words.split_whitespace()).is_ok()
        };
        for right in [
            "--serial pty --nack silicon --timing virtual --seed 4",
            "--socket /run/chip --faults lost-in=3,power-cut=9 --profile sample",
            "--tcp 127.0.0.1:0 --nack adversarial --profile prod",
        ] {
            assert!(parses(right), "{right}");
        }
        for wrong in [
            "",
            "--serial pty --socket /run/chip",
            "--socket /run/chip --faults nope=3",
            "--socket /run/chip --nack often",
        ] {
            assert!(!parses(wrong), "{wrong}");
        }
    }
}
