//! A TCP connection without TLS, with the functions of the encrypted one.
//!
//! It stands where [`crate::tls::Stream`] stands otherwise; only the loopback listener makes it. It must never take more to
//! be sent than its limit.

use core::task::{Context, Poll, ready};
use std::io;

use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use crate::limits::{PLAIN_UNSENT_BYTES_MAX, READ_BYTES};

/// A connection in the clear.
#[derive(Debug)]
pub(crate) struct Plain {
    socket: TcpStream,
    unsent: Vec<u8>,
}

/// One on its way from one runtime to another.
#[derive(Debug)]
pub(crate) struct DetachedPlain {
    socket: std::net::TcpStream,
    unsent: Vec<u8>,
}

impl Plain {
    pub(super) const fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            unsent: Vec::new(),
        }
    }

    pub(super) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(super) fn detach(self) -> io::Result<DetachedPlain> {
        Ok(DetachedPlain {
            socket: self.socket.into_std()?,
            unsent: self.unsent,
        })
    }

    /// As [`crate::tls::Stream::poll_fill`].
    pub(super) fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Poll<io::Result<usize>> {
        let length = buffer.len();
        buffer.resize(length + bytes_max.min(READ_BYTES), 0);
        let mut space = ReadBuf::new(buffer.get_mut(length..).unwrap_or_default());
        let outcome = core::pin::Pin::new(&mut self.socket).poll_read(context, &mut space);
        let count = space.filled().len();
        buffer.truncate(length + count);
        outcome.map_ok(|()| count)
    }

    /// As [`crate::tls::Stream::encrypt`].
    pub(super) fn take(&mut self, plain: &[u8]) -> usize {
        let room = PLAIN_UNSENT_BYTES_MAX.saturating_sub(self.unsent.len());
        let taken = plain.get(..room).unwrap_or(plain);
        self.unsent.extend_from_slice(taken);
        taken.len()
    }

    /// As [`crate::tls::Stream::push`].
    pub(super) fn push(&mut self) -> io::Result<bool> {
        let mut sent = 0;
        let outcome = loop {
            let rest = self.unsent.get(sent..).unwrap_or_default();
            if rest.is_empty() {
                break Ok(true);
            }
            match self.socket.try_write(rest) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(false),
                Err(error) => break Err(error),
            }
        };
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            self.unsent = Vec::new();
        }
        outcome
    }

    /// As [`crate::tls::Stream::poll_push`].
    pub(super) fn poll_push(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.push()? {
                return Poll::Ready(Ok(()));
            }
            ready!(self.socket.poll_write_ready(context))?;
        }
    }

    /// Sends what waits, says that nothing more comes, and waits for the other side to leave.
    pub(super) async fn end(mut self) -> io::Result<()> {
        core::future::poll_fn(|context| self.poll_push(context)).await?;
        self.socket.shutdown().await?;
        crate::arrival::discard(&mut self.socket).await
    }
}

impl DetachedPlain {
    pub(super) fn attach(self) -> io::Result<Plain> {
        Ok(Plain {
            socket: TcpStream::from_std(self.socket)?,
            unsent: self.unsent,
        })
    }
}
