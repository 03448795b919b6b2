//! Many chips, one file: what survives the process, and that nobody takes somebody else's.

use std::path::Path;

use optiga_sim::{Behaviour, Error, Profile, Settings, Tray};

use crate::host::{Host, OPEN, hex};

fn host(tray: &Tray, index: u32) -> Host {
    let mut host = Host::new(tray.chip(index).unwrap());
    host.resync();
    host.ok(OPEN, "");
    host
}

/// What a production line does with a chip.
fn provision(host: &mut Host) {
    host.get("38 03 0009 01 0002 E0F1 02 0001 10");
    host.get("31 11 0012 01 000A 00010203040506070809 03 0002 E0F1");
    host.ok(&format!("02 40 01F8 E0E1 0000 {}", "C5".repeat(500)), "");
    host.ok(&format!("02 40 025C E0E8 0000 {}", "3A".repeat(600)), "");
    assert_eq!(host.get("01 00 0002 E0E1").len(), 500);
    assert_eq!(host.get("01 00 0002 E0E8").len(), 600);
    for object in ["E0F1", "E0E1", "E0E8"] {
        host.ok(&format!("02 01 000C {object} 0000 20 06 C0 01 07 D0 01 FF"), "");
    }
}

const OBJECTS: [&str; 3] = ["E0E0", "E0E1", "E0E8"];

fn contents(host: &mut Host) -> Vec<String> {
    let contents = OBJECTS
        .iter()
        .map(|object| hex(&host.get(&format!("01 00 0002 {object}"))));
    let contents: Vec<_> = contents.collect();
    let metadata = ["E0F0", "E0F1", "E0E1", "E0E8", "F1D0"].iter();
    contents
        .into_iter()
        .chain(metadata.map(|object| hex(&host.get(&format!("01 01 0002 {object}")))))
        .collect()
}

#[test]
fn a_tray_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tray");
    let tray = Tray::open_file(&path, 5, 9).unwrap();
    provision(&mut host(&tray, 1));
    provision(&mut host(&tray, 4));
    host(&tray, 4).ok("02 00 0005 F1D0 0000 07", "");
    let before: Vec<_> = (0..5)
        .map(|index| (tray.chip(index).unwrap().lock().unwrap().uid(), index))
        .collect();
    let known = [contents(&mut host(&tray, 1)), contents(&mut host(&tray, 4))];
    let (root, ca) = (
        tray.authority().root().unwrap().id(),
        tray.authority().ca().unwrap().id(),
    );
    assert!(matches!(Tray::open_file(&path, 5, 9), Err(Error::InUse { .. })));
    drop(tray);

    let tray = Tray::open_existing(&path, Behaviour::default()).unwrap();
    assert_eq!(tray.chips(), 5);
    let after: Vec<_> = (0..5)
        .map(|index| (tray.chip(index).unwrap().lock().unwrap().uid(), index))
        .collect();
    assert_eq!(before, after);
    assert_eq!(
        known,
        [contents(&mut host(&tray, 1)), contents(&mut host(&tray, 4))]
    );
    assert_eq!(
        (root, ca),
        (
            tray.authority().root().unwrap().id(),
            tray.authority().ca().unwrap().id()
        )
    );
    // The key signs, and is as locked as it was.
    let mut host = host(&tray, 4);
    host.get("31 11 0012 01 000A 00010203040506070809 03 0002 E0F1");
    assert_eq!(host.no("38 03 0009 01 0002 E0F1 02 0001 10"), 0x07);
    assert_eq!(host.no("02 00 0005 E0E1 0000 00"), 0x07);
}

#[test]
fn a_tray_is_only_opened_as_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tray");
    drop(Tray::open_file(&path, 5, 9).unwrap());
    let sample = Settings {
        profile: Profile::Sample,
        ..Settings::default()
    };
    for error in [
        Tray::open_file(&path, 6, 9).unwrap_err(),
        Tray::open_file(&path, 5, 10).unwrap_err(),
        Tray::open_file_with(&path, 5, 9, sample).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Mismatch { .. }), "{error}");
        assert!(error.to_string().contains("tray"), "{error}");
    }
    let nowhere = folder.path().join("none");
    assert!(matches!(
        Tray::open_existing(&nowhere, Behaviour::default()),
        Err(Error::File { .. })
    ));
    std::fs::write(
        &nowhere,
        "a letter to a friend, which is longer than the head of a tray's file",
    )
    .unwrap();
    assert!(matches!(
        Tray::open_file(&nowhere, 5, 9),
        Err(Error::NotATray { .. })
    ));
    assert!(matches!(
        Tray::memory(1_000_001, 1),
        Err(Error::TooManyChips { .. })
    ));
    assert!(Tray::memory(2, 1).unwrap().chip(2).is_none());
}

#[test]
fn a_file_cut_anywhere_holds_whole_commands_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tray");
    let tray = Tray::open_file(&path, 1, 3).unwrap();
    provision(&mut host(&tray, 0));
    drop(tray);
    let whole = std::fs::read(&path).unwrap();
    assert!(whole.starts_with(b"BIRTHMARK SIMULATED "));
    for cut in (64..whole.len()).step_by(37) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let tray = Tray::open_file(&path, 1, 3).unwrap();
        let mut host = host(&tray, 0);
        for (object, bytes) in [("E0E1", 500), ("E0E8", 600)] {
            let metadata = host.get(&format!("01 01 0002 {object}"));
            let used = host
                .command(&[1, 0, 0, 2, 0xE0, if bytes == 500 { 0xE1 } else { 0xE8 }])
                .len()
                - 4;
            assert!(
                used == 0 || used == bytes,
                "cut at {cut}: {object} holds {used} bytes"
            );
            let locked = metadata.windows(3).any(|window| window == [0xC0, 1, 7]);
            assert!(
                !locked || used == bytes,
                "cut at {cut}: {object} is locked and empty"
            );
        }
    }
}

#[test]
fn a_provisioned_chip_takes_little_room_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tray");
    let tray = Tray::open_file(&path, 20, 3).unwrap();
    let empty = size(&path);
    (0..20).for_each(|index| provision(&mut host(&tray, index)));
    assert!(
        (size(&path) - empty) / 20 <= 1_536,
        "{}",
        (size(&path) - empty) / 20
    );
}

#[test]
fn a_file_full_of_history_is_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tray");
    let tray = Tray::open_file(&path, 2, 3).unwrap();
    let mut one = host(&tray, 1);
    let certificate = one.get("01 00 0002 E0E0");
    for _ in 0..800 {
        one.ok(&format!("02 40 05DC F1E1 0000 {}", "77".repeat(1496)), "");
    }
    drop((tray, one));
    let tray = Tray::open_file(&path, 2, 3).unwrap();
    assert!(size(&path) < 600_000, "{} of 1200000", size(&path));
    let mut one = host(&tray, 1);
    assert_eq!(one.get("01 00 0002 F1E1"), [0x77; 1496]);
    assert_eq!(one.get("01 00 0002 E0E0"), certificate);
    one.ok("02 40 0005 F1E1 0000 01", "");
    drop((tray, one));
    let tray = Tray::open_file(&path, 2, 3).unwrap();
    host(&tray, 1).ok("01 00 0002 F1E1", "01");
}

#[test]
fn a_file_full_of_history_is_rewritten_while_its_chips_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tray");
    let tray = Tray::open_file(&path, 4, 3).unwrap();
    let mut hosts: Vec<_> = (0..4).map(|index| host(&tray, index)).collect();
    let mut written = 0;
    for round in 0..1_500_u32 {
        let host = &mut hosts[round as usize % 4];
        host.ok(
            &format!(
                "02 40 05DC F1E1 0000 {}",
                format!("{:02X}", round % 256).repeat(1496)
            ),
            "",
        );
        host.ok(&format!("02 00 0008 F1D{:X} 0000 {round:08X}", round % 16), "");
        written += 1_500 + 8;
    }
    let look = |host: &mut Host, index: u32| {
        let small = format!("01 00 0002 F1D{:X}", 12 + index);
        (host.get("01 00 0002 F1E1"), host.get(&small))
    };
    let known: Vec<_> = (0..)
        .zip(&mut hosts)
        .map(|(index, host)| look(host, index))
        .collect();
    assert_eq!(known[3].0, [(1_499 % 256) as u8; 1496]);
    drop((hosts, tray));
    assert!(size(&path) < written, "{} of {written}", size(&path));
    let tray = Tray::open_file(&path, 4, 3).unwrap();
    for (index, known) in (0..).zip(known) {
        let mut host = host(&tray, index);
        assert_eq!(look(&mut host, index), known);
    }
}

/// Set for the process that writes until it is killed.
const VICTIM: &str = "OPTIGA_SIM_VICTIM_TRAY";

/// Not a test of its own: what the killed process does. It says a number after it has written it.
#[test]
#[expect(clippy::print_stdout, reason = "the process that kills this one listens")]
fn victim() {
    let Some(path) = std::env::var_os(VICTIM) else {
        return;
    };
    let tray = Tray::open_file(Path::new(&path), 3, 5).unwrap();
    let mut hosts: Vec<_> = (0..3).map(|index| host(&tray, index)).collect();
    for number in 1..u32::MAX {
        let content = format!("{number:08X}").repeat(370);
        for host in &mut hosts {
            host.ok(&format!("02 40 05CC F1E0 0000 {content}"), "");
        }
        println!("\nwrote {number}");
    }
}

#[test]
fn what_was_answered_is_there_after_the_process_was_killed() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let folder = tempfile::tempdir().unwrap();
    for round in 0..6 {
        let path = folder.path().join(format!("tray{round}"));
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tray::victim", "--nocapture"])
            .env(VICTIM, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let mut said = lines.filter_map(|line| line.unwrap().strip_prefix("wrote ")?.parse::<u32>().ok());
        // Also in the middle of a rewriting, which begins after about 240 rounds.
        let last = said.nth(1 + round * 50).unwrap();
        victim.kill().unwrap();
        victim.wait().unwrap();
        let last = said.last().unwrap_or(last);
        let tray = Tray::open_file(&path, 3, 5).unwrap();
        for index in 0..3 {
            let content = host(&tray, index).get("01 00 0002 F1E0");
            let number = u32::from_be_bytes(content[..4].try_into().unwrap());
            assert!(number == last || number == last + 1, "{number} after {last}");
            assert!(content.chunks(4).all(|chunk| chunk == &content[..4]), "a mixture");
        }
    }
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

#[test]
fn counters_are_summed() {
    let tray = Tray::memory(1_000, 1).unwrap();
    assert_eq!(tray.counters(), optiga_sim::Counters::default());
    for index in [3, 999] {
        provision(&mut host(&tray, index));
    }
    let sum = tray.counters();
    assert_eq!((sum.signatures, sum.key_generations), (2, 2));
    assert_eq!(sum.commands, 2 * 10);
    assert!(sum.transactions > sum.frames_received + sum.frames_sent);
}

#[test]
fn two_chips_have_two_keys_and_two_certificates() {
    let tray = Tray::memory(2, 1).unwrap();
    let [a, b] = [0, 1].map(|index| host(&tray, index).get("01 00 0002 E0E0"));
    assert_ne!(a, b);
    let other = Tray::memory(2, 2).unwrap();
    assert_ne!(host(&other, 0).get("01 00 0002 E0E0"), a);
}
