//! The entrances: where clients come in, and what is already known of those who come in there.
//!
//! It stands at the very front. All entrances with TLS share one number of handshakes in flight. Who speaks HTTP is handed to
//! the API's thread, and comes back as a guest if it asked for WebSocket. An entrance must never let in whom
//! another one would refuse.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use fleet::attempt::{Standing, Verdict};
use identity::certificate::Certificate;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::spawn_local;

use super::opening::{self, Bearer, Credential};
use super::{FrontDoor, receive, show_out};
use crate::arrival::{self, Handshaken, Record};
use crate::domains::Domain;
use crate::limits::PLAIN_CONNECTIONS_MAX;
use crate::metrics::Listener;
use crate::mux::{self, Speech};
use crate::principal::{ANONYMOUS, named, stand_in};
use crate::shard::Clearance;
use crate::shutdown::Shutdown;
use crate::tenancy::Addressed;
use crate::tls;
use crate::wire::{DetachedWire, Wire};

/// Where clients come in.
pub(crate) struct Entrances {
    pub(crate) mqtt: (TcpListener, tls::Settings),
    /// The port for everything.
    pub(crate) mux: Option<(TcpListener, mux::Settings)>,
    /// The port without TLS.
    pub(crate) plain: Option<TcpListener>,
    /// Clients whom HTTP let in.
    pub(crate) guests: mpsc::Receiver<Guest>,
}

/// A client that came by WebSocket.
pub(crate) struct Guest {
    pub(crate) wire: DetachedWire,
    /// What it has sent already.
    pub(crate) received: Vec<u8>,
    pub(crate) pass: Pass,
    pub(crate) record: Record,
}

/// What a guest is let in for.
pub(crate) enum Pass {
    /// It is known what it may do.
    Cleared(Box<Clearance>),
    /// It showed a certificate that is not known yet.
    Certificate(Box<Certificate>, Addressed, Option<Arc<Domain>>),
    /// An authorizer is asked about it.
    Authorizer(Box<Bearer>),
}

impl Entrances {
    /// Accepts clients at every entrance until shutdown.
    pub(super) async fn attend(self, door: &Rc<FrontDoor>, handshakes: Arc<Semaphore>, shutdown: &Shutdown) {
        let Self {
            mqtt: (mqtt, settings),
            mux,
            plain,
            guests,
        } = self;
        let certified = accept(&mqtt, &handshakes, shutdown, |socket, peer, place| {
            let (door, settings) = (door.clone(), settings.clone());
            // In a box, since the runtime moves what a task is made of several times, and this is several kilobytes.
            spawn_local(Box::pin(async move {
                enter(&door, socket, peer, place, &settings).await
            }));
        });
        let everything = async {
            let Some((listener, settings)) = mux else { return };
            accept(&listener, &handshakes, shutdown, |socket, peer, place| {
                let (door, settings) = (door.clone(), settings.clone());
                spawn_local(Box::pin(async move {
                    enter_mux(&door, socket, peer, place, &settings).await
                }));
            })
            .await;
        };
        let bare = async {
            let Some(listener) = plain else { return };
            let room = Arc::new(Semaphore::new(PLAIN_CONNECTIONS_MAX));
            accept(&listener, &room, shutdown, |socket, peer, place| {
                let door = door.clone();
                spawn_local(async move { enter_plain(&door, socket, peer, place).await });
            })
            .await;
        };
        tokio::join!(certified, everything, bare, host(door, guests, shutdown));
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    shutdown: &Shutdown,
    enter: impl Fn(TcpStream, SocketAddr, OwnedSemaphorePermit),
) {
    loop {
        let accepted = tokio::select! {
            accepted = arrival::accept(listener, room) => accepted,
            () = shutdown.begun() => None,
        };
        let Some((socket, peer, place)) = accepted else {
            break;
        };
        enter(socket, peer, place);
    }
}

/// By MQTT over TLS.
async fn enter(
    door: &Rc<FrontDoor>,
    socket: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
    settings: &tls::Settings,
) {
    let choose = |hello: Option<&tls::Hello>, policy| settings.choose(hello, policy);
    let Some(handshaken) = arrival::handshake(&door.control, Listener::Mqtt, (socket, peer), choose).await
    else {
        return;
    };
    // Whoever proved possession waits somewhere else, and no longer takes the place of a handshake.
    let Ok(arrived) = door.arrivals.clone().acquire_owned().await else {
        return;
    };
    drop(place);
    receive(door, handshaken, arrived).await;
}

/// By the port for everything.
async fn enter_mux(
    door: &Rc<FrontDoor>,
    socket: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
    settings: &mux::Settings,
) {
    let choose = |hello: Option<&tls::Hello>, policy| settings.choose(hello, policy);
    let Some(mut handshaken) = arrival::handshake(&door.control, Listener::Mux, (socket, peer), choose).await
    else {
        return;
    };
    let Ok(arrived) = door.arrivals.clone().acquire_owned().await else {
        return;
    };
    drop(place);
    let protocol = handshaken.stream.protocol().map(<[u8]>::to_vec);
    let spoken = String::from_utf8_lossy(protocol.as_deref().unwrap_or_default()).into_owned();
    let agreed = match spoken.as_str() {
        "" => "the port for everything; no protocol was agreed on: HTTPS".to_owned(),
        _ => format!("the port for everything; agreed on {spoken}"),
    };
    handshaken.record.attempt.trail.passed("arrival.listener", agreed);
    match Speech::of(protocol.as_deref()) {
        Speech::Mqtt => receive(door, handshaken, arrived).await,
        Speech::Http => visit(door, handshaken).await,
        Speech::Authorized => {
            let Handshaken {
                stream,
                addressed,
                domain,
                record,
                ..
            } = handshaken;
            let bearer = Bearer {
                addressed,
                domain,
                http: None,
            };
            let credential = Credential::Authorizer(Box::new(bearer));
            opening::await_connect(door, stream.into(), Vec::new(), credential, record, arrived).await;
        }
    }
}

/// Hands a client that speaks HTTP to the thread that does.
async fn visit(door: &Rc<FrontDoor>, handshaken: Handshaken) {
    if let Ok(visitor) = handshaken.detach() {
        // If nobody takes it, the server is shutting down.
        let _ = door.http.send(visitor).await;
    }
}

/// Without TLS, from this machine: everybody is the same, and may do what one policy says.
async fn enter_plain(door: &Rc<FrontDoor>, socket: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) {
    let control = &door.control;
    let mut record = Record::begin(control, Listener::Plain, peer);
    record.attempt.trail.passed(
        "arrival.listener",
        "the port without TLS: the client is anonymous",
    );
    record.attempt.standing = Standing::Known { ca: None };
    let tenant = control.plan.tenant;
    let names: Arc<[_]> = control.plan.plain_policy.iter().cloned().collect();
    let grant = control
        .grants
        .of_names(&control.records, &tenant, stand_in(ANONYMOUS), &names);
    match grant.await {
        Ok(grant) => {
            let credential = Credential::Cleared(named(grant, ANONYMOUS).by_names(names));
            opening::await_connect(door, socket.into(), Vec::new(), credential, record, place).await;
        }
        Err(fault) => show_out(door, socket.into(), record, fault.into()),
    }
}

/// Takes in those whom HTTP let in.
async fn host(door: &Rc<FrontDoor>, mut guests: mpsc::Receiver<Guest>, shutdown: &Shutdown) {
    loop {
        let guest = tokio::select! {
            guest = guests.recv() => guest,
            () = shutdown.begun() => None,
        };
        let Some(guest) = guest else { break };
        let door = door.clone();
        spawn_local(async move {
            let Ok(arrived) = door.arrivals.clone().acquire_owned().await else {
                return;
            };
            take_in(&door, guest, arrived).await;
        });
    }
}

async fn take_in(door: &Rc<FrontDoor>, guest: Guest, place: OwnedSemaphorePermit) {
    let Guest {
        wire,
        received,
        pass,
        mut record,
    } = guest;
    let wire: Wire = match wire.attach() {
        Ok(wire) => wire,
        Err(error) => {
            let reason = format!("the connection could not be handed over: {error}");
            return record.end(
                &door.control,
                Verdict::Faulted,
                "cloud.front_door.fault",
                &reason,
                "",
            );
        }
    };
    let credential = match pass {
        Pass::Cleared(clearance) => Ok(Credential::Cleared(*clearance)),
        Pass::Certificate(certificate, addressed, domain) => {
            let cleared = super::clear(door, &certificate, addressed, &mut record).await;
            cleared.map(|clearance| Credential::Cleared(clearance.by_domain(domain.as_deref())))
        }
        Pass::Authorizer(bearer) => Ok(Credential::Authorizer(bearer)),
    };
    match credential {
        Ok(credential) => opening::await_connect(door, wire, received, credential, record, place).await,
        Err(shown_out) => show_out(door, wire, record, shown_out),
    }
}

impl From<Clearance> for Pass {
    fn from(clearance: Clearance) -> Self {
        Self::Cleared(Box::new(clearance))
    }
}
