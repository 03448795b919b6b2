//! `birthmark demo`: the whole story on this machine, in one process, with the real parts.
//!
//! It decides nothing and simulates nothing but the chips and says so: factory, ledger, cloud, tokens and devices are the
//! same code as everywhere else, joined by I²C transactions, documents, HTTPS, TLS and MQTT. Stopped at any moment and run
//! again on the same `--keep` directory, it carries on where the ledger and the cloud's records say it was.

mod crowd;
mod fleet;
mod refusals;
mod summary;
mod world;

use std::{collections::HashSet, sync::atomic::Ordering, time::Instant};

use ::device::{Labels, QoS, TokenKey};
use ::factory::{
    Factory, Order, Terms,
    line::{Report, Setup},
};
use cloud::Running;
use identity::{certificate::Certificate, issue::Validity};
use optiga_sim::Tray;
use serde_json::{Value, json};
use std::sync::Arc;

use self::{
    fleet::{Member, Road, Subscriber},
    summary::{Messages, Summary},
    world::{EXTRA_CHIPS, Place},
};
use super::{
    enrolment::{self, Enrolment},
    factory::{now, register},
    registration::text,
};
use crate::{
    args::Demo,
    aws::Client,
    exit::{Context, DONE, Failure, REFUSED},
    words::{Chapter, say, tell},
};

/// The fleet's order, and the beginning of its thing names.
const FLEET: (&str, &str) = ("fleet", "bm-");
/// The order for the chip whose certificate has run out.
const EXPIRED: (&str, &str) = ("expired", "bm-expired-");
/// The order for the chip that is revoked.
const REVOKED: (&str, &str) = ("revoked", "bm-revoked-");
/// The thing that is enrolled by hand.
const BY_HAND: &str = "bm-by-hand";
/// The client id of the program that counts telemetry.
const SUBSCRIBER: &str = "bm-subscriber";
/// Role that the template names, as AWS demands; nothing here assumes it.
const ROLE_ARN: &str = "arn:aws:iam::123456789012:role/birthmark-provisioning";
/// Things or certificates on a page of the API.
const PAGE: usize = 250;
/// Chips that go through the line together: each batch costs the disk the same, however many they are.
const BATCH_CHIPS: usize = 256;
/// Units read from the ledger at a time.
const UNITS: usize = 1000;

/// Runs the demo.
pub(crate) fn run(typed: &Demo) -> Result<u8, Failure> {
    let start = Instant::now();
    let place = Place::new(typed.keep.as_deref())?;
    place.agree(typed.devices)?;
    say(&format!(
        "birthmark demo: {} devices. Their secure elements are SIMULATED; everything else is real.",
        typed.devices
    ));
    let mut summary = Story::begin(typed, &place)?.tell(typed)?;
    summary.seconds.total = start.elapsed().as_secs_f64();
    summary.judge(refusals::CASES);
    summary.show(refusals::CASES);
    if typed.json {
        let answer = serde_json::to_string(&summary).fault(|| "could not write the summary".to_owned())?;
        tell(&answer).fault(|| "could not write to stdout".to_owned())?;
    }
    if let Some(kept) = &typed.keep {
        let kept = kept.display();
        say(&format!(
            "kept in {kept}; look into it: birthmark explain --data-dir {kept}/cloud last · birthmark factory status --dir {kept}/factory"
        ));
    }
    Ok(if summary.ok { DONE } else { REFUSED })
}

/// The story while it is told.
struct Story<'a> {
    place: &'a Place,
    factory: Factory,
    tray: Tray,
    running: Running,
    client: Client,
    server_root: Certificate,
    devices: u32,
    summary: Summary,
    /// Signatures by which a chip that comes back to the line proves its key.
    proofs: u64,
}

impl<'a> Story<'a> {
    /// Chapter 1, and the start of the cloud, whose server root the line needs.
    fn begin(typed: &Demo, place: &'a Place) -> Result<Self, Failure> {
        let chapter = Chapter::begin(1, "Factory", 0);
        let factory = world::open_factory(place)?;
        let tray = world::open_tray(place, typed.devices + EXTRA_CHIPS)?;
        let running = world::start_cloud(&place.cloud(), typed.first_connect.into())?;
        let client = world::open_client(&running)?;
        let server_root = world::server_root(&running)?;
        let mut summary = Summary {
            devices: u64::from(typed.devices),
            ..Summary::default()
        };
        summary.chip.simulated = true;
        summary.seconds.factory = chapter.end(&format!(
            "{} → {}",
            factory.root().subject(),
            factory.signer().subject()
        ));
        Ok(Self {
            place,
            factory,
            tray,
            running,
            client,
            server_root,
            devices: typed.devices,
            summary,
            proofs: 0,
        })
    }

    fn tell(mut self, typed: &Demo) -> Result<Summary, Failure> {
        let members = self.line()?;
        self.cloud()?;
        let road = Road::new(world::mqtt_endpoint(&self.running)?);
        self.first_connections(&members, &road, typed)?;
        self.refusals(&members, &road)?;
        self.by_hand(&road)?;
        let counters = self.tray.counters();
        self.summary.i2c.transactions = counters.transactions;
        self.summary.chip.signatures = counters.signatures;
        self.summary.chip.handshakes = road.handshakes.load(Ordering::Relaxed);
        self.summary.chip.possession_proofs = self.proofs;
        self.running.shutdown();
        Ok(self.summary)
    }

    /// Chapter 2: every chip through the line, and two more for the refusals.
    fn line(&mut self) -> Result<Vec<Member>, Failure> {
        let fleet = Terms::new(FLEET.0, FLEET.1, u64::from(self.devices), now())
            .fault(|| "the fleet's order".to_owned())?;
        let mut expired =
            Terms::new(EXPIRED.0, EXPIRED.1, 1, now()).fault(|| "the expired order".to_owned())?;
        expired.validity = Validity::new(now().plus_days(-800), now().plus_days(-400))
            .fault(|| "the expired order".to_owned())?;
        let revoked = Terms::new(REVOKED.0, REVOKED.1, 1, now()).fault(|| "the revoked order".to_owned())?;

        let chapter = Chapter::begin(2, "Line", u64::from(self.devices));
        let start = Instant::now();
        let (order, report) = self.make(&fleet, 0..self.devices, &|| chapter.advance(1))?;
        let rate = f64::from(self.devices) / start.elapsed().as_secs_f64().max(f64::EPSILON);
        self.make(&expired, self.devices..self.devices + 1, &|| {})?;
        self.make(&revoked, self.devices + 1..self.devices + 2, &|| {})?;
        let members = self.members(&order)?;
        self.summary.manufactured = members.len() as u64;
        self.summary.seconds.line = chapter.end(&format!(
            "{} chips done, {} scrapped, {rate:.0} a second through all layers",
            report.done(),
            report.scrapped
        ));
        Ok(members)
    }

    /// Takes chips through the line for an order.
    fn make(
        &mut self,
        terms: &Terms,
        chips: std::ops::Range<u32>,
        progress: &dyn Fn(),
    ) -> Result<(Order, Report), Failure> {
        let what = || format!("the line for the order {} stopped", terms.name);
        let order = self.factory.order(terms, now()).fault(what)?;
        let mut setup = Setup::new(self.server_root.clone());
        setup.batch_chips = BATCH_CHIPS;
        setup.stations = std::thread::available_parallelism().map_or(1, usize::from);
        let mut line = self.factory.line(&order, &setup).fault(what)?;
        let drivers = chips.filter_map(|index| world::driver(&self.tray, index));
        let report = line.run(drivers, &now, |_| progress()).fault(what)?;
        let order = line.order().clone();
        self.summary.chip.certification_requests += report.made;
        self.proofs += report.resumed;
        Ok((order, report))
    }

    /// The fleet as the ledger has it: who is done, under which name, in which chip.
    fn members(&self, order: &Order) -> Result<Vec<Member>, Failure> {
        let what = || "could not read the ledger".to_owned();
        let by_uid: std::collections::HashMap<_, _> = (0..self.devices)
            .filter_map(|index| Some((self.tray.chip(index)?.lock().ok()?.uid(), index)))
            .collect();
        let (mut members, mut after) = (Vec::new(), 0);
        loop {
            let units = self.factory.ledger().units(order.id, after, UNITS).fault(what)?;
            let Some(last) = units.last() else {
                return Ok(members);
            };
            after = last.number;
            let done = units
                .iter()
                .filter(|unit| unit.state == ::factory::ledger::State::Done);
            members.extend(done.filter_map(|unit| {
                let chip = *by_uid.get(&unit.uid.0)?;
                Some(Member {
                    chip,
                    thing: unit.thing.as_str().to_owned(),
                    certificate: unit.certificate?.to_string(),
                })
            }));
        }
    }

    /// Chapter 3: code, verification certificate, registration; over HTTPS with SigV4.
    fn cloud(&mut self) -> Result<(), Failure> {
        let chapter = Chapter::begin(3, "Cloud", 0);
        register(
            &mut self.factory,
            &mut self.client,
            Some(&enrolment::template()),
            ROLE_ARN,
        )?;
        let id = self.factory.signer().id();
        let answer = self
            .client
            .call("GET", &format!("/cacertificate/{id}"), &[], None)
            .refused(|| format!("the cloud does not describe the CA {id}"))?;
        let member = |name: &str| {
            answer
                .pointer(&format!("/certificateDescription/{name}"))
                .and_then(Value::as_str)
                == Some(match name {
                    "status" => "ACTIVE",
                    _ => "ENABLE",
                })
        };
        self.summary.ca_registered = member("status")
            && member("autoRegistrationStatus")
            && answer.pointer("/registrationConfig/templateBody").is_some();
        self.summary.seconds.cloud = chapter.end(&format!(
            "MQTT {} · API {} · signer CA registered with proof of possession",
            self.running.mqtt, self.running.api
        ));
        Ok(())
    }

    /// Chapters 4 and 5.
    fn first_connections(&mut self, members: &[Member], road: &Road, typed: &Demo) -> Result<(), Failure> {
        let subscriber = refusals::subscriber(&mut self.client, &self.server_root, SUBSCRIBER)?;
        let subscriber = Subscriber::start(road, &subscriber, SUBSCRIBER)?;
        let chapter = Chapter::begin(4, "First connection", members.len() as u64);
        let done = fleet::run(members, &self.tray, road, &chapter);
        self.summary.connected = done.connected;
        self.summary.provisioned = self.provisioned(members)?;
        let how = match typed.first_connect {
            crate::args::FirstConnect::Close => "provisioned, closed, reconnected",
            crate::args::FirstConnect::Hold => "provisioned on the connection itself",
        };
        chapter.end(&format!(
            "{} provisioned, {} connected ({how}; half TLS 1.3, half 1.2)",
            self.summary.provisioned, done.connected
        ));
        self.summary.seconds.first_connection = done.connecting_seconds;

        let chapter = Chapter::begin(5, "Telemetry", 0);
        let delivered = subscriber.end(done.sent);
        self.summary.messages = Messages {
            sent: done.sent,
            delivered,
        };
        let waited = chapter.end(&format!("{} acknowledged, {delivered} delivered", done.sent));
        self.summary.seconds.telemetry = done.publishing_seconds + waited;
        Ok(())
    }

    /// How many of the fleet the cloud itself says are ACTIVE and have their thing.
    fn provisioned(&mut self, members: &[Member]) -> Result<u64, Failure> {
        let ca = self.factory.signer().id();
        let active: HashSet<String> = self
            .pages(
                &format!("/certificates-by-ca/{ca}?pageSize={PAGE}"),
                "certificates",
                ("nextMarker", "marker"),
            )?
            .iter()
            .filter(|certificate| text(certificate, "status") == "ACTIVE")
            .map(|certificate| text(certificate, "certificateId"))
            .collect();
        let things: HashSet<String> = self
            .pages(
                &format!("/things?maxResults={PAGE}"),
                "things",
                ("nextToken", "nextToken"),
            )?
            .iter()
            .map(|thing| text(thing, "thingName"))
            .collect();
        let is_provisioned =
            |member: &&Member| things.contains(&member.thing) && active.contains(&member.certificate);
        Ok(members.iter().filter(is_provisioned).count() as u64)
    }

    /// All pages of a listing.
    fn pages(
        &mut self,
        path: &str,
        member: &str,
        (next, parameter): (&str, &str),
    ) -> Result<Vec<Value>, Failure> {
        let mut all = Vec::new();
        let mut page = path.to_owned();
        loop {
            let mut answer = self
                .client
                .call("GET", &page, &[], None)
                .refused(|| format!("the cloud does not list {path}"))?;
            if let Some(Value::Array(items)) = answer.get_mut(member).map(Value::take) {
                all.extend(items);
            }
            match text(&answer, next) {
                token if token.is_empty() => return Ok(all),
                token => page = format!("{path}&{parameter}={}", crate::aws::percent_encoded(&token)),
            }
        }
    }

    /// Chapter 6.
    fn refusals(&mut self, members: &[Member], road: &Road) -> Result<(), Failure> {
        let chapter = Chapter::begin(6, "Refusals", 0);
        let extra = |place: u32, order: (&str, &str)| Member {
            chip: self.devices + place,
            thing: format!("{}000001", order.1),
            // Asked of the chip itself when it is needed.
            certificate: String::new(),
        };
        let (expired, revoked) = (extra(0, EXPIRED), extra(1, REVOKED));
        let stage = refusals::Stage {
            place: self.place,
            road,
            tray: &self.tray,
            fleet: members,
            expired: &expired,
            revoked: &revoked,
            server_root: &self.server_root,
        };
        self.summary.refusals = refusals::run(&stage, &mut self.factory, &mut self.client, |refusal| {
            let outcome = if refusal.refused { "refused" } else { "LET THROUGH" };
            say(&format!("   {:<40} {outcome}: {}", refusal.case, refusal.reason));
        })?;
        let refused = self
            .summary
            .refusals
            .iter()
            .filter(|refusal| refusal.refused)
            .count();
        self.summary.seconds.refusals = chapter.end(&format!(
            "{refused} of {} refused, each reason read from the records",
            refusals::CASES
        ));
        Ok(())
    }

    /// Chapter 7: one chip by hand, by the AWS API alone.
    fn by_hand(&mut self, road: &Road) -> Result<(), Failure> {
        let chapter = Chapter::begin(7, "One chip by hand", 0);
        let chip = self.devices + EXTRA_CHIPS - 1;
        let session = world::session(&self.tray, chip)?;
        let enrolment = Enrolment {
            thing: BY_HAND,
            policy: BY_HAND,
            server_root: self.server_root.der(),
            overwrite: true,
            labels: &Labels::default(),
        };
        enrolment::enrol(&session, &mut self.client, &enrolment)?;
        self.summary.chip.certification_requests += 1;
        let key = TokenKey::find(session, &Labels::default())
            .fault(|| "the identity of the chip by hand cannot be used".to_owned())?;
        let key: Arc<dyn ::device::DeviceKey> = Arc::new(key);
        let what = || format!("{BY_HAND} could not connect");
        let mut connection = road.connect(chip, &key, BY_HAND).refused(what)?;
        let topic = format!("dt/{BY_HAND}/telemetry");
        connection
            .publish(
                &topic,
                json!({ "hello": "world" }).to_string().as_bytes(),
                QoS::AtLeastOnce,
            )
            .refused(what)?;
        connection.disconnect().refused(what)?;
        self.summary.enrolled_by_hand = Some(BY_HAND.to_owned());
        self.summary.seconds.by_hand =
            chapter.end("key made in the chip, certified by CreateCertificateFromCsr, connected");
        Ok(())
    }
}
