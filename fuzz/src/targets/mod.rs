//! The targets by name; one file per crate whose decoders they feed.

mod bus;
mod mqtt;

/// What one target does with the bytes.
pub(crate) type Target = fn(&[u8]);

/// Every target.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("mqtt-packet", mqtt::packet),
    ("mqtt-topic", mqtt::topic),
    ("vi2c-request", bus::request),
];
