//! The front door: where devices come in, and where it is found out who they are.
//!
//! It stands between the MQTT listener and the shards, on threads of its own, so that a storm of handshakes cannot slow
//! down established traffic. After the handshake the certificate is looked up: a known one that may connect goes on to its
//! shard with a grant; an unknown one may be provisioned by this very connection; everybody else is shown out without a
//! word, as AWS does, and the reason is in the attempt record. It must never hand a connection to a shard whose client has
//! not proven possession of its key.

mod authorities;
mod claim;
mod departures;
mod entrances;
mod first_connection;
mod newcomer;
mod opening;

use std::rc::Rc;
use std::sync::Arc;

use fleet::Refusal;
use fleet::admission::{self, Admission, Registered};
use fleet::attempt::Standing;
use fleet::domain_configuration::{Authentication, Protocol};
use fleet::onboarding::Onboarded;
use identity::Tenant;
use identity::certificate::Certificate;
use policy::CertificateFacts;
use store::Trust;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use self::authorities::Remembered;
use self::departures::Departures;
pub(crate) use self::entrances::{Entrances, Guest, Pass};
use self::first_connection::{FirstConnections, Outcome};
pub(crate) use self::opening::Bearer;
use self::opening::Credential;
use crate::acquaintances::Known;
use crate::api::ApiFault;
use crate::arrival::{Handshaken, Record, Visitor};
use crate::clock;
use crate::config::FirstConnect;
use crate::control::Control;
use crate::deciding::{self, ShownOut};
use crate::domains::Domain;
#[cfg(target_os = "linux")]
use crate::limits::FRONT_DOOR_NICENESS;
use crate::limits::{ARRIVALS_MAX, HANDSHAKES_MAX};
use crate::shard::{Arrival, Clearance};
use crate::shutdown::Shutdown;
use crate::tenancy::Addressed;
use crate::trust::{Grants, facts_of_each};
use crate::wire::{Wire, linger};

/// What one thread of the front door works with.
pub(crate) struct FrontDoor {
    control: Arc<Control>,
    authorities: Remembered,
    first_connections: FirstConnections,
    /// Places for connections between their handshake and their shard.
    arrivals: Arc<Semaphore>,
    /// Those who leave for their shard.
    departures: Departures<Arrival>,
    /// The way to the thread that speaks HTTP.
    http: mpsc::Sender<Visitor>,
}

/// Accepts devices until shutdown.
pub(crate) async fn serve(
    control: Arc<Control>,
    entrances: Entrances,
    http: mpsc::Sender<Visitor>,
    shutdown: Shutdown,
) {
    give_way();
    let departures = Departures::to(control.shards.count());
    let door = Rc::new(FrontDoor {
        control,
        authorities: Remembered::default(),
        first_connections: FirstConnections::default(),
        arrivals: Arc::new(Semaphore::new(ARRIVALS_MAX)),
        departures,
        http,
    });
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    entrances.attend(&door, handshakes, &shutdown).await;
}

/// Lets the shards go first wherever there are fewer cores than threads that could run: a handshake is two signatures' time in
/// one piece, and the messages of those who are in must not wait for it.
fn give_way() {
    #[cfg(target_os = "linux")]
    {
        // Where the system does not let it, it stands in line with the others.
        let _ = rustix::process::nice(FRONT_DOOR_NICENESS);
    }
}

/// Finds out who came, and leads him to his shard or out.
async fn receive(door: &Rc<FrontDoor>, handshaken: Handshaken, place: OwnedSemaphorePermit) {
    let Handshaken {
        stream,
        certificate,
        addressed,
        domain,
        mut record,
    } = handshaken;
    let Some(certificate) = certificate else { return };
    if let Err(refusal) = admit(domain.as_deref(), Protocol::Mqtt, Authentication::X509) {
        return show_out(door, stream.into(), record, refusal.into());
    }
    match clear(door, &certificate, addressed, &mut record).await {
        Ok(clearance) => {
            let credential = Credential::Cleared(clearance.by_domain(domain.as_deref()));
            opening::await_connect(door, stream.into(), Vec::new(), credential, record, place).await;
        }
        Err(shown_out) => show_out(door, stream.into(), record, shown_out),
    }
}

/// What a certificate may do, or why it may not come in.
async fn clear(
    door: &Rc<FrontDoor>,
    certificate: &Certificate,
    addressed: Addressed,
    record: &mut Record,
) -> Result<Clearance, ShownOut> {
    check_address(addressed)?;
    if let Some(clearance) = look_up(&door.control, certificate, addressed, record).await? {
        return Ok(clearance);
    }
    let outcome = door
        .first_connections
        .run(door, certificate, addressed, record)
        .await?;
    let Outcome { onboarded, ca, trail } = outcome;
    record.attempt.trail.extend(trail);
    record.attempt.standing = Standing::Known { ca: Some(ca) };
    match (onboarded, door.control.plan.first_connect) {
        (Onboarded::Failed(refusal) | Onboarded::Unlisted(refusal), _) => Err(refusal.into()),
        (Onboarded::Registered, _) => Err(ShownOut::Registered),
        (Onboarded::Provisioned { thing, active, .. }, first_connect) => {
            record.attempt.thing = thing;
            if first_connect == FirstConnect::Close || !active {
                return Err(ShownOut::Provisioned { active });
            }
            record
                .attempt
                .trail
                .passed("first_connection.hold", "goes on; AWS would have closed here");
            let clearance = look_up(&door.control, certificate, addressed, record).await?;
            clearance.ok_or_else(|| {
                ShownOut::Failed(ApiFault::failed(
                    "a certificate vanished while it was provisioned",
                ))
            })
        }
    }
}

/// Refuses who does not come to a domain in the way that it takes.
pub(crate) fn admit(
    domain: Option<&Domain>,
    protocol: Protocol,
    authentication: Authentication,
) -> Result<(), Refusal> {
    domain.map_or(Ok(()), |domain| {
        domain.configuration.admit(protocol, authentication)
    })
}

/// How a client that signs nothing says who it is: as the domain demands, else by the authorizer that it names, by its
/// certificate, and without one by the authorizer of those who name none.
pub(crate) fn authentication_of(
    domain: Option<&Domain>,
    certified: bool,
    names_authorizer: bool,
) -> Authentication {
    let demanded = domain.map_or(Authentication::Default, |domain| {
        domain.configuration.authentication
    });
    match demanded {
        Authentication::Custom => Authentication::Custom,
        Authentication::Default if names_authorizer || !certified => Authentication::Custom,
        _ => Authentication::X509,
    }
}

/// Refuses who came for an endpoint that is nobody's.
pub(crate) fn check_address(addressed: Addressed) -> Result<(), Refusal> {
    deciding::check_addressed(addressed)
}

/// Looks a certificate up. `None`: it is not known, or awaits activation by its first connection.
pub(crate) async fn look_up(
    control: &Control,
    certificate: &Certificate,
    addressed: Addressed,
    record: &mut Record,
) -> Result<Option<Clearance>, ApiFault> {
    let Addressed { tenant, by_name, .. } = addressed;
    let before = match control.acquaintances.recall(&tenant, &certificate.id()) {
        Ok(known) => return readmit(&known, by_name, record),
        Err(before) => before,
    };
    let found = deciding::look_up(&control.records, certificate, addressed, &mut record.attempt).await?;
    let Some(trust) = found else {
        return match control.issuer.is_named_by(certificate) {
            true => claim::clear(control, certificate, addressed, record).await,
            false => Ok(None),
        };
    };
    let known = Arc::new(known_of(&control.grants, &tenant, certificate, trust)?);
    control.acquaintances.remember(before, &known);
    Ok(Some(cleared(&known, by_name)))
}

/// What follows from the records of a certificate.
fn known_of(
    grants: &Grants,
    tenant: &Tenant,
    certificate: &Certificate,
    trust: Trust,
) -> Result<Known, ApiFault> {
    Ok(Known {
        registered: Registered::from(&trust.certificate.record),
        grant: grants.grant(tenant, &trust)?,
        facts: Arc::new(CertificateFacts::of(certificate.id(), certificate)),
        things: facts_of_each(trust.things),
    })
}

/// Decides on a certificate that was looked up lately.
fn readmit(known: &Known, by_name: bool, record: &mut Record) -> Result<Option<Clearance>, ApiFault> {
    record.attempt.standing = Standing::Known {
        ca: known.registered.ca,
    };
    let trail = &mut record.attempt.trail;
    match admission::decide(known.registered, clock::now(), by_name, trail)? {
        Admission::Onboard => Ok(None),
        Admission::Admitted => Ok(Some(cleared(known, by_name))),
    }
}

fn cleared(known: &Known, by_name: bool) -> Clearance {
    Clearance {
        grant: known.grant.clone(),
        facts: known.facts.clone(),
        things: known.things.clone(),
        by_name,
        lease: None,
        footing: None,
    }
}

/// Closes without a word, as AWS does, and writes down why.
fn show_out(door: &FrontDoor, wire: Wire, mut record: Record, shown_out: ShownOut) {
    shown_out.tell(&mut record.attempt);
    record.keep(&door.control);
    door.control.beside(linger(wire));
}
