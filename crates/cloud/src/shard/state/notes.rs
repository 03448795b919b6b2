//! Attempt records of what happens to live connections: what a client asked for and did not get, and why.

use broker::{ConnectionId, Refusal};
use fleet::attempt::{Attempt, CertificateFacts, Kind, Verdict};
use fleet::text::Text;
use identity::{Explained as _, Tenant};

use super::State;
use crate::clock;
use crate::limits::OUTBOUND_BYTES_MAX;
use crate::shard::connection::Connection;

impl State {
    /// Writes down that a client is closed because it does not read.
    pub(super) fn note_slow(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let mut attempt = self.attempt_of(connection, Kind::Subscribe, connection.grant.tenant);
        let reason = format!("the client does not read: more than {OUTBOUND_BYTES_MAX} bytes wait for it");
        attempt.end(
            Verdict::Refused,
            "cloud.shard.slow",
            reason,
            "let the client read faster, or subscribe to less",
        );
        self.control.record(attempt);
    }

    /// The beginning of a record about a live connection.
    pub(super) fn attempt_of(&self, connection: &Connection, kind: Kind, tenant: Tenant) -> Attempt {
        let mut attempt = Attempt::begin(self.control.traces.next(), kind, tenant, clock::now());
        let client = &connection.client;
        attempt.peer = client.peer;
        let certificate = connection.wire.proven().filter(|_| client.shows_certificate);
        attempt.certificate = certificate.as_ref().map(CertificateFacts::of);
        attempt.thing.clone_from(&client.thing);
        attempt.standing = client.standing;
        attempt
    }

    /// Writes down what was refused: in the record of the connection itself while it is being decided, else in one of its own.
    pub(super) fn note_refusal(&mut self, refusal: &Refusal) {
        let connection = refusal.connection.and_then(|id| self.connections.get_mut(&id));
        let opening = connection.and_then(|connection| connection.opening.as_mut());
        if let Some(opening) = opening {
            describe(&mut opening.record.attempt, refusal);
            return;
        }
        let kind = kind_of(&refusal.attempt);
        let mut attempt = match refusal.connection.and_then(|id| self.connections.get(&id)) {
            Some(connection) => self.attempt_of(connection, kind, refusal.tenant),
            None => Attempt::begin(self.control.traces.next(), kind, refusal.tenant, clock::now()),
        };
        describe(&mut attempt, refusal);
        self.control.record(attempt);
    }
}

fn kind_of(attempt: &broker::Attempt) -> Kind {
    match attempt {
        broker::Attempt::Publish(_) => Kind::Publish,
        broker::Attempt::Subscribe(_) | broker::Attempt::Receive(_) => Kind::Subscribe,
        _ => Kind::Connect,
    }
}

fn describe(attempt: &mut Attempt, refusal: &Refusal) {
    attempt.client_id = Some(Text::short(&*refusal.client_id));
    attempt.operation = match &refusal.attempt {
        broker::Attempt::Publish(name)
        | broker::Attempt::Subscribe(name)
        | broker::Attempt::Receive(name)
        | broker::Attempt::Will(name) => Some(Text::short(&**name)),
        _ => None,
    };
    let reason = refusal.reason.to_string();
    attempt.trail.failed("broker.decide", reason.as_str());
    attempt.end(
        Verdict::Refused,
        refusal.reason.code(),
        reason,
        hint_of(&refusal.reason),
    );
}

fn hint_of(reason: &broker::Reason) -> &'static str {
    match reason {
        broker::Reason::Policy { .. } => {
            "add the statement to a policy of the certificate (CreatePolicyVersion), or correct what the device asks for"
        }
        broker::Reason::Limit { .. } => "stay within the limit; it is that of AWS IoT Core",
        broker::Reason::QueueFull { .. } => "let the client read faster, or subscribe to less",
        _ => "",
    }
}
