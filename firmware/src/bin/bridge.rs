//! A device on its first day: the chip's UID, a key made in the chip, a signature with it, a stored object read back.
//!
//! Each line that it prints goes to the debugger (semihosting); the exit code is 0 when all went well.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use core::panic::PanicInfo;

use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use firmware::{clock::Delay, line::Line};
use optiga::{Config, Curve, Error, KeySlot, KeyUsage, ObjectId, Optiga, Signature, WriteMode};

/// What is signed, in the place of a digest.
const DIGEST: [u8; 32] = [0x5A; 32];
/// Longer than a frame, so that it goes in a chain.
const STORED_BYTES: usize = 1_000;

#[entry]
fn start() -> ! {
    match device() {
        Ok(()) => debug::exit(debug::EXIT_SUCCESS),
        Err(error) => {
            hprintln!("failed {}: {}", error.code(), error);
            debug::exit(debug::EXIT_FAILURE);
        }
    }
    loop {}
}

fn device() -> Result<(), Error<i2c_bus::Error>> {
    let line = Line::open().map_err(Error::Bus)?;
    let mut chip = Optiga::new(line, Delay, Config::default());
    chip.open()?;
    let uid = chip.read_uid()?;
    tell("uid", &uid.0);
    let public = chip.generate_key(KeySlot::E0F1, Curve::P256, KeyUsage::SIGN)?;
    tell("point", public.point());
    let signature = chip.sign_digest(KeySlot::E0F1, &DIGEST)?;
    tell("digest", &DIGEST);
    tell("signature", der(&signature, &mut [0; 80]));
    chip.verify_digest(&public, &DIGEST, &signature)?;
    let large = ObjectId::large(0).unwrap_or(ObjectId(0xF1E0));
    let mut stored = [0; STORED_BYTES];
    stored
        .iter_mut()
        .zip(0_u32..)
        .for_each(|(byte, at)| *byte = (at % 251) as u8);
    chip.write_object(large, WriteMode::Replace, 0, &stored)?;
    let mut back = [0; STORED_BYTES];
    let length = chip.read_object(large, 0, &mut back)?;
    hprintln!(
        "stored {}",
        if back[..length] == stored {
            "whole"
        } else {
            "differs"
        }
    );
    Ok(())
}

fn der<'a>(signature: &Signature, room: &'a mut [u8; 80]) -> &'a [u8] {
    signature.write_der(room).unwrap_or_default()
}

fn tell(name: &str, bytes: &[u8]) {
    hprintln!("{} {}", name, Hexadecimal(bytes));
}

struct Hexadecimal<'a>(&'a [u8]);

impl core::fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[panic_handler]
fn panic(panic: &PanicInfo<'_>) -> ! {
    hprintln!("{}", panic);
    debug::exit(debug::EXIT_FAILURE);
    loop {}
}
