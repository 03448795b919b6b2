//! `birthmark fleet manifest …` and `birthmark factory manifest`: lists of the devices that were really made.
//!
//! A manifest is read and sent piece by piece, however long it is; the cloud says how far it has come, so that a run that
//! broke off is taken up. Nothing is decided here: signatures, order and quota are the cloud's to check.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
};

use ::factory::Window;
use identity::{
    crypto::SoftwareKey,
    limits::{MANIFEST_ENTRIES_MAX, MANIFEST_LINE_BYTES_MAX},
    manifest::{self, Entry, Segment, Terms, rows},
};
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::{Value, json};

use super::factory::{client, now, open, print, read};
use crate::{
    args::{
        FactoryManifest, GateState, Manifest, ManifestGate, ManifestImport, ManifestPlace, ManifestQuestion,
        ManifestSign, ManifestSigners, OrderTerms, SignerEnroll, SignerRevoke,
    },
    aws::{Client, percent_encoded},
    exit::{Context, DONE, Failure},
    words::{Chapter, say, tell},
};

/// Bytes of lines that are sent with one request; the cloud takes twice as many.
const REQUEST_BYTES_MAX: usize = 256 * 1024;
/// Items of Microchip's that are sent with one request, as the cloud takes them.
const REQUEST_ITEMS_MAX: usize = 100;

/// Runs one of them.
pub(crate) fn run(typed: &Manifest) -> Result<u8, Failure> {
    match typed {
        Manifest::Import(typed) => import(typed),
        Manifest::Sign(typed) => sign(typed),
        Manifest::Place(typed) => place(typed),
        Manifest::Orders(typed) => orders(typed),
        Manifest::Signers(ManifestSigners::List(typed)) => signers(typed),
        Manifest::Signers(ManifestSigners::Enroll(typed)) => enroll(typed),
        Manifest::Signers(ManifestSigners::Revoke(typed)) => revoke(typed),
        Manifest::Gate(typed) => gate(typed),
    }
}

/// Brings the manifest of an order up to date.
pub(crate) fn of_factory(typed: &FactoryManifest) -> Result<u8, Failure> {
    let mut factory = open(&typed.dir)?;
    let what = || format!("could not write the manifest in {}", typed.dir.display());
    let orders = factory.ledger().orders().fault(what)?;
    let order = match &typed.order {
        Some(name) => orders.iter().find(|order| order.terms.name == *name),
        None if orders.len() > 1 => {
            return Err(Failure::usage("there are several orders: name one with --order"));
        }
        None => orders.first(),
    };
    let order = order
        .ok_or_else(|| Failure::usage("there is no such order in this factory"))?
        .clone();
    let (not_before, not_after) = window(typed.days);
    let window = Window {
        not_before,
        not_after,
        per_hour: typed.per_hour,
    };
    let written = factory.manifest(&order, &window).fault(what)?;
    say(&format!(
        "{}: {} devices, {} of them new; enrol {} at the cloud as a signer",
        written.path.display(),
        written.devices,
        written.added,
        written.public_key.display()
    ));
    if typed.json {
        print(&json!({
            "manifest": written.path, "public_key": written.public_key, "signer": written.signer.to_string(),
            "added": written.added, "devices": written.devices, "segments": written.segments,
        }))?;
    }
    Ok(DONE)
}

fn window(days: u32) -> (identity::UnixMillis, identity::UnixMillis) {
    let now = now();
    (now.plus_days(-1), now.plus_days(i64::from(days)))
}

/// How much was taken.
#[derive(Default)]
struct Sum {
    new: u64,
    known: u64,
    skipped: u64,
}

impl Sum {
    fn add(&mut self, answer: &Value) {
        let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
        self.new += number("new");
        self.known += number("known");
    }
}

fn import(typed: &ManifestImport) -> Result<u8, Failure> {
    let what = || format!("could not read {}", typed.file.display());
    let file = File::open(&typed.file).fault(what)?;
    let bytes = file.metadata().fault(what)?.len();
    let mut reader = BufReader::with_capacity(REQUEST_BYTES_MAX, file);
    let first = reader
        .fill_buf()
        .fault(what)?
        .iter()
        .copied()
        .find(|byte| !byte.is_ascii_whitespace());
    let mut client = client(&typed.api)?;
    let chapter = Chapter::begin(1, "Manifest", bytes);
    let sum = match (first, &typed.order) {
        (Some(b'['), Some(order)) => import_items(&mut client, order, reader)?,
        (Some(b'['), None) => {
            return Err(Failure::usage(
                "this is Microchip's form, which names no order: say --order (see `fleet manifest place`)",
            ));
        }
        _ => import_lines(&mut client, &mut reader, &typed.file, &chapter)?,
    };
    chapter.end(&format!(
        "{} devices new, {} known already",
        sum.new,
        sum.known + sum.skipped
    ));
    if typed.json {
        print(&json!({ "new": sum.new, "known": sum.known + sum.skipped }))?;
    }
    Ok(DONE)
}

fn import_lines(
    client: &mut Client,
    reader: &mut BufReader<File>,
    path: &Path,
    chapter: &Chapter,
) -> Result<Sum, Failure> {
    let mut sum = Sum::default();
    let mut standing = HashMap::new();
    let (mut body, mut line, mut number) = (String::new(), String::new(), 0_u64);
    loop {
        line.clear();
        let limit = (MANIFEST_LINE_BYTES_MAX + 2) as u64;
        let count = reader
            .by_ref()
            .take(limit)
            .read_line(&mut line)
            .fault(|| format!("could not read {}", path.display()))?;
        number += 1;
        if count == 0 || body.len() + line.len() > REQUEST_BYTES_MAX {
            send_lines(client, &mut body, &mut sum)?;
        }
        if count == 0 {
            return Ok(sum);
        }
        chapter.advance(count as u64);
        if line.trim().is_empty() {
            continue;
        }
        let glimpse = manifest::glimpse(line.trim_end()).map_err(|error| {
            Failure::refused(format!(
                "line {number} of {} is not one of a manifest",
                path.display()
            ))
            .because(error)
        })?;
        if is_taken(client, &mut standing, &glimpse)? {
            sum.skipped += glimpse.devices as u64;
        } else {
            body.push_str(&line);
        }
    }
}

/// Whether the cloud has this line already.
fn is_taken(
    client: &mut Client,
    standing: &mut HashMap<String, (u64, String)>,
    glimpse: &manifest::Glimpse,
) -> Result<bool, Failure> {
    if !standing.contains_key(&glimpse.order) {
        let path = format!("/birthmark/manifests/orders/{}", percent_encoded(&glimpse.order));
        let found = match client.call("GET", &path, &[], None) {
            Ok(answer) => (
                answer.get("sequence").and_then(Value::as_u64).unwrap_or(0),
                super::registration::text(&answer, "digest"),
            ),
            Err(error) if error.exception() == Some("ResourceNotFoundException") => (0, String::new()),
            Err(error) => {
                return Err(
                    Failure::refused("the cloud did not say how far the order has come").because(error),
                );
            }
        };
        standing.insert(glimpse.order.clone(), found);
    }
    let (sequence, digest) = standing.get(&glimpse.order).cloned().unwrap_or_default();
    if glimpse.sequence == sequence && glimpse.digest.to_string() != digest {
        return Err(Failure::refused(format!(
            "the cloud took another segment {sequence} of the order {}: this is not the manifest that was begun",
            glimpse.order
        )));
    }
    Ok(glimpse.sequence <= sequence)
}

fn send_lines(client: &mut Client, body: &mut String, sum: &mut Sum) -> Result<(), Failure> {
    if body.is_empty() {
        return Ok(());
    }
    let answer = client
        .send(
            "POST",
            "/birthmark/manifests/lines",
            &[],
            std::mem::take(body).into_bytes(),
        )
        .refused(|| "the cloud did not take the manifest".to_owned())?;
    sum.add(&answer);
    Ok(())
}

/// Reads Microchip's array item by item and sends it in pieces.
fn import_items(client: &mut Client, order: &str, reader: BufReader<File>) -> Result<Sum, Failure> {
    let mut parser = serde_json::Deserializer::from_reader(reader);
    let mut items = Items {
        client,
        order,
        waiting: Vec::new(),
        sum: Sum::default(),
        failure: None,
    };
    let read = parser.deserialize_seq(&mut items);
    if let Some(failure) = items.failure.take() {
        return Err(failure);
    }
    read.refused(|| "the manifest is not the JSON that it must be".to_owned())?;
    items.send()?;
    Ok(items.sum)
}

struct Items<'a> {
    client: &'a mut Client,
    order: &'a str,
    waiting: Vec<Value>,
    sum: Sum,
    failure: Option<Failure>,
}

impl Items<'_> {
    fn send(&mut self) -> Result<(), Failure> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let path = format!(
            "/birthmark/manifests/orders/{}/items",
            percent_encoded(self.order)
        );
        let body = json!({ "items": std::mem::take(&mut self.waiting) });
        let answer = self
            .client
            .call("POST", &path, &[], Some(&body))
            .refused(|| "the cloud did not take the manifest".to_owned())?;
        self.sum.add(&answer);
        Ok(())
    }
}

impl<'de> Visitor<'de> for &mut Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of signed secure elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element()? {
            self.waiting.push(item);
            if self.waiting.len() >= REQUEST_ITEMS_MAX
                && let Err(failure) = self.send()
            {
                self.failure = Some(failure);
                return Err(serde::de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

fn terms_of(typed: &OrderTerms) -> Result<Terms, Failure> {
    let ca = typed.ca.parse().map_err(|error: identity::Error| {
        Failure::usage("--ca is the id of a CA certificate").because(error)
    })?;
    let (not_before, not_after) = window(typed.days);
    Ok(Terms {
        ca,
        count: typed.count,
        not_before,
        not_after,
        per_hour: typed.per_hour,
    })
}

fn sign(typed: &ManifestSign) -> Result<u8, Failure> {
    let key = SoftwareKey::from_pkcs8_pem(&zeroize::Zeroizing::new(read(&typed.key)?)).map_err(|error| {
        Failure::usage(format!("{} is not a private key", typed.key.display())).because(error)
    })?;
    let what = || format!("could not read {}", typed.table.display());
    let mut reader = BufReader::new(File::open(&typed.table).fault(what)?);
    let is_json = reader
        .fill_buf()
        .fault(what)?
        .iter()
        .find(|byte| !byte.is_ascii_whitespace())
        == Some(&b'{');
    let beside = typed.out.with_extension("new");
    let failed = || format!("could not write {}", beside.display());
    let mut out = std::io::BufWriter::new(File::create(&beside).fault(failed)?);
    let mut segment = Segment {
        order: typed.order.clone(),
        terms: terms_of(&typed.terms)?,
        sequence: 1,
        previous: [0; 32],
        entries: Vec::new(),
    };
    let mut csv = rows::Csv::default();
    let (mut line, mut number, mut devices) = (String::new(), 0_u64, 0_u64);
    loop {
        line.clear();
        let count = reader
            .by_ref()
            .take(MANIFEST_LINE_BYTES_MAX as u64)
            .read_line(&mut line)
            .fault(what)?;
        number += 1;
        let entry = match (count, is_json) {
            (0, _) => None,
            (_, true) if line.trim().is_empty() => None,
            (_, true) => rows::from_json(&line)
                .map(Some)
                .map_err(|error| wrong_row(&typed.table, number, error))?,
            (_, false) => csv
                .line(&line)
                .map_err(|error| wrong_row(&typed.table, number, error))?,
        };
        devices += u64::from(entry.is_some());
        segment.entries.extend::<Option<Entry>>(entry);
        if segment.entries.len() == MANIFEST_ENTRIES_MAX || (count == 0 && !segment.entries.is_empty()) {
            let (sealed, digest) =
                manifest::seal(&segment, &key).refused(|| "the manifest could not be signed".to_owned())?;
            writeln!(out, "{sealed}").fault(failed)?;
            segment.sequence += 1;
            segment.previous = digest;
            segment.entries.clear();
        }
        if count == 0 {
            break;
        }
    }
    let file = out
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)
        .fault(failed)?;
    file.sync_all().fault(failed)?;
    std::fs::rename(&beside, &typed.out).fault(failed)?;
    say(&format!(
        "{}: {devices} devices in {} segments",
        typed.out.display(),
        segment.sequence - 1
    ));
    Ok(DONE)
}

fn wrong_row(path: &Path, number: u64, error: identity::Error) -> Failure {
    Failure::refused(format!("line {number} of {} names no device", path.display())).because(error)
}

fn place(typed: &ManifestPlace) -> Result<u8, Failure> {
    let terms = terms_of(&typed.terms)?;
    let body = json!({
        "signerId": typed.signer, "caCertificateId": terms.ca.to_string(), "count": terms.count,
        "notBefore": terms.not_before.0, "notAfter": terms.not_after.0, "perHour": terms.per_hour,
    });
    let path = format!("/birthmark/manifests/orders/{}", percent_encoded(&typed.order));
    client(&typed.api)?
        .call("PUT", &path, &[], Some(&body))
        .refused(|| format!("the order {} was not placed", typed.order))?;
    say(&format!(
        "the order {} is placed: {} devices",
        typed.order, terms.count
    ));
    Ok(DONE)
}

fn ask(typed: &ManifestQuestion, path: &str, what: &str) -> Result<Vec<Value>, Failure> {
    let answer = client(&typed.api)?
        .call("GET", path, &[], None)
        .refused(|| format!("the cloud did not show its {what}"))?;
    if typed.json {
        print(&answer)?;
    }
    Ok(answer
        .get(what)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default())
}

fn orders(typed: &ManifestQuestion) -> Result<u8, Failure> {
    let orders = ask(typed, "/birthmark/manifests/orders", "orders")?;
    for order in orders.iter().filter(|_| !typed.json) {
        let number = |name: &str| order.get(name).and_then(Value::as_u64).unwrap_or(0);
        tell(&format!(
            "{}: {} ordered, {} listed, {} came in; CA {}",
            super::registration::text(order, "order"),
            number("count"),
            number("entries"),
            number("admitted"),
            super::registration::text(order, "caCertificateId"),
        ))
        .fault(|| "could not write to stdout".to_owned())?;
    }
    Ok(DONE)
}

fn signers(typed: &ManifestQuestion) -> Result<u8, Failure> {
    let signers = ask(typed, "/birthmark/manifests/signers", "signers")?;
    for signer in signers.iter().filter(|_| !typed.json) {
        let state = match signer.get("revoked").and_then(Value::as_bool) {
            Some(true) => "revoked",
            _ => "trusted",
        };
        let (id, label) = (
            super::registration::text(signer, "signerId"),
            super::registration::text(signer, "label"),
        );
        tell(&crate::exit::escaped(&format!("{id} {state} {label}")))
            .fault(|| "could not write to stdout".to_owned())?;
    }
    Ok(DONE)
}

fn enroll(typed: &SignerEnroll) -> Result<u8, Failure> {
    let body = json!({ "document": read(&typed.document)?, "label": typed.label });
    let answer = client(&typed.api)?
        .call("POST", "/birthmark/manifests/signers", &[], Some(&body))
        .refused(|| "the signer was not enrolled".to_owned())?;
    tell(&super::registration::text(&answer, "signerId")).fault(|| "could not write to stdout".to_owned())?;
    say("its manifests count from now on");
    Ok(DONE)
}

fn revoke(typed: &SignerRevoke) -> Result<u8, Failure> {
    let path = format!("/birthmark/manifests/signers/{}", percent_encoded(&typed.signer));
    client(&typed.api)?
        .call("DELETE", &path, &[], None)
        .refused(|| "the signer was not revoked".to_owned())?;
    say("its manifests count no more; devices that came in by them stay");
    Ok(DONE)
}

fn gate(typed: &ManifestGate) -> Result<u8, Failure> {
    let mut client = client(&typed.api)?;
    let path = format!("/birthmark/cas/{}/gate", percent_encoded(&typed.ca));
    let method = match typed.state {
        Some(GateState::Closed) => Some("PUT"),
        Some(GateState::Open) => Some("DELETE"),
        None => None,
    };
    if let Some(method) = method {
        client
            .call(method, &path, &[], None)
            .refused(|| "the gate was not changed".to_owned())?;
    }
    let answer = client
        .call("GET", &path, &[], None)
        .refused(|| "the cloud did not show the gate".to_owned())?;
    let word = match answer.get("closed").and_then(Value::as_bool) {
        Some(true) => "closed",
        _ => "open",
    };
    tell(word).fault(|| "could not write to stdout".to_owned())?;
    Ok(DONE)
}

/// Closes the gate of a CA if somebody may sign manifests at this cloud; whether it did.
pub(crate) fn close_where_signers_are(client: &mut Client, ca: &str) -> Result<bool, Failure> {
    // Other clouds have no such question, and no gate.
    let Ok(answer) = client.call("GET", "/birthmark/manifests/signers", &[], None) else {
        return Ok(false);
    };
    let signers = answer.get("signers").and_then(Value::as_array);
    let trusted = signers.is_some_and(|signers| {
        signers
            .iter()
            .any(|signer| signer.get("revoked") == Some(&Value::Bool(false)))
    });
    if trusted {
        let path = format!("/birthmark/cas/{}/gate", percent_encoded(ca));
        client
            .call("PUT", &path, &[], None)
            .refused(|| "the CA is registered, but its gate was not closed".to_owned())?;
    }
    Ok(trusted)
}
