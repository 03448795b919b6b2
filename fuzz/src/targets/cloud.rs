//! The cloud's edge: a ClientHello before TLS sees it, the frames of WebSocket, and the signature of an API request.

use cloud::api::sigv4::{AccessKey, Incoming, verify};
use cloud::tls::parse_hello;
use cloud::websocket::{Frames, wrap};
use http::{HeaderMap, HeaderName, HeaderValue};
use identity::{AccountId, UnixMillis};

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
pub(super) fn signature(bytes: &[u8]) {
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
    let request = Incoming {
        method,
        path,
        query,
        headers: &headers,
        body: body.as_bytes(),
    };
    let key = AccessKey {
        id: "BMIA0000000000000000".to_owned(),
        secret: "c2VjcmV0".to_owned().into(),
        account: AccountId::default(),
        role: cloud::Role::Admin,
        regions: Vec::new(),
    };
    let now = UnixMillis::from_seconds(1_440_938_160);
    if let Ok(caller) = verify(&request, |_| Some(&key), now) {
        assert_eq!(caller.access_key(), key.id);
    }
}
