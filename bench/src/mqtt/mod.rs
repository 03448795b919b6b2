//! The comparison of brokers: the same clients, the same certificates, one fresh process after the other, all in one run.

mod measure;
mod peers;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};

use self::measure::Broker;
use self::peers::Peer;
use crate::client::{End, connect_all};
use crate::cloud::{Cloud, Server, member_of_a_fleet};
use crate::devices::{Device, Signer};
use crate::first_connection::files_for_others;
use crate::{Outcome, in_turns};

/// Devices that connect before anything is measured.
const WARM_UP: usize = 300;

/// Devices of the comparison of connections.
const CONNECTS: usize = 2_000;

/// Devices that connect again and again, and how often, where that is asked for.
const AGAIN: usize = 500;
const TIMES: usize = 40;

/// Idle connections: the slope is taken between these.
const IDLE: (usize, usize) = (500, 2_500);

/// Seconds that each load is measured, unless told otherwise.
const SECONDS: f64 = 3.0;

/// What was typed after the program.
struct Settings {
    peers: Vec<Peer>,
    /// Connections of the row about many; 0 leaves it out.
    connections: usize,
    minutes: f64,
    time: Duration,
    /// Only this broker.
    only: Option<String>,
    /// Only this part of the product's own numbers.
    part: Option<String>,
    pid: Option<u32>,
}

impl Settings {
    fn parse(words: &[&str]) -> Outcome<Self> {
        let mut settings = Self {
            peers: Vec::new(),
            connections: 0,
            minutes: 0.0,
            time: Duration::from_secs_f64(SECONDS),
            only: None,
            part: None,
            pid: None,
        };
        for word in words {
            match word.split_once('=') {
                Some(("connections", count)) => settings.connections = count.parse()?,
                Some(("minutes", count)) => settings.minutes = count.parse()?,
                Some(("seconds", count)) => settings.time = Duration::from_secs_f64(count.parse()?),
                Some(("only", name)) => settings.only = Some(name.to_owned()),
                Some(("part", name)) => settings.part = Some(name.to_owned()),
                Some(("pid", pid)) => settings.pid = Some(pid.parse()?),
                _ => settings
                    .peers
                    .push(Peer::parse(word).ok_or_else(|| format!("did not understand {word}"))?),
            }
        }
        Ok(settings)
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == name)
    }

    fn stay(&self) -> Duration {
        Duration::from_secs_f64(self.minutes * 60.0)
    }
}

/// Measures the product, the bare acceptor and every peer; prints one JSON object.
pub(crate) fn run(binary: &Path, words: &[&str]) -> Outcome<()> {
    let settings = Settings::parse(words)?;
    let folder = tempfile::tempdir()?;
    let mut cloud = Cloud::start(binary, folder.path(), &member_of_a_fleet())?;
    let root = CertificateDer::from_pem_file(&cloud.server_root)?;
    let files = files_for_others(&cloud, folder.path())?;
    let devices = cloud
        .signer
        .devices("bm", settings.connections.max(CONNECTS).max(IDLE.1))?;
    let usual = devices.get(..CONNECTS.max(IDLE.1)).unwrap_or(&devices);
    let broker = |server: &Server| Broker {
        address: server.address,
        pid: Some(server.pid()),
        root: &root,
        devices: usual,
        time: settings.time,
    };
    let mut told = Map::new();
    if settings.wants("bare") {
        eprintln!("bench: connects");
        told.insert("connects".into(), in_turns::compare(&cloud, &files, &root)?);
    }
    for peer in settings.peers.iter().filter(|peer| settings.wants(&peer.name)) {
        eprintln!("bench: {}", peer.name);
        told.insert(peer.name.clone(), whole(&mut || peer.start(&files), &broker));
    }
    if settings.wants("birthmark") {
        eprintln!("bench: birthmark");
        connect_all(cloud.server.address, &root, &devices, End::Closed)?;
        let mut own = match settings.part.as_deref() {
            Some(part) => Map::from_iter([(part.to_owned(), own_part(&mut cloud, &broker, part)?)]),
            None => ours(&mut cloud, &broker)?,
        };
        if settings.connections > 0 {
            cloud.restart()?;
            let all = Broker {
                devices: devices.get(..settings.connections).unwrap_or(&devices),
                ..broker(&cloud.server)
            };
            own.insert("many".into(), all.many(settings.stay())?);
        }
        told.insert("birthmark".into(), Value::Object(own));
    }
    println!("{}", Value::Object(told));
    Ok(())
}

/// Everything about the product. Each part has a fresh process, over the records that are there.
fn ours<'a>(cloud: &mut Cloud, broker: &dyn Fn(&Server) -> Broker<'a>) -> Outcome<Map<String, Value>> {
    let mut told = Map::new();
    cloud.restart()?;
    told.insert("idle".into(), broker(&cloud.server).idle(IDLE.0, IDLE.1)?);
    cloud.restart()?;
    told.extend(broker(&cloud.server).messages()?);
    told.insert("disturbed".into(), broker(&cloud.server).disturbed()?);
    Ok(told)
}

/// One part of that, in a fresh process.
fn own_part<'a>(cloud: &mut Cloud, broker: &dyn Fn(&Server) -> Broker<'a>, part: &str) -> Outcome<Value> {
    cloud.restart()?;
    let broker = broker(&cloud.server);
    eprintln!("bench: {part}, process {}", broker.pid.unwrap_or_default());
    match part {
        "connect" => Ok(json!({ "connect_us": broker.connect_micros(WARM_UP, CONNECTS)? })),
        "again" => Ok(json!({ "connect_us": broker.again_micros(AGAIN, TIMES)? })),
        "idle" => broker.idle(IDLE.0, IDLE.1),
        part => broker.part(part),
    }
}

/// Everything about a peer. What it cannot do, it says.
fn whole<'a>(start: &mut dyn FnMut() -> Outcome<Server>, broker: &dyn Fn(&Server) -> Broker<'a>) -> Value {
    let mut told = Map::new();
    let mut part = |name: &str, measure: &dyn Fn(&Broker<'a>) -> Outcome<Value>| {
        let measured = start().and_then(|server| measure(&broker(&server)));
        match measured {
            Ok(Value::Object(several)) if name.is_empty() => told.extend(several),
            Ok(value) => drop(told.insert(name.into(), value)),
            Err(error) => eprintln!("bench: {name}: {error}"),
        }
    };
    part("connect_us", &|broker| {
        Ok(json!(broker.connect_micros(WARM_UP, CONNECTS)?))
    });
    part("idle", &|broker| broker.idle(IDLE.0, IDLE.1));
    part("", &|broker| Ok(Value::Object(broker.messages()?)));
    part("disturbed", &|broker| broker.disturbed());
    Value::Object(told)
}

/// Loads a broker that somebody else has started; prints one JSON object.
pub(crate) fn load_any(address: &str, [root, authority, key]: [&Path; 3], words: &[&str]) -> Outcome<()> {
    let settings = Settings::parse(words)?;
    let address: SocketAddr = address.parse()?;
    let root = CertificateDer::from_pem_file(root)?;
    let signer = Signer::open(authority, key)?;
    let devices: Vec<Device> = signer.devices("bm", settings.connections.max(IDLE.1))?;
    let broker = Broker {
        address,
        pid: settings.pid,
        root: &root,
        devices: &devices,
        time: settings.time,
    };
    let mut told = Map::new();
    // A server that provisions closes first connections; whoever does not, takes them.
    let _either = connect_all(address, &root, &devices, End::Closed);
    told.insert(
        "connect_us".into(),
        json!(broker.connect_micros(WARM_UP, CONNECTS)?),
    );
    told.extend(broker.messages()?);
    told.insert("disturbed".into(), broker.disturbed()?);
    if settings.connections > 0 && settings.pid.is_some() {
        told.insert("many".into(), broker.many(settings.stay())?);
    }
    println!("{}", Value::Object(told));
    Ok(())
}
