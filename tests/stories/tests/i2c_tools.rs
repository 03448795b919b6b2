//! Programs that know nothing of a virtual bus find the chip on it: Debian's i2c-tools, Python, and our own commands and example
//! for a real bus, unmodified, behind the shim.
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
        run(self.shown_to(&mut command).args(arguments.split_whitespace()))
    }

    /// Lets a program see the bus as a device file.
    fn shown_to<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("LD_PRELOAD", shim())
            .env("BIRTHMARK_I2C", format!("7=unix:{}", self.socket.display()))
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

/// As a careful program does: looks before it opens, copies the descriptor, closes the first.
const PYTHON: &str = r#"
import fcntl, os, stat, time
path = "/dev/i2c-7"
found = os.stat(path)
assert stat.S_ISCHR(found.st_mode) and os.major(found.st_rdev) == 89 and os.minor(found.st_rdev) == 7, found
assert os.path.exists("/dev/i2c/7") and not os.path.exists("/dev/i2c-8")
assert os.access(path, os.R_OK | os.W_OK) and not os.access(path, os.X_OK)
first = os.open(path, os.O_RDWR)
assert os.fstat(first).st_rdev == found.st_rdev
fcntl.ioctl(first, 0x0703, 0x30)
copies = [os.dup(first), fcntl.fcntl(first, fcntl.F_DUPFD, 90), fcntl.fcntl(first, fcntl.F_DUPFD_CLOEXEC, 95)]
spare = os.open("/dev/null", os.O_RDONLY)
copies.append(os.dup2(first, spare))
os.close(first)
for copy in copies:
    assert os.write(copy, b"\x82") == 1
    time.sleep(0.001)
    assert os.read(copy, 4) == b"\x08\x00\x00\x00"
null = os.open("/dev/null", os.O_RDONLY)
os.dup2(null, copies[0])
assert os.read(copies[0], 4) == b""
for copy in copies[1:]:
    os.close(copy)
try:
    os.write(copies[1], b"\x82")
except OSError as error:
    print("closed", error.errno)
"#;

#[test]
fn a_bus_is_a_device_file_and_its_descriptors_can_be_copied() {
    let Some(python) = tool("python3") else { return };
    let bus = Bus::serve();
    let mut command = Command::new(python);
    let ended = run(bus.shown_to(&mut command).args(["-c", PYTHON])).well();
    assert_eq!(ended.stdout, "closed 9\n");
    let seen = bus.run(Path::new("/bin/ls"), "-l /dev/i2c-7").well();
    assert!(seen.stdout.starts_with("crw-rw----"), "{}", seen.stdout);
}

#[test]
fn our_own_commands_use_a_bus_of_linux() {
    let bus = Bus::serve();
    let chip = |words: &[&str]| {
        let mut command = birthmark();
        bus.shown_to(&mut command).args(["chip"]).args(words);
        run(command.args(["--chip", "/dev/i2c-7"]))
    };
    let inspected = chip(&["inspect", "--json"]).well().json();
    let place = format!("unix:{}", bus.socket.display());
    let same = run(birthmark().args(["chip", "inspect", "--json", "--chip", &place])).well();
    assert_eq!(inspected, same.json());
    assert_eq!(chip(&["doctor", "--json"]).well().json()["healthy"], true);
    let traced = chip(&["trace", "--layer", "command", "--json"]).well();
    assert!(traced.stdout.contains("OpenApplication"), "{}", traced.stdout);

    let plan = bus.socket.with_file_name("plan.toml");
    std::fs::write(
        &plan,
        "[[step]]\ndo = \"generate-key\"\nobject = \"E0F1\"\nusage = [\"sign\"]\n",
    )
    .unwrap();
    let plan = plan.to_str().unwrap();
    let made = chip(&["personalize", "--json", "--apply", "--plan", plan])
        .well()
        .json();
    assert_eq!(made["steps"][0]["done"], true);

    // The example for a Linux gateway: linux-embedded-hal, and the key that was just made.
    let gateway = shim().with_file_name("examples").join("gateway");
    assert!(
        gateway.exists(),
        "run `cargo build --package optiga --examples` first"
    );
    let mut gateway = Command::new(gateway);
    let signed = run(bus.shown_to(&mut gateway).arg("/dev/i2c-7")).well();
    let uid = inspected["uid"].as_str().unwrap();
    assert!(signed.stdout.to_lowercase().contains(uid), "{}", signed.stdout);
    assert!(signed.stdout.contains("signature [30, "), "{}", signed.stdout);
}

#[test]
fn the_pkcs11_module_uses_a_chip_on_a_bus_of_linux() {
    let Some(pkcs11_tool) = tool("pkcs11-tool") else {
        return;
    };
    let bus = Bus::serve();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let text = format!(
        "[[slot]]\nbackend = \"chip\"\naddress = \"/dev/i2c-7\"\nlabel = \"gateway\"\nlock = {:?}\n",
        file("lock")
    );
    std::fs::write(file("pkcs11.toml"), text).unwrap();
    std::fs::write(file("data"), "hello").unwrap();
    let command = |arguments: &[&str]| {
        let mut command = Command::new(&pkcs11_tool);
        command
            .arg("--module")
            .arg(stories::tokens::module())
            .args(arguments);
        command.env("BIRTHMARK_PKCS11_CONF", file("pkcs11.toml"));
        command.current_dir(folder.path());
        command
    };
    let tool = |arguments: &[&str]| run(bus.shown_to(&mut command(arguments)));
    let label = ["--label", "Device Priv TLS Key"];
    let pair = ["--keypairgen", "--key-type", "EC:prime256v1", "--id", "07"];
    tool(&[&pair[..], &label].concat()).well();
    tool(&[
        "--sign",
        "-m",
        "ECDSA-SHA256",
        "--id",
        "07",
        "-i",
        "data",
        "-o",
        "signature",
    ])
    .well();
    let verify = ["--verify", "-m", "ECDSA-SHA256", "--id", "07", "-i", "data"];
    let verified = tool(&[&verify[..], &["--signature-file", "signature"]].concat()).well();
    assert!(
        verified.stdout.contains("Signature is valid"),
        "{}",
        verified.stdout
    );
    // The same file on a machine without that bus: a slot whose token is absent, and no failure.
    let listed = run(&mut command(&["--list-slots"])).well();
    assert!(
        listed.stdout.contains("OPTIGA Trust X at /dev/i2c-7"),
        "{}",
        listed.stdout
    );
    assert!(!listed.stdout.contains("token label"), "{}", listed.stdout);
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
