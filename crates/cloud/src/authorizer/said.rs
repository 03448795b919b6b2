//! What an authorizer said over one HTTP connection, so that it need not be asked about every request.
//!
//! It stands between requests and the authorizer, where that is made with `enableCachingForHttp` (AWS IoT API reference,
//! CreateAuthorizer): what it said counts for the same credentials over the same connection, until it is to be asked again.
//! It must never count for an authorizer that has changed since, or for a request that shows anything else of a caller.

use core::cell::RefCell;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use fleet::attempt::Trail;
use fleet::authorizer::Authorizer;
use fleet::record::Versioned;
use http::HeaderMap;
use identity::{Tenant, UnixMillis};

use super::{Credentials, admitted, cleared, find};
use crate::api::{ApiFault, query_pairs};
use crate::authorizer::Question;
use crate::clock;
use crate::control::Control;
use crate::shard::Clearance;

/// Headers that tell of one message, and nothing of who sends it.
const OF_MESSAGE: [&str; 7] = [
    "content-length",
    "content-type",
    "date",
    "traceparent",
    "x-amz-mqtt5-correlation-data",
    "x-amz-mqtt5-payload-format-indicator",
    "x-amz-mqtt5-user-properties",
];
/// The same in a query.
const OF_MESSAGE_QUERY: [&str; 5] = ["contentType", "messageExpiry", "qos", "responseTopic", "retain"];

/// The last thing that was said.
#[derive(Default)]
pub(crate) struct Said(RefCell<Option<Entry>>);

#[derive(Clone)]
struct Entry {
    key: [u8; 32],
    clearance: Arc<Clearance>,
    until: UnixMillis,
}

impl Said {
    fn recall(&self, key: &[u8; 32], now: UnixMillis) -> Option<Arc<Clearance>> {
        let entry = self.0.borrow();
        let entry = entry.as_ref()?;
        (entry.key == *key && now < entry.until).then(|| entry.clearance.clone())
    }
}

/// Asks the authorizer about an HTTP request, unless what it said counts still. None: nobody decides.
///
/// # Errors
/// The request is of nobody whom the authorizer knows; the steps are in the trail.
pub(crate) async fn authorize_request(
    control: &Control,
    tenant: &Tenant,
    credentials: &Credentials<'_>,
    said: &Said,
    trail: &mut Trail,
) -> Result<Option<Arc<Clearance>>, ApiFault> {
    let Some(found) = find(control, tenant, credentials, trail).await? else {
        return Ok(None);
    };
    let authorizer = &found.record;
    let now = clock::now();
    let key = credentials
        .of_request()
        .filter(|_| authorizer.caching)
        .map(|(headers, query)| key_of(&found, headers, query));
    if let Some(clearance) = key.and_then(|key| said.recall(&key, now)) {
        trail.passed("authorizer.answer", "as it said before over this connection");
        return Ok(Some(clearance));
    }
    let question = Question::new(tenant, authorizer, credentials.shown(authorizer))?;
    let admitted = admitted(control, &question, authorizer, trail).await?;
    let until = now.plus_millis(admitted.refresh_millis());
    let clearance = Arc::new(cleared(&question, admitted));
    *said.0.borrow_mut() = key.map(|key| Entry {
        key,
        clearance: clearance.clone(),
        until,
    });
    Ok(Some(clearance))
}

/// The same for requests that show the same of their caller, to the same version of the same authorizer.
fn key_of(authorizer: &Versioned<Authorizer>, headers: &HeaderMap, query: &str) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    let mut add = |part: &[u8]| {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    };
    add(authorizer.record.name.as_bytes());
    add(&authorizer.version.to_be_bytes());
    for (name, value) in headers
        .iter()
        .filter(|(name, _)| !OF_MESSAGE.contains(&name.as_str()))
    {
        add(name.as_str().as_bytes());
        add(value.as_bytes());
    }
    add(b"?");
    for (name, value) in query_pairs(query).filter(|(name, _)| !OF_MESSAGE_QUERY.contains(name)) {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    let mut key = [0; 32];
    let digest = context.finish();
    key.iter_mut()
        .zip(digest.as_ref())
        .for_each(|(to, from)| *to = *from);
    key
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn authorizer(version: u64) -> Versioned<Authorizer> {
        let record = Authorizer {
            name: "gate".to_owned(),
            function_arn: String::new(),
            token_key_name: "token".to_owned(),
            keys: BTreeMap::new(),
            status: "ACTIVE".to_owned(),
            signing_disabled: true,
            caching: true,
            created: UnixMillis(0),
            modified: UnixMillis(0),
            tags: Vec::new(),
        };
        Versioned { record, version }
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let lines = lines
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        lines.collect()
    }

    #[test]
    fn only_the_same_caller_is_known_again() {
        let first = headers(&[("token", "t"), ("content-length", "3")]);
        let key = key_of(&authorizer(1), &first, "qos=1&place=a");
        let check =
            |version, lines: &[_], query: &str| key_of(&authorizer(version), &headers(lines), query) == key;
        assert!(check(
            1,
            &[("token", "t"), ("content-length", "4")],
            "qos=0&place=a"
        ));
        assert!(check(1, &[("token", "t")], "retain=true&place=a"));
        for (version, lines, query) in [
            (2, vec![("token", "t")], "place=a"),
            (1, vec![("token", "u")], "place=a"),
            (1, vec![("token", "t"), ("cookie", "c")], "place=a"),
            (1, vec![], "place=a"),
            (1, vec![("token", "t")], "place=b"),
            (1, vec![("token", "t")], ""),
        ] {
            assert!(!check(version, &lines, query), "{version} {lines:?} {query}");
        }
    }
}
