//! What carries a client's MQTT: TLS or, on loopback, bare TCP; its bytes as they are, or in frames of WebSocket.
//!
//! It stands between the streams and everything that speaks MQTT, which sees the same bytes whichever way they came. It must
//! never hold anything for an idle client that its stream does not need.

mod plain;

use core::task::{Context, Poll, ready};
use std::io;
use std::net::SocketAddr;

use identity::certificate::Certificate;
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::plain::{DetachedPlain, Plain};
use crate::arrival;
use crate::limits::LINGER;
use crate::tls::{Detached, Stream};
use crate::websocket::{Frames, GOODBYE, wrap};

/// A connection that MQTT is spoken on.
#[derive(Debug)]
pub(crate) struct Wire {
    carrier: Carrier,
    /// Where the client's frames stand, if it speaks in frames.
    frames: Option<Box<Frames>>,
}

/// One on its way from one runtime to another.
#[derive(Debug)]
pub(crate) struct DetachedWire {
    carrier: DetachedCarrier,
    frames: Option<Box<Frames>>,
}

#[derive(Debug)]
enum Carrier {
    Tls(Stream),
    Plain(Plain),
}

#[derive(Debug)]
enum DetachedCarrier {
    Tls(Detached),
    Plain(DetachedPlain),
}

impl From<Stream> for Wire {
    fn from(stream: Stream) -> Self {
        Self {
            carrier: Carrier::Tls(stream),
            frames: None,
        }
    }
}

impl From<TcpStream> for Wire {
    fn from(socket: TcpStream) -> Self {
        Self {
            carrier: Carrier::Plain(Plain::new(socket)),
            frames: None,
        }
    }
}

impl Wire {
    /// The same, in frames from now on; `early` are bytes that were read already. Gives what was meant by them, too.
    pub(crate) fn framed(self, mut early: Vec<u8>) -> (Self, Vec<u8>) {
        let mut frames = Box::<Frames>::default();
        frames.decode(&mut early, 0);
        let frames = Some(frames);
        (Self { frames, ..self }, early)
    }

    /// The address of this server that the client has reached.
    pub(crate) fn reached(&self) -> Option<SocketAddr> {
        let socket = match &self.carrier {
            Carrier::Tls(stream) => stream.socket(),
            Carrier::Plain(plain) => plain.socket(),
        };
        socket.local_addr().ok()
    }

    /// Takes it off this thread's runtime.
    ///
    /// # Errors
    /// The system refuses to give the socket back.
    pub(crate) fn detach(self) -> io::Result<DetachedWire> {
        Ok(DetachedWire {
            carrier: match self.carrier {
                Carrier::Tls(stream) => DetachedCarrier::Tls(stream.detach()?),
                Carrier::Plain(plain) => DetachedCarrier::Plain(plain.detach()?),
            },
            frames: self.frames,
        })
    }

    /// Moves bytes of MQTT to the end of `buffer`: at most `bytes_max`, and what has come. `Ready(Ok(0))` is the end of the stream;
    /// `Pending` is only returned if nothing was read. Afterwards there may be something to [reply](Self::take_reply).
    pub(crate) fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Poll<io::Result<usize>> {
        let Self { carrier, frames } = self;
        let Some(frames) = frames else {
            return carrier.poll_fill(context, buffer, bytes_max);
        };
        let before = buffer.len();
        loop {
            match frames.end() {
                _ if buffer.len() > before => return Poll::Ready(Ok(buffer.len() - before)),
                Some(Ok(())) => return Poll::Ready(Ok(0)),
                Some(Err(violation)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation)));
                }
                None => {}
            }
            if ready!(carrier.poll_fill(context, buffer, bytes_max))? == 0 {
                return Poll::Ready(Ok(0));
            }
            frames.decode(buffer, before);
        }
    }

    /// The certificate that the client has proven to hold the key of.
    pub(crate) fn proven(&self) -> Option<Certificate> {
        match &self.carrier {
            Carrier::Tls(stream) => stream.proven(),
            Carrier::Plain(_) => None,
        }
    }

    /// What the client's frames themselves ask to be answered, ready to be sent between two packets.
    pub(crate) fn take_reply(&mut self) -> Option<Vec<u8>> {
        self.frames.as_deref_mut().and_then(Frames::take_reply)
    }

    /// Makes what follows the first `from` bytes of `out`, whole packets, ready to be sent.
    pub(crate) fn wrap(&self, out: &mut Vec<u8>, from: usize) {
        if self.frames.is_some() {
            wrap(out, from);
        }
    }

    /// Takes as much to be sent as there is room for, and says how much; nothing leaves before [`Self::push`].
    ///
    /// # Errors
    /// The connection takes nothing more.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.carrier {
            Carrier::Tls(stream) => stream.encrypt(bytes),
            Carrier::Plain(plain) => Ok(plain.take(bytes)),
        }
    }

    /// Sends what the socket takes now, without waiting; false if something is left.
    ///
    /// # Errors
    /// The socket failed.
    pub(crate) fn push(&mut self) -> io::Result<bool> {
        match &mut self.carrier {
            Carrier::Tls(stream) => stream.push(),
            Carrier::Plain(plain) => plain.push(),
        }
    }

    /// Sends everything that waits; `Pending` as long as the socket is full.
    pub(crate) fn poll_push(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.carrier {
            Carrier::Tls(stream) => stream.poll_push(context),
            Carrier::Plain(plain) => plain.poll_push(context),
        }
    }

    /// Whether the client hears a goodbye of its frames: without one it takes the end for an accident.
    pub(crate) const fn is_framed(&self) -> bool {
        self.frames.is_some()
    }
}

impl Carrier {
    fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tls(stream) => stream.poll_fill(context, buffer, bytes_max),
            Self::Plain(plain) => plain.poll_fill(context, buffer, bytes_max),
        }
    }
}

impl DetachedWire {
    /// Puts it onto the runtime of this thread.
    ///
    /// # Errors
    /// The runtime does not take the socket.
    pub(crate) fn attach(self) -> io::Result<Wire> {
        Ok(Wire {
            carrier: match self.carrier {
                DetachedCarrier::Tls(stream) => Carrier::Tls(stream.attach()?),
                DetachedCarrier::Plain(plain) => Carrier::Plain(plain.attach()?),
            },
            frames: self.frames,
        })
    }
}

/// Closes a connection so that what was written before still arrives: a reset would overtake it.
pub(crate) async fn linger(mut wire: Wire) {
    if let Some(frames) = wire.frames.as_deref_mut() {
        // Who said goodbye is answered; everybody else hears one.
        let said = frames.take_reply();
        let goodbye = match (said, frames.end()) {
            (Some(reply), Some(_)) => reply,
            (_, Some(_)) => Vec::new(),
            (_, None) => GOODBYE.to_vec(),
        };
        let _ = wire.take(&goodbye);
    }
    match wire.carrier {
        Carrier::Tls(stream) => arrival::linger(stream).await,
        Carrier::Plain(plain) => {
            let _ = timeout(LINGER, plain.end()).await;
        }
    }
}
