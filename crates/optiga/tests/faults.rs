//! The driver on an unkind bus: lost, damaged and repeated frames, silence, a chip that sleeps, a bus that fails. What comes
//! back is the right answer or an error with a name, never a wrong answer, and the next command works again.

mod support;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, Operation, SevenBitAddress};
use optiga::{Config, Curve, KeySlot, KeyUsage, ObjectId, Optiga, Start, WriteMode};
use proptest::prelude::*;
use support::{ASLEEP, Answering, Fault, Nack, Virtual};

/// Answers reads of F1E0 with a pattern and everything else with "done".
fn brain(command: &[u8]) -> Vec<u8> {
    match *command {
        [1, 0, 0, 6, 0xF1, 0xE0, o1, o0, l1, l0] => {
            let (offset, length) = (u16::from_be_bytes([o1, o0]), u16::from_be_bytes([l1, l0]));
            let data = (offset..1500.min(offset + length)).map(|i| (i % 251) as u8);
            let data: Vec<u8> = data.collect();
            [&[0, 0], &(data.len() as u16).to_be_bytes()[..], &data].concat()
        }
        _ => vec![0, 0, 0, 0],
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::None),
        1 => Just(Fault::Lose),
        1 => any::<u16>().prop_map(Fault::Damage),
        1 => Just(Fault::Repeat),
    ]
}

proptest! {
    #[test]
    fn a_right_answer_or_a_named_error_and_then_it_works_again(
        faults in proptest::collection::vec(fault(), 0..60),
        frame_bytes_max in 40u16..=277,
    ) {
        let config = Config { frame_bytes_max, ..Config::default() };
        let mut driver = Optiga::new(Answering::new(brain), Virtual::default(), config);
        driver.open().unwrap();
        let (mut chip, delay) = driver.release();
        chip.faults = faults.into();
        // The link of the chip is where the first driver left it; the second one knows nothing of it.
        let mut driver = Optiga::new(chip, delay, config);
        let mut buffer = [0; 1500];
        match driver.open().and_then(|()| driver.read_object(ObjectId(0xF1E0), 0, &mut buffer)) {
            Ok(bytes) => {
                prop_assert_eq!(bytes, 1500);
                prop_assert!(buffer.iter().enumerate().all(|(i, byte)| *byte == (i % 251) as u8));
            }
            Err(error) => prop_assert!(error.code().starts_with("chip."), "{error}"),
        }
        let (mut chip, delay) = driver.release();
        chip.faults.clear();
        let mut driver = Optiga::new(chip, delay, config);
        driver.open().unwrap();
        prop_assert_eq!(driver.read_object(ObjectId(0xF1E0), 0, &mut buffer), Ok(1500));
        prop_assert!(buffer.iter().enumerate().all(|(i, byte)| *byte == (i % 251) as u8));
    }

    #[test]
    fn a_lost_or_repeated_acknowledgement_never_executes_twice(place in 0usize..12, lose: bool) {
        let mut driver = Optiga::new(Answering::new(brain), Virtual::default(), Config::default());
        driver.open().unwrap();
        let (mut chip, delay) = driver.release();
        let before = chip.executed;
        chip.faults = std::iter::repeat_n(Fault::None, place)
            .chain([if lose { Fault::Lose } else { Fault::Repeat }])
            .collect();
        // The same link goes on: no re-synchronisation, which alone could make the chip forget what it has seen.
        let config = Config { start: Start::AfterReset, ..Config::default() };
        let mut driver = Optiga::new(Fresh(chip), delay, config);
        driver.open().unwrap();
        driver.write_object(ObjectId(0xF1E0), WriteMode::Replace, 0, &[7; 600]).unwrap();
        prop_assert_eq!(driver.release().0.0.executed - before, 2);
    }
}

/// Resets the chip's side of the link when the frame length is negotiated, as a reset would.
struct Fresh<F>(Answering<F>);

impl<F> ErrorType for Fresh<F> {
    type Error = Nack;
}

impl<F: FnMut(&[u8]) -> Vec<u8>> I2c for Fresh<F> {
    fn write(&mut self, address: SevenBitAddress, bytes: &[u8]) -> Result<(), Nack> {
        if bytes.len() == 3 && bytes[0] == 0x81 {
            let faults = std::mem::take(&mut self.0.faults);
            self.0.write(address, &[0x80, 0xC0, 0, 0, 0x0A, 0x9A])?;
            self.0.faults = faults;
        }
        self.0.write(address, bytes)
    }

    fn read(&mut self, address: SevenBitAddress, buffer: &mut [u8]) -> Result<(), Nack> {
        self.0.read(address, buffer)
    }

    fn transaction(&mut self, _: SevenBitAddress, _: &mut [Operation<'_>]) -> Result<(), Nack> {
        panic!("the chip knows no repeated start");
    }
}

/// A bus that says the same error `left` times before each success.
struct Stubborn {
    error: Nack,
    times: u32,
    left: u32,
    tries: u32,
}

impl Stubborn {
    fn driver(error: Nack, times: u32) -> Optiga<Self, Virtual> {
        let bus = Self {
            error,
            times,
            left: times,
            tries: 0,
        };
        Optiga::new(
            bus,
            Virtual::default(),
            Config {
                start: Start::AfterReset,
                ..Config::default()
            },
        )
    }

    fn once(&mut self) -> Result<(), Nack> {
        self.tries += 1;
        if self.left > 0 {
            self.left -= 1;
            return Err(self.error);
        }
        self.left = self.times;
        Ok(())
    }
}

impl ErrorType for Stubborn {
    type Error = Nack;
}

impl I2c for Stubborn {
    fn write(&mut self, _: SevenBitAddress, _: &[u8]) -> Result<(), Nack> {
        self.once()
    }

    fn read(&mut self, _: SevenBitAddress, buffer: &mut [u8]) -> Result<(), Nack> {
        buffer.fill(0);
        self.once()
    }

    fn transaction(&mut self, _: SevenBitAddress, _: &mut [Operation<'_>]) -> Result<(), Nack> {
        panic!("the chip knows no repeated start");
    }
}

#[test]
fn a_sleeping_chip_is_waited_for_and_an_absent_one_is_named() {
    // 249 refusals of the address are patience, 250 are an absent chip.
    let mut driver = Stubborn::driver(ASLEEP, 249);
    assert_eq!(driver.open().unwrap_err().code(), "chip.bus.negotiation");
    let mut driver = Stubborn::driver(ASLEEP, 250);
    let error = driver.open().unwrap_err();
    assert_eq!(error.code(), "chip.bus.absent");
    assert!(error.to_string().contains("0x30"), "{error}");
    let (bus, Virtual(waited_ns)) = driver.release();
    assert_eq!((bus.tries, waited_ns), (250, 249_000_000));
}

#[test]
fn other_bus_errors_are_repeated_three_times() {
    let lost = Nack(ErrorKind::ArbitrationLoss);
    assert_eq!(
        Stubborn::driver(lost, 3).open().unwrap_err().code(),
        "chip.bus.negotiation"
    );
    let mut driver = Stubborn::driver(lost, 4);
    assert_eq!(driver.open().unwrap_err().code(), "chip.bus.fault");
    assert_eq!(driver.release().0.tries, 4);
}

#[test]
fn silence_ends_with_an_error_in_bounded_time() {
    let mut driver = Optiga::new(Answering::new(brain), Virtual::default(), Config::default());
    driver.open().unwrap();
    let (mut chip, delay) = driver.release();
    chip.faults = std::iter::repeat_n(Fault::Lose, 10_000).collect();
    let mut driver = Optiga::new(chip, delay, Config::default());
    assert_eq!(driver.open().unwrap_err().code(), "chip.link.silent");
    assert!(
        (120_000..150_000).contains(&driver.waited_us()),
        "{}",
        driver.waited_us()
    );
}

#[test]
fn a_command_without_answer_ends_after_six_seconds() {
    let mut opened = false;
    let mute = move |_: &[u8]| {
        if std::mem::replace(&mut opened, true) {
            vec![]
        } else {
            vec![0, 0, 0, 0]
        }
    };
    let mut driver = Optiga::new(Answering::new(mute), Virtual::default(), Config::default());
    driver.open().unwrap();
    let before = driver.waited_us();
    let error = driver
        .generate_key(KeySlot::E0F1, Curve::P256, KeyUsage::SIGN)
        .unwrap_err();
    assert_eq!(error.code(), "chip.link.late");
    assert!((6_000_000..6_010_000).contains(&(driver.waited_us() - before)));
}

#[test]
fn answers_that_make_no_sense_are_refused() {
    let cases: [(&[u8], &str); 5] = [
        (&[0, 0, 0], "chip.answer.length"),
        (&[0, 0, 0, 9, 1], "chip.answer.length"),
        (&[7, 0, 0, 0], "chip.answer.status"),
        (&[0, 0, 0, 1, 0x20], "chip.answer.metadata"),
        (&[0, 0, 0, 2, 0xC0, 0], "chip.answer.metadata"),
    ];
    for (answer, code) in cases {
        let mut opened = false;
        let brain = move |_: &[u8]| {
            if std::mem::replace(&mut opened, true) {
                answer.to_vec()
            } else {
                vec![0, 0, 0, 0]
            }
        };
        let mut driver = Optiga::new(Answering::new(brain), Virtual::default(), Config::default());
        driver.open().unwrap();
        assert_eq!(
            driver.read_metadata(ObjectId::UID).unwrap_err().code(),
            code,
            "{answer:02X?}"
        );
    }
}

#[test]
fn impossible_requests_never_reach_the_bus() {
    let mut driver = Optiga::new(Answering::new(brain), Virtual::default(), Config::default());
    driver.open().unwrap();
    let before = driver.waited_us();
    assert_eq!(
        driver.sign_digest(KeySlot::E0F1, &[0; 9]).unwrap_err().code(),
        "chip.misuse.digest"
    );
    assert_eq!(
        driver.sign_digest(KeySlot::E0F1, &[0; 49]).unwrap_err().code(),
        "chip.misuse.digest"
    );
    let empty = driver.write_object(ObjectId(0xF1E0), WriteMode::Update, 0, &[]);
    assert_eq!(empty.unwrap_err().code(), "chip.misuse.empty");
    let long = driver.write_certificate(ObjectId::CERTIFICATE_1, &[0x30; 1720]);
    assert_eq!(long.unwrap_err().code(), "chip.misuse.long");
    assert_eq!(driver.waited_us(), before);
    driver
        .write_certificate(ObjectId::CERTIFICATE_1, &[0x30; 1719])
        .unwrap();
    for frame_bytes_max in [15, 278] {
        let config = Config {
            frame_bytes_max,
            ..Config::default()
        };
        let mut driver = Optiga::new(Answering::new(brain), Virtual::default(), config);
        assert_eq!(driver.open().unwrap_err().code(), "chip.misuse.frame_bytes");
    }
}

#[test]
fn a_chip_that_answers_at_once_is_never_waited_for() {
    let mut driver = Optiga::new(
        Answering::new(brain),
        Virtual::default(),
        Config {
            guard_us: 0,
            ..Config::default()
        },
    );
    driver.open().unwrap();
    driver
        .write_object(ObjectId(0xF1E0), WriteMode::Replace, 0, &[1; 1500])
        .unwrap();
    driver.read_object(ObjectId(0xF1E0), 0, &mut [0; 1500]).unwrap();
    assert_eq!(driver.waited_us(), 0);
    let (_, mut delay) = driver.release();
    delay.delay_ms(0);
    assert_eq!(delay.0, 0);
}
