//! A message of a shared subscription that its member cannot have any more goes to another (MQTT 5.0 section 4.8.2).
//!
//! That is so when the session of the member ends while the message waits or, at QoS 1, is not acknowledged; and when another node
//! chose this one and nobody is here any more. At QoS 2 what was once on its way goes to nobody else (`[MQTT-4.8.2-5]`). A
//! message that leaves this node is in its log until the other one has it.

use std::sync::Arc;

use identity::UnixMillis;

use crate::action::{Action, Actions, Chosen, Forward};
use crate::index::Choice;
use crate::interests::Nodes;
use crate::message::Message;
use crate::record::{NodeIndex, SessionKey, Wanted};

use super::Node;
use super::publishing::offer;

impl Node {
    /// To one of all members, wherever it is.
    pub(super) fn hand_over(
        &mut self,
        tenant_index: usize,
        filter: &Arc<str>,
        message: &Arc<Message>,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let tenant = self.tenants.get_mut(tenant_index);
        match tenant.and_then(|tenant| tenant.index.choose(filter, true)) {
            Some(Choice::Here(key, wanted)) => {
                self.give(key, &wanted, filter, message, &mut 0, now, actions);
            }
            Some(Choice::There(node)) => self.hand_to(node, filter, message, actions),
            None => {}
        }
    }

    /// Another node hands a message over to a member here. If there is none any more, it goes on: that node knows by then what
    /// this one has told of its members, and is not chosen for those it has lost.
    pub(super) fn handed(
        &mut self,
        tenant_index: usize,
        filter: &Arc<str>,
        message: &Arc<Message>,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let tenant = self.tenants.get_mut(tenant_index);
        match tenant.and_then(|tenant| tenant.index.choose_here(filter, true)) {
            Some(Choice::Here(key, wanted)) => {
                self.give(key, &wanted, filter, message, &mut 0, now, actions);
            }
            _ => self.hand_over(tenant_index, filter, message, now, actions),
        }
    }

    /// To the member that was chosen.
    #[expect(
        clippy::too_many_arguments,
        reason = "a delivery, and through which subscription"
    )]
    pub(super) fn give(
        &mut self,
        key: SessionKey,
        wanted: &Wanted,
        filter: &Arc<str>,
        message: &Arc<Message>,
        kept: &mut u64,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let mut offer = offer([wanted].into_iter(), message);
        offer.shared = Some(Arc::clone(filter));
        self.deliver(key, message, offer, kept, now, actions);
    }

    fn hand_to(&mut self, node: NodeIndex, filter: &Arc<str>, message: &Arc<Message>, actions: &mut Actions) {
        let chosen: Chosen = [(Arc::clone(filter), node)].into();
        let number = self.journal.relay(message, &chosen, true, &mut 0, actions);
        let after = self.journal.step();
        self.journal.forward();
        actions.push(Action::Forward(Forward {
            message: Arc::clone(message),
            chosen,
            relay: Some(number),
            after,
            to: Nodes::one(node),
            is_handed: true,
        }));
    }
}
