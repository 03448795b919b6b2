//! StartThingRegistrationTask and its family: one template, carried out for each line of a file.
//!
//! A task is a record that says how far it has come; what runs it is the shell. A task that was under way when the server
//! stopped has failed: it can be started again, and lines that were done already find what they made.

use identity::UnixMillis;

use crate::call::{Call, Decided, Decision};
use crate::limits::{ROLE_ARN_BYTES_MAX, ROLE_ARN_BYTES_MIN};
use crate::plain::shaped;
use crate::record::{Uuid, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::resource::{self, Kind, Resource};
use crate::template::Template;

/// How a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Under way.
    InProgress,
    /// Every line was tried.
    Completed,
    /// It ended early.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl Status {
    /// The AWS word.
    pub fn name(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }

    /// Reads the AWS word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::InProgress, Self::Completed, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|status| status.name() == text)
    }
}

shaped!(
    /// A task.
    RegistrationTask {
        /// Its id.
        id: String,
        /// The template.
        template: String,
        /// Where the file is: the name of a directory that the operator gave.
        bucket: String,
        /// The file in it.
        key: String,
        /// The role that AWS would assume; kept and told.
        role_arn: String,
        /// How it stands: an AWS word.
        status: String,
        /// Why it ended.
        message: String,
        /// Lines that were carried out.
        succeeded: u64,
        /// Lines that were refused.
        failed: u64,
        /// How much of the file was read, in hundredths.
        progress: u64,
        /// When it was started.
        created: UnixMillis,
        /// When it last changed.
        modified: UnixMillis,
    }
);

impl Resource for RegistrationTask {
    const KIND: Kind = Kind::RegistrationTask;

    fn name(&self) -> &str {
        &self.id
    }
}

impl RegistrationTask {
    /// Whether it was under way when it was last kept.
    pub fn is_under_way(&self) -> bool {
        self.status == Status::InProgress.name()
    }
}

/// What StartThingRegistrationTask asks for.
#[derive(Debug, Clone, Default)]
pub struct StartRequest {
    /// `templateBody`
    pub template: String,
    /// `inputFileBucket`
    pub bucket: String,
    /// `inputFileKey`
    pub key: String,
    /// `roleArn`
    pub role_arn: String,
}

/// StartThingRegistrationTask: `is_busy` is whether another one is under way.
pub fn start(call: &Call, request: StartRequest, is_busy: bool, fresh: Uuid) -> Decided<RegistrationTask> {
    Template::parse(&request.template)?;
    if !(ROLE_ARN_BYTES_MIN..=ROLE_ARN_BYTES_MAX).contains(&request.role_arn.len()) {
        return Err(wrong(
            "fleet.registration_task.role",
            "the roleArn has 20 to 2048 characters",
        ));
    }
    if is_busy {
        return Err(wrong(
            "fleet.registration_task.busy",
            "another one is under way in this account",
        )
        .hint("wait until it ends, or stop it (StopThingRegistrationTask)"));
    }
    let task = RegistrationTask {
        id: fresh.to_string(),
        template: request.template,
        bucket: request.bucket,
        key: request.key,
        role_arn: request.role_arn,
        status: Status::InProgress.name().to_owned(),
        message: String::new(),
        succeeded: 0,
        failed: 0,
        progress: 0,
        created: call.now,
        modified: call.now,
    };
    Ok(resource::insert(call, "registration_task.start", task))
}

/// Keeps how far a task has come.
pub fn advance(
    call: &Call,
    task: &RegistrationTask,
    existing: Option<&Versioned<RegistrationTask>>,
) -> Decided<()> {
    let existing = resource::found(&task.id, existing)?;
    let task = RegistrationTask {
        modified: call.now,
        ..task.clone()
    };
    let Decision { batch, events, .. } =
        resource::replace(call, "registration_task.advance", task, existing.version);
    Ok(Decision {
        batch,
        events,
        reply: (),
    })
}

fn wrong(code: &'static str, why: &str) -> Refusal {
    Refusal::new(
        Exception::InvalidRequest,
        code,
        format!("the registration task cannot be started: {why}"),
    )
}
