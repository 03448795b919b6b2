//! The simulated chip: a host that writes anything, first as raw transactions, then as commands in good frames.

use i2c_bus::{Line, LocalBus, Target};
use optiga::{Config, Optiga, Start};
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

/// `length (two bytes), command`: through the driver, so that frames and chains are good.
pub(super) fn commands(bytes: &[u8]) {
    let bus = LocalBus::virtual_time();
    bus.attach(0x30, Chip::new(Personality::new(1, 0)))
        .expect("a free address");
    let client = bus.client();
    let delay = client.delay();
    let mut chip = Optiga::new(
        client,
        delay,
        Config {
            start: Start::AfterReset,
            ..Config::default()
        },
    );
    chip.open().expect("a chip that works");
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
