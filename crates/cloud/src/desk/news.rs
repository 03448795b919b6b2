//! Tells webhooks of certificates that were registered by their first connection ("Just-in-time registration" in the AWS
//! IoT developer guide): what a rule and a function do there.
//!
//! The event says the same as the message on `$aws/events/certificates/registered/...`, and comes again whenever the
//! certificate is presented: a webhook that was not there hears of it then.

use core::time::Duration;

use fleet::Event;
use fleet::attempt::{Attempt, Kind, Verdict};
use fleet::text::Text;
use identity::{Explained as _, Tenant};
use tokio::time::sleep;

use crate::clock;
use crate::control::Control;
use crate::events;
use crate::limits::{WEBHOOK_REST, WEBHOOK_TRIES_MAX};
use crate::webhook::{Fault, Webhook};

/// Tells all who are to hear of it; a failure that stays leaves an attempt record.
pub(super) async fn tell(control: &Control, tenant: &Tenant, event: &Event) {
    let Some(announcement) = events::registered(tenant, event) else {
        return;
    };
    for webhook in control.webhooks.told_registered(tenant.account) {
        if let Err(fault) = tell_one(webhook, &announcement.payload).await {
            note(control, tenant, webhook, &announcement.topic, &fault);
        }
    }
}

async fn tell_one(webhook: &Webhook, payload: &[u8]) -> Result<(), Fault> {
    let mut rest: Duration = WEBHOOK_REST;
    for _ in 1..WEBHOOK_TRIES_MAX {
        if webhook.tell(payload.to_vec()).await.is_ok() {
            return Ok(());
        }
        sleep(rest).await;
        rest *= 2;
    }
    webhook.tell(payload.to_vec()).await
}

fn note(control: &Control, tenant: &Tenant, webhook: &Webhook, topic: &str, fault: &Fault) {
    let mut attempt = Attempt::begin(control.traces.next(), Kind::Provision, *tenant, clock::now());
    attempt.operation = Some(Text::short(topic));
    attempt
        .trail
        .failed("webhook.tell", format!("{}: {fault}", webhook.name()));
    attempt.end(Verdict::Faulted, fault.code(), fault.to_string(), fault.remedy());
    store::Attempts::record(&control.attempts, attempt);
}
