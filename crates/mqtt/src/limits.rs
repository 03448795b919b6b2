//! Every maximum of this crate, by name. The standard's own ceilings come first, then what AWS IoT Core negotiates.
//!
//! A limit that depends on who runs the server (topic depth, subscriptions per connection) is the broker's, not ours.

/// Largest value of the Remaining Length field: four bytes of seven bits (section 2.2.3).
pub const REMAINING_LENGTH_MAX: usize = 268_435_455;

/// Largest possible packet: the fixed header's five bytes and the largest remaining length (section 2.2.3).
pub const PACKET_BYTES_MAX: usize = REMAINING_LENGTH_MAX + 5;

/// Largest packet that AWS IoT Core accepts: what its MQTT 5 CONNACK announces as Maximum Packet Size.
pub const PACKET_BYTES_AWS_MAX: usize = 149_504;

/// Longest string or binary field: its length is two bytes (section 1.5.3).
pub const FIELD_BYTES_MAX: usize = 65_535;

/// Longest topic name or filter (section 4.7.3, `[MQTT-4.7.3-3]`).
pub const TOPIC_BYTES_MAX: usize = FIELD_BYTES_MAX;

/// Most QoS 1 messages a client session of ours keeps unacknowledged; AWS IoT Core allows 100 each way.
pub const CLIENT_UNACKNOWLEDGED_MAX: usize = 100;

/// Most SUBSCRIBE and UNSUBSCRIBE requests a client session of ours keeps unanswered.
pub const CLIENT_REQUESTS_MAX: usize = 16;
