//! The simulated chip: a host that writes anything, first as raw transactions, then as commands in good frames.

use i2c_bus::{BusDelay, Line, LocalBus, LocalClient, Target};
use optiga::crc::checksum;
use optiga::frame::Frame;
use optiga::register::{DATA, I2C_STATE, SOFT_RESET, State};
use optiga::{Config, Lifecycle, Metadata, ObjectId, Optiga, Start};
use optiga_sim::{Chip, Personality};

/// Most transactions of one input.
const TRANSACTIONS_MAX: usize = 64;

/// `kind, length, bytes`: writes, reads, changes of lines, at times that run on.
pub(super) fn bus(bytes: &[u8]) {
    let mut chip = Chip::new(Personality::new(1, 0));
    let (mut rest, mut now_us) = (bytes, 0);
    for _ in 0..TRANSACTIONS_MAX {
        let [kind, length, more @ ..] = rest else { return };
        let (payload, behind) = more.split_at(usize::from(*length).min(more.len()));
        now_us += u64::from(*kind >> 3) * 1_000;
        match kind & 7 {
            0..=3 => drop(chip.write(payload, now_us)),
            4..=5 => drop(chip.read(&mut vec![0; usize::from(*length)], now_us)),
            6 => chip.line(Line::Rst, length & 1 == 1, now_us),
            _ => chip.line(Line::Vdd, length & 1 == 1, now_us),
        }
        rest = if kind & 7 <= 3 { behind } else { more };
    }
}

/// `control, length, packet`: frames whose checksum is right unless the control byte's highest reserved bit asks for a wrong
/// one. Whatever they were, what the chip offers is a frame, and after a reset it works.
pub(super) fn frames(bytes: &[u8]) {
    let mut chip = Chip::new(Personality::new(1, 0));
    let (mut rest, mut now_us) = (bytes, 100_000);
    for _ in 0..TRANSACTIONS_MAX {
        let [control, length, more @ ..] = rest else { break };
        let (packet, behind) = more.split_at(usize::from(*length).min(more.len()));
        let frame = [&[DATA, control & !0x10, 0, *length][..], packet].concat();
        let sum = checksum(&frame[1..]) ^ u16::from(control & 0x10 != 0);
        now_us += 1_000;
        let _ = chip.write(&[&frame[..], &sum.to_be_bytes()].concat(), now_us);
        offered(&mut chip, now_us);
        rest = behind;
    }
    let _ = chip.write(&[SOFT_RESET, 0, 0], now_us);
    let bus = LocalBus::virtual_time();
    bus.attach(0x30, chip).expect("a free address");
    opened(&bus).read_uid().expect("a chip that still works");
}

/// Reads what the chip has to say, twice at most: a control frame and an answer.
fn offered(chip: &mut Chip, now_us: u64) {
    for _ in 0..2 {
        let _ = chip.write(&[I2C_STATE], now_us);
        let mut state = [0; 4];
        let _ = chip.read(&mut state, now_us);
        let Some(length) = State::from_bytes(state).frame_bytes() else {
            return;
        };
        let mut frame = vec![0; length];
        let _ = chip.write(&[DATA], now_us);
        let _ = chip.read(&mut frame, now_us);
        Frame::parse(&frame).expect("the chip makes good frames");
    }
}

/// A driver for the chip on this bus, opened.
fn opened(bus: &LocalBus) -> Optiga<LocalClient, BusDelay> {
    let client = bus.client();
    let delay = client.delay();
    let config = Config {
        start: Start::AfterReset,
        ..Config::default()
    };
    let mut chip = Optiga::new(client, delay, config);
    chip.open().expect("a chip that works");
    chip
}

/// `length (two bytes), command`: through the driver, so that frames and chains are good.
pub(super) fn commands(bytes: &[u8]) {
    let bus = LocalBus::virtual_time();
    bus.attach(0x30, Chip::new(Personality::new(1, 0)))
        .expect("a free address");
    let mut chip = opened(&bus);
    let mut rest = bytes;
    for _ in 0..TRANSACTIONS_MAX {
        let [high, low, more @ ..] = rest else { return };
        let length = usize::from(u16::from_be_bytes([*high, *low]) % 1_600);
        let (command, behind) = more.split_at(length.min(more.len()));
        let _ = chip.send(command);
        rest = behind;
    }
    chip.read_uid().expect("a chip that still works");
}

/// Objects of every kind whose metadata is written.
const OBJECTS: [ObjectId; 8] = [
    ObjectId(0xE0C3),
    ObjectId(0xE0E0),
    ObjectId(0xE0E1),
    ObjectId(0xE0E8),
    ObjectId(0xE0F0),
    ObjectId(0xE0F1),
    ObjectId(0xF1D0),
    ObjectId(0xF1E0),
];

/// `object, length, metadata`: what the chip takes, and what it says of the object afterwards. No life cycle goes back.
pub(super) fn metadata(bytes: &[u8]) {
    let bus = LocalBus::virtual_time();
    bus.attach(0x30, Chip::new(Personality::new(1, 0)))
        .expect("a free address");
    let mut chip = opened(&bus);
    let mut rest = bytes;
    for _ in 0..TRANSACTIONS_MAX {
        let [choice, length, more @ ..] = rest else { return };
        let (container, behind) = more.split_at(usize::from(*length).min(more.len()));
        let object = OBJECTS[usize::from(*choice) % OBJECTS.len()];
        let before = told(&mut chip, object);
        let data_bytes = (4 + container.len() as u16).to_be_bytes();
        let command = [
            &[0x02, 0x01],
            &data_bytes[..],
            &object.0.to_be_bytes(),
            &[0, 0],
            container,
        ];
        let taken = chip
            .send(&command.concat())
            .is_ok_and(|answer| answer.first() == Some(&0));
        let after = told(&mut chip, object);
        assert!(taken || before == after, "refused, and yet something changed");
        assert!(rank(&before) <= rank(&after), "a life cycle went back");
        rest = behind;
    }
}

fn told(chip: &mut Optiga<LocalClient, BusDelay>, object: ObjectId) -> Metadata {
    chip.read_metadata(object).expect("metadata can always be read")
}

fn rank(metadata: &Metadata) -> u8 {
    metadata.lifecycle.map_or(0, Lifecycle::byte)
}
