//! The session logs of all shards: opened and read before any shard starts, shared out anew when there are more or fewer shards
//! than last time, and written by each shard for itself.
//!
//! They lie in `sessions/N/I` of the data directory: of N shards, that of shard I.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker::{
    Action, Actions, Checkpoint, Config, Event, Interests, Message, Node, NodeIndex, Record, Restoring,
    SessionKey,
};
use identity::AccountId;
use store::measure::Commits;
use store::{Durability, Frame, SessionLog};
use tokio::sync::Notify;

use crate::clock;
use crate::error::Error;
use crate::limits::{CHECKPOINT_LOG_BYTES_MIN, CHECKPOINT_SESSIONS_PER_TURN, LOG_WAITING_BYTES_MAX};

/// A node as its log has it, with what it wants done first.
pub(crate) struct Restored {
    pub(super) node: Node,
    pub(super) actions: Actions,
    pub(super) log: ShardLog,
}

/// The log of one shard, and what waits to be written into it.
pub(super) struct ShardLog {
    /// None only while it is opened again.
    log: Option<SessionLog>,
    folder: PathBuf,
    config: Config,
    durability: Durability,
    frame: Frame,
    /// How many records the node has given away.
    records: u64,
    /// The writer took no more when it was asked last.
    is_refused: bool,
    checkpoint: Option<Checkpoint>,
    /// How large the log was after the last checkpoint.
    settled_bytes: u64,
    /// Told when more is durable.
    pub(super) progress: Arc<Notify>,
}

impl ShardLog {
    pub(super) fn keep(&mut self, record: &Record) {
        self.frame.push(record);
        self.records += 1;
    }

    /// Hands everything to the writer; false when it must wait, until the writer has told its progress.
    pub(super) fn submit(&mut self) -> bool {
        let log = self.log.as_ref();
        let is_taken =
            self.frame.is_empty() || log.is_some_and(|log| log.append(&mut self.frame, self.records));
        self.is_refused = !is_taken;
        is_taken
    }

    /// There is something to submit, and it makes sense to try.
    pub(super) fn can_submit(&self) -> bool {
        !self.frame.is_empty() && !self.is_refused
    }

    /// The writer told that it is further: it may take more.
    pub(super) fn note_progress(&mut self) {
        self.is_refused = false;
    }

    pub(super) fn durable(&self) -> u64 {
        self.log.as_ref().map_or(0, SessionLog::durable)
    }

    /// Bytes that wait to be written.
    pub(super) fn waiting_bytes(&self) -> u64 {
        let waiting = self.log.as_ref().map_or(0, SessionLog::waiting_bytes);
        waiting + self.frame.bytes() as u64
    }

    /// What was written; none while the log is opened again.
    pub(super) fn commits(&self) -> Option<Commits> {
        self.log.as_ref().map(SessionLog::commits)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.log.as_ref().is_none_or(SessionLog::has_failed)
    }

    /// A checkpoint is under way.
    pub(super) const fn is_tidying(&self) -> bool {
        self.checkpoint.is_some()
    }

    /// The disk is so far behind that publishers must wait.
    pub(super) fn is_behind(&self) -> bool {
        self.waiting_bytes() > LOG_WAITING_BYTES_MAX
    }

    pub(super) fn bytes(&self) -> u64 {
        self.log.as_ref().map_or(0, SessionLog::bytes)
    }

    fn ask(&self, ask: impl Fn(&SessionLog) -> bool) -> bool {
        self.log.as_ref().is_some_and(ask)
    }

    /// Opens the log again after it failed.
    pub(super) fn open_again(&mut self) -> Result<Restored, Error> {
        // Its thread and its file go first.
        self.log = None;
        open(&self.folder, self.config, self.durability, self.progress.clone())
    }

    /// Makes the log shorter, a few sessions at a time, when there is much in it that is over.
    pub(super) fn tidy(&mut self, node: &mut Node, actions: &mut Actions) {
        let due = self.bytes() > CHECKPOINT_LOG_BYTES_MIN.max(2 * self.settled_bytes);
        if self.checkpoint.is_none() && (!due || !self.submit() || !self.ask(SessionLog::begin_checkpoint)) {
            return;
        }
        let checkpoint = self.checkpoint.get_or_insert_default();
        let more = node.checkpoint(checkpoint, CHECKPOINT_SESSIONS_PER_TURN, clock::now(), actions);
        for action in actions.drain() {
            if let Action::Keep(record) = action {
                self.keep(&record);
            }
        }
        if self.submit() && !more && self.ask(SessionLog::end_checkpoint) {
            self.checkpoint = None;
            self.settled_bytes = self.bytes();
        }
    }
}

/// Which shard a client belongs to. Stable over restarts and versions, since logs are shared out by it.
pub(super) fn shard_of(account: &AccountId, client_id: &str, shards: usize) -> usize {
    let bytes = account.as_str().bytes().chain([0]).chain(client_id.bytes());
    // FNV-1a, its upper half folded in, since only the remainder is used.
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let folded = hash ^ hash >> 32;
    usize::try_from(folded % shards.max(1) as u64).unwrap_or(0)
}

/// Opens the logs of all shards.
pub(crate) fn open_all(
    data_dir: &Path,
    config: Config,
    shards: usize,
    durability: Durability,
    interests: &Arc<Interests>,
) -> Result<Vec<Restored>, Error> {
    let folder = data_dir.join("sessions");
    settle(&folder, config, shards)?;
    let ours = folder.join(shards.to_string());
    let mut restored = Vec::with_capacity(shards);
    for index in 0..shards {
        let folder = ours.join(index.to_string());
        let config = of_shard(config, index, shards);
        restored.push(open(&folder, config, durability, Arc::default())?);
    }
    share_retained(&mut restored);
    introduce(&mut restored);
    restored
        .iter_mut()
        .for_each(|restored| restored.node.join(interests));
    Ok(restored)
}

/// A shard as the nodes know it.
pub(super) fn node_index(shard: usize) -> NodeIndex {
    NodeIndex(u16::try_from(shard).unwrap_or(u16::MAX))
}

fn of_shard(config: Config, index: usize, shards: usize) -> Config {
    Config {
        index: node_index(index),
        nodes: node_index(shards).0,
        ..config
    }
}

fn open(
    folder: &Path,
    config: Config,
    durability: Durability,
    progress: Arc<Notify>,
) -> Result<Restored, Error> {
    let told = progress.clone();
    let mut restoring = Restoring::new(config);
    let take = |record| restoring.take(record);
    let log = SessionLog::open(folder, durability, move || told.notify_one(), take).map_err(Error::Store)?;
    let (node, actions) = restoring.finish(clock::now());
    Ok(Restored {
        node,
        actions,
        log: ShardLog {
            log: Some(log),
            folder: folder.to_owned(),
            config,
            durability,
            frame: Frame::default(),
            records: 0,
            is_refused: false,
            checkpoint: None,
            settled_bytes: 0,
            progress,
        },
    })
}

/// Retained messages are written down by one shard and known to all.
fn share_retained(restored: &mut [Restored]) {
    let all: Vec<Arc<Message>> = restored
        .iter()
        .flat_map(|restored| restored.node.retained_messages())
        .collect();
    restored.iter_mut().for_each(|restored| restored.node.adopt(&all));
}

/// Every shard knows the members of shared subscriptions of all others before the first client is here.
fn introduce(restored: &mut [Restored]) {
    let mut shares = Vec::new();
    for (from, one) in restored.iter().enumerate() {
        let told = one.actions.iter().filter_map(|action| match action {
            Action::Share(share) => Some((from, share.clone())),
            _ => None,
        });
        shares.extend(told);
    }
    for (index, one) in restored.iter_mut().enumerate() {
        for (from, share) in shares.iter().filter(|(from, _)| *from != index) {
            let from = node_index(*from);
            let share = share.clone();
            let event = Event::Shared { from, share };
            one.node.step(event, clock::now(), &mut one.actions);
        }
    }
}

/// Sees to it that there are logs of exactly so many shards. A crash at any moment leaves the old ones or the new ones whole.
fn settle(folder: &Path, config: Config, shards: usize) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(fault(folder, "create"))?;
    let ours = folder.join(shards.to_string());
    let (mut others, mut unfinished) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(fault(folder, "read"))? {
        let path = entry.map_err(fault(folder, "read"))?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        match name.parse::<usize>() {
            Ok(count) if count != shards => others.push((count, path)),
            Ok(_) => {}
            Err(_) if name.ends_with(".new") => unfinished.push(path),
            Err(_) => {}
        }
    }
    for path in unfinished {
        fs::remove_dir_all(&path).map_err(fault(&path, "delete"))?;
    }
    if !ours.exists()
        && let Some((count, path)) = others.first()
    {
        let new = folder.join(format!("{shards}.new"));
        share_out(path, *count, &new, config, shards)?;
        fs::rename(&new, &ours).map_err(fault(&new, "rename"))?;
        sync(folder)?;
    }
    for (_, path) in others {
        fs::remove_dir_all(&path).map_err(fault(&path, "delete"))?;
    }
    Ok(())
}

/// Reads the logs of so many shards and writes those of another number.
fn share_out(old: &Path, count: usize, new: &Path, config: Config, shards: usize) -> Result<(), Error> {
    let mut nodes: Vec<Restoring> = (0..shards)
        .map(|index| Restoring::new(of_shard(config, index, shards)))
        .collect();
    for index in 0..count {
        nodes.iter_mut().for_each(Restoring::begin_foreign);
        let mut places = HashMap::new();
        let take = |record| deal(&mut nodes, &mut places, record);
        let from = old.join(index.to_string());
        let log = SessionLog::open(&from, Durability::Strict, || {}, take).map_err(Error::Store)?;
        drop(log);
    }
    for (index, node) in nodes.into_iter().enumerate() {
        let (mut node, _) = node.finish(clock::now());
        write_whole(&new.join(index.to_string()), &mut node)?;
    }
    sync(new)
}

/// Gives a record to the shard that its session belongs to now.
fn deal(
    nodes: &mut [Restoring],
    places: &mut HashMap<SessionKey, usize>,
    record: Record,
) -> Result<(), broker::Unfit> {
    if let Record::Session {
        key,
        tenant,
        client_id,
        ..
    } = &record
    {
        places.insert(*key, shard_of(&tenant.account, client_id, nodes.len()));
    }
    let Some(key) = record.session() else {
        // A message may be for any, what is retained is for all, and what was on its way between shards starts at the first.
        let only_first = matches!(
            record,
            Record::Relay { .. } | Record::HandedOver { .. } | Record::Relayed { .. }
        );
        let count = if only_first { 1 } else { nodes.len() };
        return nodes
            .iter_mut()
            .take(count)
            .try_for_each(|node| node.take(record.clone()));
    };
    match places.get(&key).and_then(|place| nodes.get_mut(*place)) {
        Some(node) => node.take(record),
        None => Ok(()),
    }
}

fn write_whole(folder: &Path, node: &mut Node) -> Result<(), Error> {
    let log = SessionLog::open(folder, Durability::Strict, || {}, |_| Ok(())).map_err(Error::Store)?;
    let mut checkpoint = Checkpoint::default();
    let (mut actions, mut records) = (Actions::new(), 0);
    loop {
        let more = node.checkpoint(
            &mut checkpoint,
            CHECKPOINT_SESSIONS_PER_TURN,
            clock::now(),
            &mut actions,
        );
        let mut frame = Frame::default();
        for action in actions.drain() {
            if let Action::Keep(record) = action {
                frame.push(&record);
                records += 1;
            }
        }
        while !frame.is_empty() && !log.has_failed() && !log.append(&mut frame, records) {
            std::thread::yield_now();
        }
        if !more {
            break;
        }
    }
    while log.durable() < records && !log.has_failed() {
        std::thread::yield_now();
    }
    match log.has_failed() {
        true => Err(fault(folder, "write")(std::io::Error::other(
            "the log could not be written",
        ))),
        false => Ok(()),
    }
}

fn sync(folder: &Path) -> Result<(), Error> {
    let opened = fs::File::open(folder).map_err(fault(folder, "open"))?;
    opened.sync_all().map_err(fault(folder, "sync"))
}

fn fault(path: &Path, action: &'static str) -> impl Fn(std::io::Error) -> Error {
    let path = PathBuf::from(path);
    move |cause| {
        Error::Store(store::Error::Directory {
            path: path.clone(),
            action,
            cause: Arc::new(cause),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_writer_that_takes_no_more_is_asked_again_when_it_has_told_its_progress() {
        let folder = tempfile::tempdir().unwrap();
        let opened = open(folder.path(), Config::AWS, Durability::Strict, Arc::default());
        let mut log = opened.unwrap().log;
        let key = SessionKey(1);
        assert!(!log.can_submit(), "there is nothing yet");
        // It takes frames faster than any disk.
        loop {
            log.keep(&Record::WillDone { key });
            assert!(log.can_submit());
            if !log.submit() {
                break;
            }
        }
        assert!(!log.can_submit() && log.waiting_bytes() > 0);
        while log.durable() < log.records {
            log.progress.clone().notified().await;
            log.note_progress();
            assert!(log.can_submit() || log.frame.is_empty());
            log.submit();
        }
        assert!(!log.can_submit() && log.waiting_bytes() == 0);
    }
}
