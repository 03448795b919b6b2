//! What would happen to a certificate at its next connection; nothing is written and nobody is told.
//!
//! It stands beside the front door and uses its decisions ([`crate::deciding`]) on the records as they are now, also while
//! a server runs on them. What only a handshake can show (the key, versions, suites) is said to be so.

use fleet::attempt::{Attempt, CertificateFacts, Kind, TraceId};
use fleet::audit::Actor;
use fleet::domain_configuration::{Authentication, DomainConfiguration, Protocol};
use fleet::onboarding::{Arrival, Onboarded};
use fleet::record::Thing;
use fleet::text::Text;
use fleet::{Call, Profile};
use identity::certificate::Certificate;
use store::{LocalRecords, Records as _, Trust, wait};

use crate::clock;
use crate::config::{Config, FirstConnect, Plan};
use crate::deciding::{self, ShownOut};
use crate::domains::Domain;
use crate::error::Error;
use crate::hook::Consultation;
use crate::tenancy::{self, Addressed};

/// A certificate that somebody holds in his hand.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The certificate.
    pub certificate: &'a Certificate,
    /// What the device would send with it, itself excluded.
    pub chain: &'a [Certificate],
    /// The name that the device would ask for; `None` is no name at all.
    pub server_name: Option<&'a str>,
}

/// Answers it with the attempt record that the connection would leave.
///
/// # Errors
/// A setting cannot be, or the records cannot be read.
pub fn rehearse(config: &Config, question: Question<'_>) -> Result<Attempt, Error> {
    let plan = config.plan()?;
    let records = LocalRecords::open_to_read(&plan.data_dir).map_err(Error::Store)?;
    let domain = domain(&records, question.server_name).map_err(Error::Store)?;
    let addressed = tenancy::addressed(&plan, question.server_name, domain.as_ref());
    let mut attempt = Attempt::begin(TraceId([0; 16]), Kind::Connect, addressed.tenant, clock::now());
    attempt.certificate = Some(CertificateFacts::of(question.certificate));
    attempt.tls.sni = question.server_name.map(Text::short);
    attempt.trail.skipped(
        "tls.possession",
        "only a handshake shows that the device holds the key",
    );
    tell_chain(question, &mut attempt);
    let admitted = domain.map_or(Ok(()), |domain| {
        domain.configuration.admit(Protocol::Mqtt, Authentication::X509)
    });
    let outcome = match admitted {
        Ok(()) => wait(play(
            &plan,
            &records,
            question.certificate,
            addressed,
            &mut attempt,
        )),
        Err(refusal) => Err(refusal.into()),
    };
    match outcome {
        Ok(()) => attempt.accept(),
        Err(shown_out) => shown_out.tell(&mut attempt),
    }
    Ok(attempt)
}

/// The domain configuration that a server name means.
fn domain(records: &LocalRecords, name: Option<&str>) -> Result<Option<Domain>, store::Error> {
    let Some(name) = name else { return Ok(None) };
    let kept = wait(records.every_resource::<DomainConfiguration>())?;
    let found = kept
        .into_iter()
        .find(|(_, configuration)| configuration.record.domain.eq_ignore_ascii_case(name));
    Ok(found.map(|(tenant, configuration)| Domain {
        tenant,
        configuration: configuration.record,
        mark: 0,
        certified: None,
    }))
}

/// What is sent besides the certificate does not count, at AWS as here; it is still worth knowing whether it fits.
fn tell_chain(question: Question<'_>, attempt: &mut Attempt) {
    let mut below = question.certificate;
    for above in question.chain {
        let (name, signed) = (above.subject(), below.is_signed_by(above.public_key()).is_ok());
        match signed {
            true => attempt.trail.skipped(
                "chain.link",
                format!("\"{name}\" signed what stands before it; who is trusted is looked up, whatever is sent"),
            ),
            false => attempt.trail.alarm(
                "chain.link",
                format!("\"{name}\" did not sign what stands before it: the file is in another order, or of another CA"),
            ),
        }
        below = above;
    }
}

async fn play(
    plan: &Plan,
    records: &LocalRecords,
    leaf: &Certificate,
    addressed: Addressed,
    attempt: &mut Attempt,
) -> Result<(), ShownOut> {
    deciding::check_addressed(addressed)?;
    if let Some(trust) = deciding::look_up(records, leaf, addressed, attempt).await? {
        tell_trust(&trust, attempt);
        return Ok(());
    }
    let call = Call {
        tenant: addressed.tenant,
        now: clock::now(),
        actor: Actor::Operator,
        profile: Profile::Aws,
    };
    let arrival = Arrival {
        leaf,
        named_by_sni: addressed.by_name,
        allow_simulated: plan.allow_simulated,
    };
    let candidates = deciding::authorities(records, &addressed.tenant, leaf.issuer().der()).await?;
    let decided = deciding::first_connection(
        records,
        &call,
        arrival,
        &candidates,
        &mut Consultation::rehearsed(),
        &mut attempt.trail,
    )
    .await;
    let (decision, _) = decided?;
    match decision.reply {
        Onboarded::Failed(refusal) | Onboarded::Unlisted(refusal) => Err(refusal.into()),
        Onboarded::Registered => Err(ShownOut::Registered),
        Onboarded::Provisioned {
            thing,
            policies,
            active,
        } => {
            let policies: Vec<_> = policies.iter().map(|name| name.as_str()).collect();
            attempt
                .trail
                .passed("policies", told(&policies, "no policy: it could do nothing"));
            attempt.thing = thing;
            match plan.first_connect {
                FirstConnect::Hold if active => {
                    attempt
                        .trail
                        .passed("first_connection.hold", "goes on; AWS would have closed here");
                    Ok(())
                }
                _ => Err(ShownOut::Provisioned { active }),
            }
        }
    }
}

fn tell_trust(trust: &Trust, attempt: &mut Attempt) {
    let policies: Vec<_> = trust.policies.iter().map(|policy| policy.name.as_str()).collect();
    let things: Vec<_> = trust
        .things
        .iter()
        .map(|thing: &Thing| thing.name.as_str())
        .collect();
    attempt
        .trail
        .passed("policies", told(&policies, "no policy: it could do nothing"));
    attempt
        .trail
        .passed("things", told(&things, "attached to no thing"));
    attempt.thing = trust.things.first().map(|thing| thing.name.clone());
}

fn told(names: &[&str], none: &str) -> String {
    match names.is_empty() {
        true => none.to_owned(),
        false => names.join(", "),
    }
}
