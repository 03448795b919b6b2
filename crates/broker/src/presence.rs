//! Events that the broker publishes about its own clients (AWS IoT developer guide, "Lifecycle events"): connected,
//! disconnected, connect failed, subscribed, unsubscribed.
//!
//! They are ordinary messages on `$aws/events/...`: whoever listens needs the permission for it. Client ids that hold `#` or `+`
//! have none, as at AWS, since such a topic cannot be.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::sync::Arc;

use identity::{Tenant, UnixMillis};
use mqtt::{QoS, TopicName};

use crate::action::CloseReason;
use crate::event::SessionId;
use crate::message::Message;
use crate::session::Live;

/// Whom an event is about.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) client_id: &'a str,
    pub(crate) certificate: &'a str,
    pub(crate) session: SessionId,
}

impl<'a> Subject<'a> {
    pub(crate) fn of(client_id: &'a str, live: &'a Live) -> Self {
        Self {
            tenant: &live.grant.tenant,
            client_id,
            certificate: live.context.principal(),
            session: live.id,
        }
    }
}

pub(crate) fn connected(client_id: &str, live: &Live, now: UnixMillis) -> Option<Arc<Message>> {
    let mut event = Event::new(Subject::of(client_id, live), "connected", now);
    event.text("ipAddress", &live.context.source_ip().to_string());
    event.plain("versionNumber", live.version);
    event.message("presence")
}

pub(crate) fn disconnected(
    client_id: &str,
    live: &Live,
    reason: CloseReason,
    now: UnixMillis,
) -> Option<Arc<Message>> {
    let mut event = Event::new(Subject::of(client_id, live), "disconnected", now);
    event.plain("clientInitiatedDisconnect", reason.is_client_initiated());
    event.text("disconnectReason", reason.disconnect_reason().name());
    event.plain("versionNumber", live.version);
    event.message("presence")
}

pub(crate) fn connect_failed(
    subject: Subject<'_>,
    source_ip: IpAddr,
    now: UnixMillis,
) -> Option<Arc<Message>> {
    let mut event = Event::new(subject, "connect_failed", now);
    event.text("ipAddress", &source_ip.to_string());
    event.text("connectFailureReason", "AUTHORIZATION_FAILED");
    event.message("presence")
}

pub(crate) fn subscriptions(
    client_id: &str,
    live: &Live,
    kind: &'static str,
    filters: &[&str],
    now: UnixMillis,
) -> Option<Arc<Message>> {
    let mut event = Event::new(Subject::of(client_id, live), kind, now);
    event.list("topics", filters);
    event.message("subscriptions")
}

/// One event as a JSON object in the making.
struct Event<'a> {
    subject: Subject<'a>,
    kind: &'static str,
    json: String,
}

impl<'a> Event<'a> {
    fn new(subject: Subject<'a>, kind: &'static str, now: UnixMillis) -> Self {
        let mut event = Event {
            subject,
            kind,
            json: {
                // Long enough for all but the longest client ids.
                let mut json = String::with_capacity(384);
                json.push('{');
                json
            },
        };
        event.text("clientId", subject.client_id);
        event.plain("timestamp", now.0);
        event.text("eventType", kind);
        event.text("sessionIdentifier", &subject.session.to_string());
        event.text("principalIdentifier", subject.certificate);
        event
    }

    fn name(&mut self, name: &str) {
        let separator = if self.json.len() > 1 { "," } else { "" };
        let _written = write!(self.json, "{separator}\"{name}\":");
    }

    fn plain(&mut self, name: &str, value: impl fmt::Display) {
        self.name(name);
        let _written = write!(self.json, "{value}");
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        quote(&mut self.json, value);
    }

    fn list(&mut self, name: &str, values: &[&str]) {
        self.name(name);
        for (index, value) in values.iter().enumerate() {
            self.json.push(if index == 0 { '[' } else { ',' });
            quote(&mut self.json, value);
        }
        self.json.push_str(if values.is_empty() { "[]" } else { "]" });
    }

    fn message(mut self, group: &str) -> Option<Arc<Message>> {
        self.json.push('}');
        let Self {
            subject: Subject {
                tenant, client_id, ..
            },
            kind,
            json,
        } = self;
        let topic = format!("$aws/events/{group}/{kind}/{client_id}");
        let topic = TopicName::new(&topic).ok()?;
        Message::new(*tenant, topic, json.as_bytes(), QoS::AtLeastOnce).ok()
    }
}

/// A JSON string (RFC 8259 section 7).
fn quote(json: &mut String, text: &str) {
    json.push('"');
    if !text
        .bytes()
        .any(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f | 0x7f))
    {
        json.push_str(text);
        json.push('"');
        return;
    }
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            '\0'..='\x1f' | '\x7f' => {
                let _written = write!(json, "\\u{:04x}", u32::from(c));
            }
            _ => json.push(c),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_inside_its_string() {
        let mut json = String::new();
        quote(&mut json, "a\"b\\c\n\u{7f}ä");
        assert_eq!(json, r#""a\"b\\c\u000a\u007fä""#);
    }

    #[test]
    fn an_event_is_an_object_on_the_topic_of_its_client() {
        let tenant = Tenant::default();
        let certificate = "abcd";
        let subject = Subject {
            tenant: &tenant,
            client_id: "c/1",
            certificate,
            session: SessionId([0x11; 16]),
        };
        let source_ip = IpAddr::from([192, 0, 2, 1]);
        let message = connect_failed(subject, source_ip, UnixMillis(5)).unwrap();
        assert_eq!(message.topic(), "$aws/events/presence/connect_failed/c/1");
        let expected = format!(
            r#"{{"clientId":"c/1","timestamp":5,"eventType":"connect_failed","sessionIdentifier":"11111111-1111-1111-1111-111111111111","principalIdentifier":"{certificate}","ipAddress":"192.0.2.1","connectFailureReason":"AUTHORIZATION_FAILED"}}"#
        );
        assert_eq!(std::str::from_utf8(message.payload()), Ok(&*expected));
    }

    #[test]
    fn a_client_id_with_a_wildcard_has_no_events() {
        let tenant = Tenant::default();
        for client_id in ["a#", "+"] {
            let subject = Subject {
                tenant: &tenant,
                client_id,
                certificate: "",
                session: SessionId([0; 16]),
            };
            assert!(connect_failed(subject, IpAddr::from([0, 0, 0, 0]), UnixMillis(0)).is_none());
        }
    }
}
