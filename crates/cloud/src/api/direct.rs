//! SendDirectMessage: a message to one client, whatever it has subscribed to.
//!
//! It stands between the wire and the shard that owns the client id. The client's policies decide whether it may receive the
//! message; with a confirmation the caller hears that the client has it, or that it did not say so in time.

use core::time::Duration;

use mqtt::QoS;
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::Request;
use super::connections::{absent, check_client_id};
use super::fault::ApiFault;
use super::operation::Input;
use super::publish::{About, check_payload, check_topic, compose};
use super::render::Answer;
use crate::clock;
use crate::limits::{CONFIRMATION_SECONDS, CONFIRMATION_SECONDS_MAX};
use crate::shard::Direct;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Send {
    client_id: String,
    topic: String,
    #[serde(default)]
    confirmation: bool,
    timeout: Option<i64>,
    #[serde(flatten)]
    about: About,
}

impl Send {
    /// How long the client may take, if it is waited for.
    fn patience(&self) -> Result<Duration, ApiFault> {
        let seconds = self
            .timeout
            .filter(|_| self.confirmation)
            .unwrap_or(CONFIRMATION_SECONDS);
        match u64::try_from(seconds) {
            Ok(wait @ 1..=CONFIRMATION_SECONDS_MAX) => Ok(Duration::from_secs(wait)),
            _ => Err(ApiFault::invalid(
                "cloud.direct.timeout",
                format!("timeout is 1 to {CONFIRMATION_SECONDS_MAX} seconds"),
            )),
        }
    }
}

/// SendDirectMessage.
pub(super) async fn send(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Send = input.read()?;
    check_client_id(&input.client_id)?;
    let topic = check_topic(&input.topic)?;
    check_payload(request)?;
    let patience = input.patience()?;
    let qos = match input.confirmation {
        true => QoS::AtLeastOnce,
        false => QoS::AtMostOnce,
    };
    let message = compose(request, topic, qos, &input.about, None)?;
    let shards = &request.control.shards;
    match shards.direct(&input.client_id, message).await? {
        Direct::Sent => {}
        Direct::Awaited(received) => {
            let received = timeout(patience, received).await;
            received.ok().and_then(Result::ok).ok_or(ApiFault::Unconfirmed)?;
        }
        Direct::Absent => return Err(absent().into()),
        Direct::Forbidden(explanation) => return Err(ApiFault::Forbidden { explanation }),
        Direct::TooLong => {
            return Err(ApiFault::invalid(
                "cloud.direct.too_long",
                "the client takes no packet that long",
            ));
        }
        Direct::Full => return Err(ApiFault::Unconfirmed),
    }
    let trace = clock::uuid().map_err(ApiFault::failed)?;
    Ok(json!({ "message": "OK", "traceId": trace.to_string() }))
}
