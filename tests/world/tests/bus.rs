//! The driver and the simulated chip, each with a decoder of its own, over a bus that loses, repeats and garbles frames and
//! refuses addresses.
//!
//! Every command ends with the right answer or with a clear error; a wrong answer, or a command that was executed twice, is
//! what must not be. All accidents come from a seed, which is printed when a run fails:
//! `BUS_SEED=17 cargo test -p world --test bus` runs that one alone.
#![expect(clippy::unwrap_used, reason = "a test whose helper cannot go on fails there")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use i2c_bus::{Address, BusDelay, Line, Listener, LocalBus, LocalClient, SocketClient};
use identity::crypto::{sha256, verify};
use identity::key::{Curve as IdentityCurve, PublicKey, SignatureAlgorithm};
use optiga::{
    Config, Curve, Error, KeySlot, KeyUsage, Lifecycle, MetadataChange, ObjectId, Optiga, WriteMode,
};
use optiga_sim::{Behaviour, Chip, Counters, Faults, NackPolicy, Personality, Settings, Timing};

const DATA: ObjectId = ObjectId(0xF1E0);

/// Runs of each kind of weather.
const SEEDS: u64 = 40;

/// Tries before a link that fails again and again is a failure of the test.
const OPEN_ATTEMPTS_MAX: usize = 50;

type Local = Optiga<LocalClient, BusDelay>;

fn chip(seed: u64, behaviour: Behaviour) -> Arc<Mutex<Chip>> {
    let settings = Settings {
        behaviour,
        ..Settings::default()
    };
    Arc::new(Mutex::new(Chip::new(
        Personality::new(seed, 0).with_settings(settings),
    )))
}

fn driver(chip: &Arc<Mutex<Chip>>, frame_bytes_max: u16) -> Local {
    let bus = LocalBus::virtual_time();
    bus.attach(0x30, chip.clone()).unwrap();
    let (client, config) = (
        bus.client(),
        Config {
            frame_bytes_max,
            ..Config::default()
        },
    );
    let delay = client.delay();
    Optiga::new(client, delay, config)
}

/// What the chip holds as far as anybody can know: after a write that failed, the old or the new content.
struct Story {
    chip: Arc<Mutex<Chip>>,
    driver: Local,
    contents: Vec<Vec<u8>>,
    key: Option<PublicKey>,
    succeeded: u32,
    failed: u32,
}

impl Story {
    fn begin(seed: u64, behaviour: Behaviour, frame_bytes_max: u16) -> Self {
        let chip = chip(seed, behaviour);
        let driver = driver(&chip, frame_bytes_max);
        let mut story = Self {
            chip,
            driver,
            contents: vec![vec![]],
            key: None,
            succeeded: 0,
            failed: 0,
        };
        story.open();
        story
    }

    fn counters(&self) -> Counters {
        self.chip.lock().unwrap().counters()
    }

    fn open(&mut self) {
        for _ in 0..OPEN_ATTEMPTS_MAX {
            match self.driver.open() {
                Ok(()) => return,
                Err(error) => assert_clear(&error),
            }
        }
        panic!("the application does not open");
    }

    /// Keeps what succeeded; after a failure the link is brought up again, as a caller would do.
    fn outcome<T, E: core::fmt::Debug>(&mut self, outcome: Result<T, Error<E>>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.succeeded += 1;
                Some(value)
            }
            Err(error) => {
                assert_clear(&error);
                self.failed += 1;
                self.open();
                None
            }
        }
    }

    fn uid(&mut self) {
        let outcome = self.driver.read_uid();
        if let Some(uid) = self.outcome(outcome) {
            assert_eq!(uid.0, self.chip.lock().unwrap().uid());
        }
    }

    fn generate(&mut self) {
        let before = self.counters().key_generations;
        let outcome = self
            .driver
            .generate_key(KeySlot::E0F1, Curve::P256, KeyUsage::SIGN);
        let made = self.counters().key_generations - before;
        let key = self.outcome(outcome);
        assert!(made <= 1, "one command generated {made} keys");
        if made == 1 {
            // A key whose public half was lost on the way is nobody's.
            self.key = key.map(|key| PublicKey::from_ec_point(IdentityCurve::P256, key.point()).unwrap());
        }
    }

    fn sign(&mut self, message: &[u8]) {
        let before = self.counters().signatures;
        let outcome = self.driver.sign_digest(KeySlot::E0F1, &sha256(message));
        let made = self.counters().signatures - before;
        assert!(made <= 1, "one command made {made} signatures");
        let Some(signature) = self.outcome(outcome) else {
            return;
        };
        assert_eq!(made, 1);
        let mut room = [0; optiga::limits::SIGNATURE_DER_BYTES_MAX];
        let der = signature.write_der(&mut room).unwrap();
        if let Some(key) = &self.key {
            verify(key, SignatureAlgorithm::EcdsaSha256, message, der).unwrap();
        }
    }

    fn write(&mut self, content: Vec<u8>) {
        let outcome = self.driver.write_object(DATA, WriteMode::Replace, 0, &content);
        match self.outcome(outcome) {
            Some(()) => self.contents = vec![content],
            None => self.contents.push(content),
        }
    }

    fn read(&mut self) {
        let mut room = [0; 1500];
        let outcome = self.driver.read_object(DATA, 0, &mut room);
        let Some(length) = self.outcome(outcome) else {
            return;
        };
        let content = room[..length].to_vec();
        assert!(
            self.contents.contains(&content),
            "{length} bytes that nobody wrote"
        );
        self.contents = vec![content];
    }

    fn metadata(&mut self) {
        let change = MetadataChange {
            lifecycle: Some(Lifecycle::Initialisation),
            ..MetadataChange::default()
        };
        let outcome = self.driver.write_metadata(DATA, &change);
        let changed = self.outcome(outcome).is_some();
        let outcome = self.driver.read_metadata(DATA);
        if let Some(metadata) = self.outcome(outcome) {
            assert_eq!(metadata.max_bytes, Some(1500));
            assert!(!changed || metadata.lifecycle == Some(Lifecycle::Initialisation));
        }
    }

    fn live(&mut self, seed: u64) {
        self.uid();
        while self.key.is_none() {
            self.generate();
        }
        for round in 0..4_u8 {
            let length = 1 + (seed as usize * 97 + usize::from(round) * 431) % 1_500;
            self.write(vec![round; length]);
            self.sign(&[round; 20]);
            self.read();
        }
        self.metadata();
        self.generate();
        self.sign(b"the last one");
    }
}

/// Says what to do, has a code, and blames the wires: the chip has no reason to refuse anything in these stories.
fn assert_clear<E: core::fmt::Debug>(error: &Error<E>) {
    let (code, text) = (error.code(), error.to_string());
    assert!(
        code.starts_with("chip.link.") || code.starts_with("chip.chain."),
        "{code}: {text}"
    );
    assert!(text.contains("; "), "{text}");
}

/// The seeds of this run, or the one that is asked for.
fn seeds() -> Vec<u64> {
    match std::env::var("BUS_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..SEEDS).collect(),
    }
}

/// Tells the seed if the run ends early.
struct Replay<'a> {
    weather: &'a str,
    seed: u64,
}

impl Drop for Replay<'_> {
    #[expect(
        clippy::print_stderr,
        reason = "how to run a failure again is for the person who reads the log"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("weather {}: run again with BUS_SEED={}", self.weather, self.seed);
        }
    }
}

/// Runs the story under every seed and says how many commands succeeded and failed.
fn weather(name: &str, behaviour: impl Fn(u64) -> Behaviour, frame_bytes_max: u16) -> (u32, u32) {
    let (mut succeeded, mut failed) = (0, 0);
    for seed in seeds() {
        let _replay = Replay { weather: name, seed };
        let mut story = Story::begin(seed, behaviour(seed), frame_bytes_max);
        story.live(seed);
        succeeded += story.succeeded;
        failed += story.failed;
    }
    assert!(
        failed * 10 <= succeeded,
        "{name}: {failed} of {} commands failed",
        succeeded + failed
    );
    (succeeded, failed)
}

fn faulty(timing: Timing, faults: Faults) -> Behaviour {
    Behaviour {
        timing,
        faults: Some(faults),
        ..Behaviour::default()
    }
}

#[test]
fn in_fair_weather_nothing_fails() {
    for frame_bytes_max in [0x10, 0x19, 0xFE, 0x115] {
        for timing in [Timing::None, Timing::Virtual] {
            let behaviour = |_| Behaviour {
                timing,
                ..Behaviour::default()
            };
            assert_eq!(
                weather(
                    &format!("fair {timing:?} {frame_bytes_max}"),
                    behaviour,
                    frame_bytes_max
                )
                .1,
                0
            );
        }
    }
}

#[test]
fn refused_addresses_only_cost_time() {
    for nacks in [NackPolicy::Silicon, NackPolicy::Sleep, NackPolicy::Adversarial] {
        for timing in [Timing::None, Timing::Virtual] {
            let behaviour = |_| Behaviour {
                timing,
                nacks,
                ..Behaviour::default()
            };
            assert_eq!(weather(&format!("{nacks:?} {timing:?}"), behaviour, 0x115).1, 0);
        }
    }
    let storms = |seed| Faults {
        seed,
        nack_storm_permille: 50,
        nack_storm_length_max: 90,
        ..Faults::default()
    };
    assert_eq!(
        weather("storms", |seed| faulty(Timing::None, storms(seed)), 0x115).1,
        0
    );
}

#[test]
fn repeated_frames_change_nothing() {
    let faults = |seed| Faults {
        seed,
        repeated_in_permille: 200,
        repeated_out_permille: 200,
        ..Faults::default()
    };
    for timing in [Timing::None, Timing::Virtual] {
        assert_eq!(
            weather(
                &format!("repeated {timing:?}"),
                |seed| faulty(timing, faults(seed)),
                0x115
            )
            .1,
            0
        );
    }
}

#[test]
fn garbled_frames_are_sent_again() {
    let faults = |seed| Faults {
        seed,
        corrupted_in_permille: 50,
        corrupted_out_permille: 50,
        ..Faults::default()
    };
    for (timing, frame_bytes_max) in [
        (Timing::None, 0x115),
        (Timing::None, 0x19),
        (Timing::Virtual, 0x115),
    ] {
        weather(
            &format!("garbled {timing:?}"),
            |seed| faulty(timing, faults(seed)),
            frame_bytes_max,
        );
    }
}

#[test]
fn lost_frames_are_sent_again() {
    let faults = |seed| Faults {
        seed,
        lost_in_permille: 50,
        lost_out_permille: 50,
        ..Faults::default()
    };
    for (timing, frame_bytes_max) in [
        (Timing::None, 0x115),
        (Timing::None, 0x19),
        (Timing::Virtual, 0x115),
    ] {
        weather(
            &format!("lost {timing:?}"),
            |seed| faulty(timing, faults(seed)),
            frame_bytes_max,
        );
    }
}

#[test]
fn everything_at_once_is_survived() {
    let faults = |seed| Faults {
        seed,
        nack_storm_permille: 20,
        nack_storm_length_max: 20,
        lost_in_permille: 30,
        repeated_in_permille: 30,
        corrupted_in_permille: 30,
        lost_out_permille: 30,
        repeated_out_permille: 30,
        corrupted_out_permille: 30,
    };
    for (timing, nacks) in [
        (Timing::None, NackPolicy::None),
        (Timing::Virtual, NackPolicy::Silicon),
    ] {
        weather(
            &format!("everything {timing:?} {nacks:?}"),
            |seed| Behaviour {
                nacks,
                ..faulty(timing, faults(seed))
            },
            0x115,
        );
    }
}

/// Objects that the long run writes: small ones, large ones, and one that is chained even at full frames.
const WRITTEN: [(ObjectId, usize); 4] = [
    (ObjectId(0xF1D0), 100),
    (ObjectId(0xF1D7), 100),
    (ObjectId(0xE0E1), 900),
    (ObjectId(0xF1E0), 1_500),
];

/// Commands of the long run, unless BUS_COMMANDS says another number.
const LONG_RUN_COMMANDS: u32 = 4_000;

/// What the chip must hold: exact, since its own counter says whether a command that failed was carried out.
struct Model {
    story: Story,
    contents: [Vec<u8>; WRITTEN.len()],
    dice: u64,
}

impl Model {
    fn roll(&mut self, below: usize) -> usize {
        self.dice = self.dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.dice ^ (self.dice >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((mixed ^ (mixed >> 31)) % below as u64) as usize
    }

    fn write(&mut self) {
        let place = self.roll(WRITTEN.len());
        let (object, most) = WRITTEN[place];
        let (length, byte) = (1 + self.roll(most), self.roll(256) as u8);
        let content = vec![byte; length];
        let before = self.story.counters().writes;
        let outcome = self
            .story
            .driver
            .write_object(object, WriteMode::Replace, 0, &content);
        let done = self.story.counters().writes - before;
        let succeeded = self.story.outcome(outcome).is_some();
        assert!(
            done <= 1 && (done == 1 || !succeeded),
            "one write was done {done} times"
        );
        if done == 1 {
            self.contents[place] = content;
        }
    }

    fn read(&mut self, place: usize) -> bool {
        let (object, _) = WRITTEN[place];
        if self.contents[place].is_empty() {
            return true;
        }
        let mut room = [0; 1_500];
        let outcome = self.story.driver.read_object(object, 0, &mut room);
        let Some(length) = self.story.outcome(outcome) else {
            return false;
        };
        assert_eq!(room[..length], self.contents[place], "{object:?}");
        true
    }

    fn random(&mut self) {
        let mut bytes = [0; 32];
        let outcome = self.story.driver.random(&mut bytes);
        assert!(self.story.outcome(outcome).is_none() || bytes != [0; 32]);
    }

    fn one(&mut self) {
        match self.roll(16) {
            0 => self.story.generate(),
            1..=3 => {
                let message = self.dice.to_be_bytes();
                self.story.sign(&message);
            }
            4..=8 => self.write(),
            9 => self.random(),
            10 => self.story.uid(),
            _ => {
                let place = self.roll(WRITTEN.len());
                self.read(place);
            }
        }
    }

    /// Reads everything until it was read once: nothing may be there that the model does not hold.
    fn compare(&mut self) {
        for place in 0..WRITTEN.len() {
            while !self.read(place) {}
        }
    }
}

#[test]
fn after_a_long_run_of_accidents_the_chip_is_as_the_model_says() {
    let commands = std::env::var("BUS_COMMANDS").map_or(LONG_RUN_COMMANDS, |count| count.parse().unwrap());
    let seed = std::env::var("BIRTHMARK_WORLD_SEED").map_or(1, |seed| seed.parse().unwrap());
    let _replay = Replay {
        weather: "long run",
        seed,
    };
    let faults = Faults {
        seed,
        nack_storm_permille: 20,
        nack_storm_length_max: 20,
        lost_in_permille: 30,
        repeated_in_permille: 30,
        corrupted_in_permille: 30,
        lost_out_permille: 30,
        repeated_out_permille: 30,
        corrupted_out_permille: 30,
    };
    let behaviour = Behaviour {
        nacks: NackPolicy::Silicon,
        ..faulty(Timing::Virtual, faults)
    };
    let mut model = Model {
        story: Story::begin(seed, behaviour, 0x115),
        contents: Default::default(),
        dice: seed,
    };
    while model.story.key.is_none() {
        model.story.generate();
    }
    for _ in 0..commands {
        model.one();
    }
    model.compare();
    let Story {
        succeeded, failed, ..
    } = model.story;
    assert!(
        failed * 10 <= succeeded,
        "{failed} of {} failed",
        succeeded + failed
    );
}

#[test]
fn an_absent_chip_is_told_by_name() {
    let bus = LocalBus::virtual_time();
    let client = bus.client();
    let delay = client.delay();
    let mut driver = Optiga::new(client, delay, Config::default());
    assert_eq!(driver.open().unwrap_err().code(), "chip.bus.absent");
}

#[test]
fn a_power_cut_is_told_and_after_it_the_chip_goes_on() {
    let chip = chip(1, Behaviour::default());
    let mut first = driver(&chip, 0x115);
    first.open().unwrap();
    first
        .write_object(DATA, WriteMode::Replace, 0, &[1; 300])
        .unwrap();
    chip.lock().unwrap().cut_power_after(2);
    let error = first
        .write_object(DATA, WriteMode::Replace, 0, &[2; 300])
        .unwrap_err();
    assert_eq!(error.code(), "chip.bus.absent");
    let (mut client, delay) = first.release();
    client.line(0x30, Line::Vdd, false).unwrap();
    client.line(0x30, Line::Vdd, true).unwrap();
    let mut second = Optiga::new(client, delay, Config::default());
    second.open().unwrap();
    let mut content = [0; 300];
    assert_eq!(second.read_object(DATA, 0, &mut content).unwrap(), 300);
    assert_eq!(content, [1; 300]);
}

/// Moves the time of the bus over a connection of its own, so that no test sleeps.
struct RemoteDelay(SocketClient);

impl DelayNs for RemoteDelay {
    fn delay_ns(&mut self, ns: u32) {
        self.0.time(u64::from(ns.div_ceil(1_000))).unwrap();
    }
}

/// The driver at the far end of a socket.
fn remote(connect: impl Fn() -> SocketClient) {
    let mut driver = Optiga::new(connect(), RemoteDelay(connect()), Config::default());
    driver.open().unwrap();
    let key = driver
        .generate_key(KeySlot::E0F2, Curve::P256, KeyUsage::SIGN)
        .unwrap();
    let signature = driver
        .sign_digest(KeySlot::E0F2, &sha256(b"over a socket"))
        .unwrap();
    let key = PublicKey::from_ec_point(IdentityCurve::P256, key.point()).unwrap();
    let mut room = [0; optiga::limits::SIGNATURE_DER_BYTES_MAX];
    let der = signature.write_der(&mut room).unwrap();
    verify(&key, SignatureAlgorithm::EcdsaSha256, b"over a socket", der).unwrap();
    driver
        .write_object(DATA, WriteMode::Replace, 0, &[9; 1500])
        .unwrap();
    let mut content = [0; 1500];
    assert_eq!(driver.read_object(DATA, 0, &mut content).unwrap(), 1500);
    assert_eq!(content, [9; 1500]);
    let (mut client, _) = driver.release();
    assert_eq!(client.write(0x31, &[0x82]), Err(i2c_bus::Error::AddressNack));
}

#[test]
fn a_chip_at_the_far_end_of_a_socket_is_the_same_chip() {
    let faults = Faults {
        seed: 5,
        corrupted_out_permille: 20,
        repeated_in_permille: 20,
        ..Faults::default()
    };
    let behaviour = Behaviour {
        nacks: NackPolicy::Silicon,
        ..faulty(Timing::Virtual, faults)
    };
    let serve = |listener: Listener| {
        let bus = LocalBus::virtual_time();
        bus.attach(0x30, chip(1, behaviour)).unwrap();
        listener.spawn(bus).unwrap()
    };
    let tcp = serve(Listener::tcp(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap());
    let Address::Tcp(address) = *tcp.address() else {
        unreachable!("it was bound over TCP")
    };
    remote(|| SocketClient::tcp(address).unwrap());

    #[cfg(unix)]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bus");
        let unix = serve(Listener::unix(&path).unwrap());
        remote(|| SocketClient::unix(&path).unwrap());
        unix.stop();
    }
}
