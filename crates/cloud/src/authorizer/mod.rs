//! Decides about a client that shows a token, or a user name and a password, instead of a certificate.
//!
//! It stands beside the look-up of certificates: the listeners call [`authorize`] with what a client showed, and get what it
//! may do from the custom authorizer of its tenant, or a refusal ("Custom authentication" in the AWS IoT developer guide). A
//! token without a good signature asks nobody anything, and a program that does not answer has said no.

mod asking;
mod said;
mod shown;

use std::sync::Arc;

use fleet::attempt::Trail;
use fleet::authorizer::{Authorizer, DefaultAuthorizer};
use fleet::authorizer_answer::Admitted;
use fleet::page::PageRequest;
use fleet::record::Versioned;
use fleet::{Exception, Refusal, resource};
use identity::Tenant;
use policy::Grant;
use store::Records as _;

pub(crate) use self::asking::Question;
pub(crate) use self::said::{Said, authorize_request};
pub(crate) use self::shown::{Credentials, Login, Shown, is_asked};
use self::shown::{NAME, SIGNATURE};
use crate::api::ApiFault;
use crate::clock;
use crate::control::Control;
use crate::footing::{Ground, Inquiry};
use crate::principal::{named, stand_in};
use crate::shard::{Clearance, Lease};

/// Asks the authorizer about a client: what it may do, and until when.
///
/// # Errors
/// The client is not let in, with the reason; the steps are in the trail.
pub(crate) async fn authorize(
    control: &Control,
    tenant: &Tenant,
    credentials: &Credentials<'_>,
    trail: &mut Trail,
) -> Result<Clearance, ApiFault> {
    let mark = control.withdrawals.mark();
    let authorizer = find(control, tenant, credentials, trail).await?;
    let authorizer = authorizer.ok_or_else(nobody)?.record;
    let question = Question::new(tenant, &authorizer, credentials.shown(&authorizer))?;
    let admitted = admitted(control, &question, &authorizer, trail).await?;
    let due = clock::now().plus_millis(admitted.refresh_millis());
    let ground = Ground::Authorizer(*tenant, authorizer.name.into());
    let mut clearance = cleared(&question, admitted).resting_on(ground, mark);
    clearance.footing.get_or_insert_default().inquiry = Some(Inquiry {
        question: Arc::new(question),
        due,
    });
    Ok(clearance)
}

/// Asks the authorizer again about a client that it let in.
///
/// # Errors
/// It knows the client no more, or does not answer; the steps are in the trail.
pub(crate) async fn ask_again(
    control: &Control,
    question: &Question,
    trail: &mut Trail,
) -> Result<Admitted, ApiFault> {
    let found = look_up(control, &question.tenant, &question.authorizer).await;
    let found = found.inspect_err(|fault| trail.failed("authorizer.found", fault.to_string()))?;
    trail.passed("authorizer.again", question.authorizer.as_str());
    admitted(control, question, &found.record, trail).await
}

/// Looks before anybody is asked: whether there is somebody to ask, and whether a token that is here already is signed.
/// `false`: nobody decides, unless the client names somebody later.
///
/// # Errors
/// It need not go on.
pub(crate) async fn preview(
    control: &Control,
    tenant: &Tenant,
    credentials: &Credentials<'_>,
    trail: &mut Trail,
) -> Result<bool, ApiFault> {
    let Some(authorizer) = find(control, tenant, credentials, trail).await? else {
        return Ok(false);
    };
    if credentials.parameter(SIGNATURE).is_some() {
        let authorizer = &authorizer.record;
        let question = Question::new(tenant, authorizer, credentials.shown(authorizer))?;
        question.check_signature(authorizer, trail)?;
    }
    Ok(true)
}

/// Whether the tenant has any authorizer.
pub(crate) async fn has_any(control: &Control, tenant: &Tenant) -> Result<bool, ApiFault> {
    let first = PageRequest {
        size: 1,
        ..PageRequest::first()
    };
    let listed = control.records.list_resources::<Authorizer>(tenant, "", first);
    Ok(!listed.await?.items.is_empty())
}

async fn admitted(
    control: &Control,
    question: &Question,
    authorizer: &Authorizer,
    trail: &mut Trail,
) -> Result<Admitted, ApiFault> {
    let answer = question.ask(control, authorizer, trail).await?;
    let admitted = answer.admit(&authorizer.name);
    let admitted = admitted.inspect_err(|refusal| trail.failed("authorizer.answer", refusal.reason()))?;
    trail.passed("authorizer.answer", format!("lets {} in", admitted.principal));
    Ok(admitted)
}

/// What the authorizer says rests on no record, so no change of trust makes it old; it ends when the authorizer says.
fn cleared(question: &Question, admitted: Admitted) -> Clearance {
    let principal = stand_in(&format!(
        "authorizer {}: {}",
        question.authorizer, admitted.principal
    ));
    let grant = Grant::new(question.tenant, principal, u64::MAX, admitted.policies).without_certificate();
    let mut clearance = named(Arc::new(grant), &admitted.principal);
    clearance.lease = Some(Lease {
        until: clock::now().plus_millis(i64::from(admitted.disconnect_after_seconds) * 1000),
        kind: broker::Lease::Authorizer,
    });
    clearance
}

/// The authorizer that decides about a client; none if it names none and none is the default.
async fn find(
    control: &Control,
    tenant: &Tenant,
    credentials: &Credentials<'_>,
    trail: &mut Trail,
) -> Result<Option<Versioned<Authorizer>>, ApiFault> {
    let chosen = credentials.parameter(NAME).filter(|_| !credentials.is_fixed);
    let named = chosen.or_else(|| credentials.authorizer.map(str::to_owned));
    let name = match named {
        Some(name) => name,
        None => match default(control, tenant).await? {
            Some(default) => default.record.authorizer,
            None => return Ok(None),
        },
    };
    let found = look_up(control, tenant, &name).await;
    let found = found.inspect_err(|fault| trail.failed("authorizer.found", fault.to_string()))?;
    trail.passed("authorizer.found", name);
    Ok(Some(found))
}

/// The authorizer of this name, if it may be asked.
async fn look_up(control: &Control, tenant: &Tenant, name: &str) -> Result<Versioned<Authorizer>, ApiFault> {
    let found: Option<Versioned<Authorizer>> = control.records.resource(tenant, name).await?;
    let found = resource::found(name, found.as_ref())?;
    match found.record.is_active() {
        true => Ok(found.clone()),
        false => Err(Refusal::new(
            Exception::Unauthorized,
            "cloud.authorizer.inactive",
            format!("the authorizer {name} is INACTIVE"),
        )
        .hint("activate it (UpdateAuthorizer --status ACTIVE)")
        .into()),
    }
}

/// Nobody decides about the client.
fn nobody() -> Refusal {
    Refusal::new(
        Exception::Unauthorized,
        "cloud.authorizer.none",
        "the client came without a certificate and names no custom authorizer, and none is the default",
    )
    .hint("name one (x-amz-customauthorizer-name), set a default (SetDefaultAuthorizer), or connect with a client certificate (protocol x-amzn-mqtt-ca, or port 8883)")
}

/// The authorizer of clients that name none.
pub(crate) async fn default(
    control: &Control,
    tenant: &Tenant,
) -> Result<Option<Versioned<DefaultAuthorizer>>, ApiFault> {
    Ok(control.records.resource(tenant, "").await?)
}
