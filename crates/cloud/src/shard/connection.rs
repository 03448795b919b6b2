//! One connection of a shard: its wire, what waits to be read and written, and what is known of its client.
//!
//! It stands between the wire and the shard's node. It must never hold more for a client than its limit: who
//! does not read is closed.

use core::task::{Context, Poll, Waker};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use broker::{Aliases, Outgoing};
use fleet::attempt::Standing;
use identity::ThingName;
use mqtt::Version;
use policy::{CertificateFacts, Grant, ThingFacts};
use zeroize::Zeroize as _;

use super::Arrival;
use crate::arrival::Record;
use crate::footing::Footing;
use crate::limits::{OUTBOUND_BYTES_MAX, OUTPUT_KEPT_BYTES};
use crate::metrics::Listener;
use crate::wire::Wire;

/// A connection that this shard carries.
pub(super) struct Connection {
    pub(super) wire: Wire,
    /// What was read of a packet that is not complete.
    pub(super) input: Vec<u8>,
    /// Whether there is input that nobody looked at, because it came before the client was attached.
    pub(super) unread: bool,
    pub(super) grant: Arc<Grant>,
    /// The version of MQTT it speaks; known when it is attached.
    pub(super) version: Version,
    /// The CONNECT, until it is answered.
    pub(super) opening: Option<Box<Opening>>,
    pub(super) client: Box<Client>,
    /// Whether its CONNACK is on its way.
    pub(super) welcomed: bool,
    /// Whether it is on the shard's list of connections with something to send.
    pub(super) touched: bool,
    /// Requests to the server that are not answered yet.
    pub(super) asks: u8,
    /// What it rests on besides its certificate.
    pub(super) footing: Option<Box<Footing>>,
    /// The topics that its client knows by number; most know none.
    pub(super) aliases: Option<Box<Aliases>>,
    /// Wakes the task of this connection.
    pub(super) waker: Option<Waker>,
    /// Whether there is something in `output` that is to be wiped when it is sent.
    pub(super) secret: bool,
    output: Vec<u8>,
    /// How much of `output` the wire has taken already.
    taken: usize,
    /// Whether the socket took less than there was.
    blocked: bool,
}

/// What is only needed until the client is attached.
pub(super) struct Opening {
    pub(super) received: Vec<u8>,
    pub(super) facts: Arc<CertificateFacts>,
    pub(super) things: Arc<[ThingFacts]>,
    pub(super) by_name: bool,
    pub(super) record: Record,
}

/// What attempt records tell of the client.
pub(super) struct Client {
    pub(super) peer: Option<SocketAddr>,
    /// Whether it showed a certificate; its wire has it.
    pub(super) shows_certificate: bool,
    pub(super) thing: Option<ThingName>,
    pub(super) standing: Standing,
    pub(super) listener: Listener,
}

/// What became of bytes that were to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queued {
    /// They will be sent.
    Taken,
    /// They were thrown away: the client does not read, and they promise nothing.
    Dropped,
    /// The client does not read and must be closed.
    Overfull,
}

impl Connection {
    /// Takes a connection onto this thread's runtime.
    pub(super) fn new(arrival: Arrival) -> io::Result<Self> {
        let Arrival {
            wire,
            received,
            clearance,
            mut record,
            place,
        } = arrival;
        drop(place);
        let client_id = record
            .attempt
            .client_id
            .as_ref()
            .map(|id| id.as_str().to_owned())
            .unwrap_or_default();
        let attached = clearance
            .things
            .iter()
            .find(|thing| thing.name.as_str() == client_id);
        let thing = attached
            .or_else(|| clearance.things.first())
            .map(|thing| thing.name.clone());
        if thing.is_some() {
            record.attempt.thing.clone_from(&thing);
        }
        let client = Client {
            peer: record.attempt.peer,
            shows_certificate: record.attempt.certificate.is_some(),
            thing,
            standing: record.attempt.standing,
            listener: record.listener,
        };
        let opening = Opening {
            received,
            facts: clearance.facts,
            things: clearance.things,
            by_name: clearance.by_name,
            record,
        };
        Ok(Self {
            wire: wire.attach()?,
            input: Vec::new(),
            unread: false,
            grant: clearance.grant,
            version: Version::default(),
            opening: Some(Box::new(opening)),
            client: Box::new(client),
            welcomed: false,
            touched: false,
            asks: 0,
            secret: false,
            footing: clearance.footing,
            aliases: None,
            waker: None,
            output: Vec::new(),
            taken: 0,
            blocked: false,
        })
    }

    /// Remembers the task, so that others can wake it.
    pub(super) fn note_waker(&mut self, context: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(context.waker()),
            empty => *empty = Some(context.waker().clone()),
        }
    }

    /// Wakes the task.
    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Adds a packet to what is to be sent.
    pub(super) fn queue(&mut self, packet: &Outgoing) -> Queued {
        let waiting = self.output.len() - self.taken;
        if waiting + packet.bytes() > OUTBOUND_BYTES_MAX {
            return if packet.is_expendable() {
                Queued::Dropped
            } else {
                Queued::Overfull
            };
        }
        let before = self.output.len();
        packet.append_with(self.aliases.as_deref_mut(), &mut self.output);
        self.wire.wrap(&mut self.output, before);
        Queued::Taken
    }

    /// Adds what the client's frames ask to be answered, if they do, and sends it. Of what is not read nothing more is answered.
    pub(super) fn reply(&mut self) -> io::Result<()> {
        let Some(reply) = self.wire.take_reply() else {
            return Ok(());
        };
        if self.output.len() - self.taken + reply.len() <= OUTBOUND_BYTES_MAX {
            self.output.extend_from_slice(&reply);
        }
        match self.blocked {
            true => Ok(()),
            false => self.flush(),
        }
    }

    /// Sends what the socket takes. When it takes less than there is, the connection's own task waits for it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        loop {
            let waiting = self.output.get(self.taken..).unwrap_or_default();
            if !waiting.is_empty() {
                self.taken += self.wire.take(waiting)?;
            }
            if !self.wire.push()? {
                self.blocked = true;
                self.wake();
                return Ok(());
            }
            if self.taken == self.output.len() {
                self.taken = 0;
                if core::mem::take(&mut self.secret) {
                    self.output.zeroize();
                }
                self.output.clear();
                self.output.shrink_to(OUTPUT_KEPT_BYTES);
                return Ok(());
            }
        }
    }

    /// Waits until a full socket takes more, and sends on; ready at once if nothing is stuck.
    pub(super) fn poll_unblock(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.blocked {
            match self.wire.poll_push(context) {
                Poll::Ready(Ok(())) => {
                    self.blocked = false;
                    self.flush()?;
                }
                other => return other,
            }
        }
        Poll::Ready(Ok(()))
    }
}
