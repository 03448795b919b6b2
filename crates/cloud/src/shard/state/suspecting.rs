//! Where a shard's connections meet the table of suspected clones.

use broker::{CloseReason, ConnectionId, Departure};
use fleet::attempt::{Kind, Standing, Verdict};
use fleet::clones::{Answer, Network, Place, Presence, Suspicion};

use super::State;
use crate::arrival::Record;
use crate::clones::{Suspect, client_number, drop_others};
use crate::shard::connection::{Client, Connection};

impl State {
    fn place(&self, id: ConnectionId) -> Place {
        Place {
            shard: u16::try_from(self.index).unwrap_or(u16::MAX),
            connection: id.0,
        }
    }

    fn clone_answer(&self, client: &Client) -> Answer {
        let ca = match client.standing {
            Standing::Known { ca } => ca,
            Standing::Stranger => None,
        };
        self.control.plan.clones.answer(ca)
    }

    /// A client with a certificate is in: whether that is in another place too.
    pub(super) fn watch(&self, id: ConnectionId, record: &mut Record) -> Option<(Suspect, Suspicion)> {
        let connection = self.connections.get(&id)?;
        let (client, peer) = (&connection.client, connection.client.peer?);
        let answer = self.clone_answer(client);
        if answer == Answer::Off || !shows_what_it_is(connection) {
            return None;
        }
        let client_id = record
            .attempt
            .client_id
            .as_ref()
            .map(|text| text.as_str().to_owned());
        let client_id = client_id.unwrap_or_default();
        let place = self.place(id);
        let presence = Presence::new(place, client_number(&client_id, place), Network::of(peer.ip()));
        let (tenant, certificate) = (connection.grant.tenant, connection.grant.certificate);
        let suspicion = self
            .control
            .clones
            .enter(&tenant, certificate, presence, self.now)?;
        let suspect = Suspect {
            tenant,
            certificate,
            client_id,
            address: peer.ip().to_string(),
            answer,
        };
        if suspicion.is_told {
            record
                .attempt
                .trail
                .alarm("certificate.one_place", suspect.reason(&suspicion));
        }
        Some((suspect, suspicion))
    }

    /// Says what was seen, and ends both where that is wanted.
    pub(super) fn suspect(&mut self, id: ConnectionId, suspect: Suspect, suspicion: &Suspicion) {
        self.control
            .tally
            .clone_suspected(suspicion.cause.name(), suspect.answer == Answer::Drop);
        let drops = suspect.answer == Answer::Drop;
        if suspicion.is_told {
            if let Some(connection) = self.connections.get(&id).filter(|_| drops) {
                let mut attempt = self.attempt_of(connection, Kind::Connect, suspect.tenant);
                let reason = suspect.reason(suspicion);
                let hint = "find out which of them is the device; its CA is set to drop both in [clones]";
                attempt.end(Verdict::Refused, "cloud.clone.dropped", reason, hint);
                self.control.record(attempt);
            }
            let now = self.now;
            suspect.tell(&self.control, suspicion, now);
        }
        if drops {
            drop_others(&self.control, &suspicion.others);
            self.departed.push((id, Departure::CloneSuspected));
        }
    }

    /// Ends a connection whose certificate is in another place.
    pub(in crate::shard) fn expel(&mut self, id: ConnectionId) {
        if self.connections.contains_key(&id) {
            self.departed.push((id, Departure::CloneSuspected));
            self.carry_out();
        }
    }

    /// A connection ends.
    pub(super) fn unwatch(&self, id: ConnectionId, connection: &Connection, reason: CloseReason) {
        let client = &connection.client;
        let was_watched =
            connection.opening.is_none() && shows_what_it_is(connection) && client.peer.is_some();
        if was_watched && self.clone_answer(client) != Answer::Off {
            let (tenant, certificate) = (&connection.grant.tenant, connection.grant.certificate);
            let taken_over = reason == CloseReason::DuplicateClientId;
            self.control
                .clones
                .leave(tenant, certificate, self.place(id), taken_over, self.now);
        }
    }
}

/// A certificate is what lets it in. Behind a signature or a custom authorizer many clients may be the same principal, whatever
/// certificate they show beside it.
fn shows_what_it_is(connection: &Connection) -> bool {
    connection.client.shows_certificate && connection.grant.by_certificate
}
