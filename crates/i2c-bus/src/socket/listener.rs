//! A listener that serves one bus: a thread for each connection, at most
//! [`CONNECTIONS_MAX`] of them.
//!
//! It must never listen where another machine can reach it: whoever speaks on the bus owns the chip. A Unix socket is for its
//! owner alone (mode 0600), TCP is loopback only.

use std::fmt;
use std::io::{Error, ErrorKind, Result};
use std::net::{SocketAddr, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::{
    fs::{FileTypeExt, PermissionsExt},
    net::{UnixListener, UnixStream},
};
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::Stream;
use crate::limits::CONNECTIONS_MAX;
use crate::local::lock;
use crate::{LocalBus, serve};

/// Where a listener is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A loopback TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

/// A socket that is bound and not served yet.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
}

impl Listener {
    /// Binds a loopback TCP address; port 0 takes any free one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an address that is not loopback; what binding failed with, with the address in its text.
    pub fn tcp(address: SocketAddr) -> Result<Self> {
        if !address.ip().is_loopback() {
            let text = format!("cannot serve an i2c bus on {address}: only loopback addresses are allowed");
            return Err(Error::new(ErrorKind::InvalidInput, text));
        }
        let socket = TcpListener::bind(address).map_err(|error| cannot_listen(&address, &error))?;
        let address = Address::Tcp(socket.local_addr()?);
        Ok(Self {
            socket: Socket::Tcp(socket),
            address,
        })
    }

    /// Binds a Unix socket for its owner alone. A socket that a dead server left behind is replaced.
    ///
    /// # Errors
    /// [`ErrorKind::AddrInUse`] when a server answers there or the path is something else; what binding failed with.
    #[cfg(unix)]
    pub fn unix(path: &Path) -> Result<Self> {
        remove_stale(path).map_err(|error| cannot_listen(&path.display(), &error))?;
        let socket = UnixListener::bind(path).map_err(|error| cannot_listen(&path.display(), &error))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            socket: Socket::Unix(socket),
            address: Address::Unix(path.to_owned()),
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Serves the bus on threads of its own, until the result is stopped or dropped.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn spawn(self, bus: LocalBus) -> Result<Serving> {
        let state = Arc::new(State {
            stopping: AtomicBool::new(false),
            open: Mutex::new(Vec::new()),
        });
        let address = self.address.clone();
        let accepting = {
            let state = state.clone();
            thread::Builder::new()
                .name("i2c-accept".into())
                .spawn(move || accept(&self.socket, &bus, &state))?
        };
        Ok(Serving {
            address,
            state,
            accepting: Some(accepting),
        })
    }
}

fn cannot_listen(place: &dyn fmt::Display, error: &Error) -> Error {
    Error::new(
        error.kind(),
        format!("cannot serve an i2c bus on {place}: {error}"),
    )
}

#[cfg(unix)]
fn remove_stale(path: &Path) -> Result<()> {
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        return Err(Error::new(
            ErrorKind::AddrInUse,
            "the path exists and is not a socket",
        ));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(Error::new(ErrorKind::AddrInUse, "another server answers there")),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) => Err(error),
    }
}

struct State {
    stopping: AtomicBool,
    open: Mutex<Vec<Connection>>,
}

struct Connection {
    stream: Stream,
    thread: JoinHandle<()>,
}

fn accept(socket: &Socket, bus: &LocalBus, state: &Arc<State>) {
    loop {
        let accepted = match socket {
            Socket::Tcp(listener) => listener.accept().map(|(stream, _)| Stream::Tcp(stream)),
            #[cfg(unix)]
            Socket::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
        };
        if state.stopping.load(Ordering::SeqCst) {
            return;
        }
        match accepted {
            // A connection that cannot be served is closed by dropping it.
            Ok(stream) => drop(start(stream, bus, state)),
            // Out of descriptors: let others close theirs.
            Err(_) => thread::yield_now(),
        }
    }
}

fn start(stream: Stream, bus: &LocalBus, state: &State) -> Result<()> {
    if let Stream::Tcp(stream) = &stream {
        stream.set_nodelay(true)?;
    }
    let mut open = lock(&state.open);
    open.retain(|connection| !connection.thread.is_finished());
    if open.len() >= CONNECTIONS_MAX {
        return Err(ErrorKind::ConnectionRefused.into());
    }
    let (copy, bus) = (stream.duplicate()?, bus.clone());
    let thread = thread::Builder::new().name("i2c-serve".into()).spawn(move || {
        let mut stream = stream;
        // The peer sees the end of its connection; there is nobody else to tell.
        let _ended = serve(&mut stream, &bus);
        stream.close();
    })?;
    open.push(Connection { stream: copy, thread });
    Ok(())
}

/// A bus that is being served; stops when dropped.
pub struct Serving {
    address: Address,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

impl Serving {
    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Stops accepting, closes every connection and waits for its thread.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(accepting) = self.accepting.take() else {
            return;
        };
        self.state.stopping.store(true, Ordering::SeqCst);
        // If the socket's file is gone nobody can wake the thread; it ends with the process.
        if self.wake() {
            drop(accepting.join());
        }
        for connection in lock(&self.state.open).drain(..) {
            connection.stream.close();
            drop(connection.thread.join());
        }
        if let Address::Unix(path) = &self.address {
            drop(std::fs::remove_file(path));
        }
    }

    /// Lets the accepting thread see that it has to stop.
    fn wake(&self) -> bool {
        match &self.address {
            Address::Tcp(address) => TcpStream::connect(address).is_ok(),
            #[cfg(unix)]
            Address::Unix(path) => UnixStream::connect(path).is_ok(),
            #[cfg(not(unix))]
            Address::Unix(_) => false,
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use embedded_hal::i2c::I2c;

    use super::*;
    use crate::local::tests::Memory;
    use crate::{Line, SocketClient};

    fn bus() -> LocalBus {
        let bus = LocalBus::virtual_time();
        bus.attach(0x30, Memory::at(0x30)).unwrap();
        bus
    }

    fn loopback() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    fn serve_tcp() -> (Serving, SocketAddr) {
        let serving = Listener::tcp(loopback()).unwrap().spawn(bus()).unwrap();
        let Address::Tcp(address) = *serving.address() else {
            unreachable!("it was bound over TCP")
        };
        (serving, address)
    }

    fn exercise(client: &mut SocketClient) {
        client.write(0x30, &[1, 2]).unwrap();
        let mut buffer = [0; 3];
        client.read(0x30, &mut buffer).unwrap();
        assert_eq!(buffer, [1, 2, 0xFF]);
        assert_eq!(client.write(0x31, &[]), Err(crate::Error::AddressNack));
        assert_eq!(client.write(0x30, &[0xFF]), Err(crate::Error::DataNack(0)));
        assert_eq!(
            client.write_read(0x30, &[1], &mut buffer),
            Err(crate::Error::AddressNack)
        );
        assert_eq!(client.read(0x30, &mut []), Err(crate::Error::Shape));
        assert_eq!(
            client.read(0x30, &mut [0; READ_BYTES_MAX + 1]),
            Err(crate::Error::TooLong)
        );
        client.read(0x30, &mut [0; READ_BYTES_MAX]).unwrap();
        client.clock(400_000).unwrap();
        let before_us = client.time(0).unwrap();
        assert_eq!(client.time(7), Ok(before_us + 7));
        client.line(0x30, Line::Rst, false).unwrap();
        assert_eq!(client.write(0x30, &[1]), Err(crate::Error::AddressNack));
    }

    const READ_BYTES_MAX: usize = crate::limits::READ_BYTES_MAX;

    #[test]
    fn a_client_over_tcp_sees_the_bus() {
        let (serving, address) = serve_tcp();
        exercise(&mut SocketClient::tcp(address).unwrap());
        serving.stop();
        assert!(SocketClient::tcp(address).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_client_over_a_unix_socket_sees_the_bus() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bus");
        let serving = Listener::unix(&path).unwrap().spawn(bus()).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        exercise(&mut SocketClient::unix(&path).unwrap());
        assert_eq!(Listener::unix(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(serving);
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_left_behind_is_replaced_and_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (stale, file) = (folder.path().join("stale"), folder.path().join("file"));
        drop(UnixListener::bind(&stale).unwrap());
        Listener::unix(&stale).unwrap();
        std::fs::write(&file, "precious").unwrap();
        assert_eq!(Listener::unix(&file).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    }

    #[test]
    fn an_address_that_others_can_reach_is_refused() {
        let error = Listener::tcp(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn stopping_ends_a_client_that_is_connected() {
        let (serving, address) = serve_tcp();
        let mut client = SocketClient::tcp(address).unwrap();
        serving.stop();
        let error = client.write(0x30, &[1]).unwrap_err();
        assert!(matches!(error, crate::Error::Socket(_)), "{error}");
        assert_eq!(client.write(0x30, &[1]), Err(error));
    }

    #[test]
    fn a_server_that_speaks_something_else_is_refused() {
        for (reply, expected) in [
            (*b"\x00\x00\x05vi2c\x02", crate::Error::Version(2)),
            (*b"\x00\x00\x05http\x01", crate::Error::GarbledReply),
            (*b"\x09\x00\x05vi2c\x01", crate::Error::GarbledReply),
            (*b"\x00\x00\x04vi2c\x01", crate::Error::GarbledReply),
        ] {
            let listener = TcpListener::bind(loopback()).unwrap();
            let address = listener.local_addr().unwrap();
            let stranger = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.read_exact(&mut [0; 9]).unwrap();
                stream.write_all(&reply).unwrap();
            });
            assert_eq!(SocketClient::tcp(address).unwrap_err(), expected);
            stranger.join().unwrap();
        }
    }
}
