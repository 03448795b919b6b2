//! The bus without the driver: what the other `size` images are compared with.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use core::hint::black_box;
use core::panic::PanicInfo;

use cortex_m_rt::entry;
use embedded_hal::{delay::DelayNs, i2c::I2c};
use firmware::{clock::Delay, line::Line};

#[entry]
fn start() -> ! {
    if let Ok(mut line) = Line::open() {
        let mut bytes = black_box([0; 277]);
        loop {
            black_box((
                line.write(black_box(0x30), &bytes),
                line.read(black_box(0x30), &mut bytes),
            ))
            .0
            .ok();
            Delay.delay_us(black_box(50));
        }
    }
    loop {}
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
