//! From an accepted socket to a completed handshake, with an attempt record that has begun.
//!
//! It stands at the threshold of both listeners. How many may be in here is bounded, and so is how long each may take.
//! Whoever does not get through leaves a record of what it offered, what it showed and why it failed.

use std::net::SocketAddr;
use std::sync::Arc;

use fleet::attempt::{Attempt, CertificateFacts, Kind, TlsFacts, Verdict};
use fleet::domain_configuration::SecurityPolicy;
use fleet::text::Text;
use identity::certificate::Certificate;
use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::clock;
use crate::control::Control;
use crate::domains::Domain;
use crate::limits::{ACCEPT_REST, HANDSHAKE_DEADLINE, LINGER};
use crate::metrics::{Handshake, Listener};
use crate::tenancy::{Addressed, addressed};
use crate::tls::{self, Chosen, Detached, Failure, Hello, MalformedHello, Stream, read_hello};

/// What whoever speaks HTTP without TLS is answered.
const PLAIN_HTTP_ANSWER: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\
    Content-Length: 61\r\n\r\nThis port speaks HTTPS only: use https:// and the server root\n";

/// A connection whose handshake is complete.
pub(crate) struct Handshaken {
    /// The encrypted stream.
    pub(crate) stream: Stream,
    /// The certificate whose key the client has proven to hold.
    pub(crate) certificate: Option<Certificate>,
    /// Whose endpoint it is for.
    pub(crate) addressed: Addressed,
    /// The domain configuration of that name, if it is the name of one.
    pub(crate) domain: Option<Arc<Domain>>,
    /// The record of this attempt, not finished.
    pub(crate) record: Record,
}

/// The same on its way to another runtime.
pub(crate) struct Visitor {
    stream: Detached,
    certificate: Option<Certificate>,
    addressed: Addressed,
    domain: Option<Arc<Domain>>,
    record: Record,
}

impl Handshaken {
    /// Takes it off this thread's runtime.
    ///
    /// # Errors
    /// The system refuses to give the socket back.
    pub(crate) fn detach(self) -> std::io::Result<Visitor> {
        Ok(Visitor {
            stream: self.stream.detach()?,
            certificate: self.certificate,
            addressed: self.addressed,
            domain: self.domain,
            record: self.record,
        })
    }
}

impl Visitor {
    /// Puts it onto the runtime of this thread.
    ///
    /// # Errors
    /// The runtime does not take the socket.
    pub(crate) fn attach(self) -> std::io::Result<Handshaken> {
        Ok(Handshaken {
            stream: self.stream.attach()?,
            certificate: self.certificate,
            addressed: self.addressed,
            domain: self.domain,
            record: self.record,
        })
    }
}

/// The record of an attempt while it goes on.
pub(crate) struct Record {
    /// What is known so far.
    pub(crate) attempt: Box<Attempt>,
    /// Where it came in.
    pub(crate) listener: Listener,
    begun: Instant,
}

impl Record {
    /// A connection attempt that begins now.
    pub(crate) fn begin(control: &Control, listener: Listener, peer: SocketAddr) -> Self {
        let mut attempt = Attempt::begin(
            control.traces.next(),
            Kind::Connect,
            control.plan.tenant,
            clock::now(),
        );
        attempt.peer = Some(peer);
        Self {
            attempt: Box::new(attempt),
            listener,
            begun: Instant::now(),
        }
    }

    /// The handshake ended.
    fn count_handshake(&self, control: &Control, outcome: Handshake) {
        control
            .tally
            .handshake(self.listener, outcome, self.begun.elapsed());
    }

    /// Another attempt of whoever made this one, over the same connection, that begins now.
    pub(crate) fn again(&self, control: &Control) -> Self {
        let mut attempt = self.attempt.clone();
        (attempt.trace, attempt.at) = (control.traces.next(), clock::now());
        Self {
            attempt,
            listener: self.listener,
            begun: Instant::now(),
        }
    }

    /// Ends the attempt and hands it to the ring.
    pub(crate) fn keep(mut self, control: &Control) {
        self.attempt.elapsed_micros = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        control.record(*self.attempt);
    }

    /// Ends the attempt with a reason that somebody other than `fleet` gives.
    pub(crate) fn end(mut self, control: &Control, verdict: Verdict, code: &str, reason: &str, hint: &str) {
        self.attempt.end(verdict, code, reason, hint);
        self.keep(control);
    }
}

/// The next connection, as soon as there is room for it; `None` when there never will be again.
pub(crate) async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = room.clone().acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                // Some systems do not let it take over what its listener was told.
                #[cfg(not(target_os = "linux"))]
                let _ = socket.set_nodelay(true);
                return Some((socket, peer, place));
            }
            Err(error) if is_connection_error(&error) => {}
            Err(_) => tokio::time::sleep(ACCEPT_REST).await,
        }
    }
}

/// Errors of the connection that was to be accepted, not of the listener.
fn is_connection_error(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

/// Leads a new connection through its handshake. `None`: it failed, and its record is kept.
pub(crate) async fn handshake(
    control: &Control,
    listener: Listener,
    (socket, peer): (TcpStream, SocketAddr),
    choose: impl FnOnce(Option<&Hello>, Option<SecurityPolicy>) -> Chosen,
) -> Option<Handshaken> {
    let mut record = Record::begin(control, listener, peer);
    let counted = control.tally.begin_handshake();
    let deadline = Instant::now() + counted.patience();
    let mut bytes = Vec::with_capacity(1024);
    let hello = match timeout_at(deadline, read_hello(&socket, &mut bytes)).await {
        Ok(Ok(hello)) => hello,
        Ok(Err(_)) => return gone(control, record, &bytes),
        Err(_) => return late(control, record),
    };
    if let Err(MalformedHello::PlainHttp) = hello {
        fail(control, record, MalformedHello::PlainHttp.into());
        answer_plain_http(socket).await;
        return None;
    }
    if let Err(malformed @ (MalformedHello::PlainMqtt | MalformedHello::NotTls)) = hello {
        return fail(control, record, malformed.into());
    }
    let offered = hello.as_ref().ok();
    let server_name = offered.and_then(|hello| hello.server_name.as_deref());
    let domain = server_name.and_then(|name| control.domains.find(name));
    let addressed = addressed(&control.plan, server_name, domain.as_deref());
    record.attempt.tenant = addressed.tenant;
    if let Some(offered) = offered {
        record.attempt.tls = facts(offered);
    }
    let policy = domain.as_ref().map(|domain| domain.configuration.security_policy);
    let mut stream = match Stream::new(socket, choose(offered, policy)) {
        Ok(stream) => stream,
        Err(error) => {
            return fail(
                control,
                record,
                tls::explain(&tls::HandshakeError::Tls(error), offered),
            );
        }
    };
    let outcome = timeout_at(deadline, stream.handshake(&bytes)).await;
    let certificate = stream.take_seen();
    record.attempt.certificate = certificate.as_ref().map(CertificateFacts::of);
    match outcome {
        Ok(Ok(())) => {
            note_agreement(&mut record.attempt, &stream);
            record.count_handshake(control, Handshake::Complete);
            Some(Handshaken {
                stream,
                certificate,
                addressed,
                domain,
                record,
            })
        }
        Ok(Err(error)) => {
            let failure = match hello {
                Err(malformed) => malformed.into(),
                Ok(hello) => tls::explain(&error, Some(&hello)),
            };
            fail(control, record, failure);
            control.beside(linger(stream));
            None
        }
        Err(_) => late(control, record),
    }
}

fn facts(hello: &Hello) -> TlsFacts {
    let known = |values: &[u16]| {
        values
            .iter()
            .copied()
            .filter(|value| !tls::is_grease(*value))
            .collect()
    };
    TlsFacts {
        sni: hello.server_name.as_deref().map(Text::short),
        alpn: hello
            .alpn
            .iter()
            .map(|name| Text::short(String::from_utf8_lossy(name)))
            .collect(),
        versions_offered: known(&hello.versions),
        suites_offered: known(&hello.suites),
        ..TlsFacts::default()
    }
    .bounded()
}

fn note_agreement(attempt: &mut Attempt, stream: &Stream) {
    let connection = stream.connection();
    attempt.tls.version = connection.protocol_version().map(u16::from);
    attempt.tls.suite = connection
        .negotiated_cipher_suite()
        .map(|suite| u16::from(suite.suite()));
    if attempt.certificate.is_some() {
        let shown = match connection.handshake_kind() {
            Some(HandshakeKind::Resumed) => {
                "the client showed it when the session began that it takes up again"
            }
            _ => "the client holds the key of its certificate",
        };
        attempt.trail.passed("tls.possession", shown);
    }
}

fn fail(control: &Control, mut record: Record, failure: Failure) -> Option<Handshaken> {
    record.attempt.tls.alert = failure.alert;
    record
        .attempt
        .trail
        .failed("tls.handshake", failure.reason.as_str());
    record.count_handshake(control, Handshake::Refused);
    let verdict = if failure.refused_by_client {
        Verdict::Abandoned
    } else {
        Verdict::Refused
    };
    record.end(control, verdict, failure.code, &failure.reason, &failure.hint);
    None
}

/// The client left before its ClientHello was complete.
fn gone(control: &Control, record: Record, bytes: &[u8]) -> Option<Handshaken> {
    let reason = match bytes.is_empty() {
        true => "the client closed the connection without sending anything",
        false => "the client closed the connection in the middle of its ClientHello",
    };
    record.count_handshake(control, Handshake::Abandoned);
    record.end(
        control,
        Verdict::Abandoned,
        "cloud.tls.gone",
        reason,
        "a port scan or a health check looks like this",
    );
    None
}

fn late(control: &Control, record: Record) -> Option<Handshaken> {
    let reason = format!(
        "the TLS handshake was not complete after {} s",
        HANDSHAKE_DEADLINE.as_secs()
    );
    record.count_handshake(control, Handshake::Abandoned);
    let hint = "look at the network, or at a client that is too slow for a handshake";
    record.end(control, Verdict::Abandoned, "cloud.tls.late", &reason, hint);
    None
}

async fn answer_plain_http(mut socket: TcpStream) {
    let answer = async {
        socket.write_all(PLAIN_HTTP_ANSWER).await?;
        socket.shutdown().await?;
        discard(&mut socket).await
    };
    let _ = timeout(LINGER, answer).await;
}

/// Closes a connection so that what was written before still arrives: a reset would overtake it.
pub(crate) async fn linger(mut stream: Stream) {
    let close = async {
        stream.shutdown().await?;
        discard(stream.socket_mut()).await
    };
    let _ = timeout(LINGER, close).await;
}

/// Reads what the peer still sends, and throws it away.
pub(crate) async fn discard(socket: &mut TcpStream) -> std::io::Result<()> {
    let mut waste = [0; 1024];
    while socket.read(&mut waste).await? > 0 {}
    Ok(())
}
