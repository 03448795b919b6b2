//! Programs that know nothing of a virtual bus find the chip on it: Debian's i2c-tools, unmodified, behind the shim.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test whose helper cannot go on fails there")]
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use stories::{Ended, birthmark, run, tool};
use tempfile::TempDir;

/// The frame that opens the application, for the DATA register, with its checksum.
const OPEN: &str = "0x80 0x03 0x00 0x15 0x00 0x70 0x00 0x00 0x10 0xd2 0x76 0x00 0x00 0x04 \
                    0x47 0x65 0x6e 0x41 0x75 0x74 0x68 0x41 0x70 0x70 0x6c 0x04 0x1a";

/// A simulated chip on bus 7.
struct Bus {
    _folder: TempDir,
    socket: PathBuf,
    server: Child,
}

impl Bus {
    fn serve() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("chip");
        let mut server = birthmark()
            .args(["chip", "serve", "--socket"])
            .arg(&socket)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.contains("unix:"), "{line}");
        Self {
            _folder: folder,
            socket,
            server,
        }
    }

    #[track_caller]
    fn run(&self, program: &Path, arguments: &str) -> Ended {
        let mut command = Command::new(program);
        command
            .env("LD_PRELOAD", shim())
            .env("BIRTHMARK_I2C", format!("7=unix:{}", self.socket.display()));
        run(command.args(arguments.split_whitespace()))
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The library that was built with these tests: it lies beside the binary.
fn shim() -> PathBuf {
    let binary = PathBuf::from(birthmark().get_program());
    let shim = binary.with_file_name("libbirthmark_i2c.so");
    assert!(
        shim.exists(),
        "no {}: run `cargo build --package i2c-shim` first",
        shim.display()
    );
    shim
}

#[test]
fn i2cdetect_lists_the_bus_and_finds_the_chip() {
    let Some(i2cdetect) = tool("i2cdetect") else {
        return;
    };
    let bus = Bus::serve();
    let list = bus.run(&i2cdetect, "-l").well();
    let line = list.stdout.lines().find(|line| line.starts_with("i2c-7"));
    assert!(
        line.is_some_and(|line| line.contains("birthmark SIMULATED")),
        "{}",
        list.stdout
    );
    // Read byte, quick write, and each address by what suits it.
    for how in ["-y -r 7", "-y -q 7", "-y 7"] {
        let found = bus.run(&i2cdetect, how).well();
        let cells: Vec<&str> = found
            .stdout
            .lines()
            .filter_map(|line| line.split_once(": "))
            .flat_map(|(_, cells)| cells.split_whitespace())
            .filter(|cell| *cell != "--")
            .collect();
        assert_eq!(cells, ["30"], "{how}: {}", found.stdout);
    }
    let functions = bus.run(&i2cdetect, "-F 7").well();
    for (name, there) in [
        ("I2C  ", "yes"),
        ("SMBus Quick Command", "yes"),
        ("SMBus Block Write", "no"),
    ] {
        let line = functions.stdout.lines().find(|line| line.starts_with(name));
        assert!(
            line.is_some_and(|line| line.ends_with(there)),
            "{name}: {}",
            functions.stdout
        );
    }
}

#[test]
fn i2ctransfer_carries_a_command_to_the_chip_and_its_answer_back() {
    let Some(i2ctransfer) = tool("i2ctransfer") else {
        return;
    };
    let bus = Bus::serve();
    let write = |bytes: &str| {
        let count = bytes.split_whitespace().count();
        bus.run(&i2ctransfer, &format!("-y 7 w{count}@0x30 {bytes}"))
            .well();
    };
    let read = |count: usize| {
        let ended = bus.run(&i2ctransfer, &format!("-y 7 r{count}@0x30")).well();
        ended.stdout.trim().to_owned()
    };
    write("0x82");
    assert_eq!(read(4), "0x08 0x00 0x00 0x00");
    write(OPEN);
    write("0x82");
    assert_eq!(read(4), "0x48 0x00 0x00 0x0a");
    write("0x80");
    assert_eq!(read(10), "0x00 0x00 0x05 0x00 0x00 0x00 0x00 0x00 0x14 0x87");
}

#[test]
fn what_the_chip_does_not_do_fails_as_on_a_real_bus() {
    let (Some(i2ctransfer), Some(i2cdetect)) = (tool("i2ctransfer"), tool("i2cdetect")) else {
        return;
    };
    let bus = Bus::serve();
    // Nobody at this address; a repeated START, which the chip does not know; a bus that is not there.
    bus.run(&i2ctransfer, "-y 7 w1@0x31 0x82")
        .refused(&["No such device or address"]);
    bus.run(&i2ctransfer, "-y 7 w1@0x30 0x82 r4@0x30")
        .refused(&["No such device or address"]);
    bus.run(&i2cdetect, "-y 93").refused(&["93"]);
}

#[test]
fn everything_else_goes_to_the_kernel() {
    let bus = Bus::serve();
    let listed = bus.run(Path::new("/bin/ls"), "/dev").well();
    assert!(
        listed.stdout.lines().any(|line| line == "i2c-7"),
        "{}",
        listed.stdout
    );
    assert!(
        listed.stdout.lines().any(|line| line == "null"),
        "{}",
        listed.stdout
    );
    let copied = bus.run(Path::new("/bin/cat"), &shim_manifest()).well();
    assert!(copied.stdout.contains("birthmark_i2c"));
}

fn shim_manifest() -> String {
    format!("{}/../../crates/i2c-shim/Cargo.toml", env!("CARGO_MANIFEST_DIR"))
}
