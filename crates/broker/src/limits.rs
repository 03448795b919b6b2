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

/// Longest life of a session without its client (AWS: 1 hour unless the account has more).
pub const SESSION_EXPIRY_SECONDS_MAX: u32 = 3_600;
/// Most sessions of one node that outlive their connection.
pub const SESSIONS_KEPT_MAX: usize = 1_000_000;
/// Longest that a message waits for its client (AWS: as long as the longest session, 7 days).
pub const QUEUE_AGE_SECONDS_MAX: u32 = 604_800;
/// Most bytes of messages that wait on one node, all clients together; a message counts once for each that waits for it.
pub const NODE_QUEUE_BYTES_MAX: usize = 1 << 30;
/// Most retained messages of one tenant (AWS: 5000).
pub const RETAINED_MESSAGES_MAX: usize = 5_000;
/// Most bytes of retained messages of one tenant.
pub const RETAINED_BYTES_MAX: usize = 256 << 20;
/// How long a node remembers that a topic was cleared, against older messages that come late from other nodes.
pub const CLEARED_REMEMBERED_MILLIS: i64 = 3_600_000;
/// Retained messages in one page of a list.
pub const RETAINED_PAGE_MAX: usize = 200;
/// Longest name of a group of a shared subscription (AWS: 128).
pub const SHARE_NAME_BYTES_MAX: usize = 128;
/// Longest reason that is told in words.
pub const REASON_BYTES_MAX: usize = 256;
/// Longest answer beside its words: a SUBACK with a code for each of 1000 filters.
pub const ANSWER_BYTES_MAX: usize = 1_024;

/// Most connections of one node.
pub const CONNECTIONS_MAX: usize = 1_000_000;
/// Most refusals of one connection that are told one by one; further ones are only counted.
pub const REFUSALS_TOLD_MAX: u8 = 16;
/// Most changes of trust of one tenant that a node remembers by certificate. A grant older than the oldest of them is refused.
pub const TRUST_CHANGES_MAX: usize = 65_536;

/// Most shapes of filters with wildcards by which messages find the nodes that want them. Of further ones each node gets everything
/// that its tenant publishes.
pub const WILDCARD_SHAPES_MAX: usize = 32;
/// Most levels before `#`, or at all, of such a shape.
pub const WILDCARD_LEVELS_MAX: u64 = 32;
/// Parts of the table of those nodes that are locked and grow by themselves; a power of two.
pub const INTEREST_STRIPES: usize = 64;

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
    pub session_expiry_seconds_max: u32,
    pub sessions_kept_max: usize,
    pub queue_age_seconds_max: u32,
    pub node_queue_bytes_max: usize,
    pub retained_messages_max: usize,
    pub retained_bytes_max: usize,
    pub share_name_bytes_max: usize,
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
        session_expiry_seconds_max: SESSION_EXPIRY_SECONDS_MAX,
        sessions_kept_max: SESSIONS_KEPT_MAX,
        queue_age_seconds_max: QUEUE_AGE_SECONDS_MAX,
        node_queue_bytes_max: NODE_QUEUE_BYTES_MAX,
        retained_messages_max: RETAINED_MESSAGES_MAX,
        retained_bytes_max: RETAINED_BYTES_MAX,
        share_name_bytes_max: SHARE_NAME_BYTES_MAX,
        connections_max: CONNECTIONS_MAX,
    };

    /// Those of a server of one's own: the standard's where memory allows, and sessions that wait for a quarter.
    pub const SELF_HOST: Self = Self {
        payload_bytes_max: 512 << 10,
        topic_bytes_max: 4_096,
        topic_slashes_max: 128,
        filters_per_subscribe_max: 1_000,
        subscriptions_per_connection_max: 1_000,
        client_id_bytes_max: 1_024,
        keep_alive_seconds_min: 1,
        keep_alive_seconds_max: u16::MAX,
        inflight_messages_max: 1_000,
        queue_messages_max: 10_000,
        queue_bytes_max: 16 << 20,
        inflight_bytes_max: 4 << 20,
        topic_aliases_max: 64,
        receive_max: 1_000,
        packet_bytes_max: 528 << 10,
        message_expiry_seconds_max: u32::MAX,
        session_expiry_seconds_max: 90 * 86_400,
        queue_age_seconds_max: 90 * 86_400,
        retained_messages_max: 1_000_000,
        ..Self::AWS
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::AWS
    }
}
