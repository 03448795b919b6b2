//! Every maximum of the store, by name.

/// Batches waiting for the writer; beyond it a commit is answered with [`crate::CommitError::Overloaded`].
pub const COMMIT_QUEUE_MAX: usize = 4096;
/// Batches in one transaction.
pub const GROUP_BATCHES_MAX: usize = 1024;
/// When batches come several at a time, the writer pauses this long to make one large group of them: a commit costs its
/// fsync and some 50 µs of CPU however large it is.
pub const GATHER_MICROS: u64 = 500;
/// … or until this many wait.
pub const GATHER_BATCHES: usize = 64;
/// Batches that are handed to the writer as one: whoever comes behind them waits for no more than these.
pub const BATCHES_AT_ONCE_MAX: usize = 256;
/// Rows of policies, groups and the like that the writer remembers between batches; then it begins anew.
pub const REMEMBERED_ROWS_MAX: usize = 4_096;
/// Writes, checks and audit entries in one batch.
pub const BATCH_ITEMS_MAX: usize = 256;
/// Reader connections that are kept open; more are opened when more threads read at once, and closed again.
pub const READERS_KEPT_MAX: usize = 16;
/// Policies whose documents are kept after a look-up.
pub const DOCUMENTS_KEPT_MAX: usize = 4_096;
/// Things looked at for one page of a filtered list.
pub const FILTER_SCAN_ROWS_MAX: usize = 5_000;
/// Rows of the index that are read for one page of a search; where there are more, the things are gone through.
pub const SEARCH_CANDIDATES_MAX: usize = 20_000;
/// Look-ups between two times that somebody asks, up to which all reader connections are closed: opening one anew costs about a
/// millisecond, keeping one costs the memory of all pages that it ever saw.
pub const LOOKS_AT_REST_MAX: u64 = 1_000;
/// Things that are put into the index in one step.
pub const INDEX_STEP_THINGS: usize = 2_000;
/// Page cache of the writer connection.
pub const WRITER_CACHE_KIB: i64 = 64 * 1024;
/// Page cache of each reader connection.
pub const READER_CACHE_KIB: i64 = 4 * 1024;
/// How much of a database file readers see through the page cache of the kernel, without a system call per page. Safe
/// because nothing ever makes the file shorter.
pub const READER_MAP_BYTES: i64 = 1 << 30;
/// Pages in the write-ahead log before it is moved into the database file.
pub const CHECKPOINT_PAGES: i64 = 4_000;
/// A page of the records.
pub const PAGE_BYTES: i64 = 4 * 1024;
/// How long a statement waits for a lock of another process.
pub const BUSY_TIMEOUT_MILLIS: u64 = 5_000;

/// Attempts waiting for their writer; beyond it they are dropped and counted.
pub const ATTEMPT_QUEUE_MAX: usize = 8_192;
/// Nobody waits for an attempt to be written, so their writer pauses this long to write many at once.
pub const ATTEMPT_GATHER_MILLIS: u64 = 100;
/// Page cache of their writer: it writes at one end and deletes at the other.
pub const ATTEMPT_CACHE_KIB: i64 = 512;
/// A page of the attempts: they are written one behind the other, a hundred and more at once, so that large pages are fewer writes.
pub const ATTEMPT_PAGE_BYTES: i64 = 16 * 1024;
/// Pages in their write-ahead log before it is moved into the file; as many bytes as those of the records.
pub const ATTEMPT_CHECKPOINT_PAGES: i64 = CHECKPOINT_PAGES * PAGE_BYTES / ATTEMPT_PAGE_BYTES;
/// Attempts in one transaction.
pub const ATTEMPT_GROUP_MAX: usize = 1_024;
/// Attempts of peers that proved who they are, all CAs together.
pub const ATTEMPTS_KNOWN_MAX: usize = 100_000;
/// Attempts under one CA.
pub const ATTEMPTS_PER_CA_MAX: usize = 50_000;
/// Attempts of one device that proved who it is.
pub const ATTEMPTS_PER_DEVICE_MAX: usize = 200;
/// Attempts of strangers, all sources together.
pub const ATTEMPTS_STRANGERS_MAX: usize = 20_000;
/// Attempts of one source address.
pub const ATTEMPTS_PER_SOURCE_MAX: usize = 500;
/// Storms followed at the same time; the one that has been silent longest is forgotten first.
pub const STORMS_MAX: usize = 8_192;
/// A failure this long after the last equal one is the first of a new storm.
pub const STORM_SILENCE_MILLIS: i64 = 10 * 60 * 1000;
/// Attempts that one read may give.
pub const ATTEMPTS_READ_MAX: usize = 1_000;

/// Frames of one session log that wait for its writer; a frame is what one turn of a shard has to keep.
pub const LOG_QUEUE_MAX: usize = 16_384;
/// Frames in one write.
pub const LOG_GROUP_MAX: usize = 4_096;
/// Bytes of one frame of a session log; what is longer is read as damage.
pub const LOG_FRAME_BYTES_MAX: usize = 1 << 30;
/// How long a log that is `relaxed` goes without being forced onto the disk while it is written.
pub const LOG_RELAXED_MILLIS: u64 = 1_000;
