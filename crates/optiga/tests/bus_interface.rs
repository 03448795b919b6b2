//! The registers beside the data register: bus speed, address, reset. A chip of registers only, at one address.

mod support;

use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, Operation, SevenBitAddress};
use optiga::{Config, Optiga, Start};
use support::{ASLEEP, Line, Nack, Virtual, hex};

/// What the chip's registers hold, and what was written to them.
struct Registers {
    address: u8,
    khz: u16,
    has_fast_mode_plus: bool,
    pointer: u8,
    written: Vec<String>,
}

impl Registers {
    fn new(has_fast_mode_plus: bool) -> Self {
        Self {
            address: 0x30,
            khz: 400,
            has_fast_mode_plus,
            pointer: 0,
            written: Vec::new(),
        }
    }
}

impl ErrorType for Registers {
    type Error = Nack;
}

impl I2c for Registers {
    fn write(&mut self, address: SevenBitAddress, bytes: &[u8]) -> Result<(), Nack> {
        if address != self.address {
            return Err(ASLEEP);
        }
        self.pointer = bytes[0];
        if bytes.len() > 1 {
            self.written.push(hex(bytes).trim_end().to_owned());
        }
        match bytes {
            [0x83, _, address] => self.address = *address,
            [0x88, ..] => self.address = 0x30,
            [0x89, 0x80, 4] if self.has_fast_mode_plus => self.khz = 1000,
            [0x89, 0x80, 3] => self.khz = 400,
            _ => {}
        }
        Ok(())
    }

    fn read(&mut self, address: SevenBitAddress, buffer: &mut [u8]) -> Result<(), Nack> {
        if address != self.address {
            return Err(ASLEEP);
        }
        let [high, low] = self.khz.to_be_bytes();
        match self.pointer {
            0x82 => buffer.copy_from_slice(&[0x08, 0, 0, 0]),
            0x84 => buffer.copy_from_slice(&[0, 0, high, low]),
            other => panic!("read of register {other:02X}"),
        }
        Ok(())
    }

    fn transaction(&mut self, _: SevenBitAddress, _: &mut [Operation<'_>]) -> Result<(), Nack> {
        panic!("the chip knows no repeated start");
    }
}

fn driver(registers: Registers) -> Optiga<Registers, Virtual> {
    Optiga::new(registers, Virtual::default(), Config::default())
}

#[test]
fn the_mode_is_written_only_when_it_must_change() {
    let mut chip = driver(Registers::new(true));
    assert_eq!(chip.prepare_speed(100), Ok(400));
    assert_eq!(chip.prepare_speed(400), Ok(400));
    assert_eq!(chip.prepare_speed(401), Ok(1000));
    assert_eq!(chip.prepare_speed(1000), Ok(1000));
    assert_eq!(chip.prepare_speed(400), Ok(400));
    assert_eq!(chip.release().0.written, ["89 80 04", "89 80 03"]);
}

#[test]
fn a_chip_without_the_mode_says_what_it_follows() {
    assert_eq!(driver(Registers::new(false)).prepare_speed(1000), Ok(400));
}

#[test]
fn an_address_for_now_and_one_for_good() {
    let mut chip = driver(Registers::new(true));
    chip.change_address(0x31, false).unwrap();
    assert_eq!(chip.address(), 0x31);
    // The reset takes the volatile address away.
    chip.soft_reset().unwrap();
    assert_eq!(chip.address(), 0x30);
    chip.change_address(0x77, true).unwrap();
    assert_eq!(chip.bus_khz_max(), Ok(400));
    assert_eq!(chip.release().0.written, ["83 00 31", "88 00 00", "83 80 77"]);
}

/// Golden trace G-10, transaction by transaction, up to the first frame.
#[test]
fn g10_the_soft_reset_on_the_wire() {
    let golden = support::trace("g10-soft-reset");
    let config = Config {
        start: Start::SoftReset,
        ..Config::default()
    };
    let mut wire = Wire(Vec::new());
    let mut delay = Virtual::default();
    let mut chip = Optiga::new(&mut wire, &mut delay, config);
    chip.soft_reset().unwrap();
    assert!((12_000..13_000).contains(&chip.waited_us()));
    assert_eq!(chip.bus_khz_max(), Ok(400));
    // The recording resets once.
    let mut chip = Optiga::new(
        &mut wire,
        &mut delay,
        Config {
            start: Start::AfterReset,
            ..config
        },
    );
    assert_eq!(chip.open().unwrap_err().code(), "chip.bus.fault");
    let transaction = |line: &Line| match line {
        Line::Write(Some(bytes)) => format!("W {}", hex(bytes).trim_end()),
        Line::Read(Some(bytes)) => format!("R {}", hex(bytes).trim_end()),
        other => panic!("{other:?}"),
    };
    let expected: Vec<String> = golden.lines.iter().map(transaction).collect();
    assert_eq!(wire.0[..expected.len()], expected);
    assert!(wire.0[expected.len()].starts_with("W 80 "), "{:?}", wire.0);
}

/// Answers register reads as the recording does, and fails at the first frame.
struct Wire(Vec<String>);

impl ErrorType for Wire {
    type Error = Nack;
}

impl I2c for Wire {
    fn write(&mut self, _: SevenBitAddress, bytes: &[u8]) -> Result<(), Nack> {
        self.0.push(format!("W {}", hex(bytes).trim_end()));
        if bytes[0] == 0x80 {
            return Err(Nack(ErrorKind::Bus));
        }
        Ok(())
    }

    fn read(&mut self, _: SevenBitAddress, buffer: &mut [u8]) -> Result<(), Nack> {
        let answer: &[u8] = match self.0.last().map(String::as_str) {
            Some("W 82") => &[0x08, 0, 0, 0],
            Some("W 84") => &[0, 0, 1, 0x90],
            Some("W 81") => &[1, 0x15],
            other => panic!("read after {other:?}"),
        };
        buffer.copy_from_slice(answer);
        self.0.push(format!("R {}", hex(answer).trim_end()));
        Ok(())
    }

    fn transaction(&mut self, _: SevenBitAddress, _: &mut [Operation<'_>]) -> Result<(), Nack> {
        panic!("the chip knows no repeated start");
    }
}

#[test]
fn a_chip_that_is_not_there_is_waited_for_a_quarter_of_a_second() {
    let mut registers = Registers::new(true);
    registers.address = 0x2F;
    let mut chip = driver(registers);
    assert_eq!(chip.state().unwrap_err().code(), "chip.bus.absent");
    assert_eq!(chip.waited_us(), 249_000);
}
