//! An auditor's walk through the log: every record, every signature, every rule, without believing the index.

use std::{collections::HashMap, path::Path};

use identity::{
    certificate::Certificate,
    crypto,
    issue::{Prepared, Serial},
};

use crate::{
    Error, Terms,
    ledger::{
        INDEX_FILE, Mark, found,
        index::Index,
        log::{Scan, Step},
        record::{Intent, Purpose, Record, Scrap},
    },
};

/// What was found in a ledger that is in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Records.
    pub records: u64,
    /// Orders.
    pub orders: u64,
    /// Device certificates that may be signed and are not yet.
    pub intended: u64,
    /// Device certificates that were signed and have not reached their chips yet.
    pub signed: u64,
    /// Chips that are done.
    pub done: u64,
    /// Chips that were scrapped.
    pub scrapped: u64,
    /// Verification certificates.
    pub verifications: u64,
    /// The place behind the last record.
    pub head: Mark,
    /// Bytes behind it that a crash may have left; they are removed when the factory is opened.
    pub torn_bytes: u64,
}

/// Verifies the ledger in this directory. It may be in use meanwhile.
pub fn verify(directory: &Path) -> Result<Verified, Error> {
    let path = found(directory)?;
    let mark = indexed(directory)?;
    let (mut scan, _) = Scan::open(&path)?;
    let mut audit = Audit::default();
    let mut passed = mark.is_none();
    while let Some(step) = scan.next()? {
        let Step::Record { record, .. } = step else { break };
        audit.take(record).map_err(|why| scan.tampered(why))?;
        passed |= mark == Some(scan.end());
    }
    let (head, torn_bytes) = (scan.end(), scan.rest_bytes()?);
    if !passed {
        return Err(scan.tampered("it does not lead to the place that its index has seen"));
    }
    if torn_bytes > 0 && mark.is_none() && !scan.is_torn()? {
        return Err(scan.tampered("a record was changed or is missing"));
    }
    Ok(audit.finish(head, torn_bytes))
}

/// How far the index has seen the log; `None` if there is no index, or it has seen nothing.
fn indexed(directory: &Path) -> Result<Option<Mark>, Error> {
    let path = directory.join(INDEX_FILE);
    if !path.exists() {
        return Ok(None);
    }
    match Index::open_to_read(&path).and_then(|index| index.mark()) {
        Ok(mark) => Ok((mark.at > super::log::HEADER_BYTES as u64).then_some(mark)),
        // An index that was not finished when its process died has seen nothing.
        Err(Error::Index(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

/// What is known after some records.
#[derive(Default)]
struct Audit {
    records: u64,
    orders: Vec<(Terms, u64)>,
    root: Option<Certificate>,
    signer: Option<Certificate>,
    last_serial: Option<Serial>,
    open: HashMap<Serial, Intent>,
    signed: HashMap<Serial, Purpose>,
    done: u64,
    scrapped: u64,
    verifications: u64,
}

type Finding = Result<(), &'static str>;

impl Audit {
    fn take(&mut self, record: Record) -> Finding {
        self.records += 1;
        match record {
            Record::Order(terms) => {
                let known = self.orders.iter().any(|(order, _)| order.name == terms.name);
                self.orders.push((terms, 0));
                if known {
                    Err("an order was accepted twice")
                } else {
                    Ok(())
                }
            }
            Record::Intent(intent) => self.take_intent(intent),
            Record::Signed(certificate) => self.take_signed(certificate),
            Record::Done(serial) => match self.signed.remove(&serial) {
                Some(Purpose::Device(_)) => {
                    self.done += 1;
                    Ok(())
                }
                _ => Err("a chip is done that has no certificate"),
            },
            Record::Scrapped(scrap) => self.take_scrap(&scrap),
        }
    }

    fn take_intent(&mut self, intent: Intent) -> Finding {
        // Serial numbers only rise, so none can occur twice.
        if self.last_serial.is_some_and(|last| last >= intent.serial) {
            return Err("a serial number was given out twice, or out of order");
        }
        self.last_serial = Some(intent.serial);
        if let Purpose::Device(device) = &intent.purpose {
            let order = usize::try_from(device.order)
                .ok()
                .and_then(|id| self.orders.get_mut(id.checked_sub(1)?));
            let Some((terms, intended)) = order else {
                return Err("a device belongs to no order");
            };
            *intended += 1;
            if *intended != device.number || device.number > terms.count {
                return Err("a device has a number that its order does not have");
            }
        }
        self.open.insert(intent.serial, intent);
        Ok(())
    }

    fn take_signed(&mut self, certificate: Certificate) -> Finding {
        let serial = certificate
            .serial()
            .try_into()
            .ok()
            .and_then(|bytes| Serial::new(bytes).ok());
        let intent = serial.and_then(|serial| self.open.remove(&serial));
        let Some(intent) = intent else {
            return Err("a certificate was signed that was not intended");
        };
        if intent.tbs != certificate.tbs() {
            return Err("a certificate was signed that is not the one intended");
        }
        if intent.key_hash != crypto::sha256(certificate.public_key().spki_der()) {
            return Err("a certificate is for another key than intended");
        }
        let issuer = match (&intent.purpose, &self.root) {
            (Purpose::Authority, None) => Some(&certificate),
            (Purpose::Authority, Some(root)) => Some(root),
            _ => self.signer.as_ref(),
        };
        let Some(issuer) = issuer else {
            return Err("a certificate was signed before there was a CA");
        };
        let named = Prepared::resume(certificate.tbs(), issuer).is_ok();
        if !named || certificate.is_signed_by(issuer.public_key()).is_err() {
            return Err("a certificate was not signed by the CA of this factory");
        }
        match intent.purpose {
            Purpose::Authority if self.root.is_none() => self.root = Some(certificate),
            Purpose::Authority => self.signer = Some(certificate),
            Purpose::Verification => self.verifications += 1,
            device @ Purpose::Device(_) => _ = self.signed.insert(intent.serial, device),
        }
        Ok(())
    }

    fn take_scrap(&mut self, scrap: &Scrap) -> Finding {
        self.scrapped += 1;
        let Some(serial) = &scrap.serial else {
            return Ok(());
        };
        let purpose = self
            .signed
            .remove(serial)
            .or_else(|| self.open.remove(serial).map(|intent| intent.purpose));
        match purpose {
            Some(Purpose::Device(device)) if device.uid == scrap.uid => Ok(()),
            _ => Err("a chip was scrapped with a certificate that is not its own"),
        }
    }

    fn finish(self, head: Mark, torn_bytes: u64) -> Verified {
        let is_device = |purpose: &Purpose| matches!(purpose, Purpose::Device(_));
        let count = |found: usize| u64::try_from(found).unwrap_or(u64::MAX);
        Verified {
            records: self.records,
            orders: count(self.orders.len()),
            intended: count(
                self.open
                    .values()
                    .filter(|intent| is_device(&intent.purpose))
                    .count(),
            ),
            signed: count(self.signed.values().filter(|purpose| is_device(purpose)).count()),
            done: self.done,
            scrapped: self.scrapped,
            verifications: self.verifications,
            head,
            torn_bytes,
        }
    }
}
