//! TLS over one TCP connection, where every wait has an end.
//!
//! The socket blocks with a timeout that is what is left until the deadline, so that a peer which sends one byte at a time
//! can not stretch it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, ProtocolVersion};

use crate::endpoint::Endpoint;
use crate::error::{Error, Moment};
use crate::limits;

pub(crate) struct Stream {
    tcp: TcpStream,
    tls: ClientConnection,
    moment: Moment,
}

/// What is left until a deadline; a socket does not take zero.
fn left(deadline: Instant) -> Option<Duration> {
    deadline
        .checked_duration_since(Instant::now())
        .filter(|left| *left > Duration::from_micros(1))
}

impl Stream {
    /// Connects and finishes the handshake. The server is verified before the device's certificate goes out.
    pub(crate) fn open(
        endpoint: &Endpoint,
        config: Arc<ClientConfig>,
        connect_within: Duration,
        handshake_within: Duration,
    ) -> Result<Self, Error> {
        let unreachable = |cause| Error::Unreachable {
            address: endpoint.address,
            cause,
        };
        let tcp = TcpStream::connect_timeout(&endpoint.address, connect_within).map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(Error::Network)?;
        let mut tls = ClientConnection::new(config, endpoint.name.clone()).map_err(Error::Tls)?;
        tls.set_buffer_limit(Some(limits::TLS_BUFFER_BYTES_MAX));
        let mut stream = Self {
            tcp,
            tls,
            moment: Moment::Handshake,
        };
        let deadline = Instant::now() + handshake_within;
        while stream.tls.is_handshaking() {
            stream.flush(deadline, "the tls handshake")?;
            if stream.tls.is_handshaking() {
                stream.fill(deadline, "the tls handshake")?;
            }
        }
        stream.flush(deadline, "the tls handshake")?;
        stream.moment = Moment::Connect;
        Ok(stream)
    }

    /// From now on a closed connection is not a refused one.
    pub(crate) const fn established(&mut self) {
        self.moment = Moment::Established;
    }

    pub(crate) fn is_tls13(&self) -> bool {
        self.tls.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    /// Appends what has arrived to `buffer`: at least one byte, or an error.
    pub(crate) fn read(
        &mut self,
        buffer: &mut Vec<u8>,
        deadline: Instant,
        waited_for: &'static str,
    ) -> Result<(), Error> {
        loop {
            let start = buffer.len();
            buffer.resize(start + limits::READ_BYTES, 0);
            let result = self
                .tls
                .reader()
                .read(buffer.get_mut(start..).unwrap_or_default());
            buffer.truncate(start + result.as_ref().copied().unwrap_or(0));
            match result {
                Ok(0) => return Err(Error::closed(self.moment)),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Err(Error::closed(self.moment)),
            }
            self.flush(deadline, waited_for)?;
            self.fill(deadline, waited_for)?;
        }
    }

    /// Writes all of `bytes`.
    pub(crate) fn write(&mut self, mut bytes: &[u8], deadline: Instant) -> Result<(), Error> {
        while !bytes.is_empty() {
            let taken = self.tls.writer().write(bytes).map_err(Error::Network)?;
            bytes = bytes.get(taken..).unwrap_or_default();
            self.flush(deadline, "the network to take data")?;
        }
        Ok(())
    }

    /// Says goodbye. What goes wrong now is of no interest to anybody.
    pub(crate) fn close(mut self, within: Duration) {
        self.tls.send_close_notify();
        let _ = self.flush(Instant::now() + within, "goodbye");
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    /// Sends what TLS has to send.
    fn flush(&mut self, deadline: Instant, waited_for: &'static str) -> Result<(), Error> {
        while self.tls.wants_write() {
            let left = left(deadline).ok_or(Error::Timeout { waited_for })?;
            self.tcp.set_write_timeout(Some(left)).map_err(Error::Network)?;
            match self.tls.write_tls(&mut self.tcp) {
                Ok(_) => {}
                Err(error) if is_timeout(error.kind()) => return Err(Error::Timeout { waited_for }),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_closed(error.kind()) => return Err(self.last_words()),
                Err(error) => return Err(Error::Network(error)),
            }
        }
        Ok(())
    }

    /// Waits for bytes from the network and lets TLS read them.
    fn fill(&mut self, deadline: Instant, waited_for: &'static str) -> Result<(), Error> {
        let left = left(deadline).ok_or(Error::Timeout { waited_for })?;
        self.tcp.set_read_timeout(Some(left)).map_err(Error::Network)?;
        match self.tls.read_tls(&mut self.tcp) {
            Ok(0) => return Err(Error::closed(self.moment)),
            Ok(_) => {}
            Err(error) if is_timeout(error.kind()) => return Err(Error::Timeout { waited_for }),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) if is_closed(error.kind()) => return Err(Error::closed(self.moment)),
            Err(error) => return Err(Error::Network(error)),
        }
        self.process()
    }

    fn process(&mut self) -> Result<(), Error> {
        let Err(error) = self.tls.process_new_packets() else {
            return Ok(());
        };
        // Tell the server why, if it still listens; the reason that counts is ours.
        let _ = self.tcp.set_write_timeout(Some(Duration::from_secs(1)));
        while self.tls.wants_write() && self.tls.write_tls(&mut self.tcp).is_ok() {}
        Err(Error::from_tls(error, self.moment))
    }

    /// The network took nothing more. A server that refuses often says why before it closes: look for that first.
    fn last_words(&mut self) -> Error {
        let _ = self.tcp.set_read_timeout(Some(Duration::from_millis(1)));
        while matches!(self.tls.read_tls(&mut self.tcp), Ok(1..)) {
            if let Err(error) = self.tls.process_new_packets() {
                return Error::from_tls(error, self.moment);
            }
        }
        Error::closed(self.moment)
    }
}

const fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

const fn is_closed(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
    )
}
