//! The line: chips come in, and leave with a key that nobody knows, a certificate, a trust anchor, and everything locked.
//!
//! Chips go through in batches, and each step of all chips of a batch costs one write to the disk:
//!
//! `open, read the UID → key and request in the chip → prepare → KEEP intents → sign → KEEP certificates → write, read back,
//! lock → KEEP done`
//!
//! After a crash at any place the ledger says where each chip stands: one with an intent gets exactly that certificate
//! signed, one with a certificate gets exactly that one, one that is done is left alone, and one that the ledger does not
//! know begins with a new key. A chip that fails is scrapped or set aside and stops no other; a ledger or a signer that fails
//! stops the line.

mod report;
mod station;

use core::fmt::Debug;
use std::{collections::HashSet, thread};

use embedded_hal::{delay::DelayNs, i2c::I2c};
use identity::{
    CertificateId, ThingName, UnixMillis,
    certificate::Certificate,
    crypto,
    issue::{Prepared, Profile, Serial, Signer, prepare},
    name::Name,
    request::ProvenKey,
};
use optiga::{Optiga, Uid};

pub use report::{Finished, Outcome, Reason, Report};

use crate::{
    Error, Order,
    ledger::{Chip, Device, Intent, Ledger, Purpose, Record, Scrap, State, Unit},
    limits,
    order::OrderSigner,
};
use station::{Station, Trouble};

/// How a line is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The root that the cloud's server certificate ends in: what devices trust, and nothing else.
    pub server_root: Certificate,
    /// Chips that go through together.
    pub batch_chips: usize,
    /// Chips that are spoken to at the same time, each by a thread of its own. One: no threads.
    pub stations: usize,
}

impl Setup {
    /// A line with the usual batches and one station.
    pub const fn new(server_root: Certificate) -> Self {
        Self {
            server_root,
            batch_chips: limits::BATCH_CHIPS_DEFAULT,
            stations: 1,
        }
    }

    fn check(&self) -> Result<(), Error> {
        if self.server_root.der().len() > optiga::limits::TRUST_ANCHOR_BYTES_MAX {
            return Err(Error::TrustAnchor {
                why: "it is longer than 1024 bytes, which is all that a chip holds",
            });
        }
        if !self.server_root.is_ca() {
            return Err(Error::TrustAnchor {
                why: "its basic constraints do not say that it is a CA",
            });
        }
        if !(1..=limits::BATCH_CHIPS_MAX).contains(&self.batch_chips) {
            return Err(Error::Term {
                what: "the size of a batch",
                allowed: "1 to 4096 chips",
            });
        }
        if !(1..=limits::STATIONS_MAX).contains(&self.stations) {
            return Err(Error::Term {
                what: "the number of stations",
                allowed: "1 to 256",
            });
        }
        Ok(())
    }
}

/// A line that is set up for an order.
pub struct Line<'f> {
    ledger: &'f mut Ledger,
    issuer: &'f Certificate,
    signer: OrderSigner<'f>,
    profile: Profile,
    order: Order,
    setup: Setup,
}

impl Debug for Line<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Line({})", self.order.terms.name)
    }
}

impl<'f> Line<'f> {
    pub(crate) fn set_up(
        ledger: &'f mut Ledger,
        issuer: &'f Certificate,
        key: &'f dyn Signer,
        order: &Order,
        setup: &Setup,
    ) -> Result<Self, Error> {
        setup.check()?;
        // What the caller holds may be older than what the ledger knows.
        let order = ledger.order(&order.terms.name)?.ok_or(Error::OutOfStep {
            what: "a line for an unknown order",
        })?;
        let profile = Profile::device(issuer, order.terms.validity)?;
        let profile = if issuer.is_simulated() {
            profile.simulated()
        } else {
            profile
        };
        let signer = OrderSigner::new(key, &order);
        Ok(Self {
            ledger,
            issuer,
            signer,
            profile,
            order,
            setup: setup.clone(),
        })
    }

    /// The order, and how far it has come.
    pub const fn order(&self) -> &Order {
        &self.order
    }

    /// Takes chips through, batch by batch, and tells `progress` what became of each.
    pub fn run<I2C, D>(
        &mut self,
        chips: impl IntoIterator<Item = Optiga<I2C, D>>,
        clock: &dyn Fn() -> UnixMillis,
        mut progress: impl FnMut(&Finished),
    ) -> Result<Report, Error>
    where
        I2C: I2c<Error: Debug> + Send,
        D: DelayNs + Send,
    {
        let mut report = Report::default();
        let mut chips = chips.into_iter();
        loop {
            let batch = chips.by_ref().take(self.setup.batch_chips).collect::<Vec<_>>();
            if batch.is_empty() {
                return Ok(report);
            }
            for finished in self.make(batch, clock)? {
                report.count(&finished.outcome);
                progress(&finished);
            }
        }
    }

    /// Takes one batch through; the answer has one entry for each chip, in their order.
    pub fn make<I2C, D>(
        &mut self,
        chips: Vec<Optiga<I2C, D>>,
        clock: &dyn Fn() -> UnixMillis,
    ) -> Result<Vec<Finished>, Error>
    where
        I2C: I2c<Error: Debug> + Send,
        D: DelayNs + Send,
    {
        let mut places = chips.into_iter().map(Place::new).collect::<Vec<_>>();
        self.each(&mut places, Place::open);
        self.look_up(&mut places)?;
        self.each(&mut places, Place::prove);
        self.intend(&mut places, clock())?;
        self.sign(&mut places, clock())?;
        let anchor = self.setup.server_root.clone();
        self.each(&mut places, |place| place.finish(&anchor));
        self.conclude(&mut places, clock())?;
        self.order = self
            .ledger
            .order(&self.order.terms.name)?
            .ok_or(Error::OutOfStep { what: "an order" })?;
        Ok(places.into_iter().map(Place::into_finished).collect())
    }

    /// Does one step with every chip, with as many at the same time as there are stations.
    fn each<I2C: Send, D: Send>(
        &self,
        places: &mut [Place<I2C, D>],
        step: impl Fn(&mut Place<I2C, D>) + Sync,
    ) {
        let stations = self.setup.stations.min(places.len());
        if stations <= 1 {
            places.iter_mut().for_each(step);
            return;
        }
        let share = places.len().div_ceil(stations);
        let step = &step;
        thread::scope(|scope| {
            for share in places.chunks_mut(share) {
                scope.spawn(move || share.iter_mut().for_each(step));
            }
        });
    }

    /// Asks the ledger where each chip stands.
    fn look_up<I2C, D>(&mut self, places: &mut [Place<I2C, D>]) -> Result<(), Error> {
        let mut seen = HashSet::new();
        let mut remaining = self.order.remaining();
        for place in places {
            let Some(uid) = place.uid.filter(|_| place.step.is_open()) else {
                continue;
            };
            if let Some(reason) = self.refuse(&uid, !seen.insert(uid)) {
                place.step = Step::Ended(Outcome::Aside(reason));
                continue;
            }
            match self.ledger.chip(self.order.id, &uid)? {
                Some(Chip::Scrapped(reason)) => place.was_scrapped(&reason),
                Some(Chip::Unit(unit)) => self.resume(place, &unit)?,
                None if remaining == 0 => place.step = Step::Ended(self.complete()),
                None => {
                    remaining -= 1;
                    place.step = Step::New;
                }
            }
        }
        Ok(())
    }

    /// Chips that this line does not touch.
    fn refuse(&self, uid: &Uid, seen: bool) -> Option<Reason> {
        // The simulator writes these letters where a real chip has its wafer's batch.
        if uid.unique().starts_with(b"SIM") && !self.issuer.is_simulated() {
            let text = "the chip is simulated, and the CA of this factory is not";
            return Some(Reason::new("factory.chip.simulated", text));
        }
        let text = "another chip of this batch has the same identifier";
        seen.then(|| Reason::new("factory.chip.twice", text))
    }

    fn complete(&self) -> Outcome {
        let text = format!(
            "the order {} has all of its {} chips",
            self.order.terms.name, self.order.terms.count
        );
        Outcome::Aside(Reason::new("factory.order.complete", text))
    }

    fn resume<I2C, D>(&self, place: &mut Place<I2C, D>, unit: &Unit) -> Result<(), Error> {
        place.thing = Some(unit.thing.clone());
        place.certificate = unit.certificate;
        place.serial = Some(unit.serial);
        place.step = match unit.state {
            State::Scrapped => {
                place.was_scrapped(unit.reason.as_deref().unwrap_or_default());
                return Ok(());
            }
            State::Done => Step::Ended(Outcome::AlreadyDone),
            State::Intended => {
                let prepared = Prepared::resume(&self.ledger.to_be_signed(unit)?, self.issuer)?;
                Step::Unsigned {
                    prepared,
                    resumed: true,
                }
            }
            State::Signed => {
                let certificate = self.ledger.certificate(unit)?;
                let certificate = certificate.ok_or(Error::OutOfStep {
                    what: "a certificate",
                })?;
                Step::Signed {
                    certificate,
                    resumed: true,
                }
            }
        };
        Ok(())
    }

    /// Prepares a certificate for every new key and keeps all intents at once.
    fn intend<I2C, D>(&mut self, places: &mut [Place<I2C, D>], now: UnixMillis) -> Result<(), Error> {
        let mut records = Vec::new();
        let mut number = self.order.intended;
        for place in places {
            let Step::Proven(key) = &place.step else { continue };
            let (key, Some(uid)) = (key.clone(), place.uid) else {
                continue;
            };
            number += 1;
            let thing = self.order.terms.thing(number)?;
            let (intent, prepared) = self.prepare(key, uid, number, &thing)?;
            records.push(Record::Intent(intent));
            place.thing = Some(thing);
            place.step = Step::Unsigned {
                prepared,
                resumed: false,
            };
        }
        self.ledger.keep(&records, now)
    }

    fn prepare(
        &mut self,
        key: ProvenKey,
        uid: Uid,
        number: u64,
        thing: &ThingName,
    ) -> Result<(Intent, Prepared), Error> {
        let serial = self.ledger.draw_serial()?;
        let key_hash = crypto::sha256(key.public_key().spki_der());
        let prepared = prepare(
            &self.profile,
            key,
            &Name::with_common_name(thing.as_str())?,
            &serial,
        )?;
        let purpose = Purpose::Device(Device {
            order: self.order.id,
            number,
            uid,
            thing: thing.clone(),
        });
        let tbs = prepared.to_be_signed().into();
        Ok((
            Intent {
                serial,
                key_hash,
                purpose,
                tbs,
            },
            prepared,
        ))
    }

    /// Has everything signed whose intent is kept, and keeps all certificates at once.
    fn sign<I2C, D>(&mut self, places: &mut [Place<I2C, D>], now: UnixMillis) -> Result<(), Error> {
        let mut records = Vec::new();
        for place in places {
            let (prepared, resumed) = match core::mem::replace(&mut place.step, Step::Gone) {
                Step::Unsigned { prepared, resumed } => (prepared, resumed),
                other => {
                    place.step = other;
                    continue;
                }
            };
            let certificate = prepared.sign(&self.signer)?;
            place.certificate = Some(certificate.id());
            place.serial = Some(Serial::new(certificate.serial().try_into().unwrap_or_default())?);
            records.push(Record::Signed(certificate.clone()));
            place.step = Step::Signed { certificate, resumed };
        }
        self.ledger.keep(&records, now)
    }

    /// Keeps what became of every chip.
    fn conclude<I2C, D>(&mut self, places: &mut [Place<I2C, D>], now: UnixMillis) -> Result<(), Error> {
        let mut records = Vec::new();
        for place in places.iter().filter(|place| !place.kept) {
            match (&place.step, place.serial) {
                (Step::Ended(Outcome::Made | Outcome::Resumed), Some(serial)) => {
                    records.push(Record::Done(serial))
                }
                (Step::Ended(Outcome::Scrapped(reason)), _) => {
                    records.extend(place.scrap(self.order.id, reason))
                }
                _ => {}
            }
        }
        self.ledger.keep(&records, now)
    }
}

/// A chip on its way through the line.
struct Place<I2C, D> {
    station: Station<I2C, D>,
    step: Step,
    uid: Option<Uid>,
    thing: Option<ThingName>,
    serial: Option<Serial>,
    certificate: Option<CertificateId>,
    /// What became of it is in the ledger.
    kept: bool,
}

/// How far a chip has come.
enum Step {
    /// Just put in.
    Waiting,
    /// Opened; its identifier is known.
    Open,
    /// Not in the ledger.
    New,
    /// It has made a key and proven it.
    Proven(ProvenKey),
    /// Its certificate is prepared.
    Unsigned { prepared: Prepared, resumed: bool },
    /// Its certificate is signed.
    Signed { certificate: Certificate, resumed: bool },
    /// Nothing more happens to it.
    Ended(Outcome),
    /// In between.
    Gone,
}

impl Step {
    const fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }
}

impl<I2C, D> Place<I2C, D> {
    /// The ledger says that it is lost.
    fn was_scrapped(&mut self, line: &str) {
        self.kept = true;
        self.step = Step::Ended(Outcome::Scrapped(Reason::from_ledger(line)));
    }

    fn scrap(&self, order: u32, reason: &Reason) -> Option<Record> {
        let uid = self.uid?;
        Some(Record::Scrapped(Scrap {
            order,
            uid,
            serial: self.serial,
            reason: reason.to_string(),
        }))
    }

    fn into_finished(self) -> Finished {
        let outcome = match self.step {
            Step::Ended(outcome) => outcome,
            _ => Outcome::Aside(Reason::new(
                "factory.chip.unfinished",
                "the line stopped before it was complete",
            )),
        };
        Finished {
            uid: self.uid,
            thing: self.thing,
            certificate: self.certificate,
            outcome,
        }
    }
}

impl<I2C: I2c<Error: Debug>, D: DelayNs> Place<I2C, D> {
    fn new(chip: Optiga<I2C, D>) -> Self {
        let station = Station::new(chip);
        Self {
            station,
            step: Step::Waiting,
            uid: None,
            thing: None,
            serial: None,
            certificate: None,
            kept: false,
        }
    }

    fn end(&mut self, trouble: Trouble) {
        self.step = Step::Ended(match trouble {
            Trouble::Contact(reason) => Outcome::Aside(reason),
            Trouble::Chip(reason) => Outcome::Scrapped(reason),
        });
    }

    fn open(&mut self) {
        match self.station.open() {
            Ok(uid) => (self.uid, self.step) = (Some(uid), Step::Open),
            Err(trouble) => self.end(trouble),
        }
    }

    /// A new chip makes its key; one that comes back proves that it still has it.
    fn prove(&mut self) {
        let Some(uid) = self.uid else { return };
        let proven = match &self.step {
            Step::New => self
                .station
                .make_key(&uid)
                .map(|key| self.step = Step::Proven(key)),
            Step::Unsigned { prepared, .. } => match prepared.public_key() {
                Ok(key) => self.station.check_key(&uid, &key),
                Err(_) => return,
            },
            Step::Signed { certificate, .. } => self.station.check_key(&uid, certificate.public_key()),
            _ => return,
        };
        if let Err(trouble) = proven {
            self.end(trouble);
        }
    }

    fn finish(&mut self, anchor: &Certificate) {
        let Step::Signed { certificate, resumed } = &self.step else {
            return;
        };
        let outcome = if *resumed { Outcome::Resumed } else { Outcome::Made };
        match self.station.finish(certificate, anchor) {
            Ok(()) => self.step = Step::Ended(outcome),
            Err(trouble) => self.end(trouble),
        }
    }
}
