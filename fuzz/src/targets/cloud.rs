//! The cloud's edge: a ClientHello before TLS sees it, the frames of WebSocket, and the signature of an API request.

use cloud::api::sigv4::{AccessKey, Incoming, verify};
use cloud::tls::parse_hello;
use cloud::websocket::{Frames, wrap};
use fleet::arn;
use fleet::page::Marker;
use http::{HeaderMap, HeaderName, HeaderValue};
use identity::{AccountId, Tenant, UnixMillis};
use serde_json::Value;

/// The first bytes of a TLS connection.
pub(super) fn hello(bytes: &[u8]) {
    let Ok(Some(hello)) = parse_hello(bytes) else {
        return;
    };
    // However it is cut, what came so far is never refused and never read differently.
    let so_far = parse_hello(&bytes[..bytes.len() / 2]).expect("the beginning of a good one");
    assert!(so_far.is_none_or(|so_far| so_far == hello));
}

/// What a client sends over WebSocket.
pub(super) fn frames(bytes: &[u8]) {
    let decode = |piece: usize| {
        let (mut frames, mut buffer, mut replies) = (Frames::default(), Vec::new(), 0);
        for piece in bytes.chunks(piece) {
            let from = buffer.len();
            buffer.extend_from_slice(piece);
            frames.decode(&mut buffer, from);
            // It never says more than it hears: a reply has at most the length of what asked for it, and a goodbye.
            replies += frames.take_reply().map_or(0, |reply| reply.len());
        }
        assert!(buffer.len() <= bytes.len() && replies <= bytes.len() + 4);
        (buffer, frames.end())
    };
    // However it is cut, it means the same.
    let whole = decode(bytes.len().max(1));
    assert_eq!(decode(1), whole);
    assert_eq!(decode(7), whole);
    // What is sent can be read: a head as short as it can be, and then everything.
    let mut sent = whole.0.clone();
    wrap(&mut sent, 0);
    assert!(sent.ends_with(&whole.0) && sent.len() - whole.0.len() <= 10);
}

/// A request: `METHOD path?query`, header lines, an empty line, the body.
fn with_request(bytes: &[u8], ask: impl FnOnce(&Incoming<'_>)) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let Some((method, target)) = lines.next().and_then(|line| line.split_once(' ')) else {
        return;
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    ask(&Incoming {
        method,
        path,
        query,
        headers: &headers,
        body: body.as_bytes(),
    });
}

/// The operation and the members of a request, and what the names among them are to the control plane.
pub(super) fn request(bytes: &[u8]) {
    with_request(bytes, |request| match cloud::api::read(request) {
        Ok((operation, members)) => {
            assert!(!operation.is_empty());
            names(&members);
        }
        Err(exception) => assert!(exception.ends_with("Exception")),
    });
}

/// Reads every text as each kind of name that the API knows.
fn names(members: &Value) {
    match members {
        Value::String(text) => name(text),
        Value::Array(items) => items.iter().for_each(names),
        Value::Object(members) => members.values().for_each(names),
        _ => {}
    }
}

fn name(text: &str) {
    let tenant = Tenant::default();
    if let Ok(target) = arn::parse_target(&tenant, text) {
        let written = arn::target(&tenant, &target);
        assert_eq!(arn::parse_target(&tenant, &written), Ok(target));
    }
    let _ = arn::parse_principal(&tenant, text);
    if let Ok(marker) = Marker::parse(text) {
        assert_eq!(marker.to_token(), text);
    }
    let _ = fleet::names::PolicyName::parse(text);
    let _ = fleet::names::PolicyVersionId::parse(text);
    let _ = fleet::names::TemplateName::parse(text);
    let _ = fleet::certificate::examine_request(text);
    let _ = fleet::certificate::Registration::parse(text, Some(text), Some(text), true);
}

/// A request whose signature is checked.
pub(super) fn signature(bytes: &[u8]) {
    with_request(bytes, verified);
}

fn verified(request: &Incoming<'_>) {
    let key = AccessKey {
        id: "BMIA0000000000000000".to_owned(),
        secret: "c2VjcmV0".to_owned().into(),
        account: AccountId::default(),
        role: cloud::Role::Admin,
        regions: Vec::new(),
    };
    let now = UnixMillis::from_seconds(1_440_938_160);
    if let Ok(caller) = verify(request, |_, _| Ok(&key), now) {
        assert_eq!(caller.access_key(), key.id);
    }
}
