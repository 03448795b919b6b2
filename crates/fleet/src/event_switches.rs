//! UpdateEventConfigurations and DescribeEventConfigurations: which changes of the registry are published.
//!
//! Everything is off until somebody turns it on (AWS IoT developer guide, "Event messages").

use std::collections::BTreeMap;

use identity::UnixMillis;

use crate::call::{Call, Decided};
use crate::plain::shaped;
use crate::record::Versioned;
use crate::refusal::{Exception, Refusal};
use crate::resource::{self, Kind, Resource};

/// Every event type (AWS IoT API reference, UpdateEventConfigurations).
pub const EVENT_TYPES: [&str; 11] = [
    "THING",
    "THING_GROUP",
    "THING_TYPE",
    "THING_GROUP_MEMBERSHIP",
    "THING_GROUP_HIERARCHY",
    "THING_TYPE_ASSOCIATION",
    "JOB",
    "JOB_EXECUTION",
    "POLICY",
    "CERTIFICATE",
    "CA_CERTIFICATE",
];

shaped!(
    /// What a tenant wants to hear of.
    EventSwitches {
        /// Event types and whether they are published.
        on: BTreeMap<String, bool>,
        /// When it was first set.
        created: UnixMillis,
        /// When it was last changed.
        modified: UnixMillis,
    }
);

impl Resource for EventSwitches {
    const KIND: Kind = Kind::EventSwitches;

    fn name(&self) -> &str {
        ""
    }
}

impl EventSwitches {
    /// Whether events of this type are published.
    pub fn is_on(&self, event_type: &str) -> bool {
        self.on.get(event_type).copied().unwrap_or(false)
    }
}

/// UpdateEventConfigurations: changes the types that are named.
pub fn update(
    call: &Call,
    wanted: BTreeMap<String, bool>,
    existing: Option<&Versioned<EventSwitches>>,
) -> Decided<EventSwitches> {
    if let Some(unknown) = wanted.keys().find(|name| !EVENT_TYPES.contains(&name.as_str())) {
        return Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.events.unknown",
            format!(
                "\"{}\" is not an event type",
                unknown.chars().take(64).collect::<String>()
            ),
        )
        .hint("use THING, THING_GROUP, THING_TYPE, THING_GROUP_MEMBERSHIP, THING_GROUP_HIERARCHY, THING_TYPE_ASSOCIATION, JOB, JOB_EXECUTION, POLICY, CERTIFICATE or CA_CERTIFICATE"));
    }
    let Some(existing) = existing else {
        let switches = EventSwitches {
            on: wanted,
            created: call.now,
            modified: call.now,
        };
        return Ok(resource::insert(call, "events.configure", switches));
    };
    let mut switches = existing.record.clone();
    switches.on.extend(wanted);
    switches.modified = call.now;
    Ok(resource::replace(
        call,
        "events.configure",
        switches,
        existing.version,
    ))
}
