//! StartThingRegistrationTask and its family: RegisterThing for each line of a file in a directory of the operator's.
//!
//! They stand between the wire, `fleet::registration_task` and [`crate::bucket`]. A task runs beside the requests (see
//! [`super::bulk`]); what each line gave goes into two reports under the data directory.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use fleet::record::Versioned;
use fleet::registration_task::{self, RegistrationTask, StartRequest, Status};
use fleet::resource;
use serde::Deserialize;
use serde_json::{Value, json};
use store::Records as _;
use tokio::task::spawn_local;

use super::bulk::{Run, report_key, report_path};
use super::listing::{Pages, by_token, part};
use super::operation::Input;
use super::render::{Answer, nothing, object};
use super::{Request, fault::ApiFault, timestamp};
use crate::bucket::{Bucket, Source};
use crate::clock;

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
    let source = find(request, &input.input_file_bucket, &input.input_file_key)?;
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
        task,
        stop,
    };
    spawn_local(run.finish(source));
    Ok(answer)
}

fn find(request: &Request<'_>, bucket: &str, key: &str) -> Result<Source, ApiFault> {
    let wrong = |why: String| ApiFault::invalid("cloud.api.bucket", why);
    let bucket = request.control.buckets.get(bucket).ok_or_else(|| {
        wrong(
            "there is no such inputFileBucket; the operator names directories and stores under [buckets]"
                .into(),
        )
    })?;
    bucket
        .find(key)
        .map_err(|error| wrong(format!("the inputFileKey cannot be read: {error}")))
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
    let links = match request.control.buckets.get(&task.bucket) {
        _ if !path.exists() => None,
        Some(Bucket::Store(store)) => {
            let link = store.link(&report_key(&task.id, &input.report_type));
            Some(link.map_err(ApiFault::failed)?)
        }
        _ => Some(format!("file://{}", path.display())),
    };
    let page = part(links.into_iter().collect(), input.pages.tokens()?);
    let mut answer = by_token("resourceLinks", &page, |link: &String| link.as_str().into());
    if let Value::Object(answer) = &mut answer {
        answer.insert("reportType".into(), input.report_type.into());
    }
    Ok(answer)
}
