//! What one first connection costs the records: certificate, thing, policy attachment, principal and audit entry, durable.
//!
//! `cargo run --release -p store --example first_connections [COUNT [IN_FLIGHT]]` prints the rate, the CPU time of the whole
//! process per first connection, and what a look-up costs. It measures this machine's disk as well: compare ratios.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement, not part of the product"
)]

use std::time::Instant;

use fleet::Call;
use fleet::attempt::{Attempt, CertificateFacts, Kind, Standing, TraceId, Trail};
use fleet::audit::Actor;
use fleet::batch::Record;
use fleet::onboarding::{Arrival, Authority, Facts, Needs, Onboarded, identify};
use fleet::record::{RegistrationConfig, Uuid, Versioned};
use fleet::text::Text;
use identity::certificate::Certificate;
use identity::crypto::SoftwareKey;
use identity::issue::{self, Profile, Serial, Validity};
use identity::key::Curve;
use identity::name::Name;
use identity::{Tenant, UnixMillis};
use store::conformance::made::{NOW, batch, ca, first_connection, id, policy, policy_name, thing_name};
use store::{Attempts as _, DataDirectory, LocalAttempts, LocalRecords, Records as _, wait};

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().unwrap());
    let (count, in_flight) = (arguments.next().unwrap_or(50_000), arguments.next().unwrap_or(64));
    let place = tempfile::tempdir_in(".").unwrap();
    let directory = DataDirectory::open(place.path()).unwrap();
    let records = LocalRecords::open(&directory).unwrap();
    wait(records.commit(batch([Record::Ca(ca(1, b"s")), Record::Policy(policy(1))]))).unwrap();

    decide(count.min(10_000));
    let making = measure("make the batches", count, || {
        (0..count).for_each(|n| drop(std::hint::black_box(first_connection(shuffled(n, count) + 10, 1))));
    });
    let writing = measure("make and keep them", count, || write(&records, count, in_flight));
    println!(
        "  of which keeping: {:.1} us of CPU each, {in_flight} in flight",
        writing - making
    );
    measure("look up the facts of a first connection", count, || {
        for n in 0..count {
            let needs = Needs {
                thing: Some(thing_name(n + 10_000_000)),
                policies: vec![policy_name(1)],
                ..Needs::default()
            };
            wait(records.onboarding_facts(&Tenant::default(), &id(n + 10_000_000), &needs)).unwrap();
        }
    });
    measure("look up what a grant rests on", count, || {
        for n in 0..count {
            let found = wait(records.trust(&Tenant::default(), &id(shuffled(n, count) + 10))).unwrap();
            assert!(found.is_some());
        }
    });
    let attempts = LocalAttempts::open(&directory).unwrap();
    measure("record an attempt", count, || {
        for n in 0..count {
            attempts.record(attempt(n));
            if n % 4096 == 0 {
                wait(attempts.flush()).unwrap();
            }
        }
        wait(attempts.flush()).unwrap();
    });
    println!("attempts dropped: {}", attempts.dropped());
    let size = place.path().join("records.sqlite").metadata().unwrap().len();
    println!(
        "records.sqlite: {:.0} bytes per first connection",
        size as f64 / count as f64
    );
}

/// The pure part: find the CA (one signature verified), evaluate the template, make the batch.
fn decide(count: u64) {
    let day = |days| UnixMillis(NOW.0).plus_days(days);
    let validity = || Validity::new(day(-1), day(1000)).unwrap();
    let name = |text: &str| Name::with_common_name(text).unwrap();
    let serial = Serial::new([0x11; 16]).unwrap();
    let signer = SoftwareKey::generate(Curve::P256).unwrap();
    let proven = signer.prove(&name("signer")).unwrap();
    let profile = Profile::root(proven.public_key(), &name("signer"), validity());
    let root = issue::prepare(&profile, proven, &name("signer"), &serial)
        .unwrap()
        .sign(&signer)
        .unwrap();
    let key = SoftwareKey::generate(Curve::P256).unwrap();
    let profile = Profile::device(&root, validity()).unwrap();
    let subject = name("unit-000001");
    let proven = key.prove(&subject).unwrap();
    let leaf = issue::prepare(&profile, proven, &subject, &serial)
        .unwrap()
        .sign(&signer)
        .unwrap();
    let mut record = ca(1, root.subject().der());
    record.der = root.der().into();
    record.registration = Some(RegistrationConfig {
        template_body: Some(TEMPLATE.to_owned()),
        ..Default::default()
    });
    let authorities = [Authority::read(Versioned { version: 1, record }).unwrap()];
    let policy = Versioned {
        version: 1,
        record: policy_name(1),
    };
    let facts = Facts {
        policies: vec![policy],
        ..Facts::default()
    };
    let call = Call {
        tenant: Tenant::default(),
        now: NOW,
        actor: Actor::Device(Text::short("device")),
        profile: Default::default(),
    };
    let verifying = measure("verify one signature", count, || {
        (0..count).for_each(|_| leaf.is_signed_by(root.public_key()).unwrap());
    });
    let deciding = measure("decide a first connection", count, || {
        for _ in 0..count {
            let leaf = Certificate::parse(leaf.der()).unwrap();
            let arrival = Arrival {
                leaf: &leaf,
                named_by_sni: true,
                allow_simulated: false,
            };
            let mut trail = Trail::default();
            let identified = identify(&call, arrival, &authorities, &mut trail).unwrap();
            let decision = identified
                .decide(&call, &facts, Uuid([1; 16]), &mut trail)
                .unwrap();
            assert!(matches!(decision.reply, Onboarded::Provisioned { .. }));
        }
    });
    println!(
        "  of which not the signature: {:.1} us of CPU each",
        deciding - verifying
    );
}

const TEMPLATE: &str = r#"{"Parameters": {"AWS::IoT::Certificate::CommonName": {"Type": "String"},
    "AWS::IoT::Certificate::Id": {"Type": "String"}}, "Resources": {
    "t": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "AWS::IoT::Certificate::CommonName"}}},
    "c": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}}},
    "p": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "p-000001"}}}}"#;

fn write(records: &LocalRecords, count: u64, in_flight: u64) {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    // Keeps `in_flight` commits submitted from one thread, as a runtime with so many connections would.
    let mut waiting = std::collections::VecDeque::new();
    for n in 0..count {
        let mut commit = Box::pin(records.commit(first_connection(shuffled(n, count) + 10, 1)));
        let mut context = Context::from_waker(Waker::noop());
        match commit.as_mut().poll(&mut context) {
            Poll::Ready(outcome) => drop(outcome.unwrap()),
            Poll::Pending => waiting.push_back(commit),
        }
        if waiting.len() as u64 >= in_flight {
            for commit in waiting.drain(..) {
                wait(pin!(commit)).unwrap();
            }
        }
    }
    for commit in waiting {
        wait(pin!(commit)).unwrap();
    }
}

/// The devices connect in any order, not in that of their names.
fn shuffled(n: u64, count: u64) -> u64 {
    (n * 7_919) % count
}

fn attempt(n: u64) -> Attempt {
    let mut attempt = Attempt::begin(TraceId([n as u8; 16]), Kind::Connect, Tenant::default(), NOW);
    attempt.standing = Standing::Known { ca: Some(id(1)) };
    attempt.peer = Some(([10, 0, 0, 1], 4000).into());
    attempt.certificate = Some(CertificateFacts {
        id: id(n),
        subject: Text::long("CN=unit-000001,O=Acme"),
        issuer: Text::long("CN=Acme signer"),
        not_before: NOW,
        not_after: NOW,
    });
    attempt.thing = Some(thing_name(n));
    for step in [
        "tls.possession",
        "ca.found",
        "ca.status",
        "certificate.validity",
        "template.evaluate",
        "thing.create",
    ] {
        attempt.trail.passed(step, "as it must be");
    }
    attempt.accept();
    attempt
}

fn measure(what: &str, count: u64, work: impl FnOnce()) -> f64 {
    let (wall, cpu) = (Instant::now(), cpu_micros());
    work();
    let (wall, cpu) = (wall.elapsed().as_micros() as f64, cpu_micros() - cpu);
    println!(
        "{what}: {:.0}/s, {:.1} us of CPU each",
        count as f64 * 1e6 / wall,
        cpu / count as f64
    );
    cpu / count as f64
}

/// CPU time of the process: user and system, all threads.
fn cpu_micros() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}
