//! The request that turns HTTP into WebSocket, and its answer (RFC 6455, 4.2; MQTT 5.0, 6).

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

/// What is hashed together with the client's key (RFC 6455, 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The subprotocols of MQTT: that of the standards, and the older one that is still offered.
const PROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];
/// Bytes of the client's key (RFC 6455, 4.1).
const KEY_BYTES: usize = 16;

/// Why a request for WebSocket is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAsked {
    /// Something that it must say is missing or wrong.
    Malformed(&'static str),
    /// It speaks another version.
    Version,
}

impl core::fmt::Display for NotAsked {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "the request for WebSocket is malformed: {what}"),
            Self::Version => f.write_str("WebSocket is spoken in version 13 here"),
        }
    }
}

/// A good request, with what it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    accept: String,
    protocol: &'static str,
}

/// Whether a request wants to become WebSocket.
pub(crate) fn is_asked(headers: &HeaderMap) -> bool {
    has_word(headers, &header::UPGRADE, "websocket")
}

impl Asked {
    /// Reads what the request says.
    ///
    /// # Errors
    /// It is not a request for MQTT over WebSocket.
    pub(crate) fn read(method: &http::Method, headers: &HeaderMap) -> Result<Self, NotAsked> {
        if method != http::Method::GET {
            return Err(NotAsked::Malformed("its method is not GET"));
        }
        if !has_word(headers, &header::CONNECTION, "upgrade") {
            return Err(NotAsked::Malformed("Connection does not say Upgrade"));
        }
        if text(headers, &header::SEC_WEBSOCKET_VERSION) != Some("13") {
            return Err(NotAsked::Version);
        }
        let key = text(headers, &header::SEC_WEBSOCKET_KEY).unwrap_or_default();
        let is_key = STANDARD.decode(key).is_ok_and(|key| key.len() == KEY_BYTES);
        if !is_key {
            return Err(NotAsked::Malformed("Sec-WebSocket-Key is not 16 bytes in Base64"));
        }
        let offered = |protocol: &&&str| has_word(headers, &header::SEC_WEBSOCKET_PROTOCOL, protocol);
        let protocol = PROTOCOLS.iter().find(offered).ok_or(NotAsked::Malformed(
            "Sec-WebSocket-Protocol does not offer mqtt [MQTT-6.0.0-3]",
        ))?;
        Ok(Self {
            accept: accept(key),
            protocol,
        })
    }

    /// What it is answered.
    pub(crate) fn answer<B: Default>(&self) -> Response<B> {
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(self.protocol),
        );
        response
    }
}

/// Proves that the key was read by a server of WebSocket (RFC 6455, 4.2.2).
fn accept(key: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key.as_bytes());
    context.update(GUID);
    STANDARD.encode(context.finish())
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether a header that is a list has this word, in any of its lines.
fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    const GOOD: [(&str, &str); 5] = [
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "chat, mqtt"),
    ];

    fn headers(change: (&'static str, &str)) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in GOOD {
            headers.insert(name, value.parse().unwrap());
        }
        match change {
            ("", _) => {}
            (name, "") => drop(headers.remove(name)),
            (name, value) => drop(headers.insert(name, value.parse().unwrap())),
        }
        headers
    }

    /// RFC 6455, 1.3: the key of the example and what it is answered.
    #[test]
    fn the_example_of_the_standard_is_answered() {
        let headers = headers(("", ""));
        assert!(is_asked(&headers));
        let answer: Response<()> = Asked::read(&Method::GET, &headers).unwrap().answer();
        assert_eq!(answer.status(), 101);
        let said = |name: &str| answer.headers()[name].to_str().unwrap();
        assert_eq!(said("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(said("sec-websocket-protocol"), "mqtt");
    }

    #[test]
    fn what_is_missing_is_named() {
        let rows = [
            (("connection", "keep-alive"), "Connection"),
            (("sec-websocket-version", "8"), "version 13"),
            (("sec-websocket-version", ""), "version 13"),
            (("sec-websocket-key", ""), "Sec-WebSocket-Key"),
            (("sec-websocket-key", "c2hvcnQ="), "Sec-WebSocket-Key"),
            (("sec-websocket-protocol", ""), "MQTT-6.0.0-3"),
            (("sec-websocket-protocol", "chat"), "MQTT-6.0.0-3"),
        ];
        for (change, named) in rows {
            let refused = Asked::read(&Method::GET, &headers(change))
                .unwrap_err()
                .to_string();
            assert!(refused.contains(named), "{change:?}: {refused}");
        }
        assert!(Asked::read(&Method::POST, &headers(("", ""))).is_err());
        assert!(!is_asked(&headers(("upgrade", "h2c"))));
    }
}
