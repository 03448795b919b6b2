//! A TLS connection over a TCP socket.
//!
//! It stands between the socket and everything that speaks above it: MQTT on the shards, HTTP on the API listener.
//! The front door makes it, drives its handshake, and may carry it to another runtime ([`Stream::detach`]).
//! It must never read ahead without bound, and never hide the end of a stream that was cut without a close notification.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use identity::certificate::Certificate;
use rustls::{Error, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::possession;

/// A server side TLS connection; before [`Stream::handshake`] has ended well it carries no application bytes.
#[derive(Debug)]
pub struct Stream {
    socket: TcpStream,
    tls: ServerConnection,
    seen: Option<Certificate>,
}

/// A stream on its way from one runtime to another.
#[derive(Debug)]
pub struct Detached {
    socket: std::net::TcpStream,
    tls: ServerConnection,
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
    /// A stream whose first bytes, `hello`, have been read from `socket` already.
    ///
    /// # Errors
    /// The configuration cannot start a connection.
    pub fn new(socket: TcpStream, config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self {
            socket,
            tls: ServerConnection::new(config)?,
            seen: None,
        })
    }

    /// Completes the handshake; `hello` are the bytes that have been read from the socket already.
    ///
    /// # Errors
    /// The peer left, or was refused.
    pub async fn handshake(&mut self, hello: &[u8]) -> Result<(), HandshakeError> {
        let mut fed = hello;
        while !fed.is_empty() {
            self.tls.read_tls(&mut fed).map_err(HandshakeError::Socket)?;
            self.step().map_err(HandshakeError::Tls)?;
        }
        core::future::poll_fn(|context| self.poll_handshake(context)).await
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        loop {
            if self.tls.wants_write() {
                ready!(self.poll_push(context)).map_err(HandshakeError::Socket)?;
            }
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_pull(context)).map_err(HandshakeError::Socket)? == 0 {
                return Poll::Ready(Err(HandshakeError::Socket(io::ErrorKind::UnexpectedEof.into())));
            }
            self.step().map_err(HandshakeError::Tls)?;
        }
    }

    /// Lets the TLS library work on what has been read. After an error its alert waits to be sent, so that the reason can be
    /// recorded before the client hears of it.
    fn step(&mut self) -> Result<rustls::IoState, Error> {
        let Self { tls, seen, .. } = self;
        match tls.is_handshaking() {
            true => possession::watch(seen, || tls.process_new_packets()),
            false => tls.process_new_packets(),
        }
    }

    /// The certificate that the client showed, proven or not; it is handed out once.
    pub fn take_seen(&mut self) -> Option<Certificate> {
        self.seen.take()
    }

    /// What was agreed on: version, cipher suite, protocol.
    pub fn connection(&self) -> &ServerConnection {
        &self.tls
    }

    /// The application protocol that was agreed on.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.tls.alpn_protocol()
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
            tls: self.tls,
        })
    }

    /// Moves decrypted bytes to the end of `buffer`, reading from the socket until it is empty or `bytes_max` are there.
    ///
    /// `Ready(Ok(0))` is the proper end of the stream. `Pending` is only returned if nothing was read.
    pub fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Poll<io::Result<usize>> {
        let before = buffer.len();
        let outcome = self.fill(context, buffer, bytes_max);
        let filled = buffer.len() - before;
        // What was read counts first; an end or a failure is found again by the next call.
        if filled > 0 {
            Poll::Ready(Ok(filled))
        } else {
            outcome.map_ok(|()| 0)
        }
    }

    fn fill(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Poll<io::Result<()>> {
        let full = buffer.len().saturating_add(bytes_max);
        loop {
            let room = full.saturating_sub(buffer.len());
            match self.tls.reader().take(room as u64).read_to_end(buffer) {
                Ok(_) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(self.poll_pull(context))?;
            self.step().map_err(io::Error::other)?;
        }
    }

    /// Encrypts as much of `plain` as the connection's own buffer takes, and says how much; nothing is sent before
    /// [`Stream::push`].
    ///
    /// # Errors
    /// The connection takes nothing more.
    pub fn encrypt(&mut self, plain: &[u8]) -> io::Result<usize> {
        self.tls.writer().write(plain)
    }

    /// Whether encrypted bytes wait for the socket.
    pub fn has_unsent(&self) -> bool {
        self.tls.wants_write()
    }

    /// Sends what the socket takes now, without waiting; false if something is left.
    ///
    /// # Errors
    /// The socket failed.
    pub fn push(&mut self) -> io::Result<bool> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Unready(&self.socket)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
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
        self.tls.send_close_notify();
    }

    /// Reads encrypted bytes once; 0 is the end of the socket's stream.
    fn poll_pull(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Self { socket, tls, .. } = self;
        match tls.read_tls(&mut Polled { socket, context }) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            outcome => Poll::Ready(outcome),
        }
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
            tls: self.tls,
            seen: None,
        })
    }
}

/// Reads a socket as a task does: what is not there yet wakes the task.
struct Polled<'a, 'b, 'c> {
    socket: &'a mut TcpStream,
    context: &'b mut Context<'c>,
}

impl io::Read for Polled<'_, '_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        match Pin::new(&mut *self.socket).poll_read(self.context, &mut buffer) {
            Poll::Ready(outcome) => outcome.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// Writes to a socket without asking to be woken.
struct Unready<'a>(&'a TcpStream);

impl io::Write for Unready<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.tls.reader().read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(self.poll_pull(context))?;
            self.step().map_err(io::Error::other)?;
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
        let count = self.tls.writer().write(bytes)?;
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
