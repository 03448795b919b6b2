//! The other shards: what goes to them, what comes from them, and who has made what durable.

use std::sync::Arc;
use std::time::Instant;

use broker::mqtt::QoS;
use broker::{Event, Forward, Message, Share};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::State;
use crate::clock;
use crate::limits::OUTBOX_MESSAGES_MAX;
use crate::shard::gates::Confirmation;
use crate::shard::log::node_index;
use crate::shard::mail::{Mail, Parcel};

/// What goes to another shard.
pub(super) struct Outbox {
    pub(super) shard: usize,
    pub(super) parcels: Vec<Parcel>,
    /// The last of these parcels that the other shard must confirm; 0: none.
    receipt: u64,
    confirmation: Confirmation,
}

/// What this shard owes another one: word that something is durable.
pub(super) struct Receipt {
    /// When so many records are.
    logged: u64,
    to: usize,
    number: u64,
    life: u32,
}

impl Outbox {
    pub(super) fn to(shard: usize) -> Self {
        Self {
            shard,
            parcels: Vec::new(),
            receipt: 0,
            confirmation: Confirmation::default(),
        }
    }
}

impl State {
    /// Puts a message into the outbox of every shard that wants it.
    pub(super) fn forward(&mut self, number: u64, forward: Forward) {
        let message = &forward.message;
        let promises = message.qos() != QoS::AtMostOnce;
        for outbox in &mut self.outboxes {
            if !forward.to.contain(node_index(outbox.shard)) {
                continue;
            }
            let keeps = message.is_retained() || self.control.shards.kept(outbox.shard) > 0;
            if forward.relay.is_some() || promises && keeps {
                outbox.receipt = number;
                outbox.confirmation.ask(number);
            }
            outbox.parcels.push(Parcel::Forward(forward.clone()));
        }
    }

    pub(super) fn tell_share(&mut self, share: &Share) {
        for outbox in &mut self.outboxes {
            outbox.parcels.push(Parcel::Share(share.clone()));
        }
    }

    /// Every other shard has made durable what it must of so many messages.
    pub(super) fn confirmed(&self) -> u64 {
        let confirmed = self.outboxes.iter().map(|outbox| outbox.confirmation.number());
        let held = self.gates.first_forward().map(|number| number - 1);
        confirmed.chain(held).min().unwrap_or(u64::MAX)
    }

    pub(super) fn settle_relays(&mut self) {
        let forwarded = self.confirmed();
        let event = Event::Confirmed { forwarded };
        self.node.step(event, clock::now(), &mut self.actions);
    }

    pub(super) fn send_mail(&mut self) {
        if self.failed_at.is_some() {
            // What an old node still says is for nobody.
            return;
        }
        let from = self.index;
        for outbox in self
            .outboxes
            .iter_mut()
            .filter(|outbox| !outbox.parcels.is_empty())
        {
            let Some(mailbox) = self.control.shards.mailbox(outbox.shard) else {
                continue;
            };
            let mail = Mail::Parcels {
                from,
                parcels: core::mem::take(&mut outbox.parcels),
                receipt: outbox.receipt,
                life: self.life,
            };
            match mailbox.try_send(mail) {
                Err(TrySendError::Full(Mail::Parcels { parcels, .. })) => outbox.parcels = parcels,
                _ => outbox.receipt = 0,
            }
        }
        self.pay_receipts();
        if !self.is_congested() {
            for id in core::mem::take(&mut self.paused) {
                if let Some(connection) = self.connections.get(&id) {
                    connection.wake();
                }
            }
        }
    }

    /// Whether another shard or the disk is so far behind that publishers here must wait.
    pub(in crate::shard) fn is_congested(&self) -> bool {
        let full = |outbox: &Outbox| outbox.parcels.len() >= OUTBOX_MESSAGES_MAX;
        self.outboxes.iter().any(full) || self.log.is_behind() || self.gates.depth() >= OUTBOX_MESSAGES_MAX
    }

    /// Parcels of another shard.
    pub(in crate::shard) fn parcels(&mut self, from: usize, parcels: Vec<Parcel>, receipt: u64, life: u32) {
        if life < self.life {
            // Its sender has given it up.
            return;
        }
        // Who sends knows that all shards are there again.
        self.go_live();
        let now = clock::now();
        (self.now, self.turn) = (now, Instant::now());
        let node = node_index(from);
        for parcel in parcels {
            let event = match parcel {
                Parcel::Forward(forward) => Event::Forwarded { from: node, forward },
                Parcel::Share(share) => Event::Shared { from: node, share },
            };
            self.node.step(event, now, &mut self.actions);
        }
        if receipt > 0 && self.failed_at.is_none() {
            self.receipts.push_back(Receipt {
                logged: self.node.progress().logged,
                to: from,
                number: receipt,
                life,
            });
        }
        self.carry_out();
        self.pay_receipts();
    }

    /// Tells other shards what is durable here.
    pub(super) fn pay_receipts(&mut self) {
        let durable = self.log.durable();
        while let Some(receipt) = self.receipts.front().filter(|receipt| receipt.logged <= durable) {
            let mail = Mail::Confirmed {
                from: self.index,
                number: receipt.number,
                life: receipt.life,
            };
            let mailbox = self.control.shards.mailbox(receipt.to);
            if let Some(Err(TrySendError::Full(_))) = mailbox.map(|mailbox| mailbox.try_send(mail)) {
                return;
            }
            self.receipts.pop_front();
        }
    }

    /// Another shard has made durable what it got.
    pub(in crate::shard) fn confirm(&mut self, from: usize, number: u64, life: u32) {
        if life != self.life {
            return;
        }
        let outbox = self.outboxes.iter_mut().find(|outbox| outbox.shard == from);
        if let Some(outbox) = outbox {
            outbox.confirmation.confirm(number);
        }
        self.progressed();
    }

    /// A message of the server or its API; answered when it is kept.
    pub(in crate::shard) fn publish(&mut self, message: Arc<Message>, answer: Option<oneshot::Sender<bool>>) {
        (self.now, self.turn) = (clock::now(), Instant::now());
        self.node
            .step(Event::Publish(message), self.now, &mut self.actions);
        self.carry_out();
        if let Some(answer) = answer {
            self.answer_when_kept(answer);
        }
    }
}
