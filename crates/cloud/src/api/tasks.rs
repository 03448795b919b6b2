//! StartThingRegistrationTask and its family: RegisterThing for each line of a file in a directory of the operator's.
//!
//! They stand between the wire, `fleet::registration_task` and [`crate::bucket`]. A task runs beside the requests, some
//! lines at a time; what each line gave goes into two reports under the data directory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fleet::record::Versioned;
use fleet::register_thing::Asked;
use fleet::registration_task::{self, RegistrationTask, StartRequest, Status};
use fleet::{Call, resource};
use identity::Explained as _;
use serde::Deserialize;
use serde_json::{Value, json};
use store::Records as _;
use tokio::task::{JoinSet, spawn_local};

use super::listing::{Pages, by_token, part};
use super::operation::Input;
use super::render::{Answer, nothing, object};
use super::{Request, fault::ApiFault, templates, timestamp};
use crate::control::Control;
use crate::limits::{TASK_LINE_BYTES_MAX, TASK_LINES_AT_ONCE};
use crate::{bucket, clock};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    #[serde(default)]
    template_body: String,
    #[serde(default)]
    input_file_bucket: String,
    #[serde(default)]
    input_file_key: String,
    #[serde(default)]
    role_arn: String,
}

/// StartThingRegistrationTask.
pub(super) async fn start(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Start = input.read()?;
    let file = open(request, &input.input_file_bucket, &input.input_file_key)?;
    let wanted = StartRequest {
        template: input.template_body,
        bucket: input.input_file_bucket,
        key: input.input_file_key,
        role_arn: input.role_arn,
    };
    let fresh = clock::uuid().map_err(ApiFault::failed)?;
    let tenant = request.call.tenant;
    let stop = Arc::new(AtomicBool::new(false));
    // Taken before the record is kept, so that of two calls at once only one finds room.
    let is_busy = !request.control.tasks.begin(&tenant, &fresh.to_string(), &stop);
    let kept = request
        .decide(async || {
            Ok(registration_task::start(
                &request.call,
                wanted.clone(),
                is_busy,
                fresh,
            )?)
        })
        .await;
    let task = match kept {
        Ok(task) => task,
        Err(fault) => {
            request.control.tasks.end(&tenant, &fresh.to_string());
            return Err(fault);
        }
    };
    let answer = json!({ "taskId": task.id });
    let run = Run {
        control: request.control.clone(),
        call: request.call.clone(),
        peer: request.peer,
        task,
        stop,
    };
    spawn_local(run.finish(file));
    Ok(answer)
}

fn open(request: &Request<'_>, bucket: &str, key: &str) -> Result<File, ApiFault> {
    let wrong = |why: String| ApiFault::invalid("cloud.api.bucket", why);
    let directory = request.control.plan.buckets.get(bucket).ok_or_else(|| {
        wrong("there is no such inputFileBucket; the operator names directories under [buckets]".into())
    })?;
    bucket::open(directory, key).map_err(|error| wrong(format!("the inputFileKey cannot be read: {error}")))
}

/// A task under way.
struct Run {
    control: Arc<Control>,
    call: Call,
    peer: std::net::SocketAddr,
    task: RegistrationTask,
    stop: Arc<AtomicBool>,
}

/// What became of one line: its number, and its entry in a report.
type Done = (u64, Result<Value, Value>);

impl Run {
    async fn finish(mut self, file: File) {
        let (status, message) = match self.carry_out(file).await {
            Ok(true) => (Status::Completed, String::new()),
            Ok(false) => (Status::Cancelled, "it was stopped".to_owned()),
            Err(why) => (Status::Failed, why),
        };
        self.task.status = status.name().to_owned();
        self.task.message = message;
        let _ = self.keep().await;
        self.control.tasks.end(&self.call.tenant, &self.task.id);
    }

    /// Whether every line was tried; or why that cannot be.
    async fn carry_out(&mut self, file: File) -> Result<bool, String> {
        let broken = |error: std::io::Error| format!("the file or a report cannot be used: {error}");
        let bytes = file.metadata().map_err(broken)?.len().max(1);
        let mut results = self.report("RESULTS").map_err(broken)?;
        let mut errors = self.report("ERRORS").map_err(broken)?;
        let mut lines = BufReader::new(file);
        let (mut number, mut read) = (0, 0);
        loop {
            let mut under_way = JoinSet::new();
            while under_way.len() < TASK_LINES_AT_ONCE {
                let mut line = Vec::new();
                let limit = u64::try_from(TASK_LINE_BYTES_MAX).unwrap_or(u64::MAX) + 1;
                let count = lines
                    .by_ref()
                    .take(limit)
                    .read_until(b'\n', &mut line)
                    .map_err(broken)?;
                if count == 0 {
                    break;
                }
                if line.len() > TASK_LINE_BYTES_MAX {
                    return Err(format!(
                        "line {} is longer than {TASK_LINE_BYTES_MAX} bytes",
                        number + 1
                    ));
                }
                number += 1;
                read += u64::try_from(count).unwrap_or(0);
                if !line.trim_ascii().is_empty() {
                    let (control, call) = (self.control.clone(), self.call.clone());
                    let (peer, template) = (self.peer, self.task.template.clone());
                    under_way.spawn_local(async move {
                        let done = one(&control, call, peer, &template, &line).await;
                        (number, done)
                    });
                }
            }
            if under_way.is_empty() {
                return Ok(true);
            }
            let mut done: Vec<Done> = under_way.join_all().await;
            done.sort_by_key(|(number, _)| *number);
            for (line, outcome) in done {
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
                writeln!(
                    report,
                    "{}",
                    json!({ "lineNumber": line, "offset": line, "response": entry })
                )
                .map_err(broken)?;
            }
            self.task.progress = (read * 100 / bytes).min(100);
            let _ = self.keep().await;
            if self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
        }
    }

    fn report(&self, kind: &str) -> std::io::Result<File> {
        let path = report_path(&self.control, &self.task.id, kind);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)
    }

    async fn keep(&self) -> Result<(), ApiFault> {
        let call = Call {
            now: clock::now(),
            ..self.call.clone()
        };
        let kept = self.control.keep(async || {
            let existing = self.control.records.resource(&call.tenant, &self.task.id).await?;
            Ok(registration_task::advance(&call, &self.task, existing.as_ref())?)
        });
        kept.await.map(drop)
    }
}

/// RegisterThing with the parameters of one line; what the report says of it.
async fn one(
    control: &Arc<Control>,
    call: Call,
    peer: std::net::SocketAddr,
    template: &str,
    line: &[u8],
) -> Result<Value, Value> {
    let call = Call {
        now: clock::now(),
        ..call
    };
    let request = Request {
        control,
        call,
        body: &[],
        peer,
    };
    let parameters: Result<BTreeMap<String, String>, _> = serde_json::from_slice(line);
    let made = async {
        let parameters = parameters.map_err(|error| {
            ApiFault::invalid(
                "cloud.api.task_line",
                format!("the line is no object of strings: {error}"),
            )
        })?;
        let asked = Asked::read(template, parameters)?;
        templates::carry_out(&request, &asked).await
    };
    match made.await {
        Ok(made) => Ok(templates::made(made)),
        Err(fault) => {
            let code = match &fault {
                ApiFault::Refused(refusal) => refusal.code(),
                _ => "cloud.api.fault",
            };
            Err(json!({
                "exception": super::render::exception_of(&fault),
                "code": code,
                "message": fault.to_string(),
            }))
        }
    }
}

fn report_path(control: &Control, id: &str, kind: &str) -> PathBuf {
    let folder = control.plan.data_dir.join("registration-tasks");
    folder.join(format!("{id}-{}.ndjson", kind.to_ascii_lowercase()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    task_id: String,
    #[serde(default)]
    report_type: String,
    #[serde(flatten)]
    pages: Pages,
}

async fn looked_up(request: &Request<'_>, id: &str) -> Result<RegistrationTask, ApiFault> {
    let existing: Option<Versioned<RegistrationTask>> =
        request.store().resource(&request.call.tenant, id).await?;
    Ok(resource::found(id, existing.as_ref())?.record.clone())
}

/// How a task stands, and why: one that nobody carries out any more has failed.
fn standing<'a>(request: &Request<'_>, task: &'a RegistrationTask) -> (&'a str, &'a str) {
    let is_live = request.control.tasks.is_live(&request.call.tenant, &task.id);
    match task.is_under_way() && !is_live {
        true => (
            Status::Failed.name(),
            "the server was stopped; start the task again",
        ),
        false => (&task.status, &task.message),
    }
}

/// DescribeThingRegistrationTask.
pub(super) async fn describe(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let task = looked_up(request, &input.read::<Named>()?.task_id).await?;
    let (status, message) = standing(request, &task);
    Ok(object(json!({
        "taskId": task.id,
        "creationDate": timestamp(task.created),
        "lastModifiedDate": timestamp(task.modified),
        "templateBody": task.template,
        "inputFileBucket": task.bucket,
        "inputFileKey": task.key,
        "roleArn": task.role_arn,
        "status": status,
        "message": Some(message).filter(|text| !text.is_empty()),
        "successCount": task.succeeded,
        "failureCount": task.failed,
        "percentageProgress": task.progress,
    })))
}

/// StopThingRegistrationTask: the lines that are under way are still done.
pub(super) async fn stop(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let task = looked_up(request, &input.read::<Named>()?.task_id).await?;
    request.control.tasks.stop(&request.call.tenant, &task.id);
    Ok(nothing())
}

#[derive(Deserialize)]
struct List {
    status: Option<String>,
    #[serde(flatten)]
    pages: Pages,
}

/// ListThingRegistrationTasks.
pub(super) async fn list(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: List = input.read()?;
    if let Some(unknown) = input
        .status
        .as_deref()
        .filter(|text| Status::parse(text).is_none())
    {
        let shown: String = unknown.chars().take(64).collect();
        return Err(ApiFault::invalid(
            "cloud.api.task_status",
            format!("\"{shown}\" is not a status"),
        ));
    }
    let asked = input.pages.tokens()?;
    let mut page = request
        .store()
        .list_resources::<RegistrationTask>(&request.call.tenant, "", asked)
        .await?;
    page.items.retain(|task| {
        input
            .status
            .as_deref()
            .is_none_or(|wanted| standing(request, task).0 == wanted)
    });
    Ok(by_token("taskIds", &page, |task| task.id.as_str().into()))
}

/// ListThingRegistrationTaskReports.
pub(super) async fn reports(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    if !matches!(input.report_type.as_str(), "ERRORS" | "RESULTS") {
        return Err(ApiFault::invalid(
            "cloud.api.report_type",
            "reportType is ERRORS or RESULTS",
        ));
    }
    // This is the one operation on a task for which the model has no ResourceNotFoundException.
    let task = match looked_up(request, &input.task_id).await {
        Err(ApiFault::Refused(refusal)) => {
            return Err(ApiFault::invalid("cloud.api.task", refusal.message()));
        }
        looked_up => looked_up?,
    };
    let path = report_path(request.control, &task.id, &input.report_type);
    let path = std::path::absolute(path).map_err(ApiFault::failed)?;
    let links = path.exists().then(|| format!("file://{}", path.display()));
    let page = part(links.into_iter().collect(), input.pages.tokens()?);
    let mut answer = by_token("resourceLinks", &page, |link: &String| link.as_str().into());
    if let Value::Object(answer) = &mut answer {
        answer.insert("reportType".into(), input.report_type.into());
    }
    Ok(answer)
}
