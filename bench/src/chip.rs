//! The simulated chip: how many are provisioned in a second of CPU, what a signature costs above the bare one, and how much
//! room a provisioned chip takes in memory and on disk.
//!
//! Everything runs on one thread through the real driver and the bus in this process; what counts is CPU time.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use i2c_bus::{BusDelay, LocalClient};
use optiga::{
    Access, Config, Curve, KeySlot, KeyUsage, Lifecycle, MetadataChange, ObjectId, Optiga, Uid, WriteMode,
};
use optiga_sim::Tray;
use serde_json::json;

use crate::{Outcome, cpu};

const CERTIFICATE: ObjectId = ObjectId(0xE0E1);
/// Bytes of a device certificate with its TLS head.
const CERTIFICATE_BYTES: usize = 500;
/// Chips that are provisioned, in a tray of a million.
const PROVISIONED: u32 = 20_000;
const TRAY: u32 = 1_000_000;
const SIGNATURES: u32 = 5_000;
/// Of a full tray that was closed and opened again, one chip in so many is looked at.
const LOOKED_AT_EACH: usize = 997;

type Driver = Optiga<LocalClient, BusDelay>;

/// Measures and prints one JSON object.
pub(crate) fn run() -> Outcome<()> {
    let memory = memory_tray()?;
    let disk = disk_tray()?;
    let (bare_us, chip_us, bus_us) = signatures()?;
    println!(
        "{}",
        json!({
            "chips_per_second": memory.rate,
            "chips_per_second_kept": disk.rate,
            "memory_bytes_per_chip": memory.bytes,
            "untouched_bytes_per_chip": memory.untouched,
            "disk_bytes_per_chip": disk.bytes,
            "bare_signature_us": bare_us,
            "chip_signature_us": chip_us,
            "bus_us": bus_us,
            "signature_ratio": (chip_us - bus_us) / bare_us,
        })
    );
    Ok(())
}

/// Provisions every chip of a tray in a file, closes it, opens it again, and looks at some of the chips.
pub(crate) fn fill(chips: u32) -> Outcome<()> {
    let beside = std::env::current_exe()?;
    let folder = tempfile::tempdir_in(beside.parent().ok_or("a program lies in a folder")?)?;
    let path = folder.path().join("tray");
    let empty = resident_bytes()?;
    let tray = Tray::open_file(&path, chips, 4)?;
    let start = Instant::now();
    for number in 0..chips {
        provision(&mut driver(&tray, number)?)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let memory = resident_bytes()? - empty;
    drop(tray);
    let disk = fs::metadata(&path)?.len() as f64;
    // What the first tray had is the allocator's now; only a process of its own tells what a tray takes that was read.
    let start = Instant::now();
    let tray = Tray::open_file(&path, chips, 4)?;
    let opened = start.elapsed().as_secs_f64();
    for number in (0..chips).step_by(LOOKED_AT_EACH) {
        is_provisioned(&mut driver(&tray, number)?)?;
    }
    println!(
        "{}",
        json!({
            "chips": chips,
            "seconds": seconds,
            "memory_bytes_per_chip": memory / f64::from(chips),
            "disk_bytes_per_chip": disk / f64::from(chips),
            "disk_megabytes": disk / 1e6,
            "memory_megabytes": memory / 1e6,
            "open_seconds": opened,
        })
    );
    Ok(())
}

/// Certificate and key are there and locked.
fn is_provisioned(chip: &mut Driver) -> Outcome<()> {
    chip.open().map_err(text)?;
    let mut back = [0; CERTIFICATE_BYTES];
    chip.read_object(CERTIFICATE, 0, &mut back).map_err(text)?;
    let locked = chip.read_metadata(CERTIFICATE).map_err(text)?.change == Some(Access::NEVER);
    if back != [0x30; CERTIFICATE_BYTES] || !locked {
        return Err("a chip of the tray has forgotten its certificate".into());
    }
    chip.sign_digest(KeySlot::E0F1, &[7; 32]).map_err(text)?;
    Ok(())
}

struct Measured {
    rate: f64,
    bytes: f64,
    untouched: f64,
}

fn memory_tray() -> Outcome<Measured> {
    let empty = resident_bytes()?;
    let tray = Tray::memory(TRAY, 1)?;
    let before = resident_bytes()?;
    let rate = provision_all(&tray)?;
    Ok(Measured {
        rate,
        bytes: (resident_bytes()? - before) / f64::from(PROVISIONED),
        untouched: (before - empty) / f64::from(TRAY),
    })
}

fn disk_tray() -> Outcome<Measured> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("tray");
    let tray = Tray::open_file(&path, TRAY, 2)?;
    let rate = provision_all(&tray)?;
    Ok(Measured {
        rate,
        bytes: fs::metadata(Path::new(&path))?.len() as f64 / f64::from(PROVISIONED),
        untouched: 0.0,
    })
}

/// Chips in a second of CPU, spread over the whole tray.
fn provision_all(tray: &Tray) -> Outcome<f64> {
    let start = cpu::nanoseconds(std::process::id())?;
    for number in 0..PROVISIONED {
        provision(&mut driver(tray, number * (TRAY / PROVISIONED))?)?;
    }
    let spent = cpu::nanoseconds(std::process::id())? - start;
    Ok(f64::from(PROVISIONED) * 1e9 / spent as f64)
}

fn driver(tray: &Tray, chip: u32) -> Outcome<Driver> {
    let bus = tray.bus(chip).ok_or("the tray has no such chip")?;
    let (client, delay) = (bus.client(), bus.client().delay());
    Ok(Optiga::new(client, delay, Config::default()))
}

/// Open, UID, key, signature of a request, certificate, read back, lock.
fn provision(chip: &mut Driver) -> Outcome<Uid> {
    chip.open().map_err(text)?;
    let uid = chip.read_uid().map_err(text)?;
    chip.generate_key(KeySlot::E0F1, Curve::P256, KeyUsage::SIGN)
        .map_err(text)?;
    chip.sign_digest(KeySlot::E0F1, &[7; 32]).map_err(text)?;
    let certificate = [0x30; CERTIFICATE_BYTES];
    chip.write_object(CERTIFICATE, WriteMode::Replace, 0, &certificate)
        .map_err(text)?;
    let mut back = [0; CERTIFICATE_BYTES];
    let length = chip.read_object(CERTIFICATE, 0, &mut back).map_err(text)?;
    if back.get(..length) != Some(&certificate[..]) {
        return Err("the certificate came back as another one".into());
    }
    let lock = MetadataChange {
        lifecycle: Some(Lifecycle::Operational),
        change: Some(Access::NEVER),
        ..MetadataChange::default()
    };
    for object in [CERTIFICATE, KeySlot::E0F1.object()] {
        chip.write_metadata(object, &lock).map_err(text)?;
    }
    Ok(uid)
}

/// Microseconds of a bare signature, of one through driver, bus and chip, and of the bus and protocol alone.
fn signatures() -> Outcome<(f64, f64, f64)> {
    let hash = digest::digest(&digest::SHA256, b"bench");
    let bare = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
    let bare_us = each(|| bare_signature(&bare, &hash))?;
    let tray = Tray::memory(1, 3)?;
    let mut chip = driver(&tray, 0)?;
    provision(&mut chip)?;
    let chip_us = each(|| {
        black_box(chip.sign_digest(KeySlot::E0F1, &[7; 32]).map_err(text)?);
        Ok(())
    })?;
    // A command and an answer of the same lengths that ask for no cryptography.
    let mut room = [0; 72];
    let bus_us = each(|| {
        black_box(chip.read_object(CERTIFICATE, 0, &mut room).map_err(text)?);
        Ok(())
    })?;
    Ok((bare_us, chip_us, bus_us))
}

fn bare_signature(key: &EcdsaKeyPair, hash: &Digest) -> Outcome<()> {
    black_box(key.sign_digest(hash)?);
    Ok(())
}

fn each(mut work: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let start = cpu::nanoseconds(std::process::id())?;
    for _ in 0..SIGNATURES {
        work()?;
    }
    let spent = cpu::nanoseconds(std::process::id())? - start;
    Ok(spent as f64 / 1e3 / f64::from(SIGNATURES))
}

fn text<E: core::fmt::Debug>(error: optiga::Error<E>) -> String {
    error.to_string()
}

/// Memory that this process has in RAM.
fn resident_bytes() -> Outcome<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: f64 = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .ok_or("no VmRSS")?
        .trim()
        .parse()?;
    Ok(kilobytes * 1024.0)
}
