//! The cloud as a registry: first connections, a small registry beside a large one, bulk registration, import, and policy
//! decisions.

mod api;
mod bulk;
mod decisions;
mod moved;
mod seed;
mod steady;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use self::api::Api;
use self::steady::Side;
use crate::client::{End, connect_all};
use crate::cloud::{Cloud, Server, member_of_a_fleet};
use crate::devices::Device;
use crate::first_connection::files_for_others;
use crate::{Outcome, in_turns, memory};

/// Things of the small registry.
const SMALL: usize = 1_000;

/// From the start of a server until its memory is looked at.
const SETTLE: Duration = Duration::from_millis(500);

/// What was typed after the program.
struct Settings {
    things: u64,
    lines: u64,
}

impl Settings {
    fn parse(words: &[&str]) -> Outcome<Self> {
        let mut settings = Self {
            things: 1_000_000,
            lines: 1_000_000,
        };
        for word in words {
            match word.split_once('=') {
                Some(("things", count)) => settings.things = count.parse()?,
                Some(("lines", count)) => settings.lines = count.parse()?,
                _ => return Err(format!("did not understand {word}").into()),
            }
        }
        Ok(settings)
    }
}

/// Measures all of it; prints one JSON object.
pub(crate) fn run(binary: &Path, words: &[&str]) -> Outcome<()> {
    let settings = Settings::parse(words)?;
    let mut told = json!({ "decision_ns": decisions::nanoseconds()? });
    eprintln!("bench: first connections");
    told["first"] = first_connections(binary)?;
    if settings.things > 0 {
        eprintln!("bench: a registry of {} things", settings.things);
        told["registry"] = registry(binary, settings.things)?;
    }
    if settings.lines > 0 {
        eprintln!("bench: a bulk registration of {} lines", settings.lines);
        told["bulk"] = bulk_registration(binary, settings.lines)?;
        eprintln!("bench: an import of {} lines", settings.lines);
        told["import"] = import(binary, settings.lines)?;
    }
    println!("{told}");
    Ok(())
}

/// Server CPU per first connection against a bare acceptor, and how many a second with everything on the same cores.
fn first_connections(binary: &Path) -> Outcome<Value> {
    let folder = tempfile::tempdir()?;
    let cloud = Cloud::start(binary, folder.path(), &member_of_a_fleet())?;
    let root = CertificateDer::from_pem_file(&cloud.server_root)?;
    let files = files_for_others(&cloud, folder.path())?;
    in_turns::compare(&cloud, &files, &root)
}

/// A small registry and a large one, each behind a server of its own.
fn registry(binary: &Path, things: u64) -> Outcome<Value> {
    let folder = tempfile::tempdir()?;
    let mut small = Cloud::start(binary, folder.path(), &member_of_a_fleet())?;
    let root = CertificateDer::from_pem_file(&small.server_root)?;
    let devices: Vec<Device> = (0..SMALL)
        .map(|number| small.signer.named(format!("real-{number:08}")))
        .collect::<Outcome<_>>()?;
    connect_all(small.server.address, &root, &devices, End::Closed)?;
    small.stop()?;
    let (data, copy) = (small.data.clone(), folder.path().join("large"));
    copy_folder(&data, &copy)?;
    let begun = Instant::now();
    seed::fill(&copy, "real-00000000", things - SMALL as u64)?;
    let seconds = begun.elapsed().as_secs_f64();
    let (disk_small, disk) = (seed::disk_bytes(&data)?, seed::disk_bytes(&copy)?);
    (small.server, small.api) = Cloud::serve(binary, &data)?;
    let large = Cloud::serve(binary, &copy)?;
    thread::sleep(SETTLE);
    let mut sides = [
        Side {
            mqtt: small.server.address,
            api: Api::open(small.api, &root, &data.join("credentials"))?,
            things: Box::new(|number| format!("real-{:08}", number % SMALL as u64)),
            devices: &devices,
        },
        Side {
            mqtt: large.0.address,
            api: Api::open(large.1, &root, &copy.join("credentials"))?,
            things: Box::new(move |number| seed::name(number % (things - SMALL as u64))),
            devices: &devices,
        },
    ];
    let [one, other] = &mut sides;
    let mut told = steady::compare(&root, [one, other])?;
    let count = (things - SMALL as u64) as f64;
    let (few, many) = (memory::of(small.server.pid())?, memory::of(large.0.pid())?);
    told["seeded_per_second"] = json!(count / seconds);
    told["disk_bytes"] = json!((disk as f64 - disk_small as f64) / count);
    told["memory_bytes"] = json!((many.total as f64 - few.total as f64) / count);
    told["own_memory_bytes"] = json!((many.anonymous as f64 - few.anonymous as f64) / count);
    Ok(told)
}

/// A task over a file in a directory that the operator gives.
fn bulk_registration(binary: &Path, lines: u64) -> Outcome<Value> {
    let folder = tempfile::tempdir()?;
    let (bucket, data) = (folder.path().join("bucket"), folder.path().join("data"));
    fs::create_dir(&bucket)?;
    bulk::write(&bucket, lines)?;
    let config = folder.path().join("serve.toml");
    fs::write(
        &config,
        format!("[buckets]\n{} = \"{}\"\n", bulk::BUCKET, bucket.display()),
    )?;
    let (server, address, root) = Cloud::serve_configured(binary, &data, &config)?;
    let root = CertificateDer::from_pem_file(root)?;
    let mut api = Api::open(address, &root, &data.join("credentials"))?;
    let before = crate::cpu::nanoseconds(server.pid())?;
    let (seconds, done) = bulk::run(&mut api)?;
    let used = (crate::cpu::nanoseconds(server.pid())? - before) as f64;
    if done != lines {
        return Err(format!("{done} of {lines} lines were done").into());
    }
    by_the_line(&server, lines, seconds, used)
}

/// A file of lines, taken in by an empty server.
fn import(binary: &Path, lines: u64) -> Outcome<Value> {
    let folder = tempfile::tempdir()?;
    let (data, config) = (folder.path().join("data"), folder.path().join("serve.toml"));
    let file = folder.path().join("fleet.ndjson");
    moved::write(&file, lines)?;
    fs::write(&config, "")?;
    let (server, address, root) = Cloud::serve_configured(binary, &data, &config)?;
    let before = crate::cpu::nanoseconds(server.pid())?;
    let (seconds, made) = moved::run(binary, &file, address, &root, &data.join("credentials"))?;
    let used = (crate::cpu::nanoseconds(server.pid())? - before) as f64;
    if made != lines {
        return Err(format!("{made} of {lines} lines were taken in").into());
    }
    by_the_line(&server, lines, seconds, used)
}

/// What so many lines took: seconds, and nanoseconds of the server's CPU.
fn by_the_line(server: &Server, lines: u64, seconds: f64, used: f64) -> Outcome<Value> {
    Ok(json!({
        "lines": lines,
        "seconds": seconds,
        "per_second": lines as f64 / seconds,
        "cpu_us": used / 1e3 / lines as f64,
        "megabytes": memory::of(server.pid())?.total as f64 / 1e6,
    }))
}

fn copy_folder(from: &Path, to: &Path) -> Outcome<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_folder(&entry.path(), &target)?,
            false => drop(fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}
