//! Every maximum of the cloud in one place, by name.
//!
//! A queue, buffer, wait or count that a stranger on the network can fill is bounded here and nowhere else.
//! The numbers that AWS publishes are the defaults ("AWS IoT Core endpoints and quotas").

use core::time::Duration;

/// Bytes of a ClientHello, record headers included. Post-quantum key shares need about 1.8 kB; four times that is room.
pub const HELLO_BYTES_MAX: usize = 8 * 1024;
/// Names in the ALPN list of a ClientHello that are kept.
pub const HELLO_ALPN_MAX: usize = 8;
/// Entries of any other list in a ClientHello (suites, groups, versions, schemes) that are kept.
pub const HELLO_LIST_MAX: usize = 64;
/// Bytes of a server name: the longest name that DNS knows.
pub const SERVER_NAME_BYTES_MAX: usize = 253;

/// Certificates in one file of a server certificate.
pub const SERVER_CHAIN_CERTIFICATES_MAX: usize = 8;
/// Bytes that one look at a socket reads, into a buffer that all connections of a thread share.
pub const READ_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a TLS record with its header (RFC 5246 6.2.3; TLS 1.3 allows less).
pub const RECORD_BYTES_MAX: usize = (16 + 2) * 1024 + 5;
/// Bytes of content in a record that is sent (RFC 8446 5.1).
pub const RECORD_CONTENT_BYTES_MAX: usize = 16 * 1024;
/// The least that records can be limited to (RFC 8449, section 4).
pub const SMALL_RECORD_BYTES_MIN: usize = 64;
/// Bytes of an incomplete handshake message that are kept, record headers included; the message itself may have 64 kB less one.
pub const HANDSHAKE_UNUSED_BYTES_MAX: usize = 96 * 1024;
/// Encrypted bytes that wait for one socket before nothing more is encrypted for it.
pub const UNSENT_BYTES_MAX: usize = 64 * 1024;
/// The largest buffer for encrypted bytes that a thread keeps for its next connection that sends.
pub const SPARE_BYTES_MAX: usize = 128 * 1024;

/// How long a key seals tickets for the resumption of sessions; it opens them for as long again.
pub const TICKET_KEY_LIFE: Duration = Duration::from_secs(30 * 60);
/// Sessions of TLS 1.2 that one listener remembers, where resumption is on, for clients that take no tickets.
pub const SESSIONS_REMEMBERED_MAX: usize = 4096;

/// How often the server looks whether its certificates are to be read again.
pub const CERTIFICATE_LOOK: Duration = Duration::from_secs(30);
/// How often they are read again although no file has changed: the server's own are renewed in time.
pub const CERTIFICATE_REST: Duration = Duration::from_secs(24 * 60 * 60);
/// TLS handshakes in flight on the front door; beyond it the listener stops accepting and the kernel's backlog waits.
/// So many that those who only open connections and say nothing do not fill it.
pub const HANDSHAKES_MAX: usize = 4096;
/// How much less important the front door's thread is to the system than the shards' (nice(2)): a tenth of their share where all
/// cores are busy, so that a server full of messages still lets devices in.
pub const FRONT_DOOR_NICENESS: i32 = 10;
/// Handshakes in flight at which the door is crowded.
pub const HANDSHAKES_CROWDED: usize = HANDSHAKES_MAX / 2;
/// From accept to the end of the handshake.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// The same for those who come while the door is crowded.
pub const HANDSHAKE_DEADLINE_CROWDED: Duration = Duration::from_secs(2);
/// From the end of the handshake to a complete CONNECT.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes that are buffered of a connection before its CONNECT is complete, and while a first connection is held.
pub const CONNECT_BYTES_MAX: usize = 16 * 1024;
/// Connections between the end of their handshake and their place on a shard.
pub const ARRIVALS_MAX: usize = 4 * 1024;
/// First connections that are provisioned at the same time; more wait in line until their own deadline.
pub const FIRST_CONNECTIONS_MAX: usize = 256;
/// How long a held first connection waits for its provisioning.
pub const HOLD_DEADLINE: Duration = Duration::from_secs(2);
/// How often a decision is made again because somebody else changed what it was based on.
pub const CONFLICT_RETRIES_MAX: usize = 8;
/// How long a closed connection may take to read what was still meant for it.
pub const LINGER: Duration = Duration::from_secs(1);
/// Closed connections that are waited for at the same time; beyond it they are cut off.
pub const LINGERING_MAX: usize = 1024;
/// Certificates whose records the front door remembers, of devices that come back soon; about 250 bytes each, beside what their
/// connections hold anyway. Looking one up costs 5 µs more, so that more of them would not be worth their memory.
pub const ACQUAINTANCES_MAX: usize = 4 * 1024;
/// Bytes of what is remembered of all those certificates, about.
pub const ACQUAINTANCES_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Policy documents that are kept compiled.
pub const COMPILED_POLICIES_MAX: usize = 4096;
/// CA subjects whose registered CAs the front door remembers.
pub const AUTHORITIES_REMEMBERED_MAX: usize = 1024;
/// How long the listener rests after the system refused it a socket (out of file descriptors).
pub const ACCEPT_REST: Duration = Duration::from_millis(20);
/// Connections that the kernel may queue before they are accepted.
pub const ACCEPT_BACKLOG: i32 = 4096;

/// Connections of one shard.
pub const CONNECTIONS_PER_SHARD_MAX: usize = 1 << 20;
/// Bytes that wait for one client; a client that lets more pile up is closed.
pub const OUTBOUND_BYTES_MAX: usize = 1024 * 1024;
/// Bytes that are read from one connection before the others of its shard get their turn.
pub const TURN_BYTES_MAX: usize = 64 * 1024;
/// An MQTT packet from a client, as AWS announces it in Maximum Packet Size.
pub const PACKET_BYTES_MAX: usize = 149_504;
/// Messages that wait at the door of one shard.
pub const SHARD_MAILBOX_MAX: usize = 16 * 1024;
/// One step of the clock of a shard (keep-alive, wills).
pub const TICK: Duration = Duration::from_millis(500);
/// How long a trust change may take to reach every shard before it is reported as a fault.
pub const TRUST_DEADLINE: Duration = Duration::from_secs(5);
/// The clock of a shard while another shard is behind.
pub const TICK_CONGESTED: Duration = Duration::from_millis(5);
/// Pieces of mail that a shard reads before its connections get their turn.
pub const MAIL_PER_TURN_MAX: usize = 64;
/// Reads of one connection before the others of its shard get their turn.
pub const READS_PER_TURN_MAX: usize = 4;
/// Messages that wait for another shard; beyond it the publishers of this shard wait.
pub const OUTBOX_MESSAGES_MAX: usize = 16 * 1024;
/// Bytes that wait for the session log of a shard; beyond it its publishers wait.
pub const LOG_WAITING_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A session log shorter than this is not made shorter.
pub const CHECKPOINT_LOG_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// Sessions that a shard writes into a checkpoint before its connections get their turn.
pub const CHECKPOINT_SESSIONS_PER_TURN: usize = 256;
/// How long a shard whose log failed waits before it opens it again.
pub const LOG_REST: Duration = Duration::from_secs(1);
/// Bytes that a connection without TLS takes before its socket does; TLS has the same limit of its own.
pub const PLAIN_UNSENT_BYTES_MAX: usize = 64 * 1024;
/// Bytes that are read from a connection without TLS at once.
pub const READ_BYTES: usize = 16 * 1024;
/// Bytes of output buffer that an idle connection keeps.
pub const OUTPUT_KEPT_BYTES: usize = 1024;
/// Changes of policies and things that a shard remembers, to refuse grants that are older.
pub const CHANGES_REMEMBERED_MAX: usize = 64 * 1024;

/// How long a connection lives that a signature let in ("AWS IoT Core endpoints and quotas", "Connection duration" over WebSocket).
pub const SIGNED_CONNECTION_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of headers and query of a request for WebSocket that an authorizer decides about: they are kept as long as its connection.
pub const AUTHORIZER_REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Withdrawals of what connections rest on that are remembered, to refuse those that were on their way.
pub const WITHDRAWALS_REMEMBERED_MAX: usize = 4096;
/// Seconds that a caller waits for the acknowledgement of a message to one client (AWS IoT API reference, SendDirectMessage).
pub const CONFIRMATION_SECONDS: i64 = 5;
/// … the most that it may ask for.
pub const CONFIRMATION_SECONDS_MAX: u64 = 15;
/// Messages to single clients whose acknowledgements API callers of one shard wait for.
pub const CONFIRMATIONS_MAX: usize = 4096;
/// Questions to authorizers about live connections that one shard has under way.
pub const INQUIRIES_UNDER_WAY_MAX: usize = 16;
/// Connections without TLS that have not sent their CONNECT.
pub const PLAIN_CONNECTIONS_MAX: usize = 256;
/// HTTP connections of the port that is for everything, open at the same time.
pub const VISITORS_MAX: usize = 512;
/// Connections that wait to be handed from HTTP to MQTT or the other way.
pub const CROSSINGS_MAX: usize = 64;
/// How long a client may take to read that it may speak WebSocket now.
pub const UPGRADE_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of the properties of a message that an API caller publishes.
pub const PROPERTIES_BYTES_MAX: usize = 8 * 1024;
/// Connections of the API listener that are open at the same time.
pub const API_CONNECTIONS_MAX: usize = 512;
/// … of these, connections whose requests are carried out; whoever comes later is answered `ServiceUnavailableException` at
/// once and let go, rather than waiting unheard.
pub const API_CONNECTIONS_SERVED_MAX: usize = 448;
/// Counts of calls that quotas are held to, one for each account, region and operation.
pub const QUOTA_COUNTS_MAX: usize = 64 * 1024;
/// Bytes of an API request's body (a policy document may have 404 600 characters in AWS's model; 2 048 are allowed).
pub const API_BODY_BYTES_MAX: usize = 512 * 1024;
/// Bytes of an API request's line and headers.
pub const API_HEAD_BYTES_MAX: usize = 64 * 1024;
/// Number of API request headers.
pub const API_HEADERS_MAX: usize = 100;
/// Bytes of an API request's path and query.
pub const API_TARGET_BYTES_MAX: usize = 16 * 1024;
/// How long an API request's head may take to arrive, and how long a connection may idle between two.
pub const API_IDLE: Duration = Duration::from_secs(75);
/// How long one API request may take, from its head to its answer.
pub const API_DEADLINE: Duration = Duration::from_secs(30);
/// How far the clocks of client and server may be apart ("Signature Version 4 signing process").
pub const CLOCK_SKEW: Duration = Duration::from_secs(300);
/// The longest life that a presigned request may ask for.
pub const PRESIGNED_SECONDS_MAX: u64 = 604_800;
/// Bytes of the token of a temporary access key.
pub const SESSION_TOKEN_BYTES_MAX: usize = 2_048;
/// Steps of building an index of things before UpdateIndexingConfiguration is answered; the rest is done afterwards.
pub const INDEX_STEPS_AT_ONCE: usize = 20;
/// Values that one aggregation adds up.
pub const AGGREGATED_VALUES_MAX: usize = 2_000_000;
/// Requests for an RSA key pair that are worked on at the same time.
pub const RSA_GENERATIONS_MAX: usize = 2;

/// Connections of the metrics listener that are open at the same time.
pub const METRICS_CONNECTIONS_MAX: usize = 8;
/// How long a request for metrics may take to arrive, and how long its connection may idle.
pub const METRICS_IDLE: Duration = Duration::from_secs(75);
/// How long a scrape waits for a shard before it tells what that shard told last.
pub const METRICS_PATIENCE: Duration = Duration::from_secs(1);
/// Codes of refusals that are counted one by one; further ones are counted together.
pub const REFUSAL_CODES_MAX: usize = 128;

/// One step of a drain.
pub const DRAIN_TICK: Duration = Duration::from_millis(100);
/// Spans that wait to be sent to a collector; beyond it they are dropped.
pub const TELEMETRY_SPANS_WAITING_MAX: usize = 4096;
/// Spans that are sent together.
pub const TELEMETRY_BATCH_SPANS_MAX: usize = 512;
/// How long spans wait for more to be sent with.
pub const TELEMETRY_BATCH_REST: Duration = Duration::from_secs(1);
/// How long sending may take, from connecting to the answer.
pub const TELEMETRY_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of a collector's answer that are read.
pub const TELEMETRY_ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How long shutdown waits for connections and requests to end by themselves.
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(5);
/// Days that a server certificate is valid ("Baseline Requirements", 6.3.2).
pub const SERVER_CERTIFICATE_DAYS: i64 = 397;
/// Days before its end at which a server certificate is made anew.
pub const SERVER_CERTIFICATE_RENEWAL_DAYS: i64 = 30;
/// Bytes of the server root, so that it fits into one object of a small secure element.
pub const SERVER_ROOT_BYTES_MAX: usize = 1024;
/// Bytes of one line of the file of a registration task (AWS IoT quotas).
pub const TASK_LINE_BYTES_MAX: usize = 256 * 1024;
/// Lines of a registration task that are kept at once: whoever else changes records waits for no more of them.
pub const TASK_LINES_AT_ONCE: usize = 256;
/// So many times as many lines are prepared while they are kept.
pub const TASK_GROUPS_AHEAD: usize = 4;
/// Threads on which lines of a registration task are prepared, if there are as many cores.
pub const TASK_THREADS_MAX: usize = 8;
/// Bytes of a report that are written at once.
pub const REPORT_BUFFER_BYTES: usize = 256 * 1024;
/// How often a registration task writes down how far it has come.
pub const TASK_PROGRESS_REST: Duration = Duration::from_secs(1);
/// Items of a manifest of Microchip's that one call takes.
pub const MANIFEST_ITEMS_MAX: usize = 100;
/// Pages of signers, of orders and of CAs that one call reads.
pub const MANIFEST_PAGES_MAX: usize = 20;
/// Lines of an export that one call gives.
pub const EXPORT_LINES_MAX: u16 = 1000;
/// Writes and checks of lines of an import that are put into one transaction.
pub const IMPORT_BATCH_ITEMS: usize = 240;
/// Lines of an import that were refused, of which one call says why.
pub const IMPORT_REFUSALS_TOLD_MAX: usize = 100;
/// Certificates that one call of the replay looks at.
pub const REPROVISION_DEVICES_MAX: u16 = 100;
/// How long a store may take until it speaks TLS.
pub const STORE_CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How long a store may say nothing in the middle of an object.
pub const STORE_IDLE: Duration = Duration::from_secs(30);
/// Bytes of an object that a registration task reads.
pub const STORE_OBJECT_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Bytes of a report that is sent to a store; a longer one stays here.
pub const STORE_REPORT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How long the link to a report holds.
pub const STORE_LINK_SECONDS: u64 = 3_600;
/// Attempts that one call tells.
pub const ATTEMPTS_TOLD_MAX: usize = 250;

/// Requests of devices and news for webhooks that wait at the desk; beyond it devices are told to come back.
pub const ERRANDS_WAITING_MAX: usize = 1024;
/// Those that are worked on at the same time.
pub const ERRANDS_AT_ONCE: usize = 64;
/// Requests of one connection that are not answered yet.
pub const ASKS_PER_CONNECTION_MAX: u8 = 8;
/// How often what has run out is cleared away.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// Room for an answer with a certificate and a private key, so that no part of it stays behind where it grew.
pub const CLAIM_ANSWER_BYTES: usize = 16 * 1024;
/// How deep a CBOR payload may be nested.
pub const CBOR_DEPTH_MAX: usize = 16;
/// How often a webhook is told something before it is given up.
pub const WEBHOOK_TRIES_MAX: u32 = 3;
/// How long it is left alone after the first failure; twice as long after each further one.
pub const WEBHOOK_REST: Duration = Duration::from_secs(1);

/// Webhooks of one server.
pub const WEBHOOKS_MAX: usize = 256;
/// Calls of one webhook that are under way at the same time; beyond it a call waits, which counts as part of its deadline.
pub const WEBHOOK_CALLS_MAX: usize = 64;
/// One call of a webhook, from the look-up of its name to the end of its answer (AWS IoT developer guide,
/// "Pre-provisioning hooks").
pub const WEBHOOK_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of the answer of a webhook.
pub const WEBHOOK_ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the head of that answer.
pub const WEBHOOK_HEAD_BYTES_MAX: usize = 16 * 1024;
/// Headers that an operator adds to the calls of a webhook.
pub const WEBHOOK_HEADERS_MAX: usize = 16;
/// Bytes of the key that calls are signed with, at least.
pub const WEBHOOK_SECRET_BYTES_MIN: usize = 16;
/// Bytes of that key, at most.
pub const WEBHOOK_SECRET_BYTES_MAX: usize = 1024;
