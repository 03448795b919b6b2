//! Several real processes on one chip: nobody ever gets a wrong answer, whoever is killed when.
//!
//! The processes are this very test program, started again; the chip is served on a socket, without timing.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]
#![expect(clippy::print_stdout, reason = "how a started process tells what it has done")]
#![cfg(unix)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use i2c_bus::{Listener, Serving};
use identity::crypto;
use identity::key::{PublicKey, SignatureAlgorithm};
use optiga::Signature;
use optiga_sim::Tray;
use token::{
    Access, Attribute, AttributeKind, ChipAddress, ChipSetting, Class, Hash, KeyPairTemplate, Mechanism,
    Session, Value,
};

const KEY: &str = "Device Priv TLS Key";
const ECDSA_SHA256: &Mechanism = &Mechanism::Ecdsa(Some(Hash::Sha256));
/// Tells a started process what to do: how many signatures, whether with a key of its session, and where.
const TASK: &str = "BIRTHMARK_TEST_TASK";

/// A chip on a socket in a folder.
struct Bench {
    folder: tempfile::TempDir,
    _serving: Serving,
    public: PublicKey,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tray = Tray::memory(1, 7).unwrap();
        let listener = Listener::unix(&folder.path().join("chip")).unwrap();
        let serving = listener.spawn(tray.bus(0).unwrap()).unwrap();
        let session = session(folder.path());
        session.generate_key_pair(&KeyPairTemplate::signing(KEY)).unwrap();
        let public = session.find(&[Attribute::class(Class::PublicKey), Attribute::label("0xF1D1")]);
        let public = session.object(public.unwrap()[0]).unwrap().public_key().unwrap();
        Self {
            folder,
            _serving: serving,
            public,
        }
    }

    fn start(&self, signatures: usize, kind: &str) -> Process {
        let task = format!("{signatures} {kind} {}", self.folder.path().display());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_process_that_signs", "--nocapture"])
            .env(TASK, task)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut process = Process {
            lines: BufReader::new(child.stdout.take().unwrap()),
            child,
        };
        while process.line().unwrap() != "ready" {}
        process
    }
}

struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let bytes = self.lines.read_line(&mut line).unwrap();
        (bytes > 0).then(|| line.trim_end().to_owned())
    }

    /// Waits for so many signatures.
    fn signed(&mut self, signatures: usize) {
        let mut seen = 0;
        while seen < signatures {
            seen += usize::from(self.line().unwrap() == "signed");
        }
    }

    fn end(mut self) {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn session(folder: &Path) -> Session {
    let setting = ChipSetting {
        lock: Some(folder.join("lock")),
        ..ChipSetting::default()
    };
    let address = ChipAddress::parse(&format!("unix:{}", folder.join("chip").display())).unwrap();
    Session::on(address.backend(setting).unwrap(), Access::ReadWrite).unwrap()
}

fn der(fixed: &[u8]) -> Vec<u8> {
    let mut out = [0; 104];
    let signature = Signature::from_fixed(fixed).unwrap();
    signature.write_der(&mut out).unwrap().to_vec()
}

/// What a started process does. Started by the test runner itself, it does nothing.
#[test]
fn a_process_that_signs() {
    let Ok(task) = std::env::var(TASK) else { return };
    let mut words = task.splitn(3, ' ');
    let signatures: usize = words.next().unwrap().parse().unwrap();
    let of_session = words.next().unwrap() == "session";
    let session = session(Path::new(words.next().unwrap()));
    let (private, public) = if of_session {
        session_pair(&session)
    } else {
        let found = |class| {
            session
                .find(&[Attribute::class(class), Attribute::label(KEY)])
                .unwrap()[0]
        };
        let private = found(Class::PrivateKey);
        (private, session.object(private).unwrap().public_key().unwrap())
    };
    println!("\nready");
    for number in 0..signatures {
        let message = format!("{} {number}", std::process::id());
        let signature = session.sign(private, ECDSA_SHA256, message.as_bytes()).unwrap();
        let der = der(&signature);
        crypto::verify(&public, SignatureAlgorithm::EcdsaSha256, message.as_bytes(), &der).unwrap();
        println!("signed");
    }
}

fn session_pair(session: &Session) -> (token::Handle, PublicKey) {
    let curve = [0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
    let application = session.application();
    let (public, private) = application
        .generate_key_pair(
            application.open_session(0, Access::ReadWrite).unwrap(),
            &Mechanism::EcKeyPairGen,
            &[Attribute::new(AttributeKind::EcParams, Value::bytes(&curve))],
            &[Attribute::new(AttributeKind::Sign, Value::Flag(true))],
        )
        .unwrap();
    let find = |number: u64| {
        let all = session.find(&[]).unwrap();
        all.into_iter().find(|handle| handle.number() == number).unwrap()
    };
    let public = session.object(find(public)).unwrap().public_key().unwrap();
    (find(private), public)
}

#[test]
fn a_thousand_signatures_each_and_none_is_wrong() {
    let bench = Bench::new();
    let processes = [bench.start(1_000, "token"), bench.start(1_000, "token")];
    processes.into_iter().for_each(Process::end);
}

#[test]
fn session_keys_of_several_processes_stay_apart() {
    let bench = Bench::new();
    // Five processes, four places in the chip: the fifth has its key in memory.
    let processes = [(); 5].map(|()| bench.start(40, "session"));
    processes.into_iter().for_each(Process::end);
}

#[test]
fn whoever_is_killed_leaves_the_others_right() {
    let bench = Bench::new();
    let mut survivor = bench.start(400, "token");
    let mut seed: usize = 7;
    for _ in 0..12 {
        let mut victim = bench.start(1_000_000, "token");
        seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12_345) % 0x8000_0000;
        victim.signed(seed % 9);
        // Somewhere in the next command.
        let turns = seed >> 8 & 0x3FFF;
        for _ in 0..turns {
            std::thread::yield_now();
        }
        victim.kill();
        survivor.signed(3);
    }
    survivor.end();
    let session = session(bench.folder.path());
    let private = session
        .find(&[Attribute::class(Class::PrivateKey), Attribute::label(KEY)])
        .unwrap()[0];
    let signature = session.sign(private, ECDSA_SHA256, b"after all").unwrap();
    crypto::verify(
        &bench.public,
        SignatureAlgorithm::EcdsaSha256,
        b"after all",
        &der(&signature),
    )
    .unwrap();
}
