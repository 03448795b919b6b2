//! The manifest of an order: who really left the line, signed with a key that is not the CA's, for a cloud to compare with.
//!
//! `manifest-ORDER.ndjson` only ever grows: each run appends the chips that were done since, in signed segments that name the
//! one before. The key is made with the first manifest; whoever steals the CA's key alone cannot write one. Move
//! `manifest.key.pem` away from the line where you can: it is needed only here.

use std::{
    collections::HashSet,
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use identity::{
    CertificateId, ThingName, UnixMillis,
    crypto::SoftwareKey,
    issue::Signer as _,
    key::{Curve, PublicKey},
    limits::MANIFEST_ENTRIES_MAX,
    manifest::{self, Entry, KeyHash, Opened, Segment},
};

use crate::{
    Error, Factory, Order,
    files::{self, failed, private},
    ledger::{State, Unit},
    limits::PAGE_UNITS_MAX,
};

/// The private key of manifests.
const KEY: &str = "manifest.key.pem";
/// What an administrator of the cloud enrols.
const PUBLIC_KEY: &str = "manifest.pub.pem";

/// When the devices of an order may come in, and how fast; fixed by the first manifest of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Nobody comes in for the first time before this.
    pub not_before: UnixMillis,
    /// Nobody comes in for the first time after this.
    pub not_after: UnixMillis,
    /// How many may come in for the first time in one hour; 0 is as many as like.
    pub per_hour: u64,
}

/// What a manifest was brought up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// The public key to enrol, PEM.
    pub public_key: PathBuf,
    /// Who signed: the hash of that key.
    pub signer: KeyHash,
    /// Devices that were added.
    pub added: u64,
    /// Devices in the whole file.
    pub devices: u64,
    /// Segments in the whole file.
    pub segments: u64,
}

/// What is in the file already.
#[derive(Default)]
struct Found {
    last: Option<Opened>,
    things: HashSet<ThingName>,
    bytes: u64,
}

impl Factory {
    /// Whether manifests were ever made here: the public key to enrol.
    pub fn manifest_public_key(&self) -> Option<PathBuf> {
        Some(self.path().join(PUBLIC_KEY)).filter(|path| path.exists())
    }

    /// Brings the manifest of an order up to date.
    pub fn manifest(&mut self, order: &Order, window: &Window) -> Result<Written, Error> {
        let key = self.manifest_key()?;
        let path = self.path().join(format!("manifest-{}.ndjson", order.terms.name));
        let found = read(&path, key.public_key())?;
        let terms = match &found.last {
            Some(last) => last.segment.terms.clone(),
            None => manifest::Terms {
                ca: self.signer().id(),
                count: order.terms.count,
                not_before: window.not_before,
                not_after: window.not_after,
                per_hour: window.per_hour,
            },
        };
        let (mut sequence, mut previous) = found
            .last
            .as_ref()
            .map_or((0, [0; 32]), |last| (last.segment.sequence, last.digest));
        let mut file = private(OpenOptions::new().create(true).write(true).truncate(false))
            .open(&path)
            .map_err(failed("open", &path))?;
        // A line that a crash cut was never delivered to anybody.
        file.set_len(found.bytes).map_err(failed("cut", &path))?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).map_err(failed("open", &path))?;
        let (mut added, mut after) = (0, 0);
        let mut waiting = Vec::with_capacity(MANIFEST_ENTRIES_MAX);
        loop {
            let units = self.ledger().units(order.id, after, PAGE_UNITS_MAX)?;
            let is_last = units.is_empty();
            after = units.last().map_or(after, |unit| unit.number);
            let new = units
                .iter()
                .filter(|unit| unit.state == State::Done && !found.things.contains(&unit.thing));
            for unit in new {
                waiting.extend(self.entry(unit)?);
            }
            while waiting.len() >= MANIFEST_ENTRIES_MAX || (is_last && !waiting.is_empty()) {
                let rest = waiting.split_off(waiting.len().min(MANIFEST_ENTRIES_MAX));
                let entries = std::mem::replace(&mut waiting, rest);
                added += entries.len() as u64;
                sequence += 1;
                let segment = Segment {
                    order: order.terms.name.clone(),
                    terms: terms.clone(),
                    sequence,
                    previous,
                    entries,
                };
                let (line, digest) = manifest::seal(&segment, &key)?;
                previous = digest;
                file.write_all(line.as_bytes()).map_err(failed("write", &path))?;
                file.write_all(b"\n").map_err(failed("write", &path))?;
            }
            if is_last {
                break;
            }
        }
        file.sync_all().map_err(failed("write", &path))?;
        files::sync_directory_of(&path)?;
        Ok(Written {
            public_key: self.path().join(PUBLIC_KEY),
            signer: KeyHash::of(key.public_key()),
            added,
            devices: found.things.len() as u64 + added,
            segments: sequence,
            path,
        })
    }

    fn entry(&self, unit: &Unit) -> Result<Option<Entry>, Error> {
        let Some(certificate) = self.ledger().certificate(unit)? else {
            return Ok(None);
        };
        let uid = unit.uid.0.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Some(Entry {
            key: KeyHash::of(certificate.public_key()),
            certificate: Some(CertificateId::of(certificate.der())),
            unit: uid,
            thing: Some(unit.thing.clone()),
            parameters: std::collections::BTreeMap::new(),
        }))
    }

    /// The key that signs manifests; made if there is none.
    fn manifest_key(&self) -> Result<SoftwareKey, Error> {
        let (path, public) = (self.path().join(KEY), self.path().join(PUBLIC_KEY));
        if !path.exists() {
            let key = SoftwareKey::generate(Curve::P256)?;
            files::write_whole(&path, key.pkcs8_pem()?.as_bytes())?;
        }
        files::check_private(&path)?;
        let key = SoftwareKey::from_pkcs8_pem(&files::read_text(&path)?)?;
        if key.public_key() == self.signer().public_key() {
            return Err(Error::Misplaced { path });
        }
        files::write_whole(&public, key.public_key().pem().as_bytes())?;
        Ok(key)
    }
}

/// Reads what is there, and holds it to its own chain.
fn read(path: &Path, key: &PublicKey) -> Result<Found, Error> {
    let mut found = Found::default();
    if !path.exists() {
        return Ok(found);
    }
    let mut lines = std::io::BufReader::new(fs::File::open(path).map_err(failed("open", path))?);
    let mut line = String::new();
    loop {
        line.clear();
        let count = std::io::BufRead::read_line(&mut lines, &mut line).map_err(failed("read", path))?;
        if count == 0 || !line.ends_with('\n') {
            return Ok(found);
        }
        let opened = manifest::open(line.trim_end(), |_| Some(key.clone()))?;
        let (sequence, digest) = found
            .last
            .as_ref()
            .map_or((0, [0; 32]), |last| (last.segment.sequence, last.digest));
        if opened.segment.sequence != sequence + 1 || opened.segment.previous != digest {
            return Err(Error::Tampered {
                path: path.into(),
                at: found.bytes,
                why: "a line of the manifest does not follow from the one before",
            });
        }
        found.things.extend(
            opened
                .segment
                .entries
                .iter()
                .filter_map(|entry| entry.thing.clone()),
        );
        found.bytes += count as u64;
        found.last = Some(opened);
    }
}
