//! The promises about attempts.

use std::net::SocketAddr;

use fleet::attempt::{Attempt, CertificateFacts, Kind, Standing, TraceId, Verdict};
use fleet::text::Text;
use identity::{Tenant, UnixMillis};

use super::AttemptPlace;
use super::made::{NOW, id, other_tenant, thing_name};
use crate::{Attempts, Filter, Recorded, What, wait};

/// Attempt number `number`, refused for `code` or accepted.
fn attempt(number: u64, code: Option<&str>) -> Attempt {
    let mut trace = [0; 16];
    trace[8..].copy_from_slice(&number.to_be_bytes());
    let at = UnixMillis(NOW.0 + number as i64);
    let mut attempt = Attempt::begin(TraceId(trace), Kind::Connect, Tenant::default(), at);
    attempt.peer = Some(SocketAddr::from(([10, 0, 0, number as u8], 4000)));
    attempt.standing = Standing::Known { ca: Some(id(1)) };
    attempt.certificate = Some(CertificateFacts {
        id: id(number),
        subject: Text::long(format!("CN={number}")),
        issuer: Text::long("CN=ca"),
        not_before: NOW,
        not_after: NOW,
    });
    attempt.thing = Some(thing_name(number));
    attempt.trail.passed("tls.possession", "the peer holds the key");
    match code {
        None => attempt.accept(),
        Some(code) => attempt.end(Verdict::Refused, code, "a reason", "a hint"),
    }
    attempt
}

fn newest(attempts: &impl Attempts, filter: Filter, limit: usize) -> Vec<Recorded> {
    wait(attempts.flush()).unwrap();
    wait(attempts.newest(&filter, limit)).unwrap()
}

/// Attempts come back whole, newest first.
pub fn attempts_are_read_newest_first(place: &impl AttemptPlace) {
    let attempts = place.open();
    assert!(newest(&attempts, Filter::default(), 10).is_empty());
    for number in 0..5 {
        attempts.record(attempt(number, (number % 2 == 0).then_some("refused")));
    }
    let found = newest(&attempts, Filter::default(), 3);
    let expected: Vec<_> = [4, 3, 2]
        .map(|n| attempt(n, (n % 2 == 0).then_some("refused")))
        .into();
    assert_eq!(
        found
            .into_iter()
            .map(|recorded| recorded.attempt)
            .collect::<Vec<_>>(),
        expected
    );
    let refused = Filter {
        refused_only: true,
        ..Filter::default()
    };
    assert_eq!(newest(&attempts, refused, 10).len(), 3);
    assert_eq!(attempts.dropped(), 0);
}

/// Attempts are found by certificate, thing, address and trace, and by tenant.
pub fn attempts_are_found_by_what_they_are_about(place: &impl AttemptPlace) {
    let attempts = place.open();
    for number in 0..5 {
        attempts.record(attempt(number, None));
    }
    let wanted = attempt(3, None);
    let questions = [
        What::Certificate(id(3)),
        What::Thing(thing_name(3)),
        What::Address(wanted.peer.unwrap().ip()),
        What::Trace(wanted.trace),
    ];
    for what in questions {
        let filter = Filter {
            what,
            ..Filter::default()
        };
        let found = newest(&attempts, filter.clone(), 10);
        assert_eq!(
            found.iter().map(|recorded| &recorded.attempt).collect::<Vec<_>>(),
            [&wanted],
            "{filter:?}"
        );
        let elsewhere = Filter {
            tenant: Some(other_tenant()),
            ..filter
        };
        assert!(newest(&attempts, elsewhere, 10).is_empty());
    }
    // Refused before it was clear whose certificate it is.
    let mut refused = attempt(3, Some("revoked"));
    refused.thing = None;
    attempts.record(refused.clone());
    // A claim certificate that provisioned it, and now another device.
    let mut claim = attempt(9, None);
    (claim.kind, claim.thing) = (Kind::Provision, Some(thing_name(3)));
    attempts.record(claim.clone());
    let mut other = attempt(9, None);
    other.thing = None;
    attempts.record(other);
    let of_thing = Filter {
        what: What::Thing(thing_name(3)),
        ..Filter::default()
    };
    let found = newest(&attempts, of_thing, 10);
    let found: Vec<_> = found.iter().map(|recorded| &recorded.attempt).collect();
    assert_eq!(found, [&claim, &refused, &wanted]);
    let nobody = Filter {
        what: What::Certificate(id(99)),
        ..Filter::default()
    };
    assert!(newest(&attempts, nobody, 10).is_empty());
}

/// A storm of equal failures leaves its first, its last and its count.
pub fn a_storm_leaves_first_last_and_count(place: &impl AttemptPlace) {
    let attempts = place.open();
    for round in 0..50 {
        let mut equal = attempt(1, Some("revoked"));
        equal.at = UnixMillis(NOW.0 + round);
        attempts.record(equal);
        if round % 10 == 9 {
            wait(attempts.flush()).unwrap();
        }
    }
    attempts.record(attempt(2, Some("revoked")));
    let found = newest(&attempts, Filter::default(), 10);
    let shown: Vec<_> = found
        .iter()
        .map(|r| (r.attempt.certificate.as_ref().map(|c| c.id), r.count))
        .collect();
    assert_eq!(shown, [(Some(id(2)), 1), (Some(id(1)), 50), (Some(id(1)), 1)]);
    assert_eq!(
        (found[1].first_at, found[1].attempt.at),
        (NOW, UnixMillis(NOW.0 + 49))
    );
    assert_eq!(found[2].attempt.at, NOW);
}

/// What was flushed is there after reopening, and places go on rising.
pub fn attempts_are_there_after_reopening(place: &impl AttemptPlace) {
    let attempts = place.open();
    attempts.record(attempt(1, None));
    let before = newest(&attempts, Filter::default(), 1);
    attempts.record(attempt(2, None));
    drop(attempts);
    let attempts = place.open();
    attempts.record(attempt(3, None));
    let found = newest(&attempts, Filter::default(), 10);
    let numbers: Vec<_> = found
        .iter()
        .map(|recorded| recorded.attempt.thing.clone().unwrap())
        .collect();
    assert_eq!(numbers, [thing_name(3), thing_name(2), thing_name(1)]);
    assert!(found[0].place > before[0].place);
}
