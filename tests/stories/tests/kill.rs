//! Killed at any moment, the next start works: the ledger verifies, no serial is there twice, nobody is half-provisioned.
//!
//! The moments are random and their seed is printed; `cargo xtask test --seed N` brings them back.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]
#![expect(clippy::print_stderr, reason = "the seed must be seen")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use stories::registration::{register, template};
use stories::{Certificates, Cloud, KeyKind, Mosquitto, Random, birthmark, run, tool};

/// Kills of `demo --keep`.
const DEMO_KILLS: u64 = 30;

/// After so many kills the demo may run to its end and begins again in another folder.
const DEMO_KILLS_PER_FOLDER: u64 = 5;

/// Devices of each demo.
const DEMO_DEVICES: u64 = 12;

/// Kills of `serve`.
const SERVE_KILLS: u64 = 20;

/// Devices that meet a cloud for the first time while it is being killed.
const DEVICES_PER_KILL: u64 = 3;

/// The longest that a cloud lives before it is killed.
const SERVE_MILLISECONDS_MAX: u64 = 400;

fn demo(folder: &Path) -> Command {
    let mut command = birthmark();
    command
        .args(["demo", "--json", "--devices", &DEMO_DEVICES.to_string(), "--keep"])
        .arg(folder);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Starts a command, kills it after this time, and says whether it was still running.
fn killed(command: &mut Command, after: Duration) -> bool {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(after);
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

/// The ledger holds, whatever happened to whoever wrote it.
fn ledger_verifies(kept: &Path, what: &str) {
    let factory = kept.join("factory");
    if !factory.join("ledger.log").exists() {
        return;
    }
    let verified = run(birthmark()
        .args(["factory", "verify", "--json", "--dir"])
        .arg(&factory));
    assert_eq!(verified.code, Some(0), "{what}: {verified:?}");
    assert_eq!(verified.json()["ok"], true, "{what}: {verified:?}");
}

#[test]
fn demo_goes_on_after_random_kills() {
    let mut random = Random::from_environment();
    eprintln!("seed {}", random.seed);
    let folder = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let _ = run(&mut demo(&folder.path().join("whole"))).well();
    let whole_milliseconds = start.elapsed().as_millis() as u64;
    let mut in_time = 0;
    for kill in 0..DEMO_KILLS {
        let kept = folder
            .path()
            .join(format!("kept-{}", kill / DEMO_KILLS_PER_FOLDER));
        let after = Duration::from_millis(random.below(whole_milliseconds));
        in_time += u64::from(killed(&mut demo(&kept), after));
        let what = format!("seed {}, kill {kill} after {after:?}", random.seed);
        ledger_verifies(&kept, &what);
        if (kill + 1) % DEMO_KILLS_PER_FOLDER == 0 {
            let story = run(&mut demo(&kept));
            assert_eq!(story.code, Some(0), "{what}: {story:?}");
            let story = story.json();
            assert_eq!(story["ok"], true, "{what}: {story}");
            assert_eq!(story["manufactured"], DEMO_DEVICES, "{what}");
            assert_eq!(story["provisioned"], DEMO_DEVICES, "{what}");
            ledger_verifies(&kept, &what);
            serials_are_unique(&kept, &what);
        }
    }
    assert!(
        in_time > DEMO_KILLS / 2,
        "only {in_time} of {DEMO_KILLS} kills met a running demo; seed {}",
        random.seed
    );
}

/// No serial number is in the ledger twice, for whatever certificate.
fn serials_are_unique(kept: &Path, what: &str) {
    let file = kept.join("factory").join("ledger.sqlite");
    let ledger =
        rusqlite::Connection::open_with_flags(&file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let counts = |sql: &str| ledger.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let all = counts("SELECT count(*) FROM certificate");
    let distinct = counts("SELECT count(DISTINCT serial) FROM certificate");
    assert_eq!(all, distinct, "{what}");
    assert!(all >= DEMO_DEVICES as i64, "{what}: {all} certificates");
}

/// Devices of a stranger's CA, and whether each has been told that it is welcome.
struct Fleet {
    certificates: Certificates,
    names: Vec<String>,
    welcome: Vec<String>,
}

impl Fleet {
    fn device(&self, cloud: &Cloud, name: &str) -> Mosquitto {
        Mosquitto::new(cloud, &self.certificates, name, name)
    }

    /// New devices, made before there is a cloud that could be killed.
    fn newborn(&mut self, kill: u64) -> Vec<String> {
        let names: Vec<_> = (0..DEVICES_PER_KILL)
            .map(|device| format!("lamp-{kill}-{device}"))
            .collect();
        for name in &names {
            self.certificates
                .signed(name, &format!("/CN={name}"), "signer", KeyKind::P256);
        }
        self.names.extend(names.clone());
        names
    }
}

#[test]
fn serve_goes_on_after_random_kills() {
    let mut random = Random::from_environment();
    eprintln!("seed {}", random.seed);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("cloud");
    let Some(certificates) = Certificates::in_folder(folder.path()) else {
        return;
    };
    if tool("mosquitto_pub").is_none() {
        return;
    }
    certificates.authority("signer", KeyKind::P256);
    let mut fleet = Fleet {
        certificates,
        names: Vec::new(),
        welcome: Vec::new(),
    };
    let cloud = Cloud::start(&data, &[]);
    let Some(aws) = cloud.aws() else { return };
    let _ = register(&aws, &fleet.certificates, "signer", &template());
    cloud.kill();
    for kill in 0..SERVE_KILLS {
        let newborn = fleet.newborn(kill);
        let cloud = Cloud::start(&data, &[]);
        let welcome = thread::scope(|scope| {
            let (fleet, cloud) = (&fleet, &cloud);
            let told: Vec<_> = newborn
                .iter()
                .map(|name| scope.spawn(move || connects(fleet, cloud, name)))
                .collect();
            thread::sleep(Duration::from_millis(random.below(SERVE_MILLISECONDS_MAX)));
            cloud.kill_now();
            told.into_iter()
                .map(|told| told.join().unwrap())
                .collect::<Vec<_>>()
        });
        let welcome = newborn
            .into_iter()
            .zip(welcome)
            .filter_map(|(name, welcome)| welcome.then_some(name));
        fleet.welcome.extend(welcome);
    }
    everyone_is_whole(&fleet, &Cloud::start(&data, &[]), random.seed);
}

/// Connects until the cloud has acknowledged a message, or is gone.
fn connects(fleet: &Fleet, cloud: &Cloud, name: &str) -> bool {
    let device = fleet.device(cloud, name);
    (0..3).any(|_| device.publish(&format!("dt/{name}/hello"), 1, "x").code == Some(0))
}

/// What was told stays; what was not told happened whole or not at all.
fn everyone_is_whole(fleet: &Fleet, cloud: &Cloud, seed: u64) {
    for name in &fleet.names {
        let device = fleet.device(cloud, name);
        let topic = format!("dt/{name}/hello");
        let first = device.publish(&topic, 1, "x");
        let known = fleet.welcome.contains(name);
        assert!(
            first.code == Some(0) || !known,
            "seed {seed}: {name} was welcome before the kill: {first:?}"
        );
        let second = device.publish(&topic, 1, "x");
        assert_eq!(
            second.code,
            Some(0),
            "seed {seed}: {name} is half-provisioned: {second:?}"
        );
    }
    let Some(aws) = cloud.aws() else { return };
    let listed = |command: &str, key: &str| aws.iot(&[command])[key].as_array().map_or(0, Vec::len);
    assert_eq!(listed("list-things", "things"), fleet.names.len(), "seed {seed}");
    assert_eq!(
        listed("list-certificates", "certificates"),
        fleet.names.len(),
        "seed {seed}"
    );
    eprintln!(
        "{} of {} devices were welcome before their cloud was killed",
        fleet.welcome.len(),
        fleet.names.len()
    );
}
