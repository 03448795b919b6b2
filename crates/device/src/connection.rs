//! One MQTT 3.1.1 connection of a device, blocking, with an end to every wait.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt::client::{Event, Received, Session};
use mqtt::{
    Connect, Delivery, PacketId, Publish, QoS, SubscribeReturn, Subscription, TopicFilter, TopicName,
};
use rustls::ClientConfig;

use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::limits;
use crate::stream::Stream;

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the TCP connection.
    pub connect: Duration,
    /// For the TLS handshake, in which the token signs: a secure element may delay that by five seconds.
    pub handshake: Duration,
    /// For each answer of the server.
    pub answer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(20),
            answer: Duration::from_secs(20),
        }
    }
}

/// How a device presents itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options<'a> {
    /// Client identifier; at AWS by custom the thing's name.
    pub client_id: &'a str,
    /// The server closes a connection that is silent for one and a half times this; zero is never.
    pub keep_alive_seconds: u16,
    /// Whether the server forgets subscriptions when the connection ends.
    pub clean_session: bool,
    /// How long to wait.
    pub timeouts: Timeouts,
}

impl<'a> Options<'a> {
    /// A clean session with this client identifier and the defaults.
    #[must_use]
    pub fn new(client_id: &'a str) -> Self {
        Self {
            client_id,
            keep_alive_seconds: 60,
            clean_session: true,
            timeouts: Timeouts::default(),
        }
    }
}

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it was published.
    pub topic: String,
    /// What it says.
    pub payload: Vec<u8>,
    /// How it is delivered.
    pub delivery: Delivery,
    /// It was kept by the server from before the subscription.
    pub retained: bool,
}

/// An established connection. Dropping it without [`Connection::disconnect`] lets the server publish the will.
pub struct Connection {
    stream: Stream,
    session: Session,
    session_present: bool,
    timeouts: Timeouts,
    started: Instant,
    /// Bytes that arrived and are no whole packet yet.
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    messages: VecDeque<Message>,
    /// A message that was handed out and counts as taken when the caller comes back.
    handed_out: Option<PacketId>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("waiting_messages", &self.messages.len())
            .finish_non_exhaustive()
    }
}

/// What an answer of the server means to whoever waits for it.
enum Answer {
    Connected {
        session_present: bool,
    },
    Published(PacketId),
    Subscribed(PacketId, Vec<SubscribeReturn>),
    Unsubscribed(PacketId),
    /// A message was queued, or a ping came back.
    Nothing,
}

impl Connection {
    /// Connects: TCP, TLS with the device's key, CONNECT, and waits for CONNACK.
    pub fn open(endpoint: &Endpoint, tls: &Arc<ClientConfig>, options: &Options<'_>) -> Result<Self, Error> {
        let timeouts = options.timeouts;
        let stream = Stream::open(endpoint, Arc::clone(tls), timeouts.connect, timeouts.handshake)?;
        let connect = Connect {
            client_id: options.client_id,
            clean_session: options.clean_session,
            keep_alive_seconds: options.keep_alive_seconds,
            will: None,
            user_name: None,
            password: None,
        };
        let mut outbox = Vec::new();
        let session = Session::connect(&connect, limits::PACKET_BYTES_MAX, 0, &mut outbox)?;
        let mut connection = Self {
            stream,
            session,
            session_present: false,
            timeouts,
            started: Instant::now(),
            inbox: Vec::new(),
            outbox,
            messages: VecDeque::new(),
            handed_out: None,
        };
        let deadline = connection.answer_deadline();
        connection.session_present = connection.wait(deadline, "CONNACK", |answer| match answer {
            Answer::Connected { session_present } => Some(session_present),
            _ => None,
        })?;
        connection.stream.established();
        Ok(connection)
    }

    /// Whether the server still knew the session.
    #[must_use]
    pub const fn session_present(&self) -> bool {
        self.session_present
    }

    /// Whether TLS 1.3 is spoken; else it is 1.2.
    #[must_use]
    pub fn is_tls13(&self) -> bool {
        self.stream.is_tls13()
    }

    /// Publishes. At QoS 1 it returns when the server has acknowledged.
    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS) -> Result<(), Error> {
        let name = TopicName::new(topic).map_err(|cause| Error::Topic {
            text: topic.into(),
            cause,
        })?;
        let now = self.now_millis();
        let sent = self.session.publish(name, payload, qos, now, &mut self.outbox)?;
        let deadline = self.answer_deadline();
        let Some(id) = sent else {
            return self.send(deadline);
        };
        self.wait(deadline, "PUBACK", |answer| {
            matches!(answer, Answer::Published(found) if found == id).then_some(())
        })
    }

    /// Subscribes, and gives the server's answer to each filter: the granted quality, or a refusal.
    pub fn subscribe(&mut self, filters: &[(&str, QoS)]) -> Result<Vec<SubscribeReturn>, Error> {
        let subscriptions = filters
            .iter()
            .map(|(text, qos)| {
                Ok(Subscription {
                    filter: filter(text)?,
                    qos: *qos,
                })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let now = self.now_millis();
        let id = self.session.subscribe(subscriptions, now, &mut self.outbox)?;
        self.wait(self.answer_deadline(), "SUBACK", |answer| match answer {
            Answer::Subscribed(found, codes) if found == id => Some(codes),
            _ => None,
        })
    }

    /// Ends subscriptions.
    pub fn unsubscribe(&mut self, filters: &[&str]) -> Result<(), Error> {
        let filters = filters
            .iter()
            .map(|text| filter(text))
            .collect::<Result<Vec<_>, Error>>()?;
        let now = self.now_millis();
        let id = self.session.unsubscribe(filters, now, &mut self.outbox)?;
        self.wait(self.answer_deadline(), "UNSUBACK", |answer| {
            matches!(answer, Answer::Unsubscribed(found) if found == id).then_some(())
        })
    }

    /// The next message, or `None` if none arrives in time. Pings are sent meanwhile as the keep alive demands.
    ///
    /// A message at QoS 1 is acknowledged when the caller comes back for the next one or disconnects: until then it may not
    /// be safe with the caller, and the server would deliver it again.
    pub fn next_message(&mut self, within: Duration) -> Result<Option<Message>, Error> {
        let deadline = Instant::now() + within;
        self.acknowledge();
        self.send(self.answer_deadline())?;
        while self.messages.is_empty() {
            match self.progress(deadline, "a message") {
                Ok(_) => {}
                Err(Error::Timeout { .. }) if Instant::now() >= deadline => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let message = self.messages.pop_front();
        self.handed_out = message.as_ref().and_then(|message| message.delivery.packet_id());
        Ok(message)
    }

    /// Says goodbye: the server forgets the will.
    pub fn disconnect(mut self) -> Result<(), Error> {
        self.acknowledge();
        self.session.disconnect(&mut self.outbox);
        self.send(self.answer_deadline())?;
        self.stream.close(self.timeouts.answer);
        Ok(())
    }

    fn acknowledge(&mut self) {
        if let Some(id) = self.handed_out.take() {
            let now = self.now_millis();
            self.session.acknowledge(id, now, &mut self.outbox);
        }
    }

    fn answer_deadline(&self) -> Instant {
        Instant::now() + self.timeouts.answer
    }

    fn now_millis(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Waits for the answer that `pick` recognises; messages that come in between are queued.
    fn wait<T>(
        &mut self,
        deadline: Instant,
        waited_for: &'static str,
        pick: impl Fn(Answer) -> Option<T>,
    ) -> Result<T, Error> {
        loop {
            if let Some(found) = pick(self.progress(deadline, waited_for)?) {
                return Ok(found);
            }
        }
    }

    /// Sends what is due, then takes one packet that has arrived or waits for bytes.
    fn progress(&mut self, deadline: Instant, waited_for: &'static str) -> Result<Answer, Error> {
        let now = self.now_millis();
        self.session.keep_alive(now, &mut self.outbox)?;
        self.send(deadline)?;
        match self.session.receive(&self.inbox)? {
            Received::Event { event, bytes } => {
                let answer = take(event, &mut self.messages)?;
                self.inbox.drain(..bytes);
                if self.inbox.is_empty() {
                    self.inbox.shrink_to(limits::READ_BYTES);
                }
                Ok(answer)
            }
            Received::Incomplete { .. } => {
                let ping = self.session.due_millis().and_then(|due| u64::try_from(due).ok());
                let ping = ping.map(|due| self.started + Duration::from_millis(due));
                match self.stream.read(
                    &mut self.inbox,
                    ping.map_or(deadline, |due| due.min(deadline)),
                    waited_for,
                ) {
                    // Not the caller's deadline but the next ping.
                    Err(Error::Timeout { .. }) if Instant::now() < deadline => Ok(Answer::Nothing),
                    other => other.map(|()| Answer::Nothing),
                }
            }
        }
    }

    fn send(&mut self, deadline: Instant) -> Result<(), Error> {
        if self.outbox.is_empty() {
            return Ok(());
        }
        let result = self.stream.write(&self.outbox, deadline);
        self.outbox.clear();
        result
    }
}

fn take(event: Event<'_>, messages: &mut VecDeque<Message>) -> Result<Answer, Error> {
    Ok(match event {
        Event::Connected { session_present } => Answer::Connected { session_present },
        Event::Refused(code) => return Err(Error::ConnectionRefused(code)),
        Event::Message(publish) => {
            if messages.len() >= limits::QUEUED_MESSAGES_MAX {
                return Err(Error::TooManyMessages);
            }
            messages.push_back(message(&publish));
            Answer::Nothing
        }
        Event::Published(id) => Answer::Published(id),
        Event::Subscribed(id, codes) => Answer::Subscribed(id, codes.collect()),
        Event::Unsubscribed(id) => Answer::Unsubscribed(id),
        Event::Pong => Answer::Nothing,
    })
}

fn filter(text: &str) -> Result<TopicFilter<'_>, Error> {
    TopicFilter::new(text).map_err(|cause| Error::Topic {
        text: text.into(),
        cause,
    })
}

fn message(publish: &Publish<'_>) -> Message {
    Message {
        topic: publish.topic.as_str().into(),
        payload: publish.payload.to_vec(),
        delivery: publish.delivery,
        retained: publish.retain,
    }
}
