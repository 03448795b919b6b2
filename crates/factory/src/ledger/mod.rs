//! The ledger: which certificates may be signed, were signed, and reached their chips. It is written before anything leaves.
//!
//! Two files. `ledger.log` is the truth: append-only, each record chained to all before it. `ledger.sqlite` is its index: it
//! answers questions, refuses what must not occur twice, and remembers how far the log was good. It may be deleted.
//!
//! Records are kept in groups: however many there are, one write and one flush of the log, and one transaction of the index.

mod index;
mod log;
mod record;
#[cfg(test)]
mod tests;
mod verify;

use std::path::{Path, PathBuf};

use identity::{CertificateId, ThingName, UnixMillis, certificate::Certificate, crypto, issue::Serial};
use optiga::Uid;

pub(crate) use index::Chip;
pub use log::Mark;
pub use record::{Device, Intent, Purpose, Record, Scrap};
pub use verify::{Verified, verify};

use crate::{Error, Order};
use index::Index;
use log::{Log, Scan, Step};

/// The name of the log in the directory of a factory.
pub const LOG_FILE: &str = "ledger.log";
/// The name of its index.
pub const INDEX_FILE: &str = "ledger.sqlite";

/// How far a unit has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its certificate may be signed.
    Intended,
    /// Its certificate exists.
    Signed,
    /// Its chip holds the certificate and is locked.
    Done,
    /// It is lost.
    Scrapped,
}

/// One device in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its number in the order.
    pub number: u64,
    /// Its name.
    pub thing: ThingName,
    /// Its chip.
    pub uid: Uid,
    /// Its certificate's serial number.
    pub serial: Serial,
    /// How far it has come.
    pub state: State,
    /// Its certificate, once there is one.
    pub certificate: Option<CertificateId>,
    /// Why it was scrapped, if it was.
    pub reason: Option<String>,
    pub(crate) intent_at: u64,
    pub(crate) signed_at: Option<u64>,
}

/// The ledger of a factory, open for writing.
#[derive(Debug)]
pub struct Ledger {
    log: Log,
    index: Index,
    next_serial: u64,
    /// The remains of a cut write that were removed when the ledger was opened.
    cut_bytes: u64,
    broken: bool,
}

impl Ledger {
    /// Makes a new ledger with its first records.
    pub(crate) fn create(directory: &Path, records: &[Record], now: UnixMillis) -> Result<(), Error> {
        let mut factory = [0; 16];
        crypto::random(&mut factory)?;
        log::create(&directory.join(LOG_FILE), &factory, records, now)
    }

    /// Opens the ledger: removes what a crash left half-written, and brings the index up to the log.
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(LOG_FILE);
        let (mut scan, factory) = Scan::open(&path)?;
        let index_path = directory.join(INDEX_FILE);
        let index_was_there = index_path.exists();
        let mut index = Index::open(&index_path, &factory, scan.end())?;
        scan.skip_to(index.mark()?)?;
        catch_up(&mut index, &mut scan)?;
        let cut_bytes = scan.rest_bytes()?;
        // With an index everything up to its mark was found good, and what lies behind it was never acknowledged. Without
        // one, a break with good records behind it is no crash.
        if cut_bytes > 0 && !index_was_there && !scan.is_torn()? {
            return Err(scan.tampered("a record was changed or is missing"));
        }
        let log = Log::open(&path, scan.end())?;
        let next_serial = index.next_serial()?;
        Ok(Self {
            log,
            index,
            next_serial,
            cut_bytes,
            broken: false,
        })
    }

    /// Keeps these records, all or none; when it returns they are durable.
    pub(crate) fn keep(&mut self, records: &[Record], now: UnixMillis) -> Result<(), Error> {
        if records.is_empty() {
            return Ok(());
        }
        if self.broken {
            return Err(Error::Broken);
        }
        let (starts, end) = self.log.stage(records, now);
        let intake = self.index.begin()?;
        for (record, at) in records.iter().zip(starts) {
            intake.take(record, at)?;
        }
        self.broken = true; // until both files have it
        self.log.write_staged(end)?;
        intake.commit(end)?;
        self.broken = false;
        Ok(())
    }

    /// A serial number that was never given out: a counter, and 64 random bits behind it.
    pub(crate) fn draw_serial(&mut self) -> Result<Serial, Error> {
        let mut random = [0; 8];
        crypto::random(&mut random)?;
        let counter = (self.next_serial | 1 << 62).to_be_bytes();
        self.next_serial += 1;
        let mut bytes = [0; 16];
        bytes
            .iter_mut()
            .zip(counter.iter().chain(&random))
            .for_each(|(byte, part)| *byte = *part);
        Ok(Serial::new(bytes)?)
    }

    /// All orders.
    pub fn orders(&self) -> Result<Vec<Order>, Error> {
        self.index.orders()
    }

    /// The order of this name.
    pub fn order(&self, name: &str) -> Result<Option<Order>, Error> {
        self.index.order(name)
    }

    /// Units of an order by number, behind `after`, at most `count` of them.
    pub fn units(&self, order: u32, after: u64, count: usize) -> Result<Vec<Unit>, Error> {
        self.index.units(order, after, count)
    }

    /// The certificate of a unit, once it was signed.
    pub fn certificate(&self, unit: &Unit) -> Result<Option<Certificate>, Error> {
        let Some(at) = unit.signed_at else { return Ok(None) };
        match self.log.read_at(at)? {
            Record::Signed(certificate) if certificate.serial() == unit.serial.bytes() => {
                Ok(Some(certificate))
            }
            _ => Err(self.astray(at)),
        }
    }

    /// The to-be-signed bytes of a unit.
    pub(crate) fn to_be_signed(&self, unit: &Unit) -> Result<Vec<u8>, Error> {
        match self.log.read_at(unit.intent_at)? {
            Record::Intent(intent) if intent.serial == unit.serial => Ok(intent.tbs),
            _ => Err(self.astray(unit.intent_at)),
        }
    }

    pub(crate) fn chip(&self, order: u32, uid: &Uid) -> Result<Option<Chip>, Error> {
        self.index.chip(order, uid)
    }

    /// The place behind the last record: whoever keeps a copy of it can tell later that nothing before it was changed.
    pub const fn head(&self) -> Mark {
        self.log.end()
    }

    /// How many bytes of a half-written record were removed when the ledger was opened.
    pub const fn cut_bytes(&self) -> u64 {
        self.cut_bytes
    }

    fn astray(&self, at: u64) -> Error {
        Error::Tampered {
            path: self.log.path().into(),
            at,
            why: "the index points at another record",
        }
    }
}

/// The orders in a ledger, and how far each has come; asked beside a process that may be writing.
pub fn orders(directory: &Path) -> Result<Vec<Order>, Error> {
    let path = found(directory)?;
    let (mut scan, factory) = Scan::open(&path)?;
    let index = directory.join(INDEX_FILE);
    let length = scan.rest_bytes()? + scan.end().at;
    let whole = |index: &Index| index.mark().is_ok_and(|mark| mark.at == length);
    match index.exists().then(|| Index::open_to_read(&index)) {
        Some(Ok(index)) if whole(&index) => return index.orders(),
        Some(Err(error @ Error::Newer { .. })) => return Err(error),
        _ => {}
    }
    // There is none, or it lags behind after a crash: the log itself is asked, and nothing is written.
    let mut index = Index::in_memory(&factory, scan.end())?;
    catch_up(&mut index, &mut scan)?;
    index.orders()
}

/// The log in this directory.
fn found(directory: &Path) -> Result<PathBuf, Error> {
    let path = directory.join(LOG_FILE);
    if path.exists() {
        Ok(path)
    } else {
        Err(Error::Missing {
            path: directory.into(),
        })
    }
}

/// Brings the index up to the end of the log, or to the first damage in it.
fn catch_up(index: &mut Index, scan: &mut Scan) -> Result<(), Error> {
    if scan.rest_bytes()? == 0 {
        return Ok(());
    }
    let intake = index.begin()?;
    while let Some(Step::Record { at, record }) = scan.next()? {
        intake.take(&record, at).map_err(|error| match error {
            Error::Duplicate { .. } => scan.tampered("a record contradicts an earlier one"),
            Error::OutOfStep { .. } => scan.tampered("a record does not follow from an earlier one"),
            other => other,
        })?;
    }
    intake.commit(scan.end())
}
