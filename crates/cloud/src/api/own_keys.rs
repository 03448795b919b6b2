//! Access keys over HTTPS: which there are, a new one in the place of an old one, and an end to one that leaked.
//!
//! It stands beside the operations of AWS IoT, like [`super::own`]. A secret never passes: a rotated key is in its file on
//! the server's machine.

use fleet::audit::Entry;
use fleet::batch::Batch;
use fleet::text::Text;
use serde::Deserialize;
use serde_json::{Value, json};
use store::Records as _;

use super::Request;
use super::fault::ApiFault;
use super::operation::Input;
use super::render::Answer;
use super::timestamp;
use crate::config::Role;
use crate::footing::Ground;
use crate::keys::Shown;

/// The keys of the caller's account.
pub(super) async fn list(request: &Request<'_>, _: Input) -> Result<Answer, ApiFault> {
    let found = request.control.keys.shown(&request.call.tenant.account);
    let keys: Vec<Value> = found.iter().map(shown).collect();
    Ok(json!({ "keys": keys }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    key_id: String,
}

/// A new key in the place of one.
pub(super) async fn rotate(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let id = input.read::<Named>()?.key_id;
    // Its record is durable before anything changes.
    note(request, "security.key_rotate", &id).await?;
    let fresh = request.control.keys.rotate(&request.call.tenant.account, &id)?;
    request.control.withdraw(Ground::AccessKey(id.into())).await?;
    Ok(shown(&fresh))
}

/// An end to one.
pub(super) async fn disable(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let id = input.read::<Named>()?.key_id;
    note(request, "security.key_disable", &id).await?;
    let ended = request.control.keys.disable(&request.call.tenant.account, &id)?;
    request.control.withdraw(Ground::AccessKey(id.into())).await?;
    Ok(shown(&ended))
}

async fn note(request: &Request<'_>, action: &'static str, id: &str) -> Result<(), ApiFault> {
    let mut batch = Batch::new(&request.call.tenant);
    batch.audit.push(Entry {
        at: request.call.now,
        actor: request.call.actor.clone(),
        action,
        subject: Text::short(id),
        detail: Text::long(""),
    });
    request
        .store()
        .commit(batch)
        .await
        .map(drop)
        .map_err(ApiFault::failed)
}

fn shown(key: &Shown) -> Value {
    json!({
        "keyId": key.id,
        "role": match key.role {
            Role::Admin => "admin",
            Role::Read => "read",
            Role::Factory => "factory",
            Role::None => "none",
        },
        "regions": key.regions,
        "disabled": key.disabled,
        "lastUsed": key.last_used.map(timestamp),
        "file": key.path.display().to_string(),
    })
}
