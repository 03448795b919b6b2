//! Chapter 6: what must be refused is refused, one by one, and the record says why.
//!
//! Each reason shown here was read from a data directory by the same code as `birthmark explain`; none is a text of ours.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use ::device::{Connection, DeviceKey, Error, QoS};
use cloud::FirstConnect;
use factory::Factory;
use fleet::attempt::Kind;
use identity::{
    CertificateId, UnixMillis,
    certificate::Certificate,
    crypto::SoftwareKey,
    issue::{Profile, Serial, Validity, prepare},
    key::Curve,
    name::Name,
};
use optiga_sim::Tray;
use serde_json::json;
use store::{Filter, What};

use super::{
    super::{device_attempts, explain, factory::now, registration},
    fleet::{Member, Road},
    summary::Refusal,
    world::{self, Place, SoftwareIdentity, chip_key},
};
use crate::{
    aws::Client,
    exit::{Context, Failure},
};

/// How long a record may take to become readable: it is written off the connection's path.
const RECORD_PATIENCE: Duration = Duration::from_secs(5);
/// How many refusals this chapter shows.
pub(super) const CASES: usize = 8;

/// What the refusals are tried with.
pub(super) struct Stage<'a> {
    pub(super) place: &'a Place,
    pub(super) road: &'a Road,
    pub(super) tray: &'a Tray,
    pub(super) fleet: &'a [Member],
    /// A device whose certificate has run out.
    pub(super) expired: &'a Member,
    /// A device that will be revoked.
    pub(super) revoked: &'a Member,
    pub(super) server_root: &'a Certificate,
}

/// Tries all of them.
pub(super) fn run(
    stage: &Stage<'_>,
    factory: &mut Factory,
    client: &mut Client,
    mut progress: impl FnMut(&Refusal),
) -> Result<Vec<Refusal>, Failure> {
    let mut refusals = Vec::with_capacity(CASES);
    let mut show = |case: &'static str, reason: Option<String>| {
        let refusal = Refusal {
            case,
            refused: reason.is_some(),
            reason: reason.unwrap_or_default(),
        };
        progress(&refusal);
        refusals.push(refusal);
    };
    show("certificate from an unregistered CA", stage.unregistered()?);
    show("certificate copied without its key", stage.copied()?);
    show("expired certificate", stage.whose_time_is_over()?);
    show(
        "REVOKED certificate",
        stage.whose_certificate_was_revoked(client)?,
    );
    show("right certificate, foreign client id", stage.foreign_client_id()?);
    show("publish outside the policy", stage.publish_outside()?);
    show(
        "CA registration with the wrong code",
        stage.wrong_code(factory, client)?,
    );
    show("impostor server, refused by the device", stage.impostor()?);
    Ok(refusals)
}

impl Stage<'_> {
    fn unregistered(&self) -> Result<Option<String>, Failure> {
        let (ca_key, ca) = foreign_ca()?;
        let (key, leaf) = issued_by(&ca_key, &ca, "stranger")?;
        let identity: Arc<dyn DeviceKey> = Arc::new(SoftwareIdentity::new(
            key,
            vec![leaf.der().to_vec()],
            self.server_root,
        ));
        self.refused_with(leaf.id(), || {
            self.road.connect_software(&identity, "stranger").map(drop)
        })
    }

    fn copied(&self) -> Result<Option<String>, Failure> {
        let victim = self.member(1)?;
        let chain = chip_key(self.tray, victim.chip)?.certificate_chain();
        let id = leaf_id(&chain)?;
        let thief = SoftwareKey::generate(Curve::P256).fault(|| "could not generate a key".to_owned())?;
        let identity: Arc<dyn DeviceKey> = Arc::new(SoftwareIdentity::new(thief, chain, self.server_root));
        self.refused_with(id, || {
            self.road.connect_software(&identity, &victim.thing).map(drop)
        })
    }

    fn whose_time_is_over(&self) -> Result<Option<String>, Failure> {
        let key = chip_key(self.tray, self.expired.chip)?;
        let id = leaf_id(&key.certificate_chain())?;
        self.refused_with(id, || {
            self.road
                .connect(self.expired.chip, &key, &self.expired.thing)
                .map(drop)
        })
    }

    fn whose_certificate_was_revoked(&self, client: &mut Client) -> Result<Option<String>, Failure> {
        let Member { chip, thing, .. } = self.revoked;
        let key = chip_key(self.tray, *chip)?;
        let id = leaf_id(&key.certificate_chain())?;
        // It becomes known by its first connection; in a story that is taken up again it is known, and revoked already.
        let _ = self.road.connect_at_last(*chip, &key, thing);
        client
            .call("PUT", &format!("/certificates/{id}?newStatus=REVOKED"), &[], None)
            .refused(|| format!("could not revoke {id}"))?;
        self.refused_with(id, || self.road.connect(*chip, &key, thing).map(drop))
    }

    fn foreign_client_id(&self) -> Result<Option<String>, Failure> {
        let (device, other) = (self.member(0)?, self.member(1)?);
        let key = chip_key(self.tray, device.chip)?;
        let id = leaf_id(&key.certificate_chain())?;
        self.refused_with(id, || {
            self.road.connect(device.chip, &key, &other.thing).map(drop)
        })
    }

    fn publish_outside(&self) -> Result<Option<String>, Failure> {
        let (device, other) = (self.member(2)?, self.member(3)?);
        let key = chip_key(self.tray, device.chip)?;
        let id = leaf_id(&key.certificate_chain())?;
        let mut connection = self
            .road
            .connect(device.chip, &key, &device.thing)
            .fault(|| format!("{} could not connect", device.thing))?;
        let topic = format!("dt/{}/telemetry", other.thing);
        self.refused_with(id, || publish(&mut connection, &topic))
    }

    /// The same CA once more, with a verification certificate that carries another code than the cloud's.
    fn wrong_code(&self, factory: &mut Factory, client: &mut Client) -> Result<Option<String>, Failure> {
        let since = now();
        let code = registration::code(client).refused(|| "the cloud gave no registration code".to_owned())?;
        let wrong: String = code
            .chars()
            .map(|digit| if digit == '0' { '1' } else { '0' })
            .collect();
        let verification = factory
            .verification_certificate(&wrong, now())
            .refused(|| "the factory did not sign the code".to_owned())?;
        let (ca_pem, verification_pem) = (factory.signer().pem(), verification.pem());
        let registration = registration::Registration {
            ca_pem: &ca_pem,
            verification_pem: &verification_pem,
            template: None,
            role_arn: "",
        };
        match registration::register(client, &registration) {
            Ok(_) => Ok(None),
            Err(_) => recorded(&self.place.cloud(), What::Last, since, Some(Kind::Api)),
        }
    }

    /// A server whose chain does not end in the chip's trust anchor: a second cloud, on a port of its own.
    fn impostor(&self) -> Result<Option<String>, Failure> {
        let running = world::start_cloud(&self.place.impostor(), FirstConnect::Close)?;
        let outcome = self.meet(&running);
        running.shutdown();
        outcome
    }

    fn meet(&self, impostor: &cloud::Running) -> Result<Option<String>, Failure> {
        let device = self.member(0)?;
        let since = now();
        let key = chip_key(self.tray, device.chip)?;
        let road = Road::new(world::mqtt_endpoint(impostor)?);
        let Err(error) = road.connect(device.chip, &key, &device.thing) else {
            return Ok(None);
        };
        device_attempts::Log::open(&self.place.devices())?.refused(&device.thing, impostor.mqtt, &error)?;
        // The device was the one who refused, and the impostor did not get to see its certificate.
        let seen = explain::newest(
            &self.place.impostor(),
            &Filter {
                what: What::Certificate(leaf_id(&key.certificate_chain())?),
                ..Filter::default()
            },
            1,
        )?;
        if !matches!(error, Error::ServerNotTrusted(_)) || !seen.is_empty() {
            return Ok(None);
        }
        recorded(&self.place.devices(), What::Last, since, None)
    }

    fn member(&self, index: usize) -> Result<&Member, Failure> {
        self.fleet
            .get(index)
            .ok_or_else(|| Failure::fault("the fleet is too small for the refusals"))
    }

    /// Tries something that must fail, and gives the reason that the cloud recorded for this certificate.
    fn refused_with(
        &self,
        id: CertificateId,
        attempt: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Option<String>, Failure> {
        let since = now();
        match attempt() {
            Ok(()) => Ok(None),
            Err(_) => recorded(&self.place.cloud(), What::Certificate(id), since, None),
        }
    }
}

/// Publishes and makes sure of the answer: a refused publish has none, the connection is closed instead.
fn publish(connection: &mut Connection, topic: &str) -> Result<(), Error> {
    connection.publish(topic, b"not mine", QoS::AtLeastOnce)
}

/// The reason of the newest refusal since then, as `birthmark explain` reads it.
fn recorded(
    data_dir: &Path,
    what: What,
    since: UnixMillis,
    kind: Option<Kind>,
) -> Result<Option<String>, Failure> {
    let filter = Filter {
        what,
        tenant: None,
        refused_only: true,
    };
    let start = Instant::now();
    while start.elapsed() < RECORD_PATIENCE {
        let found = explain::newest(data_dir, &filter, 8)?;
        let fits = |kind_found: Kind| kind.is_none_or(|kind| kind == kind_found);
        if let Some(recorded) = found
            .iter()
            .find(|recorded| recorded.attempt.at >= since && fits(recorded.attempt.kind))
        {
            return Ok(Some(recorded.attempt.reason.as_str().to_owned()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(Some(String::new()))
}

fn leaf_id(chain: &[Vec<u8>]) -> Result<CertificateId, Failure> {
    let leaf = chain
        .first()
        .ok_or_else(|| Failure::fault("a device without certificate"))?;
    Ok(Certificate::parse(leaf)
        .fault(|| "a device's certificate cannot be read".to_owned())?
        .id())
}

/// A CA that no cloud has ever heard of.
fn foreign_ca() -> Result<(SoftwareKey, Certificate), Failure> {
    let what = || "could not make a foreign CA".to_owned();
    let key = SoftwareKey::generate(Curve::P256).fault(what)?;
    let name = Name::with_common_name("A CA that nobody registered").fault(what)?;
    let profile = Profile::root(
        identity::issue::Signer::public_key(&key),
        &name,
        Validity::days(now(), 30).fault(what)?,
    );
    let ca = prepare(&profile, key.prove(&name).fault(what)?, &name, &serial()?)
        .and_then(|prepared| prepared.sign(&key))
        .fault(what)?;
    Ok((key, ca))
}

fn issued_by(
    ca_key: &SoftwareKey,
    ca: &Certificate,
    name: &str,
) -> Result<(SoftwareKey, Certificate), Failure> {
    let what = || "could not make a foreign certificate".to_owned();
    let key = SoftwareKey::generate(Curve::P256).fault(what)?;
    let name = Name::with_common_name(name).fault(what)?;
    let profile = Profile::device(ca, Validity::days(now(), 30).fault(what)?).fault(what)?;
    let leaf = prepare(&profile, key.prove(&name).fault(what)?, &name, &serial()?)
        .and_then(|prepared| prepared.sign(ca_key))
        .fault(what)?;
    Ok((key, leaf))
}

fn serial() -> Result<Serial, Failure> {
    let what = || "could not draw a serial number".to_owned();
    let mut bytes = [0; 16];
    identity::crypto::random(&mut bytes).fault(what)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Serial::new(bytes).fault(what)
}

/// The subscriber's identity: a program's key, certified by the cloud, with a policy of its own.
pub(super) fn subscriber(
    client: &mut Client,
    server_root: &Certificate,
    client_id: &str,
) -> Result<Arc<dyn DeviceKey>, Failure> {
    let what = || "could not make the subscriber's identity".to_owned();
    let key = SoftwareKey::generate(Curve::P256).fault(what)?;
    let name = Name::with_common_name(client_id).fault(what)?;
    let csr = identity::request::encode_pem(&key.request(&name).fault(what)?);
    let answer = client
        .call(
            "POST",
            "/certificates?setAsActive=true",
            &[],
            Some(&json!({ "certificateSigningRequest": csr })),
        )
        .refused(what)?;
    let certificate = Certificate::from_pem(&registration::text(&answer, "certificatePem")).fault(what)?;
    let arn = |resource: &str| format!("arn:aws:iot:*:*:{resource}");
    let document = json!({
        "Version": "2012-10-17",
        "Statement": [
            { "Effect": "Allow", "Action": "iot:Connect", "Resource": arn(&format!("client/{client_id}")) },
            { "Effect": "Allow", "Action": "iot:Subscribe", "Resource": arn("topicfilter/dt/+/telemetry") },
            { "Effect": "Allow", "Action": "iot:Receive", "Resource": arn("topic/dt/*/telemetry") },
        ],
    });
    let policy = format!("/policies/{client_id}");
    match client.call(
        "POST",
        &policy,
        &[],
        Some(&json!({ "policyDocument": document.to_string() })),
    ) {
        Err(error) if error.exception() != Some("ResourceAlreadyExistsException") => {
            return Err(Failure::refused(what()).because(error));
        }
        _ => {}
    }
    let target = json!({ "target": registration::text(&answer, "certificateArn") });
    client
        .call(
            "PUT",
            &format!("/target-policies/{client_id}"),
            &[],
            Some(&target),
        )
        .refused(what)?;
    Ok(Arc::new(SoftwareIdentity::new(
        key,
        vec![certificate.der().to_vec()],
        server_root,
    )))
}
