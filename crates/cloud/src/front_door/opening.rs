//! The first packet of a client that may come in: it names the client, and the name chooses the shard.
//!
//! It stands between admission and the shards. Only so many bytes are read, and only so long; what was read goes along,
//! so nothing a client sent right after its CONNECT is lost.

use std::io::{Error, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;

use core::future::poll_fn;
use fleet::attempt::{Standing, Verdict};
use fleet::domain_configuration::{Authentication, Protocol};
use fleet::text::Text;
use http::HeaderMap;
use mqtt::Version;
use mqtt::server::{First as Packet, NotFirst, first};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::{FrontDoor, admit, check_address};
use crate::api::ApiFault;
use crate::arrival::Record;
use crate::authorizer::{self, Credentials, Login};
use crate::control::Control;
use crate::deciding::ShownOut;
use crate::domains::Domain;
use crate::limits::{CONNECT_BYTES_MAX, CONNECT_DEADLINE, PACKET_BYTES_MAX};
use crate::shard::{Arrival, Clearance};
use crate::tenancy::Addressed;
use crate::wire::{Wire, linger};

/// What a client may come in with.
pub(super) enum Credential {
    /// It is known what it may do.
    Cleared(Clearance),
    /// An authorizer decides what it may do.
    Authorizer(Box<Bearer>),
}

/// A client that an authorizer is asked about as soon as its CONNECT is there.
pub(crate) struct Bearer {
    /// Whose endpoint it reached.
    pub(crate) addressed: Addressed,
    /// The domain configuration of that name.
    pub(crate) domain: Option<Arc<Domain>>,
    /// The headers and the query of the request that opened its WebSocket.
    pub(crate) http: Option<(HeaderMap, String)>,
}

/// What the first bytes of a client turned out to be.
enum First {
    /// A CONNECT with this client id.
    Connect(String),
    /// Something that is answered with these bytes, or not at all, and closed.
    Refused {
        answer: &'static [u8],
        verdict: Verdict,
        code: String,
        reason: String,
        hint: &'static str,
    },
}

/// Waits for the CONNECT, and hands the connection to the shard of its client id.
pub(super) async fn await_connect(
    door: &Rc<FrontDoor>,
    mut wire: Wire,
    mut received: Vec<u8>,
    credential: Credential,
    mut record: Record,
    place: OwnedSemaphorePermit,
) {
    let first = timeout(CONNECT_DEADLINE, read_first(&mut wire, &mut received))
        .await
        .unwrap_or_else(|_| late());
    match first {
        First::Connect(client_id) => {
            record.attempt.client_id = Some(Text::short(client_id.as_str()));
            match authorize(&door.control, &mut record, credential, &received).await {
                Ok(clearance) => hand_over(door, wire, clearance, record, received, &client_id, place).await,
                Err(fault) => {
                    ShownOut::from(fault).tell(&mut record.attempt);
                    record.keep(&door.control);
                    say(&mut wire, not_authorized(&received));
                    door.control.beside(linger(wire));
                }
            }
        }
        First::Refused {
            answer,
            verdict,
            code,
            reason,
            hint,
        } => {
            record.end(&door.control, verdict, &code, &reason, hint);
            say(&mut wire, answer);
            door.control.beside(linger(wire));
        }
    }
}

/// What the credential allows this client.
async fn authorize(
    control: &Control,
    record: &mut Record,
    credential: Credential,
    received: &[u8],
) -> Result<Clearance, ApiFault> {
    let bearer = match credential {
        Credential::Cleared(clearance) => return Ok(clearance),
        Credential::Authorizer(bearer) => bearer,
    };
    let Bearer {
        addressed,
        domain,
        http,
    } = *bearer;
    check_address(addressed)?;
    let protocol = match http {
        Some(_) => Protocol::WebSocket,
        None => Protocol::Mqtt,
    };
    admit(domain.as_deref(), protocol, Authentication::Custom)?;
    let Ok(Packet::Connect { connect, .. }) = first(received, PACKET_BYTES_MAX) else {
        return Err(ApiFault::failed("a CONNECT could not be read again"));
    };
    let server_name = record.attempt.tls.sni.clone();
    let server_name = server_name.as_ref().map(Text::as_str);
    let mut credentials = Credentials::at(domain.as_deref(), server_name).with_login(Login {
        user_name: connect.user_name,
        password: connect.password.map(|password| password.0),
        client_id: connect.client_id,
    });
    if let Some((headers, query)) = &http {
        credentials = credentials.with_http(headers, query);
    }
    let trail = &mut record.attempt.trail;
    let clearance = authorizer::authorize(control, &addressed.tenant, &credentials, trail).await?;
    record.attempt.standing = Standing::Known { ca: None };
    Ok(clearance.by_domain(domain.as_deref()))
}

/// The CONNACK that says no, in the version of the CONNECT.
fn not_authorized(received: &[u8]) -> &'static [u8] {
    match first(received, PACKET_BYTES_MAX) {
        Ok(Packet::Connect {
            version: Version::V5, ..
        }) => &[0x20, 3, 0, 0x87, 0],
        _ => &[0x20, 2, 0, 5],
    }
}

fn say(wire: &mut Wire, packet: &[u8]) {
    let mut packet = packet.to_vec();
    if !packet.is_empty() {
        wire.wrap(&mut packet, 0);
    }
    let _ = wire.take(&packet);
}

async fn hand_over(
    door: &FrontDoor,
    wire: Wire,
    clearance: Clearance,
    record: Record,
    received: Vec<u8>,
    client_id: &str,
    place: OwnedSemaphorePermit,
) {
    let control = &door.control;
    match wire.detach() {
        Ok(wire) => {
            let shard = control.shards.index_of(&clearance.grant.tenant, client_id);
            let arrival = Arrival {
                wire,
                received,
                clearance,
                record,
                place,
            };
            let Some(together) = door.departures.gather(shard, arrival).await else {
                return;
            };
            if let Err(arrivals) = control.shards.arrive(shard, together).await {
                for arrival in arrivals {
                    arrival.turn_away(control);
                }
            }
        }
        Err(error) => {
            let reason = format!("the connection could not be handed to its shard: {error}");
            record.end(control, Verdict::Faulted, "cloud.front_door.fault", &reason, "");
        }
    }
}

async fn read_first(wire: &mut Wire, received: &mut Vec<u8>) -> First {
    loop {
        match first_of(received) {
            Some(first) => return first,
            None if received.len() >= CONNECT_BYTES_MAX => return too_long(),
            None => {}
        }
        let room = CONNECT_BYTES_MAX - received.len();
        let filled = poll_fn(|context| wire.poll_fill(context, received, room)).await;
        if let Some(reply) = wire.take_reply() {
            let _ = wire.take(&reply);
            let _ = wire.push();
        }
        match filled {
            Ok(count) if count > 0 => {}
            Err(error) if error.kind() == ErrorKind::InvalidData => return misframed(&error),
            _ => return gone(received.is_empty()),
        }
    }
}

/// Reads the first packet, if it is complete.
fn first_of(received: &[u8]) -> Option<First> {
    Some(match first(received, PACKET_BYTES_MAX) {
        Ok(Packet::Incomplete { .. }) => return None,
        Ok(Packet::Connect { connect, .. }) => First::Connect(connect.client_id.to_owned()),
        Ok(Packet::Foreign(foreign)) => First::Refused {
            answer: foreign.refusal(),
            verdict: Verdict::Refused,
            code: "cloud.mqtt.version".into(),
            reason: format!("the client speaks {foreign}; MQTT 3.1.1 and 5.0 are served"),
            hint: "set the client to MQTT 3.1.1 or 5.0 (-V mqttv311 or -V mqttv5 for mosquitto)",
        },
        Err(NotFirst::Violation(violation)) => First::Refused {
            answer: b"",
            verdict: Verdict::Refused,
            code: violation.code().into(),
            reason: violation.to_string(),
            hint: "the first packet of a connection must be CONNECT",
        },
        Err(NotFirst::Malformed(malformed)) => First::Refused {
            answer: malformed.connect_refusal(),
            verdict: Verdict::Refused,
            code: identity_code(&malformed),
            reason: format!("the first packet is malformed: {malformed}"),
            hint: "check the client's MQTT library",
        },
    })
}

fn identity_code(malformed: &mqtt::Malformed) -> String {
    malformed.code().to_owned()
}

fn late() -> First {
    First::Refused {
        answer: b"",
        verdict: Verdict::Abandoned,
        code: "cloud.mqtt.connect_late".into(),
        reason: format!(
            "no CONNECT came within {} s of the handshake",
            CONNECT_DEADLINE.as_secs()
        ),
        hint: "send CONNECT right after the TLS handshake",
    }
}

/// It sends frames that WebSocket does not allow.
fn misframed(error: &Error) -> First {
    First::Refused {
        answer: b"",
        verdict: Verdict::Refused,
        code: "cloud.websocket.frame".into(),
        reason: error.to_string(),
        hint: "check the client's WebSocket library",
    }
}

fn too_long() -> First {
    First::Refused {
        answer: b"",
        verdict: Verdict::Refused,
        code: "cloud.mqtt.connect_long".into(),
        reason: format!("the CONNECT is longer than {CONNECT_BYTES_MAX} bytes"),
        hint: "shorten will, user name or password",
    }
}

fn gone(silent: bool) -> First {
    let reason = match silent {
        true => "the client closed the connection after the handshake without a CONNECT",
        false => "the client closed the connection in the middle of its CONNECT",
    };
    First::Refused {
        answer: b"",
        verdict: Verdict::Abandoned,
        code: "cloud.mqtt.gone".into(),
        reason: reason.into(),
        hint: "look at the client's own log",
    }
}
