//! What clients do of their own will, and how their packets travel.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use broker::{Attach, ConnectionId, Event, SessionId, Trust};
use identity::Tenant;
use mqtt::{Connect, Packet, QoS, TopicName, Version, Will, encode};
use policy::{CertificateFacts, Context};

use crate::client::{Remains, Stage, Standing, hears, number, whole};
use crate::roles::{Role, certificate};
use crate::shard::Mail;
use crate::world::{Sent, World};
use crate::{JOB, JOBS, TOPICS, WILLS};

impl World {
    /// Connects, taking over from an earlier connection; sometimes with what was granted before the last change.
    pub(crate) fn connect(&mut self, index: usize) {
        self.note_end(index);
        let outdated = self.dice.one_in(10);
        let client = &mut self.clients[index];
        client.lose();
        let outdated = client.outdated.filter(|_| outdated);
        let (role, epoch) = outdated.unwrap_or((client.role, client.epoch));
        let Some(grant) = role.grant(index, epoch).filter(|_| {
            let home = &self.shards[client.home];
            !home.is_fallen
        }) else {
            return;
        };
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        let will = WILLS + self.connections;
        client.will = if index.is_multiple_of(2) { 0 } else { will };
        let (last_words, leaves) = (will.to_string(), client.will != 0);
        client.connection = Some(connection);
        let (home, name, clean_session) = (client.home, client.name.clone(), client.forgets);
        let facts = Arc::new(CertificateFacts::new(grant.certificate));
        let context = Context::new(&name, IpAddr::from([192, 0, 2, 1]), facts, None);
        let connect = Connect {
            client_id: &name,
            clean_session,
            keep_alive_seconds: 0,
            will: leaves.then(|| Will {
                topic: TopicName::new("will/a").unwrap(),
                payload: last_words.as_bytes(),
                qos: QoS::AtLeastOnce,
                retain: false,
            }),
            user_name: None,
            password: None,
        };
        let attach = Attach {
            connection,
            grant,
            context,
            session: SessionId([7; 16]),
            version: Version::V3,
            connect: connect.into(),
        };
        self.event(home, Event::Attach(attach));
        let is_in = self.clients[index].connection.is_some();
        assert_eq!(is_in, outdated.is_none(), "a grant from before a change");
        self.tally.outdated += usize::from(!is_in);
    }

    pub(crate) fn publish(&mut self, index: usize) {
        let topic = self.dice.below(TOPICS.len());
        let qos = match self.dice.below(9) {
            0 => QoS::AtMostOnce,
            1..=4 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        };
        if !self.clients[index].welcome || self.clients[index].unanswered.len() > 20 {
            return;
        }
        self.messages += 1;
        let number = self.messages;
        let owed = match qos {
            QoS::AtMostOnce => BTreeSet::new(),
            _ => self.listeners(TOPICS[topic]),
        };
        let sent = Sent {
            publisher: index,
            topic,
            qos,
            owed,
            given_up: false,
        };
        self.published.insert(number, sent);
        self.tally.published += 1;
        self.clients[index].publish(number, topic, qos);
    }

    /// Who is told of what is published on a topic from now on, and may be.
    pub(crate) fn listeners(&self, topic: &str) -> BTreeSet<usize> {
        let clients = self.clients.iter().filter(|client| client.listens(topic));
        let may = clients.filter(|client| client.role != Role::NoSecrets || client.role.may_receive(topic));
        may.map(|client| client.index).collect()
    }

    /// Ends a subscription, or begins one.
    pub(crate) fn turn_to_another_filter(&mut self, index: usize) {
        let choice = self.clients[index].choice();
        let filter = choice[self.dice.below(choice.len())];
        let client = &mut self.clients[index];
        if !client.welcome {
            return;
        }
        match client.filters.get(filter) {
            None => client.subscribe(filter),
            Some(Standing::Granted) => {
                client.unsubscribe(filter);
                self.excuse(index, |topic| hears(filter, topic));
                if filter == JOBS {
                    self.excuse_jobs(false);
                }
            }
            Some(_) => {}
        }
    }

    /// A client need not get any more what has not come yet, unless something else asks for it.
    pub(crate) fn excuse(&mut self, index: usize, is_it: impl Fn(&str) -> bool) {
        let client = &self.clients[index];
        let is_over = |topic: &str| is_it(topic) && (topic == JOB || !client.listens(topic));
        for (number, sent) in &mut self.published {
            if is_over(TOPICS[sent.topic]) && !client.got_once.contains(number) {
                sent.owed.remove(&index);
            }
        }
        for (will, listeners) in &mut self.due {
            if is_over("will/a") && !client.wills.contains(will) {
                listeners.remove(&index);
            }
        }
    }

    /// A client repeats what is not answered, though nobody asked. At QoS 1 it could not tell the two answers from one to a later
    /// message.
    pub(crate) fn say_again(&mut self, index: usize) {
        let which = self.dice.below(20);
        let client = &mut self.clients[index];
        let mut all = client
            .unanswered
            .iter()
            .filter(|(_, known)| known.qos == QoS::ExactlyOnce);
        if let (true, Some((id, known))) = (client.welcome, all.nth(which)) {
            let (id, known) = (*id, *known);
            client.say_again(id, known);
        }
    }

    /// A client wants its session gone, with all that is in it.
    pub(crate) fn forget(&mut self, index: usize) {
        self.note_end(index);
        let client = &mut self.clients[index];
        let unanswered: Vec<u64> = client.unanswered.values().map(|known| known.number).collect();
        client.forget();
        for number in unanswered {
            if !self.acknowledged.contains(&number) {
                self.published.get_mut(&number).unwrap().given_up = true;
            }
        }
        self.excuse(index, |_| true);
        self.excuse_jobs(true);
        self.tally.forgotten += 1;
        self.connect(index);
    }

    /// What has begun at QoS 2 with a member of a shared subscription ends with its session; what has not goes to another one, if
    /// there is one.
    fn excuse_jobs(&mut self, has_ended: bool) {
        let is_last = !self.clients.iter().any(|client| client.listens(JOB));
        for (number, sent) in &mut self.published {
            let came = self.clients.iter().any(|client| client.got_once.contains(number));
            if TOPICS[sent.topic] == JOB && !came && (is_last || has_ended && sent.qos == QoS::ExactlyOnce) {
                sent.owed.clear();
            }
        }
    }

    /// What a client may do changes; its node knows when that is answered.
    pub(crate) fn change_role(&mut self, index: usize) {
        let role = [Role::Everything, Role::NoSecrets, Role::Revoked][self.dice.below(3)];
        if index.is_multiple_of(2) && role == Role::NoSecrets {
            return;
        }
        self.become_role(index, role);
    }

    /// Nobody stays out for ever.
    pub(crate) fn restore_role(&mut self, index: usize) {
        if self.clients[index].role == Role::Revoked {
            self.become_role(index, Role::Everything);
        }
    }

    fn become_role(&mut self, index: usize, role: Role) {
        let client = &self.clients[index];
        if role == client.role || self.shards[client.home].is_fallen {
            return;
        }
        self.tally.changes += 1;
        if role == Role::Revoked {
            self.note_end(index);
        }
        self.epoch += 1;
        let client = &mut self.clients[index];
        client.outdated = Some((client.role, client.epoch));
        (client.role, client.epoch) = (role, self.epoch);
        let (home, epoch) = (client.home, client.epoch);
        if role == Role::NoSecrets {
            for (number, sent) in &mut self.published {
                if !role.may_receive(TOPICS[sent.topic]) && !client.got_once.contains(number) {
                    sent.owed.remove(&index);
                }
            }
        }
        let trust = Trust {
            tenant: Tenant::default(),
            certificate: certificate(index),
            epoch,
            grant: role.grant(index, epoch),
        };
        self.event(home, Event::Trust(trust));
        let client = &self.clients[index];
        assert!(role != Role::Revoked || client.connection.is_none(), "it is out");
    }

    pub(crate) fn carry_up(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if let Some(connection) = client.connection
            && let Some(bytes) = client.up.pop_front()
        {
            self.arrive(index, connection, &bytes);
        }
    }

    /// What a connection that the client has left still brings, and at last its end.
    pub(crate) fn carry_remains(&mut self, index: usize) {
        match self.clients[index].remains.pop_front() {
            Some(Remains::Packet(connection, bytes)) => self.arrive(index, connection, &bytes),
            Some(Remains::End(connection)) => {
                let reason = broker::Departure::ConnectionLost;
                self.event(self.clients[index].home, Event::Closed { connection, reason });
            }
            None => {}
        }
    }

    fn arrive(&mut self, index: usize, connection: ConnectionId, bytes: &[u8]) {
        let (home, packet) = (self.clients[index].home, whole(bytes));
        if let Packet::Publish(publish) = &packet
            && publish.topic.as_str() == JOB
            && self
                .mail
                .values()
                .flatten()
                .any(|mail| matches!(mail, Mail::Share(_)))
        {
            self.unsettled.insert(number(publish.payload));
        }
        let is_goodbye = matches!(packet, Packet::Disconnect);
        self.event(home, Event::Packet { connection, packet });
        if is_goodbye && let Some(client) = self.client_of(connection) {
            client.lose();
        }
    }

    pub(crate) fn carry_down(&mut self, index: usize) {
        let Some(bytes) = self.clients[index].down.pop_front() else {
            return;
        };
        let answers = 1 + usize::from(self.dice.one_in(20));
        let client = &mut self.clients[index];
        match whole(&bytes) {
            Packet::ConnectAnswer(answer) => {
                let forgot = client.forgets;
                client.welcomed(answer.session_present);
                if forgot {
                    self.excuse_jobs(true);
                }
            }
            Packet::SubscribeAnswer(answer) => client.answered(answer.id),
            Packet::UnsubscribeAnswer(id) => client.answered(id),
            Packet::PublishAcknowledged(id) => {
                let known = client.unanswered.remove(&id.value());
                self.acknowledged.extend(known.map(|known| known.number));
            }
            Packet::PublishReceived(id) => {
                if let Some(known) = client.unanswered.get_mut(&id.value()) {
                    known.stage = Stage::Released;
                    self.acknowledged.insert(known.number);
                }
                client.up.push_back(encode::publish_released(id).to_vec());
            }
            Packet::PublishCompleted(id) => client.completed(id),
            Packet::PublishReleased(id) => {
                client.received.remove(&id.value());
                client.up.push_back(encode::publish_completed(id).to_vec());
            }
            Packet::Publish(publish) => self.tally.repeated += usize::from(client.take(&publish, answers)),
            other => panic!("{other:?}"),
        }
    }
}
