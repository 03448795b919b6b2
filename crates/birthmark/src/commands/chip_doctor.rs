//! `birthmark chip doctor`: what is wrong with this bus or this chip, from the wires up.
//!
//! Each step needs the one before it, so the first that fails is the answer, and it says what to do. It reads only; with
//! `--reset` it also resets the chip.

use embedded_hal::{
    delay::DelayNs,
    i2c::{Error as _, ErrorKind, I2c, NoAcknowledgeSource},
};
use optiga::{Error, ErrorCode, Optiga, limits, register::State};
use serde_json::json;

use super::{
    chip_apdu::{build_name, hexadecimal},
    chip_bus,
    chip_decode::{Decoder, state_words},
    chip_record::Recorder,
};
use crate::{
    args::ChipDoctor,
    exit::{Context, DONE, Failure, REFUSED},
    words::{say, tell},
};

/// How many commands are sent to see whether frames arrive whole.
const PROBES: usize = 16;
/// From this many security events on the chip delays private key operations.
const EVENTS_SLOW: u8 = 128;
/// Attempts at one address, 1 ms apart: a chip may be busy for 100 ms.
const PROBE_ATTEMPTS: u32 = 150;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grade {
    Well,
    Warning,
    Broken,
}

/// One step of the examination.
struct Finding {
    check: &'static str,
    grade: Grade,
    found: String,
    advice: &'static str,
}

impl Finding {
    fn well(check: &'static str, found: impl Into<String>) -> Self {
        let (grade, advice) = (Grade::Well, "");
        Self {
            check,
            grade,
            found: found.into(),
            advice,
        }
    }

    fn warning(check: &'static str, found: impl Into<String>, advice: &'static str) -> Self {
        let grade = Grade::Warning;
        Self {
            check,
            grade,
            found: found.into(),
            advice,
        }
    }

    fn broken(check: &'static str, found: impl Into<String>, advice: &'static str) -> Self {
        let grade = Grade::Broken;
        Self {
            check,
            grade,
            found: found.into(),
            advice,
        }
    }
}

/// Examines a chip and its bus.
pub(crate) fn run(typed: &ChipDoctor) -> Result<u8, Failure> {
    let mut bus = chip_bus::connect(&typed.chip)?;
    let mut findings = vec![presence(&mut bus, &mut i2c_bus::SocketDelay)];
    if findings.iter().all(|finding| finding.grade != Grade::Broken) {
        let mut chip = Optiga::new(
            Recorder::new(bus),
            i2c_bus::SocketDelay,
            optiga::Config::default(),
        );
        examine(&mut chip, typed.reset, &mut findings);
    }
    let broken = findings.iter().any(|finding| finding.grade == Grade::Broken);
    if typed.json {
        let list: Vec<_> = findings.iter().map(as_json).collect();
        let object = json!({ "chip": typed.chip, "healthy": !broken, "findings": list });
        tell(&object.to_string()).fault(|| "could not write to stdout".to_owned())?;
    } else {
        findings.iter().for_each(for_people);
    }
    Ok(if broken { REFUSED } else { DONE })
}

fn as_json(finding: &Finding) -> serde_json::Value {
    let grade = match finding.grade {
        Grade::Well => "well",
        Grade::Warning => "warning",
        Grade::Broken => "broken",
    };
    json!({ "check": finding.check, "grade": grade, "found": finding.found, "advice": finding.advice })
}

fn for_people(finding: &Finding) {
    let mark = match finding.grade {
        Grade::Well => "well   ",
        Grade::Warning => "WARNING",
        Grade::Broken => "BROKEN ",
    };
    say(&format!("{mark} {:<10} {}", finding.check, finding.found));
    if !finding.advice.is_empty() {
        say(&format!("                   {}", finding.advice));
    }
}

/// What an address does when it is spoken to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Answers,
    Silent,
    /// It acknowledges its address and then refuses to be read.
    Refuses,
    BusFault,
}

fn knock(bus: &mut impl I2c, delay: &mut impl DelayNs, address: u8, attempts: u32) -> Presence {
    let mut acknowledged = false;
    for _ in 0..attempts {
        let mut state = [0; 4];
        let selected = bus.write(address, &[0x82]);
        delay.delay_us(100);
        let result = selected.and_then(|()| {
            acknowledged = true;
            bus.read(address, &mut state)
        });
        match result.map_err(|error| error.kind()) {
            Ok(()) => return Presence::Answers,
            Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address | NoAcknowledgeSource::Unknown)) => {}
            Err(ErrorKind::NoAcknowledge(_)) => acknowledged = true,
            Err(_) => return Presence::BusFault,
        }
        delay.delay_us(1_000);
    }
    if acknowledged {
        Presence::Refuses
    } else {
        Presence::Silent
    }
}

fn presence(bus: &mut impl I2c, delay: &mut impl DelayNs) -> Finding {
    const CHECK: &str = "presence";
    let address = optiga::Config::default().address;
    match knock(bus, delay, address, PROBE_ATTEMPTS) {
        Presence::Answers => return Finding::well(CHECK, format!("address {address:#04x} answers")),
        Presence::Refuses => {
            return Finding::broken(
                CHECK,
                format!(
                    "address {address:#04x} acknowledges and then never lets itself be read (always NAK)"
                ),
                "the chip is held in reset, its supply breaks down, or another device has this address",
            );
        }
        Presence::BusFault => {
            return Finding::broken(
                CHECK,
                "the bus itself fails",
                "check that SDA and SCL are not held low and have pull-ups",
            );
        }
        Presence::Silent => {}
    }
    let others: Vec<String> = limits::ADDRESSES
        .filter(|other| *other != address && knock(bus, delay, *other, 2) == Presence::Answers)
        .map(|other| format!("{other:#04x}"))
        .collect();
    if others.is_empty() {
        let advice =
            "check supply, ground, pull-ups, the reset line (it must be high) and the number of the bus";
        return Finding::broken(CHECK, "nothing answers at any address", advice);
    }
    Finding::broken(
        CHECK,
        format!(
            "nothing answers at {address:#04x}; the bus works, since {} does",
            others.join(" and ")
        ),
        "the chip has no supply or is held in reset, or it was moved to another address",
    )
}

/// One step: what it looks at, it asks the chip.
type Check<I, D> = fn(&mut Optiga<Recorder<I>, D>) -> Finding;

fn examine<I: I2c, D: DelayNs>(chip: &mut Optiga<Recorder<I>, D>, reset: bool, findings: &mut Vec<Finding>) {
    let steps: [Check<I, D>; 5] = [state, opening, frames, firmware, events];
    for step in steps {
        let finding = step(chip);
        let broken = finding.grade == Grade::Broken;
        findings.push(finding);
        if broken {
            return;
        }
    }
    findings.push(if reset {
        reset_over_the_bus(chip)
    } else {
        Finding::well("reset", "not tried; --reset does")
    });
}

fn state<I: I2c, D: DelayNs>(chip: &mut Optiga<Recorder<I>, D>) -> Finding {
    const CHECK: &str = "state";
    match chip.state() {
        Ok(state) if state == State::from_bytes([0xFF; 4]) => Finding::broken(
            CHECK,
            "every bit of the state reads one",
            "SDA stays high while the chip should speak: another device, or a repeated start was used",
        ),
        Ok(state) if state.presentation_layer() => Finding::broken(
            CHECK,
            "the chip has a presentation layer: it is an OPTIGA Trust M",
            "this driver speaks to an OPTIGA Trust X",
        ),
        Ok(state) if !state.soft_reset() => Finding::warning(
            CHECK,
            format!("{}; no soft reset", state_words(state)),
            "not what an OPTIGA Trust X says of itself: check that it is one",
        ),
        Ok(state) => Finding::well(CHECK, state_words(state)),
        Err(error) => failed(CHECK, &error),
    }
}

fn failed<E: core::fmt::Debug>(check: &'static str, error: &Error<E>) -> Finding {
    Finding::broken(check, format!("{error} ({})", error.code()), error.advice())
}

fn opening<I: I2c, D: DelayNs>(chip: &mut Optiga<Recorder<I>, D>) -> Finding {
    const CHECK: &str = "opening";
    let khz = match chip.bus_khz_max() {
        Ok(khz) => khz,
        Err(error) => return failed(CHECK, &error),
    };
    match chip.open() {
        Ok(()) => Finding::well(
            CHECK,
            format!("application open, follows a clock of up to {khz} kHz"),
        ),
        Err(error) => failed(CHECK, &error),
    }
}

/// Sends commands and counts what was damaged on the way, also where the driver mended it.
fn frames<I: I2c, D: DelayNs>(chip: &mut Optiga<Recorder<I>, D>) -> Finding {
    const CHECK: &str = "frames";
    let mut failure = None;
    for _ in 0..PROBES {
        if let Err(error) = chip.buffer_bytes() {
            failure = Some(error);
            break;
        }
    }
    let mut decoder = Decoder::new();
    for recorded in chip.bus_mut().take() {
        decoder.take(&recorded.what);
    }
    let (damaged, refused) = (decoder.damaged, decoder.refused);
    match failure {
        Some(error) => failed(CHECK, &error),
        None if damaged + refused > 0 => Finding::warning(
            CHECK,
            format!(
                "in {PROBES} commands {damaged} frames arrived damaged and {refused} were asked for again (CRC errors)"
            ),
            "lower the bus speed, shorten the wires, check pull-ups and ground",
        ),
        None => Finding::well(CHECK, format!("{PROBES} commands, every frame whole")),
    }
}

fn firmware<I: I2c, D: DelayNs>(chip: &mut Optiga<Recorder<I>, D>) -> Finding {
    const CHECK: &str = "firmware";
    let uid = match chip.read_uid() {
        Ok(uid) => uid,
        Err(error) => return failed(CHECK, &error),
    };
    let found = format!("build {:04X}, UID {}", uid.firmware_build(), hexadecimal(&uid.0));
    if !uid.0.starts_with(&[0xCD, 0x16, 0x33]) {
        let advice = "not the platform and model of an OPTIGA Trust X: check what chip this is";
        return Finding::warning(CHECK, found, advice);
    }
    match build_name(&uid) {
        Some(version) => Finding::well(CHECK, format!("{found}, product version {version}")),
        None => Finding::warning(CHECK, found, "a build that no document names: expect differences"),
    }
}

fn events<I: I2c, D: DelayNs>(chip: &mut Optiga<Recorder<I>, D>) -> Finding {
    const CHECK: &str = "security";
    match chip.security_events() {
        Ok(events) if events >= EVENTS_SLOW => Finding::warning(
            CHECK,
            format!("{events} security events: private key operations are delayed, by up to 5 s each"),
            "leave the chip powered and idle: every 5 s one event is forgiven",
        ),
        Ok(events) => Finding::well(CHECK, format!("{events} security events")),
        Err(error) => failed(CHECK, &error),
    }
}

fn reset_over_the_bus<I: I2c, D: DelayNs>(chip: &mut Optiga<Recorder<I>, D>) -> Finding {
    const CHECK: &str = "reset";
    if let Err(error) = chip.soft_reset() {
        return failed(CHECK, &error);
    }
    // After a reset the application is closed, so the chip must refuse to read.
    match chip.buffer_bytes() {
        Err(error) if error.refusal() == Some(ErrorCode::UNAVAILABLE) => match chip.open() {
            Ok(()) => Finding::well(CHECK, "the chip resets over the bus and opens again"),
            Err(error) => failed(CHECK, &error),
        },
        Ok(_) => Finding::warning(
            CHECK,
            "the application is still open after a reset over the bus",
            "the soft reset does nothing on this chip: use the reset line or its supply",
        ),
        Err(error) => failed(CHECK, &error),
    }
}

#[cfg(test)]
mod tests {
    use embedded_hal::i2c::{ErrorType, Operation, SevenBitAddress};
    use optiga::Config;
    use optiga_sim::{Settings, Tray};

    use super::*;

    /// How a bus is broken.
    #[derive(Clone, Copy)]
    enum Fault {
        None,
        /// Nobody is at the chip's address.
        Gone,
        /// The address is acknowledged for writes only.
        NeverRead,
        /// Every n-th frame of the chip has a wrong bit.
        Damage(usize),
        /// SDA stays high.
        Ones,
        /// The build of the firmware is another one.
        Build,
        /// Resets do nothing.
        NoReset,
    }

    struct Bad<I> {
        bus: I,
        fault: Fault,
        reads: usize,
    }

    #[derive(Debug)]
    struct Nack;

    impl embedded_hal::i2c::Error for Nack {
        fn kind(&self) -> ErrorKind {
            ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)
        }
    }

    impl<I> ErrorType for Bad<I> {
        type Error = Nack;
    }

    impl<I: I2c> I2c for Bad<I> {
        fn write(&mut self, address: SevenBitAddress, bytes: &[u8]) -> Result<(), Nack> {
            match self.fault {
                Fault::Gone => return Err(Nack),
                Fault::NoReset if bytes.first() == Some(&0x88) => return Ok(()),
                _ => {}
            }
            self.bus.write(address, bytes).map_err(|_| Nack)
        }

        fn read(&mut self, address: SevenBitAddress, buffer: &mut [u8]) -> Result<(), Nack> {
            if matches!(self.fault, Fault::NeverRead) {
                return Err(Nack);
            }
            self.bus.read(address, buffer).map_err(|_| Nack)?;
            self.reads += usize::from(buffer.len() > 6);
            match self.fault {
                Fault::Ones => buffer.fill(0xFF),
                Fault::Damage(n) if buffer.len() > 6 && self.reads.is_multiple_of(n) => buffer[6] ^= 1,
                Fault::Build if buffer.len() == 37 => {
                    buffer[34] ^= 0x10;
                    let sum = optiga::crc::checksum(&buffer[..35]).to_be_bytes();
                    buffer[35..].copy_from_slice(&sum);
                }
                _ => {}
            }
            Ok(())
        }

        fn transaction(&mut self, _: SevenBitAddress, _: &mut [Operation<'_>]) -> Result<(), Nack> {
            Err(Nack)
        }
    }

    #[track_caller]
    fn check(fault: Fault, expected_check: &str, expected: Grade, words: &str) {
        let tray = Tray::memory_with(1, 11, Settings::default()).unwrap();
        let client = tray.bus(0).unwrap().client();
        let mut delay = client.delay();
        let mut bus = Bad {
            bus: client,
            fault,
            reads: 0,
        };
        let mut findings = vec![presence(&mut bus, &mut delay)];
        if findings[0].grade != Grade::Broken {
            let mut chip = Optiga::new(Recorder::new(bus), delay, Config::default());
            examine(&mut chip, true, &mut findings);
        }
        let finding = findings.iter().find(|finding| finding.check == expected_check);
        let finding = finding.expect("the check was made");
        assert!(finding.grade == expected, "{}: {}", finding.check, finding.found);
        assert!(finding.found.contains(words), "{}", finding.found);
        let others = findings.iter().filter(|finding| finding.check != expected_check);
        for other in others {
            assert!(other.grade == Grade::Well, "{}: {}", other.check, other.found);
        }
    }

    #[test]
    fn each_fault_has_its_finding() {
        check(Fault::None, "reset", Grade::Well, "opens again");
        check(Fault::Gone, "presence", Grade::Broken, "nothing answers");
        check(Fault::NeverRead, "presence", Grade::Broken, "always NAK");
        check(Fault::Ones, "state", Grade::Broken, "reads one");
        check(Fault::Damage(4), "frames", Grade::Warning, "CRC errors");
        check(Fault::Build, "firmware", Grade::Warning, "build");
        check(Fault::NoReset, "reset", Grade::Warning, "still open");
    }
}
