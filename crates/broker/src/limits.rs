//! Every maximum of this crate, by name, and the set of them that one node runs with.
//!
//! The constants are AWS IoT Core's documented quotas where AWS has one ("AWS IoT Core endpoints and quotas", message broker and
//! protocol limits), and otherwise ours. They are defaults: [`Limits`] carries the values in force.

/// Longest payload of a PUBLISH or a will (AWS: 128 KB).
pub const PAYLOAD_BYTES_MAX: usize = 131_072;
/// Longest topic name or filter (AWS: 256 bytes of UTF-8).
pub const TOPIC_BYTES_MAX: usize = 256;
/// Most slashes in a topic name or filter (AWS: 7).
pub const TOPIC_SLASHES_MAX: usize = 7;
/// Most topic filters in one SUBSCRIBE (AWS: 8).
pub const FILTERS_PER_SUBSCRIBE_MAX: usize = 8;
/// Most subscriptions of one connection (AWS: 50).
pub const SUBSCRIPTIONS_PER_CONNECTION_MAX: usize = 50;
/// Longest client identifier (AWS: 128 bytes of UTF-8).
pub const CLIENT_ID_BYTES_MAX: usize = 128;
/// Shortest keep alive; a shorter one is lengthened to it (AWS: 30 s).
pub const KEEP_ALIVE_SECONDS_MIN: u16 = 30;
/// Longest keep alive; a longer one, and none, is shortened to it (AWS: 1200 s).
pub const KEEP_ALIVE_SECONDS_MAX: u16 = 1_200;

/// Most QoS 1 messages on their way to one client without its PUBACK (AWS: 100).
pub const INFLIGHT_MESSAGES_MAX: usize = 100;
/// Most bytes of such messages; one message may always be on its way.
pub const INFLIGHT_BYTES_MAX: usize = 1_048_576;
/// Most QoS 1 messages that wait for a place among those on their way to one client.
pub const QUEUE_MESSAGES_MAX: usize = 1_000;
/// Most bytes of such messages.
pub const QUEUE_BYTES_MAX: usize = 1_048_576;

/// Most topics that one client may replace by a number (AWS: 8).
pub const TOPIC_ALIASES_MAX: u16 = 8;
/// Most QoS 1 messages that a client may send before it has a PUBACK (AWS: 100).
pub const RECEIVE_MAX: u16 = 100;
/// Longest packet that a client may send (AWS: 149504 bytes).
pub const PACKET_BYTES_MAX: u32 = 149_504;
/// Longest life of a message that has an end; 0 becomes 1 (AWS: 7 days).
pub const MESSAGE_EXPIRY_SECONDS_MAX: u32 = 604_800;

/// Most connections of one node.
pub const CONNECTIONS_MAX: usize = 1_000_000;
/// Most refusals of one connection that are told one by one; further ones are only counted.
pub const REFUSALS_TOLD_MAX: u8 = 16;
/// Most changes of trust of one tenant that a node remembers by certificate. A grant older than the oldest of them is refused.
pub const TRUST_CHANGES_MAX: usize = 65_536;

/// The limits one node runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the constant of the same name")]
pub struct Limits {
    pub payload_bytes_max: usize,
    pub topic_bytes_max: usize,
    pub topic_slashes_max: usize,
    pub filters_per_subscribe_max: usize,
    pub subscriptions_per_connection_max: usize,
    pub client_id_bytes_max: usize,
    pub keep_alive_seconds_min: u16,
    pub keep_alive_seconds_max: u16,
    pub inflight_messages_max: usize,
    pub inflight_bytes_max: usize,
    pub queue_messages_max: usize,
    pub topic_aliases_max: u16,
    pub receive_max: u16,
    pub packet_bytes_max: u32,
    pub message_expiry_seconds_max: u32,
    pub queue_bytes_max: usize,
    pub connections_max: usize,
}

impl Limits {
    /// Those of AWS IoT Core.
    pub const AWS: Self = Self {
        payload_bytes_max: PAYLOAD_BYTES_MAX,
        topic_bytes_max: TOPIC_BYTES_MAX,
        topic_slashes_max: TOPIC_SLASHES_MAX,
        filters_per_subscribe_max: FILTERS_PER_SUBSCRIBE_MAX,
        subscriptions_per_connection_max: SUBSCRIPTIONS_PER_CONNECTION_MAX,
        client_id_bytes_max: CLIENT_ID_BYTES_MAX,
        keep_alive_seconds_min: KEEP_ALIVE_SECONDS_MIN,
        keep_alive_seconds_max: KEEP_ALIVE_SECONDS_MAX,
        inflight_messages_max: INFLIGHT_MESSAGES_MAX,
        inflight_bytes_max: INFLIGHT_BYTES_MAX,
        queue_messages_max: QUEUE_MESSAGES_MAX,
        topic_aliases_max: TOPIC_ALIASES_MAX,
        receive_max: RECEIVE_MAX,
        packet_bytes_max: PACKET_BYTES_MAX,
        message_expiry_seconds_max: MESSAGE_EXPIRY_SECONDS_MAX,
        queue_bytes_max: QUEUE_BYTES_MAX,
        connections_max: CONNECTIONS_MAX,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::AWS
    }
}
