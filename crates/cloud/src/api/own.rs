//! GET /birthmark/attempts: why devices of this account were let in or refused, for those who hold a key of it.
//!
//! It stands beside the operations of AWS IoT, under a path that none of theirs begins with, and is signed like them.

use serde::Deserialize;
use serde_json::{Value, json};
use store::{AttemptReader, Attempts as _, Filter};

use super::Request;
use super::fault::ApiFault;
use super::operation::Input;
use super::render::Answer;
use crate::attempts::{to_json, what};
use crate::limits::ATTEMPTS_TOLD_MAX;

#[derive(Deserialize)]
struct Asked {
    what: Option<String>,
    #[serde(default)]
    refused: bool,
    count: Option<i64>,
}

/// The newest attempts of the caller's account and region, newest first.
pub(super) async fn attempts(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let asked: Asked = input.read()?;
    let count = usize::try_from(asked.count.unwrap_or(1))
        .ok()
        .filter(|count| (1..=ATTEMPTS_TOLD_MAX).contains(count))
        .ok_or_else(|| ApiFault::invalid("cloud.api.count", format!("count is 1 to {ATTEMPTS_TOLD_MAX}")))?;
    let filter = Filter {
        what: what(asked.what.as_deref().unwrap_or("last")),
        tenant: Some(request.call.tenant),
        refused_only: asked.refused,
    };
    request.control.attempts.flush().await?;
    let data_dir = request.control.plan.data_dir.clone();
    let read = move || AttemptReader::open(&data_dir)?.newest(&filter, count);
    let found = tokio::task::spawn_blocking(read)
        .await
        .map_err(ApiFault::failed)??;
    let shown: Vec<Value> = found.iter().map(to_json).collect();
    Ok(json!({ "attempts": shown }))
}
