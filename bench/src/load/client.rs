//! One light client: TLS 1.3 with its own certificate, and MQTT 3.1.1 with buffers that are kept.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::wire::{self, Packet};
use crate::Outcome;
use crate::client::Always;
use crate::devices::Device;

/// When a server that does not answer is given up.
const ANSWER: Duration = Duration::from_secs(30);

/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;

/// Source addresses that connections come from in turn, so that no pair of addresses runs out of ports.
const SOURCES: usize = 8;

/// Seconds after which a client that is silent is given up; a server that has a maximum of its own may shorten it.
const KEEP_ALIVE_SECONDS: u16 = 120;

/// Where a server is and whom it must be.
#[derive(Clone)]
pub(crate) struct Road {
    address: SocketAddr,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Road {
    /// To a server whose certificate this root has signed.
    pub(crate) fn new(address: SocketAddr, root: &CertificateDer<'static>) -> Outcome<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone())?;
        let verifier = WebPkiServerVerifier::builder(Arc::new(roots)).build()?;
        Ok(Self { address, verifier })
    }

    fn connector(&self, device: &Device) -> Outcome<TlsConnector> {
        let builder = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13]);
        let builder = builder.with_webpki_verifier(Arc::clone(&self.verifier));
        let mut config = builder.with_client_cert_resolver(Arc::new(Always(Arc::clone(&device.key))));
        config.resumption = Resumption::disabled();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// A connection from one of several addresses of this machine.
    pub(super) async fn tcp(&self, number: usize) -> Outcome<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        let source = Ipv4Addr::new(127, 0, 0, 2 + (number % SOURCES) as u8);
        socket.bind(SocketAddr::from((source, 0)))?;
        let tcp = socket.connect(self.address).await?;
        tcp.set_nodelay(true)?;
        Ok(tcp)
    }

    /// A complete handshake, and nothing said.
    pub(super) async fn handshake(&self, device: &Device, number: usize) -> Outcome<TlsStream<TcpStream>> {
        let (connector, tcp) = (self.connector(device)?, self.tcp(number).await?);
        Ok(connector.connect(ServerName::try_from("localhost")?, tcp).await?)
    }
}

/// A client that the server has taken.
pub(crate) struct Client {
    stream: TlsStream<TcpStream>,
    input: Vec<u8>,
    /// What is to be sent with the next [`Client::send`].
    pub(crate) output: Vec<u8>,
}

impl Client {
    /// Connects as a device; its name is its client id.
    pub(crate) async fn open(road: &Road, device: &Device, number: usize) -> Outcome<Self> {
        let name = &device.name;
        let opened = timeout(ANSWER, Self::open_slowly(road, device, number)).await;
        let opened = opened.map_err(|_| format!("{name}: no answer to its CONNECT"))?;
        opened.map_err(|error| format!("{name}: {error}").into())
    }

    async fn open_slowly(road: &Road, device: &Device, number: usize) -> Outcome<Self> {
        let mut client = Self {
            stream: road.handshake(device, number).await?,
            input: Vec::new(),
            output: Vec::new(),
        };
        wire::connect(&mut client.output, &device.name, KEEP_ALIVE_SECONDS);
        client.send().await?;
        client.expect(&Packet::Connected(0)).await?;
        Ok(client)
    }

    /// Subscribes with QoS 1, and waits until that is granted.
    pub(crate) async fn subscribe(&mut self, filter: &str) -> Outcome<()> {
        wire::subscribe(&mut self.output, filter);
        self.send().await?;
        let granted = timeout(ANSWER, self.expect(&Packet::Subscribed(1))).await;
        granted.map_err(|_| "no answer to SUBSCRIBE")?
    }

    /// Asks whether the server is still there.
    pub(crate) async fn ping(&mut self) -> Outcome<()> {
        self.output.extend_from_slice(&wire::PING);
        self.send().await?;
        let answer = timeout(ANSWER, self.expect(&Packet::Pong)).await;
        answer.map_err(|_| "no answer to PINGREQ")?
    }

    /// Sends a PINGREQ and does not read the answer, nor anything else.
    pub(super) async fn poke(&mut self) -> Outcome<()> {
        self.output.extend_from_slice(&wire::PING);
        self.send().await
    }

    async fn expect(&mut self, wanted: &Packet<'_>) -> Outcome<()> {
        let mut answer = None;
        while answer.is_none() {
            self.receive(|packet, _| answer = Some((packet == *wanted, format!("{packet:?}"))))
                .await?;
        }
        match answer {
            Some((false, other)) => Err(format!("{other} instead of {wanted:?}").into()),
            _ => Ok(()),
        }
    }

    /// Sends what is in the output.
    pub(crate) async fn send(&mut self) -> Outcome<()> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await?;
            self.output.clear();
        }
        Ok(())
    }

    /// Waits for more, and shows every packet that is complete; answers go into the output.
    pub(crate) async fn receive(&mut self, mut take: impl FnMut(Packet<'_>, &mut Vec<u8>)) -> Outcome<()> {
        self.input.reserve(READ_BYTES);
        if self.stream.read_buf(&mut self.input).await? == 0 {
            return Err("the server closed the connection".into());
        }
        let mut taken = 0;
        while let Some((packet, bytes)) = wire::packet(self.input.get(taken..).unwrap_or_default())? {
            take(packet, &mut self.output);
            taken += bytes;
        }
        self.input.drain(..taken);
        Ok(())
    }
}
