//! The asynchronous shell against what the blocking one is tested against: the capture of a real chip, and commands.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

mod support;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use embedded_hal::i2c::{ErrorType, I2c as Blocking, SevenBitAddress};
use embedded_hal_async::delay::DelayNs;
use embedded_hal_async::i2c::{I2c, Operation};
use optiga::{AsyncOptiga, Config, Curve, KeySlot, KeyUsage, ObjectId, Start, WriteMode};
use support::{Brain, Event, Replay, all_sent, events, scripted, trace};

/// A blocking bus as an asynchronous one that is not ready the first time it is asked.
struct Later<I>(I);

impl<I: ErrorType> ErrorType for Later<I> {
    type Error = I::Error;
}

/// Pending once, as an interrupt that has not come yet.
async fn interrupt() {
    let mut asked = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut asked, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

impl<I: Blocking> I2c for Later<I> {
    async fn write(&mut self, address: SevenBitAddress, bytes: &[u8]) -> Result<(), I::Error> {
        interrupt().await;
        self.0.write(address, bytes)
    }

    async fn read(&mut self, address: SevenBitAddress, buffer: &mut [u8]) -> Result<(), I::Error> {
        interrupt().await;
        self.0.read(address, buffer)
    }

    async fn transaction(&mut self, _: SevenBitAddress, _: &mut [Operation<'_>]) -> Result<(), I::Error> {
        panic!("the chip knows no repeated start");
    }
}

#[derive(Default)]
struct NoTime;

impl DelayNs for NoTime {
    async fn delay_ns(&mut self, _: u32) {
        interrupt().await;
    }
}

/// Runs a future to its end, or drops it after so many polls.
fn run<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..polls {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
    }
    None
}

const FOR_EVER: usize = 1_000_000;

#[test]
fn the_silicon_capture_from_the_first_frame_to_the_last() {
    let golden = trace("g01-open-and-uid-fragmented");
    let mut all = events(&golden.lines);
    all.push(Event::Host(vec![0x82, 0, 0, 0xB9, 0x54]));
    let config = Config {
        frame_bytes_max: golden.frame_bytes,
        start: Start::AfterReset,
        ..Config::default()
    };
    let mut chip = AsyncOptiga::new(Later(Replay::new(all)), NoTime, config);
    let uid = run(
        async {
            chip.open().await?;
            chip.send(&[1, 0, 0, 2, 0xE0, 0xC6]).await?;
            chip.read_object(ObjectId(0xF1C0), 0, &mut [0]).await?;
            chip.read_object(ObjectId(0xE0C0), 0, &mut [0]).await?;
            chip.read_metadata(ObjectId::UID).await?;
            chip.read_uid().await
        },
        FOR_EVER,
    );
    assert_eq!(uid.unwrap().unwrap().firmware_build(), 0x1048);
    assert!(chip.release().0.0.is_over());
}

fn opened(name: &str) -> AsyncOptiga<Later<support::Answering<Brain>>, NoTime> {
    let mut chip = AsyncOptiga::new(Later(scripted(name)), NoTime, Config::default());
    run(chip.open(), FOR_EVER).unwrap().unwrap();
    chip
}

#[test]
fn keys_and_refusals() {
    let name = "g29-generate-p256";
    let mut chip = opened(name);
    let key = run(
        chip.generate_key(KeySlot::E0F1, Curve::P256, KeyUsage::SIGN),
        FOR_EVER,
    );
    assert_eq!(key.unwrap().unwrap().point().len(), 65);
    all_sent(name, &chip.release().0.0);

    let mut chip = opened("g15-write-beyond-object");
    let object = ObjectId(0xF1D0);
    let refused = run(
        chip.write_object(object, WriteMode::Replace, 0, &[0; 140]),
        FOR_EVER,
    )
    .unwrap();
    assert_eq!(refused.unwrap_err().code(), "chip.refused.boundary");
}

#[test]
fn a_call_that_is_dropped_anywhere_leaves_the_next_one_whole() {
    let uid = [0xCD; 27];
    for polls in 0..60 {
        let brain: Brain = Box::new(move |command| match command {
            [1, 0, 0, 6, 0xE0, 0xC2, ..] => [&[0, 0, 0, 27], &uid[..]].concat(),
            [0x0C, ..] => [&[0, 0, 0, 8], &[1; 8][..]].concat(),
            _ => vec![0, 0, 0, 0],
        });
        let bus = Later(support::Answering::new(brain));
        let mut chip = AsyncOptiga::new(bus, NoTime, Config::default());
        run(chip.open(), FOR_EVER).unwrap().unwrap();
        let dropped = run(chip.random(&mut [0; 8]), polls);
        assert!(polls > 3 || dropped.is_none(), "{polls}");
        assert_eq!(run(chip.read_uid(), FOR_EVER).unwrap().unwrap().0, uid, "{polls}");
    }
}
