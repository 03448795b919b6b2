//! A client's side of one connection: bytes in, events out, bytes to send appended to the caller's buffer.
//!
//! It keeps the order of packets, the identifiers, the window of unacknowledged messages and the keep alive. It never sends
//! anything by itself and it does not acknowledge a message before the caller says so: what was acknowledged must already
//! be safe with the caller.

use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use crate::connect::{Connect, ConnectReturn};
use crate::encode::{self, Unencodable};
use crate::fault::Malformed;
use crate::frame::{self, Decoded, PacketType};
use crate::keep_alive::KeepAlive;
use crate::limits::{CLIENT_REQUESTS_MAX, CLIENT_UNACKNOWLEDGED_MAX};
use crate::packet::{Packet, PacketId, QoS};
use crate::publish::{Delivery, Publish};
use crate::subscribe::{SubscribeReturns, Subscription};
use crate::topic::{TopicFilter, TopicName};
use crate::window::{Window, WindowFull};

/// One connection, from the client's side.
#[derive(Debug)]
pub struct Session {
    phase: Phase,
    keep_alive: KeepAlive,
    packet_bytes_max: usize,
    sent_millis: i64,
    ping_sent_millis: Option<i64>,
    /// Publishes, subscribes and unsubscribes share one space of identifiers (section 2.3.1).
    waiting: Window<Waiting>,
    publishes: usize,
    requests: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    AwaitingAnswer,
    Connected,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Publish,
    Subscribe { filters: usize },
    Unsubscribe,
}

/// What the first bytes of the received stream were.
#[derive(Clone, Debug, PartialEq)]
pub enum Received<'a> {
    /// Not a whole packet yet: read until there are at least this many bytes.
    Incomplete {
        /// Bytes the packet needs in total, as far as is known.
        bytes_needed: usize,
    },
    /// One packet, `bytes` long; the next begins after it.
    Event {
        /// What it means.
        event: Event<'a>,
        /// How many bytes of the stream it took.
        bytes: usize,
    },
}

/// What the server said.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// The server took the connection.
    Connected {
        /// It still knew the session.
        session_present: bool,
    },
    /// The server refused the connection and will close it.
    Refused(ConnectReturn),
    /// A message. At QoS 1 call [`Session::acknowledge`] with its identifier once it is safe.
    Message(Publish<'a>),
    /// A QoS 1 message of ours is with the server.
    Published(PacketId),
    /// The answer to a subscribe, one code per filter.
    Subscribed(PacketId, SubscribeReturns<'a>),
    /// The answer to an unsubscribe.
    Unsubscribed(PacketId),
    /// The answer to a ping.
    Pong,
}

/// Why a client session cannot go on, or a request cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    /// Peer: the server sent what is not a packet.
    Malformed(Malformed),
    /// Peer: the server sent a packet that has no place here.
    Unexpected(PacketType),
    /// Peer: an answer to a packet that was not sent, or of another kind or length than asked for.
    UnexpectedAnswer(PacketType, PacketId),
    /// Peer: no PINGRESP within the keep alive.
    Silent,
    /// State: the connection is not open yet, or not any more.
    NotConnected,
    /// State: too many packets wait for the server's answer.
    Full(WindowFull),
    /// Misuse: a message or request that MQTT cannot express.
    Unencodable(Unencodable),
    /// Misuse: this session does not send QoS 2.
    ExactlyOnce,
}

impl ClientError {
    /// Stable name of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(malformed) => malformed.code(),
            Self::Unexpected(_) => "mqtt.client.unexpected",
            Self::UnexpectedAnswer(..) => "mqtt.client.answer",
            Self::Silent => "mqtt.client.silent",
            Self::NotConnected => "mqtt.client.not_connected",
            Self::Full(_) => "mqtt.client.window",
            Self::Unencodable(_) => "mqtt.client.unencodable",
            Self::ExactlyOnce => "mqtt.client.qos2",
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => write!(f, "server sent {malformed}"),
            Self::Unexpected(kind) => write!(f, "server sent {kind}, which has no place here"),
            Self::UnexpectedAnswer(kind, id) => write!(
                f,
                "server sent {kind} for identifier {id}, which does not wait for it"
            ),
            Self::Silent => f.write_str("server did not answer a ping within the keep alive"),
            Self::NotConnected => f.write_str("connection is not open"),
            Self::Full(full) => full.fmt(f),
            Self::Unencodable(error) => write!(f, "cannot encode: {error}"),
            Self::ExactlyOnce => f.write_str("QoS 2 is not sent, use QoS 0 or 1"),
        }
    }
}

impl Error for ClientError {}

impl From<Unencodable> for ClientError {
    fn from(error: Unencodable) -> Self {
        Self::Unencodable(error)
    }
}

impl Session {
    /// Writes the CONNECT. `packet_bytes_max` bounds what the server may send in one packet.
    ///
    /// # Errors
    /// [`ClientError::Unencodable`].
    pub fn connect(
        connect: &Connect<'_>,
        packet_bytes_max: usize,
        now_millis: i64,
        out: &mut Vec<u8>,
    ) -> Result<Self, ClientError> {
        encode::connect(out, connect)?;
        Ok(Self {
            phase: Phase::AwaitingAnswer,
            keep_alive: KeepAlive::new(connect.keep_alive_seconds),
            packet_bytes_max,
            sent_millis: now_millis,
            ping_sent_millis: None,
            waiting: Window::new(CLIENT_UNACKNOWLEDGED_MAX + CLIENT_REQUESTS_MAX),
            publishes: 0,
            requests: 0,
        })
    }

    /// Reads the first packet of what was received.
    ///
    /// # Errors
    /// The peer's errors of [`ClientError`]; close the connection.
    pub fn receive<'a>(&mut self, stream: &'a [u8]) -> Result<Received<'a>, ClientError> {
        match frame::decode(stream, self.packet_bytes_max).map_err(ClientError::Malformed)? {
            Decoded::Incomplete { bytes_needed } => Ok(Received::Incomplete { bytes_needed }),
            Decoded::Packet { packet, bytes } => Ok(Received::Event {
                event: self.event(packet)?,
                bytes,
            }),
        }
    }

    fn event<'a>(&mut self, packet: Packet<'a>) -> Result<Event<'a>, ClientError> {
        match (self.phase, packet) {
            (Phase::AwaitingAnswer, Packet::ConnectAnswer(answer)) => {
                let accepted = answer.code == ConnectReturn::Accepted;
                self.phase = if accepted { Phase::Connected } else { Phase::Ended };
                let session_present = answer.session_present;
                Ok(if accepted {
                    Event::Connected { session_present }
                } else {
                    Event::Refused(answer.code)
                })
            }
            (Phase::Connected, packet) => self.connected_event(packet),
            (_, packet) => Err(ClientError::Unexpected(packet.kind())),
        }
    }

    fn connected_event<'a>(&mut self, packet: Packet<'a>) -> Result<Event<'a>, ClientError> {
        match packet {
            Packet::Publish(publish) if publish.delivery.qos() != QoS::ExactlyOnce => {
                Ok(Event::Message(publish))
            }
            Packet::PublishAcknowledged(id) => {
                self.answered(PacketType::PubAck, id, Waiting::Publish)?;
                self.publishes -= 1;
                Ok(Event::Published(id))
            }
            Packet::SubscribeAnswer(answer) => {
                let filters = answer.codes.count();
                self.answered(PacketType::SubAck, answer.id, Waiting::Subscribe { filters })?;
                self.requests -= 1;
                Ok(Event::Subscribed(answer.id, answer.codes))
            }
            Packet::UnsubscribeAnswer(id) => {
                self.answered(PacketType::UnsubAck, id, Waiting::Unsubscribe)?;
                self.requests -= 1;
                Ok(Event::Unsubscribed(id))
            }
            Packet::PingAnswer => {
                self.ping_sent_millis = None;
                Ok(Event::Pong)
            }
            other => Err(ClientError::Unexpected(other.kind())),
        }
    }

    fn answered(&mut self, kind: PacketType, id: PacketId, expected: Waiting) -> Result<(), ClientError> {
        match self.waiting.close(id) {
            Some(waiting) if waiting == expected => Ok(()),
            _ => Err(ClientError::UnexpectedAnswer(kind, id)),
        }
    }

    /// Writes a PUBLISH. At QoS 1 the identifier comes back with [`Event::Published`].
    ///
    /// # Errors
    /// [`ClientError::NotConnected`], [`ClientError::Full`] or one of the misuses.
    pub fn publish(
        &mut self,
        topic: TopicName<'_>,
        payload: &[u8],
        qos: QoS,
        now_millis: i64,
        out: &mut Vec<u8>,
    ) -> Result<Option<PacketId>, ClientError> {
        self.check_connected()?;
        let delivery = match qos {
            QoS::AtMostOnce => Delivery::AtMostOnce,
            QoS::AtLeastOnce => Delivery::AtLeastOnce {
                id: self.open_publish()?,
                duplicate: false,
            },
            QoS::ExactlyOnce => return Err(ClientError::ExactlyOnce),
        };
        let written = encode::publish(
            out,
            &Publish {
                topic,
                payload,
                delivery,
                retain: false,
            },
        );
        if let (Err(error), Some(id)) = (written, delivery.packet_id()) {
            self.waiting.close(id);
            self.publishes -= 1;
            return Err(error.into());
        }
        written?;
        self.sent_millis = now_millis;
        Ok(delivery.packet_id())
    }

    fn open_publish(&mut self) -> Result<PacketId, ClientError> {
        if self.publishes >= CLIENT_UNACKNOWLEDGED_MAX {
            return Err(ClientError::Full(WindowFull {
                waiting_max: CLIENT_UNACKNOWLEDGED_MAX,
            }));
        }
        let id = self.waiting.open(Waiting::Publish).map_err(ClientError::Full)?;
        self.publishes += 1;
        Ok(id)
    }

    /// Writes a SUBSCRIBE; the answer is [`Event::Subscribed`] with the returned identifier.
    ///
    /// # Errors
    /// [`ClientError::NotConnected`], [`ClientError::Full`] or [`ClientError::Unencodable`].
    pub fn subscribe<'a>(
        &mut self,
        subscriptions: impl IntoIterator<Item = Subscription<'a>> + Clone,
        now_millis: i64,
        out: &mut Vec<u8>,
    ) -> Result<PacketId, ClientError> {
        let filters = subscriptions.clone().into_iter().count();
        self.ask(Waiting::Subscribe { filters }, now_millis, |id| {
            encode::subscribe(out, id, subscriptions)
        })
    }

    /// Writes an UNSUBSCRIBE; the answer is [`Event::Unsubscribed`] with the returned identifier.
    ///
    /// # Errors
    /// [`ClientError::NotConnected`], [`ClientError::Full`] or [`ClientError::Unencodable`].
    pub fn unsubscribe<'a>(
        &mut self,
        filters: impl IntoIterator<Item = TopicFilter<'a>> + Clone,
        now_millis: i64,
        out: &mut Vec<u8>,
    ) -> Result<PacketId, ClientError> {
        self.ask(Waiting::Unsubscribe, now_millis, |id| {
            encode::unsubscribe(out, id, filters)
        })
    }

    fn ask(
        &mut self,
        waiting: Waiting,
        now_millis: i64,
        write: impl FnOnce(PacketId) -> Result<(), Unencodable>,
    ) -> Result<PacketId, ClientError> {
        self.check_connected()?;
        if self.requests >= CLIENT_REQUESTS_MAX {
            return Err(ClientError::Full(WindowFull {
                waiting_max: CLIENT_REQUESTS_MAX,
            }));
        }
        let id = self.waiting.open(waiting).map_err(ClientError::Full)?;
        if let Err(error) = write(id) {
            self.waiting.close(id);
            return Err(error.into());
        }
        self.requests += 1;
        self.sent_millis = now_millis;
        Ok(id)
    }

    /// Writes the PUBACK for a received QoS 1 message that is safe now.
    pub fn acknowledge(&mut self, id: PacketId, now_millis: i64, out: &mut Vec<u8>) {
        out.extend(encode::publish_acknowledged(id));
        self.sent_millis = now_millis;
    }

    /// Writes the DISCONNECT: the server forgets the will. Close the connection after sending it (`[MQTT-3.14.4-1]`).
    pub fn disconnect(&mut self, out: &mut Vec<u8>) {
        self.phase = Phase::Ended;
        out.extend(encode::DISCONNECT);
    }

    /// Writes a PINGREQ if one is due. Call it when [`Session::due_millis`] has come.
    ///
    /// # Errors
    /// [`ClientError::Silent`] when the last ping was not answered within the keep alive (section 3.1.2.10).
    pub fn keep_alive(&mut self, now_millis: i64, out: &mut Vec<u8>) -> Result<(), ClientError> {
        if self.due_millis().is_none_or(|due| now_millis < due) {
            return Ok(());
        }
        if self.ping_sent_millis.is_some() {
            return Err(ClientError::Silent);
        }
        out.extend(encode::PING_REQUEST);
        self.ping_sent_millis = Some(now_millis);
        self.sent_millis = now_millis;
        Ok(())
    }

    /// When [`Session::keep_alive`] has something to do; `None` with keep alive off or no connection.
    #[must_use]
    pub fn due_millis(&self) -> Option<i64> {
        match self.phase {
            Phase::Connected => self
                .keep_alive
                .client_due_millis(self.ping_sent_millis.unwrap_or(self.sent_millis)),
            _ => None,
        }
    }

    /// QoS 1 messages that the server has not acknowledged yet.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.publishes
    }

    fn check_connected(&self) -> Result<(), ClientError> {
        if self.phase == Phase::Connected {
            Ok(())
        } else {
            Err(ClientError::NotConnected)
        }
    }
}
