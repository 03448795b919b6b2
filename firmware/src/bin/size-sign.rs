//! What a connection needs of the blocking driver: open, read the certificate, sign. It is never run.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use core::hint::black_box;
use core::panic::PanicInfo;

use cortex_m_rt::entry;
use firmware::{clock::Delay, line::Line};
use optiga::*;

type Done = Result<(), Error<i2c_bus::Error>>;

#[entry]
fn start() -> ! {
    if let Ok(line) = Line::open() {
        let mut chip = Optiga::new(line, Delay, Config::default());
        let _ = black_box(connection(&mut chip));
    }
    loop {}
}

fn connection(chip: &mut Optiga<Line, Delay>) -> Done {
    let mut certificate = black_box([0; 1_728]);
    chip.open()?;
    black_box(chip.read_object(ObjectId::CERTIFICATE_1, 0, &mut certificate)?);
    black_box(chip.sign_digest(KeySlot::E0F1, black_box(&[7; 32]))?);
    Ok(())
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
