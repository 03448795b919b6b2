//! What connects cost: bare acceptors and the cloud are asked in turns by the same devices, and the middle of all rounds counts,
//! so that whatever else the machine does is done to all of them.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

use crate::client::{End, connect_all};
use crate::cloud::{Cloud, Server};
use crate::devices::Device;
use crate::{Outcome, cpu};

/// Rounds, of which the middle one counts.
const ROUNDS: usize = 7;

/// New devices of each round.
const DEVICES: usize = 1_200;

/// Those of a round that connect once more, while the cloud still has them in mind.
const AGAIN: usize = 400;

/// Devices that connect before anything is measured.
const WARM_UP: usize = 300;

/// From the first connections of a round until what they left to be done in the background is done.
const SETTLE: Duration = Duration::from_millis(300);

/// CPU microseconds per connect, a round each.
#[derive(Default)]
struct Taken {
    chain: Vec<f64>,
    possession: Vec<f64>,
    first: Vec<f64>,
    first_per_second: Vec<f64>,
    known: Vec<f64>,
    again: Vec<f64>,
}

/// Compares a cloud with bare acceptors that have the files of a folder. `bare_us` verifies chains, `bare_known_us` does not;
/// `first_us` is a connection that provisions, `known_us` the next of the same device, `again_us` one after that.
pub(crate) fn compare(cloud: &Cloud, files: &Path, root: &CertificateDer<'static>) -> Outcome<Value> {
    let (chain, possession) = (Server::bare("chain", files)?, Server::bare("possession", files)?);
    let warm_up = cloud.signer.devices("warm", WARM_UP)?;
    for (server, end) in [
        (&chain, End::Accepted),
        (&possession, End::Accepted),
        (&cloud.server, End::Closed),
        (&cloud.server, End::Accepted),
    ] {
        connect_all(server.address, root, &warm_up, end)?;
    }
    let mut taken = Taken::default();
    for round in 0..ROUNDS {
        let devices = cloud.signer.devices(&format!("round-{round}"), DEVICES)?;
        let micros = |server, devices, end| micros(server, root, devices, end);
        taken.chain.push(micros(&chain, &devices, End::Accepted)?);
        taken
            .possession
            .push(micros(&possession, &devices, End::Accepted)?);
        let begun = Instant::now();
        taken.first.push(micros(&cloud.server, &devices, End::Closed)?);
        let seconds = begun.elapsed().as_secs_f64();
        taken.first_per_second.push(devices.len() as f64 / seconds);
        thread::sleep(SETTLE);
        taken.known.push(micros(&cloud.server, &devices, End::Accepted)?);
        let latest = devices.get(DEVICES - AGAIN..).unwrap_or_default();
        taken.again.push(micros(&cloud.server, latest, End::Accepted)?);
    }
    Ok(taken.told())
}

impl Taken {
    fn told(self) -> Value {
        let [bare, possession, first, known, again, per_second] = [
            self.chain,
            self.possession,
            self.first,
            self.known,
            self.again,
            self.first_per_second,
        ]
        .map(middle);
        json!({
            "devices": ROUNDS * DEVICES,
            "bare_us": bare,
            "bare_known_us": possession,
            "bare_ratio": possession / bare,
            "first_us": first,
            "known_us": known,
            "again_us": again,
            "ratio": first / bare,
            "known_ratio": known / bare,
            "again_ratio": again / bare,
            "per_second": per_second,
        })
    }
}

/// CPU time of a server per connection.
pub(crate) fn micros(
    server: &Server,
    root: &CertificateDer<'static>,
    devices: &[Device],
    end: End,
) -> Outcome<f64> {
    let before = cpu::nanoseconds(server.pid())?;
    connect_all(server.address, root, devices, end)?;
    let used = cpu::nanoseconds(server.pid())? - before;
    Ok(used as f64 / 1_000.0 / devices.len() as f64)
}

/// The middle one; of an even number the upper of the two.
pub(crate) fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
