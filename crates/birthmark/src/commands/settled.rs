//! Asks a server that runs on a data directory to write down every attempt it has seen so far.
//!
//! Attempts are written many at once, a moment after they were made, since nobody waits for them. Who asks why a device was
//! refused a second ago means that one, though. Where nobody answers there is nothing to be waited for: this never fails.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::aws::{AccessKey, Client, Endpoint};

/// Whoever is asked for attempts writes them all down first; one is enough to ask for.
const QUESTION: &str = "/birthmark/attempts?count=1";

/// Returns when everything that has happened so far can be read, or when there is no server that could say so.
pub(crate) fn settle(data_dir: &Path) {
    let _ = ask(data_dir);
}

fn ask(data_dir: &Path) -> Option<()> {
    let ready: Value = serde_json::from_slice(&fs::read(data_dir.join("ready.json")).ok()?).ok()?;
    let text = |key: &str| ready.get(key).and_then(Value::as_str);
    let endpoint = Endpoint {
        url: format!("https://{}", text("api")?),
        ca_bundle_pem: fs::read_to_string(text("server_ca")?).ok()?,
        region: identity::Region::default().to_string(),
        real_aws: false,
    };
    let key = AccessKey::from_file(Path::new(text("credentials")?), "default").ok()?;
    let mut client = Client::new(&endpoint, key).ok()?;
    client.call("GET", QUESTION, &[], None).ok().map(drop)
}
