//! A microcontroller uses the chip: the driver on an emulated Cortex-M4, its bus on a serial line, the chip in
//! `birthmark chip serve` at the other end.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test whose helper cannot go on fails there")]
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use stories::{birthmark, board, run, tool};

/// What stands before an uncompressed point of P-256 in a SubjectPublicKeyInfo (RFC 5480).
const KEY_HEAD: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";

/// A chip that is served, and where.
struct Served {
    server: Child,
    place: String,
}

impl Served {
    fn new(tray: &Path, arguments: &[&str]) -> Self {
        let mut server = birthmark()
            .args(["chip", "serve", "--tray"])
            .arg(tray)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        let place = told["chips"][0].as_str().unwrap().to_owned();
        Self { server, place }
    }
}

/// Killed, not asked: what the chip took is kept.
impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// What the firmware printed, by the first word of the line.
fn told<'a>(printed: &'a str, name: &str) -> &'a str {
    let mut lines = printed.lines().filter_map(|line| line.split_once(' '));
    lines.find(|line| line.0 == name).unwrap().1
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits = hexadecimal.as_bytes().chunks(2);
    let pair = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(pair).collect()
}

#[track_caller]
fn device_makes_its_key(accidents: &[&str]) {
    let (Some((image, emulator)), Some(openssl)) = (board("bridge"), tool("openssl")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let served = Served::new(&at("tray"), &[&["--serial", "pty"], accidents].concat());
    let line = served.place.strip_prefix("serial:").unwrap();
    let ended = run(Command::new(emulator)
        .args(["-M", "mps2-an386", "-display", "none", "-monitor", "none"])
        .args(["-semihosting-config", "enable=on,target=native"])
        .args(["-serial", "null", "-serial", "chardev:chip"])
        .args(["-chardev", &format!("serial,id=chip,path={line}")])
        .arg("-kernel")
        .arg(image))
    .well();
    drop(served);
    let printed = &ended.stdout;
    assert_eq!(told(printed, "stored"), "whole");

    // The key is in the chip, and openssl believes what it signed.
    let key = [bytes(KEY_HEAD), bytes(told(printed, "point"))].concat();
    fs::write(at("key"), key).unwrap();
    fs::write(at("digest"), bytes(told(printed, "digest"))).unwrap();
    fs::write(at("signature"), bytes(told(printed, "signature"))).unwrap();
    let verify = "pkeyutl -verify -pubin -keyform DER -inkey key -in digest -sigfile signature";
    run(Command::new(openssl)
        .args(verify.split(' '))
        .current_dir(folder.path()))
    .well();

    // It is the chip of the tray, which outlived its server, with the key in it.
    let served = Served::new(&at("tray"), &["--socket", at("chip").to_str().unwrap()]);
    let inspected = run(birthmark().args(["chip", "inspect", "--json", "--chip", &served.place]))
        .well()
        .json();
    assert_eq!(inspected["uid"], told(printed, "uid"));
    let objects = inspected["objects"].as_array().unwrap();
    let slot = objects.iter().find(|object| object["object"] == "E0F1").unwrap();
    assert_eq!(slot["curve"], "P-256", "{slot}");
}

#[test]
fn a_microcontroller_makes_its_key_in_the_chip() {
    device_makes_its_key(&["--timing", "wall", "--nack", "silicon"]);
}

#[test]
fn a_microcontroller_gets_through_a_bad_bus() {
    device_makes_its_key(&[
        "--seed",
        "5",
        "--faults",
        "lost-in=40,lost-out=20,garbled-out=40,nack-storm=20x30",
    ]);
}
