//! The same questions to a small and to a large registry, in turns, so that whatever else the machine does is done to both.

use std::net::SocketAddr;
use std::time::Instant;

use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

use super::api::Api;
use crate::Outcome;
use crate::client::{End, connect};
use crate::devices::Device;

/// Turns of each side.
const TURNS: usize = 20;

/// Questions and connections in one turn.
const DESCRIBES: usize = 150;
const CONNECTS: usize = 50;

/// A registry behind its server.
pub(super) struct Side<'a> {
    pub(super) mqtt: SocketAddr,
    pub(super) api: Api,
    /// Names of things that it has.
    pub(super) things: Box<dyn Fn(u64) -> String + 'a>,
    pub(super) devices: &'a [Device],
}

/// Times in microseconds.
#[derive(Default)]
struct Times {
    describe: Vec<f64>,
    connect: Vec<f64>,
}

/// Compares both; the first turn of each only warms up.
pub(super) fn compare(root: &CertificateDer<'static>, sides: [&mut Side<'_>; 2]) -> Outcome<Value> {
    let mut times = [Times::default(), Times::default()];
    let mut sides = sides;
    for turn in 0..=TURNS {
        for (side, times) in sides.iter_mut().zip(&mut times) {
            let mut measured = Times::default();
            side.turn(root, turn as u64, &mut measured)?;
            if turn > 0 {
                times.describe.append(&mut measured.describe);
                times.connect.append(&mut measured.connect);
            }
        }
    }
    let [small, large] = &mut times;
    let mut told = json!({});
    for (name, small, large) in [
        ("describe", &mut small.describe, &mut large.describe),
        ("connect", &mut small.connect, &mut large.connect),
    ] {
        for (of, share) in [("middle", 0.5), ("p99", 0.99)] {
            let (small, large) = (at(small, share), at(large, share));
            told[format!("{name}_{of}_small_us")] = json!(small);
            told[format!("{name}_{of}_large_us")] = json!(large);
            told[format!("{name}_{of}_ratio")] = json!(large / small);
        }
    }
    Ok(told)
}

impl Side<'_> {
    fn turn(&mut self, root: &CertificateDer<'static>, turn: u64, times: &mut Times) -> Outcome<()> {
        for number in 0..DESCRIBES as u64 {
            let name = (self.things)(turn * 7_919 + number * 104_729);
            let begun = Instant::now();
            let told = self.api.call("GET", &format!("/things/{name}"), "")?;
            times.describe.push(begun.elapsed().as_secs_f64() * 1e6);
            if told["thingName"] != name.as_str() {
                return Err(format!("asked for {name}, was told {told}").into());
            }
        }
        let devices = self.devices.iter().cycle().skip(turn as usize * CONNECTS);
        for device in devices.take(CONNECTS) {
            let begun = Instant::now();
            let end = connect(self.mqtt, root, device)?;
            times.connect.push(begun.elapsed().as_secs_f64() * 1e6);
            if end != End::Accepted {
                return Err(format!("{} was not taken", device.name).into());
            }
        }
        Ok(())
    }
}

fn at(times: &mut [f64], share: f64) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    let index = (times.len() as f64 * share) as usize;
    times.get(index).copied().unwrap_or(f64::NAN)
}
