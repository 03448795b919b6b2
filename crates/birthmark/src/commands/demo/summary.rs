//! What the demo counts, whether each count is what it must be, and how that is shown.

use serde::Serialize;

use crate::words::say;

/// A refusal that the demo provoked, with the reason that was recorded for it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Refusal {
    /// Which case was tried.
    pub(super) case: &'static str,
    /// Whether it was refused, as it must be.
    pub(super) refused: bool,
    /// The reason as `birthmark explain` reads it from the data directory.
    pub(super) reason: String,
}

/// Telemetry counts.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Messages {
    /// Messages that devices published and that were acknowledged.
    pub(super) sent: u64,
    /// Distinct messages that the subscriber received.
    pub(super) delivered: u64,
}

/// Counts on the I²C buses.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct I2c {
    /// Whole transactions, address NAKs included.
    pub(super) transactions: u64,
}

/// Counts inside the chips.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Chips {
    /// Signatures that the chips made in this run.
    pub(super) signatures: u64,
    /// Certification requests that the chips signed in this run.
    pub(super) certification_requests: u64,
    /// TLS handshakes that the chips signed in this run.
    pub(super) handshakes: u64,
    /// Signatures by which chips that came back to the line proved their key (0 unless a story was taken up again).
    pub(super) possession_proofs: u64,
    /// The chips of this run are simulated.
    pub(super) simulated: bool,
}

/// Wall seconds of each chapter.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Seconds {
    pub(super) factory: f64,
    pub(super) line: f64,
    pub(super) cloud: f64,
    pub(super) first_connection: f64,
    pub(super) telemetry: f64,
    pub(super) refusals: f64,
    pub(super) by_hand: f64,
    pub(super) total: f64,
}

/// The whole result.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Summary {
    /// Whether every count is what it must be.
    pub(super) ok: bool,
    /// Devices asked for.
    pub(super) devices: u64,
    /// Devices whose ledger line is done.
    pub(super) manufactured: u64,
    /// Whether the signer CA is registered, ACTIVE and provisioning.
    pub(super) ca_registered: bool,
    /// Devices whose certificate is ACTIVE at the cloud with a thing of the right name attached.
    pub(super) provisioned: u64,
    /// Devices that got CONNACK 0.
    pub(super) connected: u64,
    /// Telemetry.
    pub(super) messages: Messages,
    /// The provoked refusals.
    pub(super) refusals: Vec<Refusal>,
    /// The chip that was enrolled by hand: its thing name, once it was connected.
    pub(super) enrolled_by_hand: Option<String>,
    /// Bus counts.
    pub(super) i2c: I2c,
    /// Chip counts.
    pub(super) chip: Chips,
    /// Wall seconds per chapter.
    pub(super) seconds: Seconds,
}

/// One line of the table: what, the count, what it must be.
struct Row {
    what: &'static str,
    count: String,
    wanted: String,
    holds: bool,
}

impl Row {
    fn equal(what: &'static str, count: u64, wanted: u64) -> Self {
        Self {
            what,
            count: count.to_string(),
            wanted: wanted.to_string(),
            holds: count == wanted,
        }
    }
}

impl Summary {
    /// Judges every count.
    pub(super) fn judge(&mut self, refusals_wanted: usize) {
        self.ok = self.rows(refusals_wanted).iter().all(|row| row.holds);
    }

    /// Prints the table.
    pub(super) fn show(&self, refusals_wanted: usize) {
        say("");
        say(&format!("{:<46} {:>10} {:>10}", "", "count", "wanted"));
        for row in self.rows(refusals_wanted) {
            let mark = if row.holds { "ok" } else { "WRONG" };
            say(&format!(
                "{:<46} {:>10} {:>10}  {mark}",
                row.what, row.count, row.wanted
            ));
        }
        say(&format!(
            "{:<46} {:>10}",
            "I²C transactions", self.i2c.transactions
        ));
    }

    fn rows(&self, refusals_wanted: usize) -> Vec<Row> {
        let refused = self
            .refusals
            .iter()
            .filter(|refusal| refusal.refused && !refusal.reason.is_empty())
            .count();
        let yes = |holds: bool| if holds { "yes" } else { "no" }.to_owned();
        vec![
            Row::equal("devices manufactured", self.manufactured, self.devices),
            Row {
                what: "CA registered",
                count: yes(self.ca_registered),
                wanted: yes(true),
                holds: self.ca_registered,
            },
            Row::equal(
                "devices provisioned by their first connection",
                self.provisioned,
                self.devices,
            ),
            Row::equal("devices connected", self.connected, self.devices),
            Row::equal("messages acknowledged", self.messages.sent, self.devices),
            Row::equal("messages delivered", self.messages.delivered, self.devices),
            Row::equal(
                "refusals, each with its reason",
                refused as u64,
                refusals_wanted as u64,
            ),
            Row {
                what: "chip enrolled by hand",
                count: yes(self.enrolled_by_hand.is_some()),
                wanted: yes(true),
                holds: self.enrolled_by_hand.is_some(),
            },
            Row::equal(
                "chip signatures = requests + handshakes",
                self.chip.signatures,
                self.chip.certification_requests + self.chip.possession_proofs + self.chip.handshakes,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{Refusal, Summary};

    fn good() -> Summary {
        let mut summary = Summary {
            devices: 2,
            manufactured: 2,
            ca_registered: true,
            provisioned: 2,
            connected: 2,
            ..Summary::default()
        };
        summary.messages.sent = 2;
        summary.messages.delivered = 2;
        summary.refusals = vec![Refusal {
            case: "revoked",
            refused: true,
            reason: "REVOKED".to_owned(),
        }];
        summary.enrolled_by_hand = Some("by-hand".to_owned());
        summary.chip.signatures = 5;
        summary.chip.certification_requests = 2;
        summary.chip.handshakes = 3;
        summary
    }

    #[test]
    fn every_count_matters() {
        let mut summary = good();
        summary.judge(1);
        assert!(summary.ok);
        let spoil: [fn(&mut Summary); 9] = [
            |s| s.manufactured = 1,
            |s| s.ca_registered = false,
            |s| s.provisioned = 1,
            |s| s.connected = 3,
            |s| s.messages.sent = 1,
            |s| s.messages.delivered = 1,
            |s| s.refusals[0].reason.clear(),
            |s| s.enrolled_by_hand = None,
            |s| s.chip.signatures = 6,
        ];
        for (index, spoil) in spoil.into_iter().enumerate() {
            let mut summary = good();
            spoil(&mut summary);
            summary.judge(1);
            assert!(!summary.ok, "count {index} was not judged");
        }
    }
}
