//! The client that drives every server alike: TCP, TLS 1.3 with a client certificate, CONNECT, until answer or end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SignatureScheme, StreamOwned};

use crate::Outcome;
use crate::devices::Device;

/// Connections under way at any time.
const IN_FLIGHT: usize = 32;

/// When a server that does not answer is given up.
const ANSWER_SECONDS_MAX: u64 = 20;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// CONNACK 0 was read.
    Accepted,
    /// The server closed without one.
    Closed,
}

/// Connects every device once; all must end in the way that is wanted.
pub(crate) fn connect_all(
    server: SocketAddr,
    root: &CertificateDer<'static>,
    devices: &[Device],
    wanted: End,
) -> Outcome<()> {
    let next = AtomicUsize::new(0);
    let (next, work) = (&next, move |device: &Device| connect(server, root, device));
    thread::scope(|scope| {
        let one_after_the_other = move || -> Outcome<()> {
            while let Some(device) = devices.get(next.fetch_add(1, Ordering::Relaxed)) {
                let end = work(device)?;
                if end != wanted {
                    return Err(format!("{}: {end:?} instead of {wanted:?}", device.name).into());
                }
            }
            Ok(())
        };
        let threads: Vec<_> = (0..IN_FLIGHT).map(|_| scope.spawn(one_after_the_other)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a client ended badly")?)
    })
}

/// Connects one device once, says goodbye if it was taken.
pub(crate) fn connect(server: SocketAddr, root: &CertificateDer<'static>, device: &Device) -> Outcome<End> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone())?;
    let builder = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_root_certificates(roots);
    let mut config = builder.with_client_cert_resolver(Arc::new(Always(Arc::clone(&device.key))));
    config.resumption = Resumption::disabled();
    let tcp = TcpStream::connect(server)?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(Duration::from_secs(ANSWER_SECONDS_MAX)))?;
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost")?)?;
    let mut stream = StreamOwned::new(connection, tcp);
    stream.write_all(&connect_packet(&device.name))?;
    let mut answer = [0; 4];
    match stream.read_exact(&mut answer) {
        Ok(()) if answer == [0x20, 2, 0, 0] => {
            let _ = stream.write_all(&[0xE0, 0]);
            Ok(End::Accepted)
        }
        Ok(()) => Err(format!("{} was answered {answer:02x?}", device.name).into()),
        Err(_) => Ok(End::Closed),
    }
}

/// CONNECT of MQTT 3.1.1 with a clean session and no keep-alive (section 3.1).
fn connect_packet(client_id: &str) -> Vec<u8> {
    let id = client_id.as_bytes();
    let mut packet = vec![
        0x10,
        12 + id.len() as u8,
        0,
        4,
        b'M',
        b'Q',
        b'T',
        b'T',
        4,
        2,
        0,
        0,
        0,
        id.len() as u8,
    ];
    packet.extend_from_slice(id);
    packet
}

/// Sends the same certificate whoever asks.
#[derive(Debug)]
pub(crate) struct Always(pub(crate) Arc<CertifiedKey>);

impl ResolvesClientCert for Always {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
