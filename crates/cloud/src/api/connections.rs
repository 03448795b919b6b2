//! GetConnection, ListSubscriptions and DeleteConnection: the clients that are connected, or will come back.
//!
//! It stands between the wire and the shard that owns the client id.

use fleet::{Exception, Refusal};
use mqtt::QoS;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Request;
use super::fault::ApiFault;
use super::listing::{Pages, by_token, part};
use super::operation::Input;
use super::render::{Answer, nothing, object};
use crate::shard::ClientNews;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Get {
    client_id: String,
    #[serde(default)]
    include_socket_information: bool,
}

/// GetConnection.
pub(super) async fn fetch(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Get = input.read()?;
    let ClientNews {
        state, peer, reached, ..
    } = client(request, &input.client_id).await?;
    let connection = state.connection.as_ref();
    let absence = state.absence.filter(|_| connection.is_none());
    let [peer, reached] = [peer, reached].map(|address| address.filter(|_| input.include_socket_information));
    Ok(object(json!({
        "clientId": input.client_id,
        "connected": connection.is_some(),
        "thingName": connection.and_then(|connection| connection.thing.as_deref()),
        "cleanSession": state.clean,
        "sessionExpiry": state.expiry_seconds,
        "keepAliveDuration": connection.map(|connection| connection.keep_alive_seconds),
        "connectedSince": connection.map(|connection| connection.since.0),
        "disconnectedSince": absence.map(|absence| absence.since.0),
        "disconnectReason": absence.and_then(|absence| absence.reason).map(|reason| reason.name()),
        "sourceIp": peer.map(|peer| peer.ip().to_canonical().to_string()),
        "sourcePort": peer.map(|peer| peer.port()),
        "targetIp": reached.map(|reached| reached.ip().to_canonical().to_string()),
        "targetPort": reached.map(|reached| reached.port()),
    })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    client_id: String,
    #[serde(flatten)]
    pages: Pages,
}

/// ListSubscriptions.
pub(super) async fn subscriptions(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: List = input.read()?;
    let page = input.pages.tokens()?;
    let found = client(request, &input.client_id).await?.subscriptions;
    let page = part(found, page);
    Ok(by_token(
        "subscriptions",
        &page,
        |(filter, qos)| json!({ "topicFilter": &**filter, "qos": qos_of(*qos) }),
    ))
}

fn qos_of(qos: QoS) -> Value {
    (qos as u8).into()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delete {
    client_id: String,
    #[serde(default)]
    clean_session: bool,
    #[serde(default)]
    prevent_will_message: bool,
}

/// DeleteConnection.
pub(super) async fn delete(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Delete = input.read()?;
    check_client_id(&input.client_id)?;
    let how = (input.clean_session, input.prevent_will_message);
    let (tenant, shards) = (&request.call.tenant, &request.control.shards);
    match shards.disconnect(tenant, &input.client_id, how).await? {
        true => Ok(nothing()),
        false => Err(unknown().into()),
    }
}

async fn client(request: &Request<'_>, client_id: &str) -> Result<ClientNews, ApiFault> {
    check_client_id(client_id)?;
    let found = request.control.shards.client(&request.call.tenant, client_id);
    found.await?.ok_or_else(|| unknown().into())
}

pub(super) fn check_client_id(client_id: &str) -> Result<(), ApiFault> {
    match client_id.starts_with('$') {
        true => Err(ApiFault::invalid(
            "cloud.connection.client_id",
            "a client id does not begin with $",
        )),
        false => Ok(()),
    }
}

/// Nobody is there to be sent something.
pub(super) fn absent() -> Refusal {
    Refusal::new(
        Exception::ResourceNotFound,
        "cloud.connection.absent",
        "no client with this id is connected",
    )
}

fn unknown() -> Refusal {
    Refusal::new(
        Exception::ResourceNotFound,
        "cloud.connection.none",
        "no client with this id is connected, and none has a session that waits for it",
    )
}
