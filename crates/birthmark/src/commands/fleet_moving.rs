//! `birthmark fleet export`, `import` and `reprovision`: a fleet as a file of lines, and stuck devices once more.
//!
//! Lines are read and sent in pieces, several on their way at once, however long the file is. Kinds that others refer to
//! come first in a file and are waited for. What was taken in before is known the second time, so a run that broke off is
//! started again from the beginning and catches up.

use std::{
    borrow::Cow,
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::Path,
    sync::{Mutex, PoisonError, mpsc},
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    factory::{client, print},
    fleet_source::{Source, source},
    registration::text,
};
use crate::{
    args::{Api, FleetExport, FleetImport, FleetReprovision},
    aws::{Client, percent_encoded},
    exit::{Context, DONE, Failure, REFUSED},
    words::{Chapter, say, tell},
};

/// The kinds, those that others refer to first.
pub(crate) const KINDS: [&str; 8] = [
    "thing-type",
    "billing-group",
    "policy",
    "template",
    "ca",
    "group",
    "thing",
    "certificate",
];
/// Kinds of which many lines are on their way at once; of the others each piece waits for the one before.
const CROWDS: [&str; 2] = ["thing", "certificate"];
/// Bytes of one piece; the cloud takes more.
const PIECE_BYTES_MAX: usize = 400 * 1024;
/// Lines that one call of the export gives.
const PAGE_LINES: usize = 1000;
/// Connections by which pieces are sent.
const CONNECTIONS: usize = 3;
/// Lines that were refused, of which it is said why.
const REFUSALS_SHOWN_MAX: usize = 20;

/// Writes the fleet down.
pub(crate) fn export(typed: &FleetExport) -> Result<u8, Failure> {
    let beside = typed.file.with_extension("new");
    let what = || format!("could not write {}", beside.display());
    let mut out = BufWriter::new(File::create(&beside).fault(what)?);
    let chapter = Chapter::begin(1, "Export", 0);
    let mut lines = 0_u64;
    let mut write = |line: &Value| {
        lines += 1;
        writeln!(out, "{line}").fault(what)
    };
    let mut client = client(&typed.api)?;
    match typed.from_aws {
        true => source(&mut client, &mut write)?,
        false => pages(&mut client, &mut write)?,
    }
    let file = out
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)
        .fault(what)?;
    file.sync_all().fault(what)?;
    std::fs::rename(&beside, &typed.file).fault(what)?;
    chapter.end(&format!("{lines} lines in {}", typed.file.display()));
    if typed.json {
        print(&json!({ "lines": lines }))?;
    }
    Ok(DONE)
}

fn pages(client: &mut Client, write: &mut dyn FnMut(&Value) -> Result<(), Failure>) -> Result<(), Failure> {
    for kind in KINDS {
        let mut token = String::new();
        loop {
            let after = match token.is_empty() {
                true => String::new(),
                false => format!("&nextToken={}", percent_encoded(&token)),
            };
            let path = format!("/birthmark/export?kind={kind}&count={PAGE_LINES}{after}");
            let answer = client
                .call("GET", &path, &[], None)
                .refused(|| format!("the cloud did not give its {kind} lines"))?;
            let found = answer.get("lines").and_then(Value::as_array);
            found.into_iter().flatten().try_for_each(&mut *write)?;
            token = text(&answer, "nextToken");
            if token.is_empty() {
                break;
            }
        }
    }
    Ok(())
}

/// What became of the lines.
#[derive(Default)]
struct Sum {
    made: u64,
    mended: u64,
    known: u64,
    refused: u64,
    refusals: Vec<String>,
}

impl Sum {
    fn add(&mut self, first: u64, answer: &Value) {
        let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
        self.made += number("made");
        self.mended += number("mended");
        self.known += number("known");
        self.refused += number("refused");
        let told = answer.get("refusals").and_then(Value::as_array);
        for refusal in told.into_iter().flatten() {
            if self.refusals.len() < REFUSALS_SHOWN_MAX {
                let line = first + refusal.get("line").and_then(Value::as_u64).unwrap_or(1) - 1;
                self.refusals.push(format!(
                    "line {line}: {} [{}]",
                    text(refusal, "message"),
                    text(refusal, "code")
                ));
            }
        }
    }
}

/// Some lines of one kind.
struct Piece {
    first: u64,
    body: Vec<u8>,
}

/// Takes a fleet in.
pub(crate) fn import(typed: &FleetImport) -> Result<u8, Failure> {
    let (sum, chapter) = match &typed.file {
        Some(file) => {
            let what = || format!("could not read {}", file.display());
            let bytes = std::fs::metadata(file).fault(what)?.len();
            let chapter = Chapter::begin(1, "Import", bytes);
            (send_file(&typed.api, file, &chapter)?, chapter)
        }
        None => {
            let chapter = Chapter::begin(1, "Import", 0);
            (send_account(typed)?, chapter)
        }
    };
    chapter.end(&format!(
        "{} new, {} mended, {} known already, {} refused",
        sum.made, sum.mended, sum.known, sum.refused
    ));
    sum.refusals.iter().for_each(|refusal| say(refusal));
    if typed.json {
        print(&json!({
            "made": sum.made, "mended": sum.mended, "known": sum.known, "refused": sum.refused, "refusals": sum.refusals,
        }))?;
    }
    Ok(if sum.refused == 0 { DONE } else { REFUSED })
}

fn send_file(api: &Api, file: &Path, chapter: &Chapter) -> Result<Sum, Failure> {
    let what = || format!("could not read {}", file.display());
    let mut reader = BufReader::with_capacity(PIECE_BYTES_MAX, File::open(file).fault(what)?);
    send(api, |sender| {
        let mut line = Vec::new();
        loop {
            line.clear();
            let count = reader.read_until(b'\n', &mut line).fault(what)?;
            if count == 0 {
                return Ok(());
            }
            chapter.advance(count as u64);
            sender.line(&line)?;
        }
    })
}

fn send_account(typed: &FleetImport) -> Result<Sum, Failure> {
    let missing =
        || Failure::usage("--from-aws needs --source-url, --source-ca-bundle and --source-credentials");
    let api = Api {
        data_dir: None,
        endpoint_url: Some(typed.source_url.clone().ok_or_else(missing)?),
        ca_bundle: Some(typed.source_ca_bundle.clone().ok_or_else(missing)?),
        credentials: Some(typed.source_credentials.clone().ok_or_else(missing)?),
        profile: typed.source_profile.clone(),
        region: typed.source_region.clone(),
        real_aws: typed.api.real_aws,
    };
    let mut source_client = client(&api)?;
    send(&typed.api, |sender| {
        Source::new(&mut source_client).read(&mut |line| {
            let mut text = line.to_string();
            text.push('\n');
            sender.line(text.as_bytes())
        })
    })
}

/// Puts lines together, and waits where the next ones may refer to those on their way.
struct Sender<'a> {
    pieces: mpsc::SyncSender<Piece>,
    done: &'a mpsc::Receiver<()>,
    under_way: usize,
    piece: Piece,
    kind: &'static str,
    number: u64,
}

impl Sender<'_> {
    fn line(&mut self, line: &[u8]) -> Result<(), Failure> {
        self.number += 1;
        let kind = kind_of(line);
        let changes = kind != self.kind;
        if changes || self.piece.body.len() + line.len() > PIECE_BYTES_MAX {
            self.send()?;
            let is_crowd = CROWDS.contains(&self.kind);
            if changes || !is_crowd {
                self.wait(0)?;
            }
        }
        if self.piece.body.is_empty() {
            self.piece.first = self.number;
            self.kind = kind;
        }
        self.piece.body.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            self.piece.body.push(b'\n');
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), Failure> {
        if self.piece.body.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(
            &mut self.piece,
            Piece {
                first: 0,
                body: Vec::new(),
            },
        );
        self.wait(2 * CONNECTIONS - 1)?;
        self.under_way += 1;
        self.pieces.send(piece).map_err(|_| stopped())
    }

    /// Waits until no more than so many pieces are on their way.
    fn wait(&mut self, most: usize) -> Result<(), Failure> {
        while self.under_way > most {
            self.done.recv().map_err(|_| stopped())?;
            self.under_way -= 1;
        }
        Ok(())
    }
}

/// The senders say why themselves.
fn stopped() -> Failure {
    Failure::fault("the lines could not be sent")
}

/// The kind of a line; everything else in it is passed over.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

/// The kind of a line, if it is one that is known.
fn kind_of(line: &[u8]) -> &'static str {
    let head: Option<Head<'_>> = serde_json::from_slice(line).ok();
    let kind = head
        .as_ref()
        .and_then(|head| KINDS.iter().find(|kind| head.kind == **kind));
    kind.copied().unwrap_or_default()
}

fn send(api: &Api, read: impl FnOnce(&mut Sender<'_>) -> Result<(), Failure>) -> Result<Sum, Failure> {
    let clients = (0..CONNECTIONS)
        .map(|_| client(api))
        .collect::<Result<Vec<_>, _>>()?;
    let (pieces, waiting) = mpsc::sync_channel::<Piece>(CONNECTIONS);
    let (done, ended) = mpsc::channel();
    let waiting = Mutex::new(waiting);
    let outcome = Mutex::new((Sum::default(), None::<Failure>));
    let read = std::thread::scope(|scope| {
        for mut client in clients {
            let (waiting, outcome, done) = (&waiting, &outcome, done.clone());
            scope.spawn(move || carry(&mut client, waiting, outcome, &done));
        }
        drop(done);
        let mut sender = Sender {
            pieces,
            done: &ended,
            under_way: 0,
            piece: Piece {
                first: 0,
                body: Vec::new(),
            },
            kind: "",
            number: 0,
        };
        read(&mut sender)
            .and_then(|()| sender.send())
            .and_then(|()| sender.wait(0))
    });
    let (sum, failure) = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    match failure {
        Some(failure) => Err(failure),
        None => read.map(|()| sum),
    }
}

/// Sends pieces until there are none, or one of them cannot be sent.
fn carry(
    client: &mut Client,
    waiting: &Mutex<mpsc::Receiver<Piece>>,
    outcome: &Mutex<(Sum, Option<Failure>)>,
    done: &mpsc::Sender<()>,
) {
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(piece) = next else { return };
        let answer = client.send("POST", "/birthmark/import", &[], piece.body);
        let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match answer.refused(|| "the cloud did not take the lines".to_owned()) {
            Ok(answer) => outcome.0.add(piece.first, &answer),
            Err(failure) => {
                outcome.1.get_or_insert(failure);
                return;
            }
        }
        drop(outcome);
        if done.send(()).is_err() {
            return;
        }
    }
}

/// Plays devices once more through the template of their CA.
pub(crate) fn reprovision(typed: &FleetReprovision) -> Result<u8, Failure> {
    let mut client = client(&typed.api)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |elapsed| elapsed.as_secs());
    let mut body = json!({
        "caCertificateId": typed.ca, "certificateId": typed.certificate, "thingName": typed.thing,
        "since": typed.since.map(|span| now.saturating_sub(span)),
        "apply": typed.apply, "active": typed.active,
    });
    let (mut provisioned, mut stuck) = (0_u64, 0_u64);
    loop {
        let answer = client
            .call("POST", "/birthmark/reprovision", &[], Some(&body))
            .refused(|| "the cloud did not play the devices through".to_owned())?;
        for device in answer
            .get("devices")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let works = text(device, "outcome") == "provisioned";
            provisioned += u64::from(works);
            stuck += u64::from(!works);
            let line = match (typed.json, works) {
                (true, _) => device.to_string(),
                (false, true) => format!(
                    "{} thing {}",
                    text(device, "certificateId"),
                    text(device, "thingName")
                ),
                (false, false) => format!(
                    "{} stays: {} {}",
                    text(device, "certificateId"),
                    text(device, "reason"),
                    text(device, "hint")
                ),
            };
            tell(&crate::exit::escaped(&line)).fault(|| "could not write to stdout".to_owned())?;
        }
        match answer.get("nextToken") {
            Some(token) => body["nextToken"] = token.clone(),
            None => break,
        }
    }
    let done = if typed.apply {
        "were provisioned"
    } else {
        "would be provisioned (--apply does it)"
    };
    say(&format!("{provisioned} devices {done}, {stuck} stay as they are"));
    Ok(if stuck == 0 { DONE } else { REFUSED })
}
