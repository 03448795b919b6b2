//! What a logic analyser would see: registers, refused addresses, resets, repeated and broken frames.

use i2c_bus::{Line, Nack, Target};
use optiga_sim::{Behaviour, Chip, Faults, NackPolicy, Personality, Settings, Timing};

use crate::host::{Host, OPEN, control, data, unhex};

fn chip(behaviour: Behaviour) -> Chip {
    Chip::new(Personality::new(1, 0).with_settings(Settings {
        behaviour,
        ..Settings::default()
    }))
}

fn quick() -> Chip {
    chip(Behaviour::default())
}

const SIGN: &str = "31 11 0012 01 000A 00010203040506070809 03 0002 E0F0";

#[test]
fn a_frame_is_read_whole_or_offered_again() {
    let mut host = Host::open(quick());
    host.send(&data(0x04, &unhex("00 01 00 0002 E0C6")));
    assert_eq!(host.state(), [0x48, 0, 0, 0x0C]);
    assert_eq!(host.read(0x80, 3), [0x05, 0, 7]);
    assert_eq!(host.state(), [0x48, 0, 0, 0x0C]);
    // Beyond the end of the frame there is nothing but FF.
    assert_eq!(host.read(0x80, 0x0E), unhex("05 0007 00 00000002 0615 A6F1 FFFF"));
    assert_eq!(host.state(), [0x08, 0, 0, 0]);
    assert_eq!(host.read(0x80, 4), [0xFF; 4]);
}

#[test]
fn a_repeated_command_is_not_executed_twice() {
    let mut host = Host::open(quick());
    let sign = data(0x04, &[&[0], unhex(SIGN).as_slice()].concat());
    for _ in 0..5 {
        host.send(&sign);
    }
    assert_eq!(host.chip.lock().unwrap().counters().signatures, 1);
    assert_eq!(host.frame(), control(0x81));
    let signed = host.frame();
    assert_eq!(signed[0], 0x05);
    // Who repeats after the answer was read gets the same answer.
    host.send(&sign);
    assert_eq!((host.frame(), host.frame()), (control(0x81), signed));
    host.send(&control(0x81));
    host.send(&sign);
    assert_eq!(host.frame(), control(0x81));
    assert_eq!(host.state(), [0x08, 0, 0, 0]);
    assert_eq!(host.chip.lock().unwrap().counters().signatures, 1);
}

#[test]
fn a_frame_longer_than_agreed_is_refused() {
    let mut host = Host::of(quick());
    host.negotiate(0x10);
    host.send(&data(0x03, &[0; 12]));
    assert_eq!(host.frame(), control(0xA0));
    host.ok(OPEN, "");
    assert_eq!(host.get("01 00 0002 E0C2").len(), 27);
}

#[test]
fn every_frame_size_carries_every_command() {
    for frame_bytes in [0x10, 0x11, 0x19, 0x40, 0xFE, 0x114, 0x115] {
        let mut host = Host::of(quick());
        host.negotiate(frame_bytes);
        host.ok(OPEN, "");
        let content = "5A".repeat(1500);
        host.ok(&format!("02 40 05E0 F1E0 0000 {content}"), "");
        host.ok("01 00 0006 F1E0 0000 FFFF", &content);
    }
}

#[test]
fn resync_keeps_the_application_and_drops_the_answer() {
    let mut host = Host::open(quick());
    host.send(&data(0x04, &unhex("00 01 00 0002 E0C6")));
    host.resync();
    assert_eq!(host.state(), [0x08, 0, 0, 0]);
    host.ok("01 00 0002 E0C6", "0615");
}

#[test]
fn resets_close_the_application_and_forget_the_frame_size() {
    let soft: fn(&mut Host) = |host| host.write(&[0x88, 0, 0]);
    let pin: fn(&mut Host) = |host| {
        let now_us = host.now_us;
        host.chip.line(Line::Rst, false, now_us);
        assert_eq!(host.chip.address(), None);
        assert_eq!(host.chip.write(&[0x82], now_us), Err(Nack::Address));
        host.chip.line(Line::Rst, true, now_us);
    };
    let power: fn(&mut Host) = |host| {
        let now_us = host.now_us;
        host.chip.line(Line::Vdd, false, now_us);
        host.chip.line(Line::Rst, false, now_us);
        host.chip.line(Line::Vdd, true, now_us);
        assert_eq!(host.chip.address(), None);
        host.chip.line(Line::Rst, true, now_us);
    };
    for reset in [soft, pin, power] {
        let mut host = Host::open(quick());
        host.negotiate(0x40);
        host.write(&[0x83, 0x00, 0x58]);
        host.ok("02 40 0005 F1D0 0000 07", "");
        reset(&mut host);
        assert_eq!(host.chip.address(), Some(0x30));
        assert_eq!(host.read(0x81, 2), [0x01, 0x15]);
        let mut host = Host::new(host.chip);
        assert_eq!(host.command(&unhex("01 00 0002 F1D0")), [0xFF, 0, 0, 0]);
        host.ok("01 00 0002 F1C2", "0C");
        host.ok(OPEN, "");
        host.ok("01 00 0002 F1D0", "07");
    }
}

#[test]
fn a_kept_address_outlives_a_reset() {
    let mut host = Host::of(quick());
    host.write(&[0x83, 0x80, 0x31]);
    host.write(&[0x88, 0, 0]);
    assert_eq!(host.chip.address(), Some(0x31));
}

#[test]
fn a_chip_takes_its_time() {
    let mut host = Host::open(chip(Behaviour {
        timing: Timing::Virtual,
        ..Behaviour::default()
    }));
    let start_us = host.now_us;
    host.get(SIGN);
    assert!(
        (60_000..75_000).contains(&(host.now_us - start_us)),
        "{}",
        host.now_us - start_us
    );
    // After a reset nobody answers for ten milliseconds.
    host.write(&[0x88, 0, 0]);
    let reset_us = host.now_us;
    assert!(!host.chip.acknowledges(reset_us + 9_999));
    assert!(host.chip.acknowledges(reset_us + 10_000));
}

#[test]
fn every_policy_lets_commands_through() {
    for nacks in [
        NackPolicy::None,
        NackPolicy::Silicon,
        NackPolicy::Sleep,
        NackPolicy::Adversarial,
    ] {
        for timing in [Timing::None, Timing::Virtual] {
            let mut host = Host::of(chip(Behaviour {
                nacks,
                timing,
                ..Behaviour::default()
            }));
            host.negotiate(0x19);
            host.ok(OPEN, "");
            assert_eq!(host.get("01 00 0002 E0C2").len(), 27);
            host.now_us += 30_000;
            host.ok("01 00 0002 E0C6", "0615");
        }
    }
}

#[test]
fn silicon_refuses_its_address_after_a_command_and_after_sleep() {
    let mut host = Host::of(chip(Behaviour {
        nacks: NackPolicy::Silicon,
        timing: Timing::Virtual,
        ..Behaviour::default()
    }));
    host.ok(OPEN, "");
    let now_us = host.now_us;
    host.send(&data(0x04, &unhex("00 01 01 0002 E0C2")));
    assert!(!host.chip.acknowledges(now_us + 4_000));
    assert!(host.chip.acknowledges(now_us + 6_200));
    host.now_us += 10_000;
    host.frame();
    host.send(&control(0x81));
    let now_us = host.now_us + 21_000;
    assert!(!host.chip.acknowledges(now_us));
    assert!(host.chip.acknowledges(now_us + 1_000));
}

#[test]
fn a_power_cut_leaves_a_torn_certificate_and_a_dark_chip() {
    for pages in 0..9 {
        let mut host = Host::open(quick());
        host.ok(&format!("02 40 00C4 E0E1 0000 {}", "11".repeat(192)), "");
        host.chip.lock().unwrap().cut_power_after(pages);
        let write = data(
            0x08,
            &[unhex("00 02 00 0084 E0E1 0000"), vec![0x22; 128]].concat(),
        );
        host.send(&write);
        let dark = pages < 2;
        assert_eq!(host.chip.lock().unwrap().is_dark(), dark, "{pages} pages");
        assert_eq!(host.chip.address().is_none(), dark);
        let now_us = host.now_us;
        host.chip.line(Line::Vdd, false, now_us);
        host.chip.line(Line::Vdd, true, now_us);
        let mut host = Host::new(host.chip);
        host.ok(OPEN, "");
        let content = host.get("01 00 0002 E0E1");
        let new = content.iter().filter(|byte| **byte == 0x22).count();
        assert_eq!(
            (content.len(), new),
            (192, 64 * pages.min(2) as usize),
            "{pages} pages"
        );
    }
}

#[test]
fn accidents_are_repeatable() {
    let run = |seed| {
        let faults = Faults {
            seed,
            lost_in_permille: 100,
            repeated_in_permille: 100,
            corrupted_in_permille: 100,
            corrupted_out_permille: 100,
            ..Faults::default()
        };
        let mut chip = chip(Behaviour {
            faults: Some(faults),
            ..Behaviour::default()
        });
        let mut seen = vec![];
        for round in 0..50_u64 {
            let now_us = round * 1_000;
            chip.write(
                &[&[0x80], data(0x03, &unhex("00 01 00 0002 F1C2")).as_slice()].concat(),
                now_us,
            )
            .unwrap();
            chip.write(&[0x80], now_us).unwrap();
            let mut buffer = [0; 12];
            chip.read(&mut buffer, now_us).unwrap();
            seen.push(buffer);
            chip.write(&[&[0x80], control(0xC0).as_slice()].concat(), now_us)
                .unwrap();
        }
        seen
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
