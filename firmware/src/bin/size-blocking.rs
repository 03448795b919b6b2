//! Every method of the blocking driver, so that its size can be told. It is never run.
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
        let _ = black_box(all(&mut chip));
    }
    loop {}
}

fn all(chip: &mut Optiga<Line, Delay>) -> Done {
    let mut buffer = black_box([0_u8; 300]);
    let slot = black_box(KeySlot::E0F1);
    let session = black_box(SessionContext::E100);
    let object = black_box(ObjectId::CERTIFICATE_1);
    chip.open()?;
    black_box(chip.state()?);
    black_box(chip.bus_khz_max()?);
    black_box(chip.prepare_speed(black_box(400))?);
    chip.change_address(black_box(0x31), black_box(false))?;
    black_box(chip.read_uid()?);
    black_box(chip.read_object(object, black_box(0), &mut buffer)?);
    chip.write_object(object, black_box(WriteMode::Replace), black_box(0), &buffer)?;
    chip.write_certificate(object, &buffer)?;
    black_box(chip.read_metadata(object)?);
    chip.write_metadata(object, black_box(&MetadataChange::LOCK))?;
    black_box(chip.lifecycle(black_box(LifecycleOf::Chip))?);
    chip.advance_lifecycle(
        black_box(LifecycleOf::Application),
        black_box(Lifecycle::Operational),
    )?;
    black_box(chip.security_events()?);
    black_box(chip.sleep_delay_ms()?);
    chip.set_sleep_delay_ms(black_box(20))?;
    black_box(chip.current_limit_ma()?);
    chip.set_current_limit_ma(black_box(6))?;
    black_box(chip.buffer_bytes()?);
    let public = chip.generate_key(slot, black_box(Curve::P256), black_box(KeyUsage::SIGN))?;
    black_box(chip.generate_key_pair(black_box(Curve::P384))?);
    let signature = chip.sign_digest(slot, &buffer[..32])?;
    chip.verify_digest(&public, &buffer[..32], &signature)?;
    chip.verify_digest_by(object, &buffer[..32], &signature)?;
    black_box(chip.agree(session, &public)?);
    chip.agree_into(session, &public, session)?;
    chip.derive(
        object,
        black_box(b"label"),
        black_box(&[7; 32]),
        &mut buffer[..48],
    )?;
    chip.derive_into(
        object,
        black_box(b"label"),
        black_box(&[7; 32]),
        black_box(48),
        session,
    )?;
    black_box(chip.hash(&buffer)?);
    black_box(chip.hash_object(object, black_box(0), black_box(9))?);
    let context = chip.hash_part(None, &buffer)?;
    black_box(chip.hash_end(&context, &buffer)?);
    black_box(chip.authenticate(slot, &buffer[..32])?);
    chip.random(&mut buffer)?;
    black_box(chip.send(&buffer)?);
    black_box(chip.last_error()?);
    chip.soft_reset()
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
