//! A sketch for a microcontroller: two pins, a microsecond timer, and the driver between them and the chip. No heap, no
//! operating system, nothing unsafe.
//!
//! Most boards have an I²C controller and a HAL whose type goes straight into [`Optiga::new`]; this one toggles pins, so that
//! the sketch needs no HAL. `cargo xtask firmware` builds it for a Cortex-M4F and prints how big the driver is there.
#![no_std]
#![forbid(unsafe_code)]

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation, SevenBitAddress};
use optiga::{
    Config, Curve, Error, KeySlot, KeyUsage, Optiga, PublicKeyBytes, SessionContext, Signature, Start,
};

/// What the board offers: open-drain outputs (`true` lets go of the line) and their levels.
#[derive(Clone, Copy, Debug)]
pub struct Pins {
    /// Drives SDA low, or lets it go.
    pub set_sda: fn(bool),
    /// Drives SCL low, or lets it go.
    pub set_scl: fn(bool),
    /// The level of SDA.
    pub sda: fn() -> bool,
    /// Waits so many microseconds.
    pub wait_us: fn(u32),
}

impl DelayNs for Pins {
    fn delay_ns(&mut self, ns: u32) {
        (self.wait_us)(ns.div_ceil(1_000));
    }
}

/// Why a transaction ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nack(ErrorKind);

impl embedded_hal::i2c::Error for Nack {
    fn kind(&self) -> ErrorKind {
        self.0
    }
}

/// An I²C controller of two pins, about 100 kHz.
#[derive(Clone, Copy, Debug)]
pub struct Bus(pub Pins);

/// A part of a bit.
const STEP_US: u32 = 3;

impl Bus {
    fn lines(&self, sda: bool, scl: bool) {
        (self.0.set_sda)(sda);
        (self.0.set_scl)(scl);
        (self.0.wait_us)(STEP_US);
    }

    fn start(&self) {
        self.lines(true, true);
        self.lines(false, true);
        self.lines(false, false);
    }

    fn stop(&self) {
        self.lines(false, false);
        self.lines(false, true);
        self.lines(true, true);
    }

    /// One bit out, and what the line says meanwhile.
    fn bit(&self, bit: bool) -> bool {
        self.lines(bit, false);
        self.lines(bit, true);
        let level = (self.0.sda)();
        self.lines(bit, false);
        level
    }

    /// One byte out; true if it was acknowledged.
    fn put(&self, byte: u8) -> bool {
        for place in (0..8).rev() {
            self.bit(byte >> place & 1 == 1);
        }
        !self.bit(true)
    }

    /// One byte in, acknowledged unless it is the last.
    fn take(&self, last: bool) -> u8 {
        let byte = (0..8).fold(0, |byte, _| byte << 1 | u8::from(self.bit(true)));
        self.bit(last);
        byte
    }

    fn call(&self, address: u8, reading: bool) -> Result<(), Nack> {
        self.start();
        let acknowledged = self.put(address << 1 | u8::from(reading));
        self.expect(acknowledged, NoAcknowledgeSource::Address)
    }

    fn expect(&self, acknowledged: bool, source: NoAcknowledgeSource) -> Result<(), Nack> {
        if !acknowledged {
            self.stop();
            return Err(Nack(ErrorKind::NoAcknowledge(source)));
        }
        Ok(())
    }
}

impl ErrorType for Bus {
    type Error = Nack;
}

impl I2c for Bus {
    fn write(&mut self, address: SevenBitAddress, bytes: &[u8]) -> Result<(), Nack> {
        self.call(address, false)?;
        for byte in bytes {
            self.expect(self.put(*byte), NoAcknowledgeSource::Data)?;
        }
        self.stop();
        Ok(())
    }

    fn read(&mut self, address: SevenBitAddress, buffer: &mut [u8]) -> Result<(), Nack> {
        self.call(address, true)?;
        let last = buffer.len().saturating_sub(1);
        for (index, byte) in buffer.iter_mut().enumerate() {
            *byte = self.take(index == last);
        }
        self.stop();
        Ok(())
    }

    fn transaction(&mut self, _: SevenBitAddress, _: &mut [Operation<'_>]) -> Result<(), Nack> {
        // The chip knows no repeated start, and the driver asks for none.
        Err(Nack(ErrorKind::Other))
    }
}

/// The first start of a device: a key is made in the chip, where it stays.
pub fn first_start(pins: Pins) -> Result<PublicKeyBytes, Error<Nack>> {
    opened(pins)?.generate_key(KeySlot::E0F1, Curve::P256, KeyUsage::SIGN)
}

/// Each connection: the chip signs the digest of a TLS handshake.
pub fn sign(pins: Pins, digest: &[u8; 32]) -> Result<Signature, Error<Nack>> {
    opened(pins)?.sign_digest(KeySlot::E0F1, digest)
}

/// The key share of a TLS handshake with the chip: a fresh key in a session, and the secret shared with the server.
pub fn key_share(
    pins: Pins,
    server: &PublicKeyBytes,
    shared: &mut [u8; 32],
) -> Result<PublicKeyBytes, Error<Nack>> {
    let mut chip = opened(pins)?;
    let ours = chip.generate_key(SessionContext::E100, Curve::P256, KeyUsage::AGREE)?;
    let secret = chip.agree(SessionContext::E100, server)?;
    for (to, from) in shared.iter_mut().zip(secret.expose()) {
        *to = *from;
    }
    Ok(ours)
}

fn opened(pins: Pins) -> Result<Optiga<Bus, Pins>, Error<Nack>> {
    // The board resets the chip together with itself.
    let start = Start::AfterReset;
    let config = Config {
        start,
        ..Config::default()
    };
    let mut chip = Optiga::new(Bus(pins), pins, config);
    chip.open()?;
    Ok(chip)
}
