//! Every method of the asynchronous driver, so that its size can be told. It is never run.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use core::hint::black_box;
use core::panic::PanicInfo;
use core::pin::pin;
use core::task::{Context, Waker};

use cortex_m_rt::entry;
use firmware::{clock::Delay, line::Line};
use optiga::*;

type Done = Result<(), Error<i2c_bus::Error>>;

#[entry]
fn start() -> ! {
    if let Ok(line) = Line::open() {
        let mut chip = AsyncOptiga::new(line, Delay, Config::default());
        let mut work = pin!(all(&mut chip));
        while work
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
        {}
    }
    loop {}
}

async fn all(chip: &mut AsyncOptiga<Line, Delay>) -> Done {
    let mut buffer = black_box([0_u8; 300]);
    let slot = black_box(KeySlot::E0F1);
    let session = black_box(SessionContext::E100);
    let object = black_box(ObjectId::CERTIFICATE_1);
    chip.open().await?;
    black_box(chip.state().await?);
    black_box(chip.bus_khz_max().await?);
    black_box(chip.prepare_speed(black_box(400)).await?);
    chip.change_address(black_box(0x31), black_box(false)).await?;
    black_box(chip.read_uid().await?);
    black_box(chip.read_object(object, black_box(0), &mut buffer).await?);
    chip.write_object(object, black_box(WriteMode::Replace), black_box(0), &buffer)
        .await?;
    chip.write_certificate(object, &buffer).await?;
    black_box(chip.read_metadata(object).await?);
    chip.write_metadata(object, black_box(&MetadataChange::LOCK))
        .await?;
    black_box(chip.lifecycle(black_box(LifecycleOf::Chip)).await?);
    chip.advance_lifecycle(
        black_box(LifecycleOf::Application),
        black_box(Lifecycle::Operational),
    )
    .await?;
    black_box(chip.security_events().await?);
    black_box(chip.sleep_delay_ms().await?);
    chip.set_sleep_delay_ms(black_box(20)).await?;
    black_box(chip.current_limit_ma().await?);
    chip.set_current_limit_ma(black_box(6)).await?;
    black_box(chip.buffer_bytes().await?);
    let public = chip
        .generate_key(slot, black_box(Curve::P256), black_box(KeyUsage::SIGN))
        .await?;
    black_box(chip.generate_key_pair(black_box(Curve::P384)).await?);
    let signature = chip.sign_digest(slot, &buffer[..32]).await?;
    chip.verify_digest(&public, &buffer[..32], &signature).await?;
    chip.verify_digest_by(object, &buffer[..32], &signature).await?;
    black_box(chip.agree(session, &public).await?);
    chip.agree_into(session, &public, session).await?;
    chip.derive(
        object,
        black_box(b"label"),
        black_box(&[7; 32]),
        &mut buffer[..48],
    )
    .await?;
    chip.derive_into(
        object,
        black_box(b"label"),
        black_box(&[7; 32]),
        black_box(48),
        session,
    )
    .await?;
    black_box(chip.hash(&buffer).await?);
    black_box(chip.hash_object(object, black_box(0), black_box(9)).await?);
    let context = chip.hash_part(None, &buffer).await?;
    black_box(chip.hash_end(&context, &buffer).await?);
    black_box(chip.authenticate(slot, &buffer[..32]).await?);
    chip.random(&mut buffer).await?;
    black_box(chip.send(&buffer).await?);
    black_box(chip.last_error().await?);
    chip.soft_reset().await
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
