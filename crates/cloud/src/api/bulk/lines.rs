//! The lines of a registration task: read from its file, and prepared beside the runtime, several groups at a time.
//!
//! Certificates are verified and issued here, since that is most of the work, and the decisions are taken as well; what they
//! rest on is checked again inside the write. Groups come out in the order of the file, however long each took.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::num::NonZero;
use std::sync::Arc;

use fleet::batch::Batch;
use fleet::register_thing::{Asked, Made};
use fleet::template::Template;
use fleet::{Call, Decision, Event};
use identity::Explained as _;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, spawn_blocking, spawn_local};

use super::broken;
use crate::api::fault::ApiFault;
use crate::api::register_thing::{Reply, Wish, decide_each};
use crate::api::render::exception_of;
use crate::clock;
use crate::control::Control;
use crate::limits::{TASK_GROUPS_AHEAD, TASK_LINE_BYTES_MAX, TASK_LINES_AT_ONCE, TASK_THREADS_MAX};

/// Who carries out what: all that a group of lines needs.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) control: Arc<Control>,
    pub(super) call: Call,
    pub(super) template: Arc<Template>,
}

/// A group of lines whose decisions were taken, and how much of the file was read by then, in hundredths.
pub(super) struct Group {
    pub(super) lines: Vec<Line>,
    pub(super) percent: u64,
}

/// A line on its way.
pub(super) struct Line {
    pub(super) number: u64,
    /// What it brings; nothing if it cannot be read.
    pub(super) wish: Option<Wish>,
    pub(super) state: State,
}

/// How far a line has come.
pub(super) enum State {
    /// Nothing was decided yet, or no longer.
    Undecided,
    /// This is to be kept.
    Decided(Decided),
    /// It is kept; this is its entry in the report.
    Kept(Vec<u8>),
    /// It is not done.
    Refused(ApiFault),
}

/// What a line asks to be kept, what is to be told of it then, and what the report says of it.
pub(super) struct Decided {
    pub(super) batch: Batch,
    pub(super) events: Vec<Event>,
    pub(super) entry: Vec<u8>,
}

impl Line {
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.state, State::Undecided)
    }

    /// A refusal that rests on records may have been taken too early.
    pub(super) fn reopen(&mut self) {
        if self.wish.is_some() && matches!(self.state, State::Refused(_)) {
            self.state = State::Undecided;
        }
    }

    /// What was decided; it is open until that is kept.
    pub(super) fn take_decided(&mut self) -> Option<Decided> {
        match core::mem::replace(&mut self.state, State::Undecided) {
            State::Decided(decided) => Some(decided),
            state => {
                self.state = state;
                None
            }
        }
    }
}

/// The groups of a file, in its order. Nothing is read ahead any more when this is dropped.
pub(super) struct Groups {
    ready: mpsc::Receiver<JoinHandle<Result<Group, String>>>,
    reader: JoinHandle<()>,
}

impl Drop for Groups {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Groups {
    pub(super) fn of(file: File, order: Order) -> Result<Self, String> {
        let lines = Lines::of(file)?;
        let (prepared, ready) = mpsc::channel(TASK_GROUPS_AHEAD);
        let reader = spawn_local(read_ahead(lines, order, prepared));
        Ok(Self { ready, reader })
    }

    /// The next group; none after the last line.
    pub(super) async fn next(&mut self) -> Result<Option<Group>, String> {
        let Some(group) = self.ready.recv().await else {
            return Ok(None);
        };
        group.await.map_err(|_| "a line could not be prepared")?.map(Some)
    }
}

/// Hands out groups of lines for as long as there are some, to no more threads than there are cores.
async fn read_ahead(
    mut lines: Lines,
    order: Order,
    prepared: mpsc::Sender<JoinHandle<Result<Group, String>>>,
) {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = Arc::new(Semaphore::new(cores.min(TASK_THREADS_MAX)));
    while let Ok(turn) = threads.clone().acquire_owned().await {
        let Ok((read, rest)) = spawn_blocking(move || (lines.group(), lines)).await else {
            return;
        };
        lines = rest;
        if read.as_ref().is_ok_and(Vec::is_empty) {
            return;
        }
        let (order, percent) = (order.clone(), lines.percent());
        let group = spawn_blocking(move || {
            let lines = read?
                .into_iter()
                .map(|(number, line)| order.prepare(number, &line));
            let mut lines: Vec<Line> = lines.collect();
            order.decide(&mut lines)?;
            drop(turn);
            Ok(Group { lines, percent })
        });
        if prepared.send(group).await.is_err() {
            return;
        }
    }
}

impl Order {
    /// Does what a line needs no records for.
    fn prepare(&self, number: u64, line: &[u8]) -> Line {
        let (wish, state) = match self.read(line) {
            Ok(wish) => (Some(wish), State::Undecided),
            Err(fault) => (None, State::Refused(fault)),
        };
        Line { number, wish, state }
    }

    fn read(&self, line: &[u8]) -> Result<Wish, ApiFault> {
        let parameters: BTreeMap<String, String> = serde_json::from_slice(line).map_err(|error| {
            let why = format!("the line is no object of strings: {error}");
            ApiFault::invalid("cloud.api.task_line", why)
        })?;
        let asked = Asked::fill(&self.template, parameters)?;
        Wish::read(&self.control, asked, clock::now())
    }

    /// Decides about those lines about which nothing is decided; on a thread that may wait.
    pub(super) fn decide(&self, lines: &mut [Line]) -> Result<(), String> {
        let call = Call {
            now: clock::now(),
            ..self.call.clone()
        };
        let (mut places, mut wishes) = (Vec::new(), Vec::new());
        for line in lines.iter_mut().filter(|line| line.is_open()) {
            if let Some(wish) = &line.wish {
                places.push((line.number, &mut line.state));
                wishes.push(wish);
            }
        }
        let decided = Handle::current()
            .block_on(decide_each(&self.control, &call, &wishes))
            .map_err(|fault| format!("the records cannot be read: {fault}"))?;
        for ((number, state), decision) in places.into_iter().zip(decided) {
            *state = match decision {
                Ok(decision) => State::Decided(Decided::of(number, decision)),
                Err(fault) => State::Refused(fault),
            };
        }
        Ok(())
    }
}

impl Decided {
    fn of(number: u64, decision: Decision<Made>) -> Self {
        Self {
            batch: decision.batch,
            events: decision.events,
            entry: done(number, &decision.reply),
        }
    }
}

/// A line of a report.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a, T> {
    line_number: u64,
    offset: u64,
    response: &'a T,
}

fn entry(number: u64, response: &impl Serialize) -> Vec<u8> {
    let entry = Entry {
        line_number: number,
        offset: number,
        response,
    };
    let mut text = serde_json::to_vec(&entry).unwrap_or_default();
    text.push(b'\n');
    text
}

/// What a report says of a line that was done.
pub(super) fn done(number: u64, made: &Made) -> Vec<u8> {
    entry(number, &Reply::of(made))
}

/// What a report says of a line that failed.
pub(super) fn refused(number: u64, fault: &ApiFault) -> Vec<u8> {
    let code = match fault {
        ApiFault::Refused(refusal) => refusal.code(),
        _ => "cloud.api.fault",
    };
    let response: Value = json!({
        "exception": exception_of(fault),
        "code": code,
        "message": fault.to_string(),
    });
    entry(number, &response)
}

/// The lines of the file that are not empty, with their numbers.
struct Lines {
    file: BufReader<File>,
    bytes: u64,
    read: u64,
    number: u64,
}

impl Lines {
    fn of(file: File) -> Result<Self, String> {
        Ok(Self {
            bytes: file.metadata().map_err(broken)?.len().max(1),
            file: BufReader::new(file),
            read: 0,
            number: 0,
        })
    }

    /// As many as are carried out at once; none at the end of the file.
    fn group(&mut self) -> Result<Vec<(u64, Vec<u8>)>, String> {
        let limit = u64::try_from(TASK_LINE_BYTES_MAX).unwrap_or(u64::MAX) + 1;
        let mut group = Vec::with_capacity(TASK_LINES_AT_ONCE);
        while group.len() < TASK_LINES_AT_ONCE {
            let mut line = Vec::new();
            let mut limited = self.file.by_ref().take(limit);
            let count = limited.read_until(b'\n', &mut line).map_err(broken)?;
            if count == 0 {
                break;
            }
            self.number += 1;
            self.read += u64::try_from(count).unwrap_or(0);
            if line.len() > TASK_LINE_BYTES_MAX {
                let number = self.number;
                return Err(format!(
                    "line {number} is longer than {TASK_LINE_BYTES_MAX} bytes"
                ));
            }
            if !line.trim_ascii().is_empty() {
                group.push((self.number, line));
            }
        }
        Ok(group)
    }

    /// How much of the file was read, in hundredths.
    fn percent(&self) -> u64 {
        (self.read * 100 / self.bytes).min(100)
    }
}
