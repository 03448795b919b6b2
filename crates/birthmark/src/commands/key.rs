//! `birthmark key …`: access keys of the API, without their secrets.
//!
//! A secret never crosses the network: a rotated key is in its file on the server's machine.

use serde_json::Value;

use super::{
    factory::{client, print},
    registration::text,
};
use crate::{
    args::{Key, KeyNamed, ManifestQuestion},
    aws::percent_encoded,
    exit::{Context, DONE, Failure, escaped},
    words::{say, tell},
};

/// Runs one of them.
pub(crate) fn run(typed: &Key) -> Result<u8, Failure> {
    match typed {
        Key::List(typed) => list(typed),
        Key::Rotate(typed) => change(typed, "rotate"),
        Key::Disable(typed) => change(typed, "disable"),
    }
}

fn list(typed: &ManifestQuestion) -> Result<u8, Failure> {
    let answer = client(&typed.api)?
        .call("GET", "/birthmark/keys", &[], None)
        .refused(|| "the cloud did not show its keys".to_owned())?;
    if typed.json {
        print(&answer)?;
        return Ok(DONE);
    }
    for key in answer.get("keys").and_then(Value::as_array).into_iter().flatten() {
        let used = match key.get("lastUsed").and_then(Value::as_f64) {
            #[expect(clippy::cast_possible_truncation, reason = "seconds of any date fit")]
            Some(seconds) => identity::UnixMillis::from_seconds(seconds as i64).to_rfc3339(),
            None => "never".to_owned(),
        };
        let state = match key.get("disabled") {
            Some(Value::Bool(true)) => "disabled",
            _ => "counts",
        };
        let line = format!(
            "{} {} {state}, last used {used}, {}",
            text(key, "keyId"),
            text(key, "role"),
            text(key, "file")
        );
        tell(&escaped(&line)).fault(|| "could not write to stdout".to_owned())?;
    }
    Ok(DONE)
}

fn change(typed: &KeyNamed, how: &str) -> Result<u8, Failure> {
    let path = format!("/birthmark/keys/{}/{how}", percent_encoded(&typed.id));
    let answer = client(&typed.api)?
        .call("POST", &path, &[], None)
        .refused(|| format!("the cloud did not {how} the key {}", typed.id))?;
    tell(&text(&answer, "keyId")).fault(|| "could not write to stdout".to_owned())?;
    say(&match how {
        "rotate" => format!(
            "the new key is in {} on the server's machine",
            text(&answer, "file")
        ),
        _ => "it counts no more".to_owned(),
    });
    Ok(DONE)
}
