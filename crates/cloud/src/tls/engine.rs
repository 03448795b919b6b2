//! A TLS connection without a socket: bytes that came go in, bytes that are to go come out.
//!
//! It stands between the TLS library and [`super::Stream`]. The library keeps no buffers of its own here: what was read lies
//! in a buffer that all connections of a thread share, and a connection holds bytes only while a record is incomplete, or
//! while the socket does not take what it is to send. An idle connection holds none.
//!
//! It must always be given everything that was read and is not used up: the library remembers where in those bytes a
//! handshake message begins, and would look for it in vain.

use std::io;
use std::sync::Arc;

use identity::certificate::Certificate;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error, HandshakeKind, InvalidMessage, ServerConfig};

use super::outgoing::Outgoing;
use super::possession;
use crate::limits::{HANDSHAKE_UNUSED_BYTES_MAX, RECORD_BYTES_MAX, UNSENT_BYTES_MAX};

/// What a record adds to its content, at most (RFC 5246 6.2.3: header, nonce and tag; RFC 8446 5.2: header, type and tag).
const RECORD_OVERHEAD_BYTES_MAX: usize = 64;

/// The server side of one connection.
pub(super) struct Engine {
    tls: Box<UnbufferedServerConnection>,
    seen: Option<Box<Certificate>>,
    /// What was read and is not used up.
    unused: Vec<u8>,
    /// What was decrypted and not asked for.
    plain: Vec<u8>,
    /// What is encrypted and not sent.
    pub(super) outgoing: Outgoing,
    /// Bytes of application data in one record.
    content_bytes_max: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The peer said that nothing more comes.
    Ended,
    /// The peer broke the protocol, or was refused.
    Failed,
}

impl Engine {
    pub(super) fn new(config: Arc<ServerConfig>, content_bytes_max: usize) -> Result<Self, Error> {
        Ok(Self {
            tls: Box::new(UnbufferedServerConnection::new(config)?),
            seen: None,
            unused: Vec::new(),
            plain: Vec::new(),
            outgoing: Outgoing::default(),
            content_bytes_max,
            state: State::Open,
        })
    }

    /// What was agreed on.
    pub(super) fn common(&self) -> &CommonState {
        &self.tls
    }

    /// The certificate that the client showed in this handshake; it is handed out once.
    pub(super) fn take_seen(&mut self) -> Option<Certificate> {
        match self.seen.take() {
            Some(certificate) => Some(*certificate),
            None if self.is_resumed() => self.proven(),
            None => None,
        }
    }

    fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The certificate that was proven when the session began.
    pub(super) fn proven(&self) -> Option<Certificate> {
        Certificate::parse(self.tls.peer_certificates()?.first()?).ok()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// What must stand at the front of the buffer that the next bytes are read into.
    pub(super) fn unused(&self) -> &[u8] {
        &self.unused
    }

    /// Works on `incoming`: what [`Self::unused`] gave, and the bytes that followed. What it decrypts goes to the end of
    /// `plain`. After an error its alert waits to be sent, so that the reason can be recorded before the client hears of it.
    pub(super) fn receive(&mut self, incoming: &mut [u8], plain: &mut Vec<u8>) -> Result<(), Error> {
        if self.state != State::Open {
            return Ok(());
        }
        let Self {
            tls, seen, outgoing, ..
        } = self;
        let (used, outcome) = match tls.is_handshaking() {
            true => possession::watch(seen, || work(tls, incoming, plain, outgoing)),
            false => work(tls, incoming, plain, outgoing),
        };
        let unused = incoming.get(used..).unwrap_or_default();
        let bytes_max = match self.tls.is_handshaking() {
            true => HANDSHAKE_UNUSED_BYTES_MAX,
            false => RECORD_BYTES_MAX,
        };
        match outcome {
            Ok(State::Open) if unused.len() > bytes_max => {
                self.fail();
                Err(InvalidMessage::HandshakePayloadTooLarge.into())
            }
            Ok(State::Open) => {
                keep(&mut self.unused, unused);
                Ok(())
            }
            Ok(state) => {
                keep(&mut self.unused, &[]);
                self.state = state;
                Ok(())
            }
            Err(error) => {
                self.fail();
                Err(error)
            }
        }
    }

    /// The same, with what it decrypts kept until it is asked for.
    pub(super) fn receive_for_later(&mut self, incoming: &mut [u8]) -> Result<(), Error> {
        let mut plain = core::mem::take(&mut self.plain);
        let outcome = self.receive(incoming, &mut plain);
        self.plain = plain;
        outcome
    }

    /// Gives away what was decrypted for later, at most `bytes_max` of it.
    pub(super) fn take_plain(&mut self, bytes_max: usize, mut take: impl FnMut(&[u8])) -> usize {
        let count = bytes_max.min(self.plain.len());
        take(self.plain.get(..count).unwrap_or_default());
        match count == self.plain.len() {
            true => self.plain = Vec::new(),
            false => drop(self.plain.drain(..count)),
        }
        count
    }

    /// Keeps for later what is more than was asked for.
    pub(super) fn put_back(&mut self, surplus: &[u8]) {
        self.plain.extend_from_slice(surplus);
    }

    /// Encrypts as much as there is room for, and says how much.
    pub(super) fn encrypt(&mut self, plain: &[u8]) -> io::Result<usize> {
        let room = UNSENT_BYTES_MAX.saturating_sub(self.outgoing.len());
        let taken = plain.get(..room.min(plain.len())).unwrap_or_default();
        let content_bytes_max = self.content_bytes_max;
        self.write(|writer, outgoing| {
            for content in taken.chunks(content_bytes_max) {
                let bytes = content.len() + RECORD_OVERHEAD_BYTES_MAX;
                put(outgoing, bytes, |room| writer.encrypt(content, room))?;
            }
            Ok(())
        })?;
        Ok(taken.len())
    }

    /// Says that nothing more comes, unless that was said or the connection failed.
    pub(super) fn notify_close(&mut self) {
        // Nobody is there to hear that even this failed.
        let _ = self.write(|writer, outgoing| {
            put(outgoing, RECORD_OVERHEAD_BYTES_MAX, |room| {
                writer.queue_close_notify(room)
            })
        });
    }

    fn write(
        &mut self,
        write: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>, &mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.state == State::Failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        loop {
            let status = self.tls.process_tls_records(&mut self.unused);
            match status.state.map_err(io::Error::other)? {
                ConnectionState::WriteTraffic(mut writer) => {
                    return write(&mut writer, self.outgoing.bytes());
                }
                ConnectionState::EncodeTlsData(data) => {
                    encode(data, self.outgoing.bytes()).map_err(io::Error::other)?;
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => {}
                _ => return Err(io::ErrorKind::NotConnected.into()),
            }
        }
    }

    /// Takes the alert out of the library. It is given no bytes: it would trip over those that made it fail.
    fn fail(&mut self) {
        self.state = State::Failed;
        keep(&mut self.unused, &[]);
        while self.tls.wants_write() {
            let status = self.tls.process_tls_records(&mut []);
            let Ok(ConnectionState::EncodeTlsData(data)) = status.state else {
                break;
            };
            if encode(data, self.outgoing.bytes()).is_err() {
                break;
            }
        }
    }
}

/// Lets the library work until it needs more bytes; says how many it used up.
fn work(
    tls: &mut UnbufferedServerConnection,
    incoming: &mut [u8],
    plain: &mut Vec<u8>,
    outgoing: &mut Outgoing,
) -> (usize, Result<State, Error>) {
    let mut used = 0;
    loop {
        let bytes = incoming.get_mut(used..).unwrap_or_default();
        let UnbufferedStatus { discard, state } = tls.process_tls_records(bytes);
        used += discard;
        let outcome = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                match traffic.next_record() {
                    Some(Ok(record)) => {
                        used += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                    Some(Err(error)) => break Err(error),
                    None => break Ok(()),
                }
            },
            Ok(ConnectionState::EncodeTlsData(data)) => encode(data, outgoing.bytes()),
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(())
            }
            Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => return (used, Ok(State::Ended)),
            Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                return (used, Ok(State::Open));
            }
            // Early data is not offered, and the library has no further states today.
            Ok(_) => Err(Error::General("the TLS library wants something unknown".into())),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            return (used, Err(error));
        }
    }
}

/// Adds a record of the handshake to what is to be sent.
fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, outgoing: &mut Vec<u8>) -> Result<(), Error> {
    let start = outgoing.len();
    // Without room it says how much it needs.
    if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
        outgoing.resize(start + size.required_size, 0);
        let room = outgoing.get_mut(start..).unwrap_or_default();
        data.encode(room)
            .map_err(|error| Error::General(error.to_string()))?;
    }
    Ok(())
}

/// Adds what `write` writes, which is about so many bytes: more, when the library has something of its own to say first.
fn put(
    outgoing: &mut Vec<u8>,
    bytes: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> io::Result<()> {
    let start = outgoing.len();
    let mut room = bytes;
    loop {
        outgoing.resize(start + room, 0);
        match write(outgoing.get_mut(start..).unwrap_or_default()) {
            Ok(written) => {
                outgoing.truncate(start + written);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(size)) if size.required_size > room => {
                room = size.required_size
            }
            Err(error) => {
                outgoing.truncate(start);
                return Err(io::Error::other(error));
            }
        }
    }
}

/// Keeps these bytes and no others, in no more memory than they need.
fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.is_empty() {
        true => *kept = Vec::new(),
        false => {
            kept.clear();
            kept.extend_from_slice(bytes);
        }
    }
}
