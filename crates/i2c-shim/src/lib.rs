//! `libbirthmark_i2c.so`: the virtual I²C bus, shown as `/dev/i2c-N` to Linux programs that know nothing of it.
//!
//! ```text
//! BIRTHMARK_I2C=7=unix:/run/chip LD_PRELOAD=libbirthmark_i2c.so i2cdetect -y 7
//! ```
//!
//! Loaded before libc it takes the calls that reach a device file of ours (open, read, write, ioctl, close) or list them, and
//! lets all others through untouched. It must never touch a bus that the variable does not name, and a program that was given
//! a descriptor by it must not see a difference from the kernel's i2c-dev, as far as that is simulated: SMBus goes as far as quick
//! and byte, and a descriptor does not outlive exec.
//!
//! All unsafe code is in `edge` and `next`: C's pointers and the real functions behind ours.
#![deny(unsafe_code)]
#![cfg_attr(
    test,
    expect(
        dead_code,
        reason = "the C functions are left out of the tests, whose own calls they would take"
    )
)]
#![warn(clippy::indexing_slicing)]
#![cfg(target_os = "linux")]

mod device;
#[cfg(not(test))]
mod edge;
mod limits;
mod listing;
#[cfg(not(test))]
mod next;
mod opened;
mod places;
