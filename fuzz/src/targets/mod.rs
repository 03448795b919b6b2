//! The targets by name; one file per crate whose decoders they feed.

pub(crate) mod arriving;
mod broker;
mod bus;
mod cloud;
mod fleet;
mod identity;
mod manifest;
mod mqtt;
mod optiga;
mod optiga_sim;
mod pkcs11;
mod search;

/// What one target does with the bytes.
pub(crate) type Target = fn(&[u8]);

/// Every target.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("certificate", identity::certificate),
    ("request", identity::request),
    ("pem", identity::blocks),
    ("manifest", manifest::manifest),
    ("client-hello", cloud::hello),
    ("sigv4", cloud::signature),
    ("api-request", cloud::request),
    ("websocket", cloud::frames),
    ("mqtt-packet", mqtt::packet),
    ("mqtt-packet-v5", mqtt::packet_v5),
    ("mqtt-topic", mqtt::topic),
    ("mqtt-session", broker::session),
    ("policy", fleet::policy),
    ("template", fleet::template),
    ("query", search::query),
    ("import-line", arriving::import_line),
    ("task-line", arriving::task_line),
    ("claim", arriving::claim),
    ("vi2c-request", bus::request),
    ("vi2c-serial", bus::serial),
    ("optiga-formats", optiga::formats),
    ("optiga-answers", optiga::answers),
    ("optiga-driver", optiga::driver),
    ("optiga-sim-bus", optiga_sim::bus),
    ("optiga-sim-frames", optiga_sim::frames),
    ("optiga-sim-commands", optiga_sim::commands),
    ("optiga-sim-metadata", optiga_sim::metadata),
    ("pkcs11", pkcs11::calls),
];
