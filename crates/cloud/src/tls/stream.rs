//! A TLS connection over a TCP socket.
//!
//! It stands between the socket and everything that speaks above it: MQTT on the shards, HTTP on the API listener.
//! The front door makes it, drives its handshake, and may carry it to another runtime ([`Stream::detach`]).
//! It must never read ahead without bound, and never hide the end of a stream that was cut without a close notification.

use core::cell::Cell;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use identity::certificate::Certificate;
use rustls::{CommonState, Error};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Chosen;
use super::engine::Engine;
use crate::limits::{READ_BYTES_MAX, RECORD_BYTES_MAX};

thread_local! {
    /// What all connections of this thread read into.
    static SHARED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A server side TLS connection; before [`Stream::handshake`] has ended well it carries no application bytes.
pub struct Stream {
    socket: TcpStream,
    engine: Engine,
}

/// A stream on its way from one runtime to another.
pub struct Detached {
    socket: std::net::TcpStream,
    engine: Engine,
}

/// Why a handshake did not complete.
#[derive(Debug)]
pub enum HandshakeError {
    /// The socket failed or was closed.
    Socket(io::Error),
    /// The peer, or what it sent, was refused; an alert waits to be sent.
    Tls(Error),
}

impl Stream {
    /// A stream with what was chosen for its client.
    ///
    /// # Errors
    /// The configuration cannot start a connection.
    pub fn new(socket: TcpStream, chosen: Chosen) -> Result<Self, Error> {
        Ok(Self {
            socket,
            engine: Engine::new(chosen.config, chosen.content_bytes_max)?,
        })
    }

    /// Completes the handshake; `hello` are the bytes that have been read from the socket already.
    ///
    /// # Errors
    /// The peer left, or was refused.
    pub async fn handshake(&mut self, hello: &[u8]) -> Result<(), HandshakeError> {
        self.hear(hello).map_err(HandshakeError::Tls)?;
        core::future::poll_fn(|context| self.poll_handshake(context)).await
    }

    fn hear(&mut self, hello: &[u8]) -> Result<(), Error> {
        let mut shared = SHARED.take();
        lay_out(&mut shared, hello);
        let bytes = shared.get_mut(..hello.len()).unwrap_or_default();
        let outcome = self.engine.receive_for_later(bytes);
        SHARED.set(shared);
        outcome
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        loop {
            ready!(self.poll_push(context)).map_err(HandshakeError::Socket)?;
            if !self.connection().is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            match ready!(self.poll_pull(context, RECORD_BYTES_MAX, None)) {
                Ok(Pulled::Bytes) => {}
                Ok(Pulled::End) => {
                    return Poll::Ready(Err(HandshakeError::Socket(io::ErrorKind::UnexpectedEof.into())));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// The certificate that the client showed, proven or not; it is handed out once. Of a session that was taken up again it is
    /// the one that was proven when the session began.
    pub fn take_seen(&mut self) -> Option<Certificate> {
        self.engine.take_seen()
    }

    /// The certificate that was proven in this connection's handshake, or when its session began; read anew at each call, since the
    /// library keeps it anyway.
    pub(crate) fn proven(&self) -> Option<Certificate> {
        self.engine.proven()
    }

    /// What was agreed on: version, cipher suite, protocol.
    pub fn connection(&self) -> &CommonState {
        self.engine.common()
    }

    /// The application protocol that was agreed on.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.connection().alpn_protocol()
    }

    /// The socket underneath.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The socket underneath, for closing: whoever reads or writes it breaks the encrypted stream.
    pub(crate) fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Takes the stream off this thread's runtime.
    ///
    /// # Errors
    /// The system refuses to give the socket back.
    pub fn detach(self) -> io::Result<Detached> {
        Ok(Detached {
            socket: self.socket.into_std()?,
            engine: self.engine,
        })
    }

    /// Moves decrypted bytes to the end of `buffer`, at most `bytes_max` of them, reading from the socket if none are there.
    ///
    /// `Ready(Ok(0))` is the proper end of the stream. `Pending` is only returned if nothing was read.
    pub fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Poll<io::Result<usize>> {
        let before = buffer.len();
        if self
            .engine
            .take_plain(bytes_max, |plain| buffer.extend_from_slice(plain))
            > 0
        {
            return Poll::Ready(Ok(buffer.len() - before));
        }
        let full = before.saturating_add(bytes_max);
        while buffer.len() == before {
            if self.engine.has_ended() {
                return Poll::Ready(Ok(0));
            }
            match ready!(self.poll_pull(context, bytes_max, Some(buffer))) {
                Ok(Pulled::Bytes) => {}
                Ok(Pulled::End) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                // What came before the failure counts first.
                Err(_) if buffer.len() > before => break,
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        self.engine.put_back(buffer.get(full..).unwrap_or_default());
        buffer.truncate(full);
        Poll::Ready(Ok(buffer.len() - before))
    }

    /// Encrypts as much of `plain` as the connection's own buffer takes, and says how much; nothing is sent before
    /// [`Stream::push`].
    ///
    /// # Errors
    /// The connection takes nothing more.
    pub fn encrypt(&mut self, plain: &[u8]) -> io::Result<usize> {
        self.engine.encrypt(plain)
    }

    /// Whether encrypted bytes wait for the socket.
    pub fn has_unsent(&self) -> bool {
        !self.engine.outgoing.is_empty()
    }

    /// Sends what the socket takes now, without waiting; false if something is left.
    ///
    /// # Errors
    /// The socket failed.
    pub fn push(&mut self) -> io::Result<bool> {
        let Self { socket, engine } = self;
        engine.outgoing.write(|bytes| socket.try_write(bytes))
    }

    /// Sends everything that waits; `Pending` as long as the socket is full.
    pub fn poll_push(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.push()? {
                return Poll::Ready(Ok(()));
            }
            ready!(self.socket.poll_write_ready(context))?;
        }
    }

    /// Tells the peer that nothing more comes.
    pub fn notify_close(&mut self) {
        self.engine.notify_close();
    }

    /// Reads encrypted bytes once, about as many as `bytes_max`, and decrypts them into `plain`, or for later.
    fn poll_pull(
        &mut self,
        context: &mut Context<'_>,
        bytes_max: usize,
        plain: Option<&mut Vec<u8>>,
    ) -> Poll<Result<Pulled, HandshakeError>> {
        let mut shared = SHARED.take();
        let outcome = self.pull(context, &mut shared, bytes_max, plain);
        SHARED.set(shared);
        outcome
    }

    fn pull(
        &mut self,
        context: &mut Context<'_>,
        shared: &mut Vec<u8>,
        bytes_max: usize,
        plain: Option<&mut Vec<u8>>,
    ) -> Poll<Result<Pulled, HandshakeError>> {
        let Self { socket, engine } = self;
        let unused = engine.unused().len();
        lay_out(shared, engine.unused());
        let room = shared.get_mut(unused..).unwrap_or_default();
        let room = room.split_at_mut(bytes_max.clamp(1, READ_BYTES_MAX)).0;
        let mut buffer = ReadBuf::new(room);
        ready!(Pin::new(socket).poll_read(context, &mut buffer)).map_err(HandshakeError::Socket)?;
        let count = buffer.filled().len();
        if count == 0 {
            return Poll::Ready(Ok(Pulled::End));
        }
        let incoming = shared.get_mut(..unused + count).unwrap_or_default();
        let outcome = match plain {
            Some(plain) => engine.receive(incoming, plain),
            None => engine.receive_for_later(incoming),
        };
        Poll::Ready(outcome.map(|()| Pulled::Bytes).map_err(HandshakeError::Tls))
    }
}

/// What one look at the socket brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pulled {
    /// Bytes, whether or not they complete a record.
    Bytes,
    /// The end of the socket's stream.
    End,
}

/// Puts `front` at the front of the shared buffer, and leaves room to read behind it.
fn lay_out(shared: &mut Vec<u8>, front: &[u8]) {
    let length = front.len() + READ_BYTES_MAX;
    if shared.len() < length {
        shared.resize(length, 0);
    }
    shared
        .get_mut(..front.len())
        .unwrap_or_default()
        .copy_from_slice(front);
}

impl From<HandshakeError> for io::Error {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Socket(error) => error,
            HandshakeError::Tls(error) => Self::other(error),
        }
    }
}

impl core::fmt::Debug for Stream {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Stream")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl core::fmt::Debug for Detached {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Detached")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl Detached {
    /// Puts the stream onto the runtime of this thread.
    ///
    /// # Errors
    /// The runtime does not take the socket.
    pub fn attach(self) -> io::Result<Stream> {
        Ok(Stream {
            socket: TcpStream::from_std(self.socket)?,
            engine: self.engine,
        })
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            let room = buffer.remaining();
            if self.engine.take_plain(room, |plain| buffer.put_slice(plain)) > 0 || self.engine.has_ended() {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_pull(context, READ_BYTES_MAX, None))? == Pulled::End {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_push(context))?;
        let count = self.engine.encrypt(bytes)?;
        let _ = self.poll_push(context)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_push(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.notify_close();
        ready!(self.poll_push(context))?;
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
