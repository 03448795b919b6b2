//! UpdateEventConfigurations and DescribeEventConfigurations.
//!
//! They stand between the wire and `fleet::event_switches`.

use std::collections::BTreeMap;

use fleet::event_switches::{self, EVENT_TYPES, EventSwitches};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::operation::Input;
use super::render::{Answer, nothing, object};
use super::{Request, fault::ApiFault, timestamp};

#[derive(Deserialize)]
struct Switch {
    #[serde(rename = "Enabled", default)]
    enabled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Update {
    #[serde(default)]
    event_configurations: BTreeMap<String, Switch>,
}

/// UpdateEventConfigurations.
pub(super) async fn update(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Update = input.read()?;
    let wanted: BTreeMap<String, bool> = input
        .event_configurations
        .into_iter()
        .map(|(name, switch)| (name, switch.enabled))
        .collect();
    request
        .decide(async || {
            let existing = request.kept::<EventSwitches>("").await?;
            Ok(event_switches::update(
                &request.call,
                wanted.clone(),
                existing.as_ref(),
            )?)
        })
        .await?;
    Ok(nothing())
}

/// DescribeEventConfigurations.
pub(super) async fn describe(request: &Request<'_>, _: Input) -> Result<Answer, ApiFault> {
    let existing = request.kept::<EventSwitches>("").await?.map(|found| found.record);
    let is_on = |name: &str| existing.as_ref().is_some_and(|switches| switches.is_on(name));
    let shown: Map<String, Value> = EVENT_TYPES
        .iter()
        .map(|name| ((*name).to_owned(), json!({ "Enabled": is_on(name) })))
        .collect();
    Ok(object(json!({
        "eventConfigurations": shown,
        "creationDate": existing.as_ref().map(|switches| timestamp(switches.created)),
        "lastModifiedDate": existing.as_ref().map(|switches| timestamp(switches.modified)),
    })))
}
