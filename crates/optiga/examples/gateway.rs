//! A Linux gateway: the chip on /dev/i2c-N signs a digest. `cargo run -p optiga --example gateway -- /dev/i2c-1`
//!
//! The key in slot E0F1 must be there already; nothing is written.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example is a program: it has arguments and prints"
)]

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use linux_embedded_hal::{Delay, I2cdev};
    use optiga::{Config, KeySlot, Optiga};

    let path = std::env::args()
        .nth(1)
        .ok_or("which bus? /dev/i2c-1, for example")?;
    let mut chip = Optiga::new(I2cdev::new(path)?, Delay, Config::default());
    chip.open()?;
    println!("chip {}", chip.read_uid()?);
    let mut digest = [0; 32];
    chip.random(&mut digest)?;
    let signature = chip.sign_digest(KeySlot::E0F1, &digest)?;
    let mut der = [0; optiga::limits::SIGNATURE_DER_BYTES_MAX];
    let der = signature
        .write_der(&mut der)
        .ok_or("a signature is at most 104 bytes")?;
    println!("signature {der:02x?}");
    println!("{} security events", chip.security_events()?);
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("/dev/i2c-N is a file of Linux");
}
