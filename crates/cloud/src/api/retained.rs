//! GetRetainedMessage and ListRetainedMessages: what stays on topics.
//!
//! It stands between the wire and the shards, each of which knows all retained messages of a tenant.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use broker::RetainedMessage;
use fleet::{Exception, Refusal};
use mqtt::v5::Property;
use policy::{Action, Resource};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Request;
use super::fault::ApiFault;
use super::operation::Input;
use super::render::{Answer, object};

/// Messages of a page ("AWS IoT Core API reference, ListRetainedMessages").
const PAGE_MAX: i64 = 200;

#[derive(Deserialize)]
struct Get {
    topic: String,
}

/// GetRetainedMessage.
pub(super) async fn fetch(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let Get { topic } = input.read()?;
    request.authorize(Action::GetRetainedMessage, Resource::topic(&topic))?;
    let found = request
        .control
        .shards
        .retained(&request.call.tenant, &topic)
        .await?;
    let found = found.ok_or_else(|| {
        Refusal::new(
            Exception::ResourceNotFound,
            "cloud.retained.none",
            "no message stays on this topic",
        )
    })?;
    let message = &found.message;
    let mut answer = summary(&found);
    answer.remove("payloadSize");
    answer.insert("payload".into(), STANDARD.encode(message.payload()).into());
    let properties: Vec<Value> = message.properties().filter_map(user_property).collect();
    if !properties.is_empty() {
        let text = Value::from(properties).to_string();
        answer.insert("userProperties".into(), STANDARD.encode(text).into());
    }
    Ok(Value::Object(answer))
}

fn user_property(property: Property<'_>) -> Option<Value> {
    match property {
        Property::UserProperty(name, value) => Some(json!({ name: value })),
        _ => None,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    next_token: Option<String>,
    max_results: Option<i64>,
}

/// ListRetainedMessages.
pub(super) async fn list(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let List {
        next_token,
        max_results,
    } = input.read()?;
    // It has no resource of its own: only a statement on everything allows it.
    request.authorize(Action::ListRetainedMessages, Resource::topic("*"))?;
    let count = max_results.unwrap_or(PAGE_MAX);
    let count = usize::try_from(count)
        .ok()
        .filter(|_| (1..=PAGE_MAX).contains(&count));
    let count = count.ok_or_else(|| {
        ApiFault::invalid("cloud.api.member", format!("maxResults must be 1 to {PAGE_MAX}"))
    })?;
    let after = next_token.map(|token| after(&token)).transpose()?;
    let (tenant, shards) = (&request.call.tenant, &request.control.shards);
    let page = shards.list_retained(tenant, after.as_deref(), count).await?;
    let next = page.last().filter(|_| page.len() == count);
    let token = next.map(|last| STANDARD.encode(last.message.topic()));
    let topics: Vec<Value> = page.iter().map(|found| summary(found).into()).collect();
    Ok(object(json!({ "retainedTopics": topics, "nextToken": token })))
}

/// The topic that a token means.
fn after(token: &str) -> Result<String, ApiFault> {
    let wrong = || ApiFault::invalid("cloud.api.token", "nextToken was not made by this server");
    let bytes = STANDARD.decode(token).map_err(|_| wrong())?;
    String::from_utf8(bytes).map_err(|_| wrong())
}

fn summary(found: &RetainedMessage) -> Map<String, Value> {
    let message = &found.message;
    let mut members = Map::new();
    members.insert("topic".into(), message.topic().into());
    members.insert("payloadSize".into(), message.payload().len().into());
    members.insert("qos".into(), (message.qos() as u8).into());
    members.insert("lastModifiedTime".into(), found.published.0.into());
    members
}
