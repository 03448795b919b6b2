//! A registration task under way: the lines of its file, a group at a time.
//!
//! It stands behind `tasks`. While the lines of one group are kept, those of the next ones are read, prepared and decided on
//! other threads ([`lines`]). A group is kept in the order of its lines and told once, before its lines are reported, and
//! before the next one is kept. The file is never in memory as a whole, and a line that fails stops no other.

mod lines;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fleet::Call;
use fleet::registration_task::{self, RegistrationTask, Status};
use fleet::template::Template;
use store::{CommitError, Committed, Records as _};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use self::lines::{Decided, Group, Groups, Line, Order, State};
use super::fault::ApiFault;
use super::register_thing;
use crate::bucket::Source;
use crate::clock;
use crate::control::{Control, Told};
use crate::limits::{CONFLICT_RETRIES_MAX, REPORT_BUFFER_BYTES, TASK_PROGRESS_REST};

/// A task under way.
pub(super) struct Run {
    pub(super) control: Arc<Control>,
    pub(super) call: Call,
    pub(super) task: RegistrationTask,
    pub(super) stop: Arc<AtomicBool>,
}

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
        let order = Order {
            control: self.control.clone(),
            call: self.call.clone(),
            template: Arc::new(template),
        };
        let mut results = self.report("RESULTS").map_err(broken)?;
        let mut errors = self.report("ERRORS").map_err(broken)?;
        let mut kept_at = Instant::now();
        let mut groups = Groups::of(file, order.clone())?;
        while let Some(Group { lines, percent }) = groups.next().await? {
            for line in self.keep_lines(&order, lines).await? {
                match line.state {
                    State::Kept(entry) => {
                        self.task.succeeded += 1;
                        results.write_all(&entry).map_err(broken)?;
                    }
                    State::Refused(fault) => {
                        self.task.failed += 1;
                        let entry = lines::refused(line.number, &fault);
                        errors.write_all(&entry).map_err(broken)?;
                    }
                    State::Undecided | State::Decided(_) => return Err("a line was left open".to_owned()),
                }
            }
            results.flush().and_then(|()| errors.flush()).map_err(broken)?;
            self.task.progress = percent;
            if kept_at.elapsed() >= TASK_PROGRESS_REST {
                kept_at = Instant::now();
                let _ = self.keep().await;
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Keeps the lines of a group in their order, and tells what that changed. Where somebody else came in between, or a line
    /// was refused before those in front of it were kept, it is decided anew.
    async fn keep_lines(&self, order: &Order, mut lines: Vec<Line>) -> Result<Vec<Line>, String> {
        let mut told = Told::default();
        self.commit(&mut lines, &mut told).await;
        lines.iter_mut().for_each(Line::reopen);
        for _ in 1..CONFLICT_RETRIES_MAX {
            if !lines.iter().any(Line::is_open) {
                break;
            }
            lines = decide_again(order.clone(), lines).await?;
            self.commit(&mut lines, &mut told).await;
        }
        // Of lines about the same records each round keeps one: the rest of them go one by one.
        for line in lines.iter_mut().filter(|line| line.is_open()) {
            line.state = match self.keep_alone(line, &mut told).await {
                Ok(entry) => State::Kept(entry),
                Err(fault) => State::Refused(fault),
            };
        }
        self.control
            .tell(&self.call.tenant, told)
            .await
            .map_err(|fault| format!("not every shard was told: {fault}"))?;
        Ok(lines)
    }

    /// Keeps what was decided, each line for itself. A line whose facts no longer hold is undecided again.
    async fn commit(&self, lines: &mut [Line], told: &mut Told) {
        let (mut batches, mut waiting) = (Vec::new(), Vec::new());
        for line in lines {
            if let Some(Decided { batch, events, entry }) = line.take_decided() {
                batches.push(batch);
                waiting.push((&mut line.state, events, entry));
            }
        }
        let outcomes = self.control.records.commit_each(batches).await;
        for ((state, events, entry), outcome) in waiting.into_iter().zip(outcomes) {
            *state = match outcome {
                Ok(Committed { epoch, .. }) => {
                    told.add(Told { events, epoch });
                    State::Kept(entry)
                }
                Err(CommitError::Conflict(_)) => State::Undecided,
                Err(CommitError::Overloaded) => {
                    State::Refused(ApiFault::Busy("too many changes wait for the disk"))
                }
                Err(CommitError::Fault(error)) => State::Refused(ApiFault::failed(error)),
            };
        }
    }

    /// Looks, decides and keeps one line until nobody comes in between; its entry in the report.
    async fn keep_alone(&self, line: &Line, told: &mut Told) -> Result<Vec<u8>, ApiFault> {
        let call = self.call_now();
        let wish = line
            .wish
            .as_ref()
            .ok_or_else(|| ApiFault::failed("a line brings nothing"))?;
        let decide = async || register_thing::decide_one(&self.control, &call, wish).await;
        let (made, news) = self.control.keep(decide).await?;
        told.add(news);
        Ok(lines::done(line.number, &made))
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
        Ok(BufWriter::with_capacity(REPORT_BUFFER_BYTES, options.open(path)?))
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

/// Decides about the lines that are open, on a thread that may wait.
async fn decide_again(order: Order, mut lines: Vec<Line>) -> Result<Vec<Line>, String> {
    let decided = spawn_blocking(move || order.decide(&mut lines).map(|()| lines));
    decided.await.map_err(|_| "a line could not be decided")?
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
