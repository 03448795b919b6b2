//! What live connections rest on is withdrawn, or an authorizer is asked about them again.

use std::sync::Arc;

use broker::{ConnectionId, Departure, Event};
use fleet::attempt::{Kind, Trail, Verdict};
use fleet::authorizer_answer::Admitted;
use fleet::text::Text;
use identity::UnixMillis;
use policy::Grant;

use super::State;
use crate::api::ApiFault;
use crate::authorizer::Question;
use crate::clock;
use crate::footing::{Footing, Ground};
use crate::shard::run::faulted;

impl State {
    /// Takes note of what a new connection rests on; why it may not come, if that counts no more.
    pub(super) fn set_foot(&mut self, id: ConnectionId, footing: Option<&Footing>) -> Result<(), Ground> {
        let Some(footing) = footing else { return Ok(()) };
        if let Some(ground) = self.control.withdrawals.lost(footing) {
            return Err(ground.clone());
        }
        self.footings.enter(id, footing);
        Ok(())
    }

    /// Ends every connection that rests on this; when this returns, they have ended.
    pub(in crate::shard) fn withdraw(&mut self, ground: &Ground) {
        self.withdraw_quietly(ground);
        self.carry_out();
        self.flush();
    }

    /// The same as a part of something else.
    pub(super) fn withdraw_quietly(&mut self, ground: &Ground) {
        let (reason, hint) = ground.end();
        for id in self.footings.resting_on(ground) {
            if let Some(connection) = self.connections.get(&id) {
                let mut attempt = self.attempt_of(connection, Kind::Connect, connection.grant.tenant);
                attempt.client_id = self.node.client_id_of(id).map(Text::short);
                attempt.end(Verdict::Refused, ground.code(), reason.as_str(), hint);
                self.control.record(attempt);
            }
            self.departed.push((id, Departure::TrustWithdrawn));
        }
    }

    /// Lets the authorizer be asked now about everybody whom it let in.
    pub(in crate::shard) fn inquire_now(&mut self, ground: &Ground) {
        let now = clock::now();
        for id in self.footings.resting_on(ground) {
            self.inquire_at(id, now);
        }
        self.begin_inquiries(now);
    }

    fn inquire_at(&mut self, id: ConnectionId, due: UnixMillis) {
        let connection = self.connections.get_mut(&id);
        let footing = connection.and_then(|connection| connection.footing.as_mut());
        if let Some(inquiry) = footing.and_then(|footing| footing.inquiry.as_mut()) {
            self.footings.schedule(id, inquiry.due, due);
            inquiry.due = due;
        }
    }

    /// Asks about those whose time it is.
    pub(super) fn begin_inquiries(&mut self, now: UnixMillis) {
        while let Some(id) = self.footings.next_due(now) {
            match self.question_of(id) {
                Some(question) => self.inquiring.push((id, question)),
                None => self.footings.answered(),
            }
        }
    }

    fn question_of(&self, id: ConnectionId) -> Option<Arc<Question>> {
        let footing = self.connections.get(&id)?.footing.as_ref()?;
        Some(footing.inquiry.as_ref()?.question.clone())
    }

    /// What the authorizer says now of a client that it let in: another grant for its connection, or the end of it.
    pub(in crate::shard) fn inquired(
        &mut self,
        id: ConnectionId,
        answer: Result<Admitted, ApiFault>,
        trail: Trail,
    ) {
        self.footings.answered();
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        match answer {
            Ok(admitted) => {
                let refresh_millis = admitted.refresh_millis();
                let before = &connection.grant;
                // It stays who it was when it came, whatever the authorizer calls it now.
                let grant = Grant::new(before.tenant, before.certificate, before.epoch, admitted.policies);
                let grant = Arc::new(grant.without_certificate());
                connection.grant = grant.clone();
                let now = clock::now();
                let event = Event::Grant {
                    connection: id,
                    grant,
                };
                self.node.step(event, now, &mut self.actions);
                self.inquire_at(id, now.plus_millis(refresh_millis));
            }
            Err(fault) => self.disown(id, fault, trail),
        }
        self.begin_inquiries(clock::now());
        self.carry_out();
    }

    /// The authorizer knows the client no more, or did not answer: the connection ends (AWS IoT developer guide, "Defining your
    /// Lambda function").
    fn disown(&mut self, id: ConnectionId, fault: ApiFault, trail: Trail) {
        if let Some(connection) = self.connections.get(&id) {
            let mut attempt = self.attempt_of(connection, Kind::Connect, connection.grant.tenant);
            attempt.client_id = self.node.client_id_of(id).map(Text::short);
            attempt.trail.extend(trail);
            faulted(fault)(&mut attempt);
            self.control.record(attempt);
        }
        self.departed.push((id, Departure::TrustWithdrawn));
    }
}
