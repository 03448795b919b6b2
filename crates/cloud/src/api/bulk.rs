//! A registration task under way: the lines of its file, a group at a time.
//!
//! It stands behind `tasks`. While the lines of one group are kept, those of the next are read and prepared on another thread:
//! certificates are verified and issued there, since that is most of the work. What a group changed is told once, before its
//! lines are reported. The file is never in memory as a whole, and a line that fails stops no other.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fleet::Call;
use fleet::register_thing::Asked;
use fleet::registration_task::{self, RegistrationTask, Status};
use fleet::template::Template;
use identity::{Explained as _, UnixMillis};
use serde_json::{Value, json};
use store::Records as _;
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::Instant;

use super::templates::{self, Brought};
use super::{Request, fault::ApiFault};
use crate::bucket::Source;
use crate::clock;
use crate::control::{Control, Told};
use crate::limits::{TASK_LINE_BYTES_MAX, TASK_LINES_AT_ONCE, TASK_PROGRESS_REST};

/// A task under way.
pub(super) struct Run {
    pub(super) control: Arc<Control>,
    pub(super) call: Call,
    pub(super) peer: SocketAddr,
    pub(super) task: RegistrationTask,
    pub(super) stop: Arc<AtomicBool>,
}

/// A line that is ready to be kept, by its number.
type Prepared = (u64, Result<(Asked, Brought), ApiFault>);

/// What became of one line: its number, and its entry in a report.
type Done = (u64, Result<Value, Value>);

impl Run {
    /// Carries the task out, and writes down how it ended.
    pub(super) async fn finish(mut self, source: Source) {
        let (status, message) = match self.read(source).await {
            Ok(true) => (Status::Completed, String::new()),
            Ok(false) => (Status::Cancelled, "it was stopped".to_owned()),
            Err(why) => (Status::Failed, why),
        };
        self.task.status = status.name().to_owned();
        self.task.message = message;
        let _ = self.keep().await;
        self.control.tasks.end(&self.call.tenant, &self.task.id);
    }

    /// Brings the file, carries its lines out, and takes the reports back to where it came from.
    async fn read(&mut self, source: Source) -> Result<bool, String> {
        let (store, key) = match source {
            Source::File(file) => return self.carry_out(file).await,
            Source::Object(store, key) => (store, key),
        };
        let folder = self.control.plan.data_dir.join("registration-tasks");
        let file = store.fetch(&key, &folder).await?;
        let ended = self.carry_out(file).await?;
        for kind in ["RESULTS", "ERRORS"] {
            let report = report_path(&self.control, &self.task.id, kind);
            store.keep(&report_key(&self.task.id, kind), &report).await?;
        }
        Ok(ended)
    }

    /// Whether every line was tried; or why that cannot be.
    async fn carry_out(&mut self, file: File) -> Result<bool, String> {
        let template = Template::parse(&self.task.template).map_err(|refusal| refusal.to_string())?;
        let template = Arc::new(template);
        let mut lines = Lines::of(file)?;
        let mut results = self.report("RESULTS").map_err(broken)?;
        let mut errors = self.report("ERRORS").map_err(broken)?;
        let mut kept_at = Instant::now();
        let mut preparing = self.prepare(&template, lines.group()?);
        loop {
            let progress = lines.percent();
            let prepared = preparing.await.map_err(|_| "a line could not be prepared")?;
            if prepared.is_empty() {
                return Ok(true);
            }
            let next = lines.group().map(|group| self.prepare(&template, group));
            for (line, outcome) in self.keep_lines(prepared).await? {
                let (report, entry) = match outcome {
                    Ok(entry) => {
                        self.task.succeeded += 1;
                        (&mut results, entry)
                    }
                    Err(entry) => {
                        self.task.failed += 1;
                        (&mut errors, entry)
                    }
                };
                let entry = json!({ "lineNumber": line, "offset": line, "response": entry });
                writeln!(report, "{entry}").map_err(broken)?;
            }
            results.flush().and_then(|()| errors.flush()).map_err(broken)?;
            self.task.progress = progress;
            if kept_at.elapsed() >= TASK_PROGRESS_REST {
                kept_at = Instant::now();
                let _ = self.keep().await;
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            preparing = next?;
        }
    }

    /// Does on another thread what a line needs no records for.
    fn prepare(&self, template: &Arc<Template>, lines: Vec<(u64, Vec<u8>)>) -> JoinHandle<Vec<Prepared>> {
        let (control, template, now) = (self.control.clone(), template.clone(), clock::now());
        spawn_blocking(move || {
            let prepared = lines.into_iter().map(|(number, line)| {
                let ready = prepare(&control, &template, &line, now);
                (number, ready)
            });
            prepared.collect()
        })
    }

    /// Keeps the lines of a group, all at once, and tells what that changed; the outcomes in their order.
    async fn keep_lines(&self, lines: Vec<Prepared>) -> Result<Vec<Done>, String> {
        let mut under_way = JoinSet::new();
        for (number, ready) in lines {
            let (control, call, peer) = (self.control.clone(), self.call_now(), self.peer);
            under_way.spawn_local(async move {
                let kept = async {
                    let (asked, brought) = ready?;
                    let request = Request {
                        control: &control,
                        call,
                        body: &[],
                        peer,
                        device: None,
                    };
                    templates::keep(&request, &asked, &brought).await
                };
                (number, kept.await)
            });
        }
        let mut all = Told::default();
        let mut done = Vec::with_capacity(under_way.len());
        for (number, kept) in under_way.join_all().await {
            let outcome = kept.map(|(made, told)| {
                all.add(told);
                templates::made(made)
            });
            done.push((number, outcome.map_err(|fault| refused(&fault))));
        }
        self.control
            .tell(&self.call.tenant, all)
            .await
            .map_err(|fault| format!("not every shard was told: {fault}"))?;
        done.sort_by_key(|(number, _)| *number);
        Ok(done)
    }

    fn report(&self, kind: &str) -> std::io::Result<BufWriter<File>> {
        let path = report_path(&self.control, &self.task.id, kind);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(BufWriter::new(options.open(path)?))
    }

    async fn keep(&self) -> Result<(), ApiFault> {
        let call = self.call_now();
        let kept = self.control.keep(async || {
            let existing = self.control.records.resource(&call.tenant, &self.task.id).await?;
            Ok(registration_task::advance(&call, &self.task, existing.as_ref())?)
        });
        kept.await.map(drop)
    }

    fn call_now(&self) -> Call {
        Call {
            now: clock::now(),
            ..self.call.clone()
        }
    }
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

/// The parameters of a line in their places, and its certificate.
fn prepare(
    control: &Control,
    template: &Arc<Template>,
    line: &[u8],
    now: UnixMillis,
) -> Result<(Asked, Brought), ApiFault> {
    let parameters: BTreeMap<String, String> = serde_json::from_slice(line).map_err(|error| {
        let why = format!("the line is no object of strings: {error}");
        ApiFault::invalid("cloud.api.task_line", why)
    })?;
    let asked = Asked::fill(template, parameters)?;
    let brought = templates::bring(control, &asked, now)?;
    Ok((asked, brought))
}

/// What a report says of a line that failed.
fn refused(fault: &ApiFault) -> Value {
    let code = match fault {
        ApiFault::Refused(refusal) => refusal.code(),
        _ => "cloud.api.fault",
    };
    json!({
        "exception": super::render::exception_of(fault),
        "code": code,
        "message": fault.to_string(),
    })
}

fn broken(error: std::io::Error) -> String {
    format!("the file or a report cannot be used: {error}")
}

/// Where a report of a task is in a store.
pub(super) fn report_key(id: &str, kind: &str) -> String {
    format!("birthmark-reports/{id}-{}.ndjson", kind.to_ascii_lowercase())
}

/// Where a report of a task is.
pub(super) fn report_path(control: &Control, id: &str, kind: &str) -> PathBuf {
    let folder = control.plan.data_dir.join("registration-tasks");
    folder.join(format!("{id}-{}.ndjson", kind.to_ascii_lowercase()))
}
