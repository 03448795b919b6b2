//! One port for everything: what a client wants to speak is told by the application protocol that it offers.
//!
//! It stands at the front door, on port 443 as devices know it ("AWS IoT Core developer guide, Device communication
//! protocols", table of ports). Whether a certificate is demanded follows from that protocol; who may come in is decided later.

use std::sync::Arc;

use fleet::domain_configuration::SecurityPolicy;
use rustls::Error;

use crate::tls::{self, Chosen, Hello, Shown, Terms};

/// MQTT with a client certificate.
pub(crate) const MQTT_CERTIFIED: &[u8] = b"x-amzn-mqtt-ca";
/// MQTT with what a custom authorizer makes of user name and password.
pub(crate) const MQTT_AUTHORIZED: &[u8] = b"mqtt";
/// HTTPS with a client certificate.
pub(crate) const HTTP_CERTIFIED: &[u8] = b"x-amzn-http-ca";
/// HTTPS, and WebSocket over it.
pub(crate) const HTTP: &[u8] = b"http/1.1";

/// The TLS configurations of this port.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    certified: tls::Settings,
    open: tls::Settings,
}

impl Settings {
    /// Those of a server that shows these certificates.
    pub(crate) fn new(shown: &Arc<Shown>, terms: &Terms) -> Result<Self, Error> {
        Ok(Self {
            certified: tls::Settings::of(shown, terms, true, &[MQTT_CERTIFIED, HTTP_CERTIFIED])?,
            open: tls::Settings::of(shown, terms, false, &[MQTT_AUTHORIZED, HTTP])?,
        })
    }

    /// The configuration for this client.
    pub(crate) fn choose(&self, hello: Option<&Hello>, policy: Option<SecurityPolicy>) -> Chosen {
        let certified = hello
            .iter()
            .flat_map(|hello| &hello.alpn)
            .any(|name| name == MQTT_CERTIFIED || name == HTTP_CERTIFIED);
        match certified {
            true => self.certified.choose(hello, policy),
            false => self.open.choose(hello, policy),
        }
    }
}

/// What is spoken once the handshake is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// MQTT of a client with a certificate.
    Mqtt,
    /// MQTT of a client that a custom authorizer decides on.
    Authorized,
    /// HTTP.
    Http,
}

impl Speech {
    /// What follows from the protocol that was agreed on. Who offers none speaks HTTP, as browsers' oldest tools do.
    pub(crate) fn of(protocol: Option<&[u8]>) -> Self {
        match protocol {
            Some(MQTT_CERTIFIED) => Self::Mqtt,
            Some(MQTT_AUTHORIZED) => Self::Authorized,
            _ => Self::Http,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_means_one_speech() {
        for (protocol, expected) in [
            (Some(&b"x-amzn-mqtt-ca"[..]), Speech::Mqtt),
            (Some(b"mqtt"), Speech::Authorized),
            (Some(b"http/1.1"), Speech::Http),
            (Some(b"x-amzn-http-ca"), Speech::Http),
            (None, Speech::Http),
        ] {
            assert_eq!(Speech::of(protocol), expected);
        }
    }
}
