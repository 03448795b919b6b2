//! One chip, several processes: who may speak to it now, and whether somebody else has spoken since.
//!
//! Two masters that take turns frame by frame ruin each other's numbers, so a turn lasts for a whole command, or for as many
//! as belong together. A turn is a lock on a file that the kernel takes back when a process dies; the file also says who had
//! the last turn, so that the next one knows to re-synchronise the link first. A second file is the queue's turnstile: without it
//! a process that signs in a loop would take each next turn itself.
//!
//! The file holds no secret, and it protects nothing from a process that may open the bus and does not ask here. It must
//! never be deleted while somebody uses it; if it was, everybody notices and meets at the new one.

use std::boxed::Box;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::string::String;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::vec::Vec;

use crate::checksum::crc32;
use crate::error::Error;
use crate::limits;

/// Where the processes that share a chip meet.
pub struct BusLock {
    meeting: Meeting,
    me: [u8; NONCE_BYTES],
    opened: Mutex<Option<Arc<Opened>>>,
}

enum Meeting {
    /// Nobody else is there.
    Alone { record: Mutex<Record>, claims: Claims },
    /// At the file that this gives. It is asked when the file is opened, not before.
    At(Box<dyn Fn() -> LockFile + Send + Sync>),
}

/// A lock file, and whom it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFile {
    /// The file.
    pub path: PathBuf,
    /// What the lock guards, a device file or a socket: whoever may use that may use the lock.
    pub guards: Option<PathBuf>,
}

struct Opened {
    path: PathBuf,
    turn: File,
    queue: File,
}

const NONCE_BYTES: usize = 16;
const MAGIC: [u8; 4] = *b"BMB1";
const RECORD_BYTES: usize = 48;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    process: u32,
    nonce: [u8; NONCE_BYTES],
    opening: u64,
    generation: u64,
}

impl fmt::Debug for BusLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BusLock")
    }
}

impl BusLock {
    /// A lock for a bus that is inside this process and that nobody else has.
    #[must_use]
    pub fn alone() -> Self {
        let record = Record::new(0, [0; NONCE_BYTES]);
        Self::of(Meeting::Alone {
            record: Mutex::new(record),
            claims: Claims::default(),
        })
    }

    /// A lock at the file that `place` gives when it is first needed.
    pub fn at(place: impl Fn() -> LockFile + Send + Sync + 'static) -> Self {
        Self::of(Meeting::At(Box::new(place)))
    }

    fn of(meeting: Meeting) -> Self {
        Self {
            meeting,
            me: random(),
            opened: Mutex::new(None),
        }
    }

    /// Waits for a turn. The caller makes sure that one thread at a time asks.
    pub(crate) fn take(&self) -> Result<Turn<'_>, Error> {
        match &self.meeting {
            Meeting::Alone { record, .. } => {
                let record = *lock(record);
                Ok(self.turn(None, record, record.process != 0))
            }
            Meeting::At(place) => self.take_file(place),
        }
    }

    fn take_file(&self, place: &dyn Fn() -> LockFile) -> Result<Turn<'_>, Error> {
        let deadline = Deadline::new();
        loop {
            let opened = self.open(place)?;
            lock_within(&opened.queue, &deadline)?;
            let locked = lock_within(&opened.turn, &deadline);
            opened.queue.unlock().map_err(failed)?;
            locked?;
            if opened.is_the_one() {
                let record = Record::read(&opened.turn)?;
                return Ok(self.turn(
                    Some(opened),
                    record.unwrap_or_else(|| self.first()),
                    record.is_some(),
                ));
            }
            *lock(&self.opened) = None;
        }
    }

    fn turn(&self, held: Option<Arc<Opened>>, record: Record, known: bool) -> Turn<'_> {
        Turn {
            others: !known || !self.is_mine(&record),
            lock: self,
            held,
            record,
        }
    }

    fn open(&self, place: &dyn Fn() -> LockFile) -> Result<Arc<Opened>, Error> {
        let mut opened = lock(&self.opened);
        if let Some(opened) = &*opened {
            return Ok(Arc::clone(opened));
        }
        let LockFile { path, guards } = place();
        let of = |suffix: &str| open_shared(&suffixed(&path, suffix), guards.as_deref()).map_err(failed);
        let fresh = Arc::new(Opened {
            turn: of("")?,
            queue: of(".queue")?,
            path,
        });
        *opened = Some(Arc::clone(&fresh));
        Ok(fresh)
    }

    fn is_mine(&self, record: &Record) -> bool {
        record.nonce == self.me && record.process == std::process::id()
    }

    fn first(&self) -> Record {
        Record::new(std::process::id(), self.me)
    }

    /// A number that changes whenever somebody changes what the chip holds. It takes no turn.
    pub(crate) fn generation(&self) -> Result<u64, Error> {
        let place = match &self.meeting {
            Meeting::Alone { record, .. } => return Ok(lock(record).generation),
            Meeting::At(place) => place,
        };
        for _ in 0..limits::LOCK_READS_MAX {
            let opened = self.open(place)?;
            if !opened.is_the_one() {
                *lock(&self.opened) = None;
            } else if let Some(record) = Record::read(&opened.turn)? {
                return Ok(record.generation);
            }
        }
        let mut turn = self.take()?;
        turn.begin()?;
        Ok(turn.record.generation)
    }

    /// Claims something of the chip that outlives a turn, until the claim is dropped or the process ends; `None` if somebody
    /// else has it.
    pub(crate) fn claim(&self, name: &str) -> Result<Option<Claim>, Error> {
        let place = match &self.meeting {
            Meeting::Alone { claims, .. } => return Ok(Claim::inside(claims, name)),
            Meeting::At(place) => place,
        };
        let LockFile { path, guards } = place();
        let file =
            open_shared(&suffixed(&path, &std::format!(".{name}")), guards.as_deref()).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Claim::File(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// Something of the chip that is this process's for now.
#[derive(Debug)]
pub(crate) enum Claim {
    /// The kernel takes the lock back with the file.
    File(#[expect(dead_code, reason = "it is held open and never read")] File),
    /// Where nobody else is.
    Inside(Claims, String),
}

type Claims = Arc<Mutex<BTreeSet<String>>>;

impl Claim {
    fn inside(claims: &Claims, name: &str) -> Option<Self> {
        let free = lock(claims).insert(name.into());
        free.then(|| Self::Inside(Arc::clone(claims), name.into()))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Self::Inside(claims, name) = self {
            lock(claims).remove(name);
        }
    }
}

/// A turn at the bus. It ends when it is dropped.
pub(crate) struct Turn<'a> {
    lock: &'a BusLock,
    held: Option<Arc<Opened>>,
    record: Record,
    others: bool,
}

impl Turn<'_> {
    /// True if somebody else had the turn before this one, or nobody knows who: the link has to be brought into step.
    pub(crate) const fn others_spoke(&self) -> bool {
        self.others
    }

    /// Writes down whose turn it is. Comes before the first word to the chip: if this process dies on the way, the next one
    /// must know.
    pub(crate) fn begin(&mut self) -> Result<(), Error> {
        if self.others {
            self.record.process = std::process::id();
            self.record.nonce = self.lock.me;
            self.keep()?;
        }
        Ok(())
    }

    /// Which opening of the chip's application this is: what is volatile in the chip dates from it.
    pub(crate) const fn opening(&self) -> u64 {
        self.record.opening
    }

    /// The application is about to be opened: whoever relies on something volatile will find it gone.
    pub(crate) fn open_anew(&mut self) -> Result<(), Error> {
        self.record.opening = u64::from_be_bytes(random());
        self.keep()
    }

    /// What the chip holds is about to change. Comes before the change: whoever reads the new number waits for the end of
    /// this turn before he looks.
    pub(crate) fn change(&mut self) -> Result<(), Error> {
        self.record.generation = self.record.generation.wrapping_add(1);
        self.keep()
    }

    /// The number that [`BusLock::generation`] gives.
    pub(crate) const fn generation(&self) -> u64 {
        self.record.generation
    }

    fn keep(&self) -> Result<(), Error> {
        match (&self.lock.meeting, &self.held) {
            (Meeting::Alone { record, .. }, _) => {
                *lock(record) = self.record;
                Ok(())
            }
            (_, Some(held)) => self.record.write(&held.turn).map_err(failed),
            (_, None) => Ok(()),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            // A lock that can not be given back goes with the process.
            let _given_back = held.turn.unlock();
        }
    }
}

impl Record {
    fn new(process: u32, nonce: [u8; NONCE_BYTES]) -> Self {
        Self {
            process,
            nonce,
            opening: u64::from_be_bytes(random()),
            generation: u64::from_be_bytes(random()),
        }
    }

    fn bytes(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        let fields: [&[u8]; 5] = [
            &MAGIC,
            &self.process.to_be_bytes(),
            &self.nonce,
            &self.opening.to_be_bytes(),
            &self.generation.to_be_bytes(),
        ];
        let (body, sum) = bytes.split_at_mut(RECORD_BYTES - 8);
        for (place, byte) in body.iter_mut().zip(fields.into_iter().flatten()) {
            *place = *byte;
        }
        for (place, byte) in sum.iter_mut().zip(crc32(body).to_be_bytes()) {
            *place = byte;
        }
        bytes
    }

    fn parse(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (process, rest) = rest.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (opening, rest) = rest.split_first_chunk()?;
        let (generation, _) = rest.split_first_chunk()?;
        let record = Self {
            process: u32::from_be_bytes(*process),
            nonce: *nonce,
            opening: u64::from_be_bytes(*opening),
            generation: u64::from_be_bytes(*generation),
        };
        (*magic == MAGIC && record.bytes() == *bytes).then_some(record)
    }

    /// `None` if the file is new, or holds something that no turn has written.
    fn read(file: &File) -> Result<Option<Self>, Error> {
        let mut bytes = [0; RECORD_BYTES];
        let read = read_start(file, &mut bytes).map_err(failed)?;
        Ok(Self::parse(&bytes).filter(|_| read == RECORD_BYTES))
    }

    fn write(&self, file: &File) -> std::io::Result<()> {
        write_start(file, &self.bytes())
    }
}

impl Opened {
    /// Whether the path still leads to the file that is open.
    #[cfg(unix)]
    fn is_the_one(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        match (std::fs::metadata(&self.path), self.turn.metadata()) {
            (Ok(there), Ok(here)) => identity(there) == identity(here),
            _ => false,
        }
    }

    /// An open file can not be deleted here.
    #[cfg(not(unix))]
    fn is_the_one(&self) -> bool {
        self.path.exists()
    }
}

/// When waiting ends.
struct Deadline {
    at: Instant,
}

impl Deadline {
    fn new() -> Self {
        Self {
            at: Instant::now() + Duration::from_secs(limits::BUS_WAIT_SECONDS_MAX),
        }
    }
}

/// The kernel's own waiting has no end; this one asks, at first often and then once a millisecond. Only the head of the queue
/// asks for the turn.
fn lock_within(file: &File, deadline: &Deadline) -> Result<(), Error> {
    let mut pause_us = 10;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline.at => {}
            Err(TryLockError::WouldBlock) => return Err(Error::BusTaken),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        std::thread::sleep(Duration::from_micros(pause_us));
        pause_us = (pause_us * 2).min(1_000);
    }
}

/// Waits until this process is the only one with this file, for as long as the file is held open.
pub(crate) fn alone_with(path: &Path) -> Result<File, Error> {
    let file = open_shared(path, None).map_err(failed)?;
    lock_within(&file, &Deadline::new())?;
    Ok(file)
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens the file, or makes it. Never through a link, and in two steps: in a folder that is everybody's, the kernel lets
/// nobody open a file of another user's with the wish to make it.
fn open_shared(path: &Path, guards: Option<&Path>) -> std::io::Result<File> {
    let mut last = None;
    for _ in 0..2 {
        match options().open(path) {
            Ok(file) => {
                check_own_kind(&file)?;
                // The rights of the bus may have changed since.
                share(&file, guards);
                return Ok(file);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        match options().create_new(true).open(path) {
            Ok(file) => {
                share(&file, guards);
                return Ok(file);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::ErrorKind::NotFound.into()))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let no_links = rustix::fs::OFlags::NOFOLLOW.bits();
        options
            .mode(0o600)
            .custom_flags(i32::try_from(no_links).unwrap_or(0));
    }
    options
}

/// In a folder that is everybody's, the name may have been given to a file that is something else.
#[cfg(unix)]
fn check_own_kind(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let about = file.metadata()?;
    if about.is_file() && about.nlink() == 1 {
        Ok(())
    } else {
        Err(std::io::ErrorKind::PermissionDenied.into())
    }
}

#[cfg(not(unix))]
const fn check_own_kind(_: &File) -> std::io::Result<()> {
    Ok(())
}

/// Gives the lock the owner, the group and the rights of what it guards, as far as this user may.
#[cfg(unix)]
fn share(file: &File, guards: Option<&Path>) {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
    let Some(guarded) = guards.and_then(|path| std::fs::metadata(path).ok()) else {
        return;
    };
    let _given = fchown(file, Some(guarded.uid()), Some(guarded.gid()))
        .or_else(|_| fchown(file, None, Some(guarded.gid())));
    let rights = std::fs::Permissions::from_mode(guarded.mode() & 0o666 | 0o600);
    let _opened = file.set_permissions(rights);
}

#[cfg(not(unix))]
const fn share(_: &File, _: Option<&Path>) {}

#[cfg(unix)]
fn read_start(file: &File, bytes: &mut [u8]) -> std::io::Result<usize> {
    use std::os::unix::fs::FileExt as _;
    file.read_at(bytes, 0)
}

#[cfg(unix)]
fn write_start(file: &File, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    file.write_all_at(bytes, 0)
}

#[cfg(windows)]
fn read_start(file: &File, bytes: &mut [u8]) -> std::io::Result<usize> {
    use std::os::windows::fs::FileExt as _;
    file.seek_read(bytes, 0)
}

#[cfg(windows)]
fn write_start(file: &File, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::windows::fs::FileExt as _;
    file.seek_write(bytes, 0).map(drop)
}

/// The lock for a bus that has no place of its own for one: in the folder that all users of this machine share.
pub(crate) fn usual_place(what: &str, address: u8, guards: Option<PathBuf>) -> LockFile {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, what.as_bytes());
    let name: Vec<u8> = digest.as_ref().iter().copied().take(8).collect();
    let hex: String = name.iter().map(|byte| std::format!("{byte:02x}")).collect();
    LockFile {
        path: shared_folder().join(std::format!("birthmark-{hex}-{address:02x}.lock")),
        guards,
    }
}

/// The first folder of the usual ones in which everybody may make files and nobody may delete another's.
fn shared_folder() -> PathBuf {
    let usual = ["/run/lock", "/var/lock", "/tmp"];
    let found = usual.into_iter().map(PathBuf::from).find(|path| is_shared(path));
    found.unwrap_or_else(std::env::temp_dir)
}

#[cfg(unix)]
fn is_shared(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(folder).is_ok_and(|about| about.is_dir() && about.mode() & 0o1002 == 0o1002)
}

#[cfg(not(unix))]
const fn is_shared(_: &Path) -> bool {
    false
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without randomness the clock and the address of the bytes still tell two processes apart.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        let place = (&raw const bytes).addr() as u64;
        let now = std::time::UNIX_EPOCH
            .elapsed()
            .map_or(0, |since| since.as_nanos() as u64);
        for (byte, value) in bytes.iter_mut().zip((place ^ now.rotate_left(17)).to_be_bytes()) {
            *byte = value;
        }
    }
    bytes
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(error: std::io::Error) -> Error {
    Error::File {
        what: "lock the chip's bus",
        kind: error.kind(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path) -> BusLock {
        let path = path.to_owned();
        BusLock::at(move || LockFile {
            path: path.clone(),
            guards: None,
        })
    }

    fn turn(lock: &BusLock) -> (bool, u64) {
        let mut turn = lock.take().unwrap();
        turn.begin().unwrap();
        (turn.others_spoke(), turn.opening())
    }

    #[test]
    fn a_turn_knows_whether_others_spoke() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let (first, second) = (at(&path), at(&path));
        let (others, opening) = turn(&first);
        assert!(others, "nobody knows who spoke before the file was there");
        assert_eq!(turn(&first), (false, opening));
        assert_eq!(turn(&second), (true, opening));
        assert_eq!(turn(&second), (false, opening));
        assert_eq!(turn(&first), (true, opening));
        first.take().unwrap().open_anew().unwrap();
        assert_ne!(turn(&second).1, opening);
    }

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let inside = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let lock = at(&path);
                    for _ in 0..50 {
                        let mut turn = lock.take().unwrap();
                        turn.begin().unwrap();
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    }
                });
            }
        });
    }

    #[test]
    fn a_change_is_seen_by_everybody_and_without_a_turn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let (first, second) = (at(&path), at(&path));
        let before = first.generation().unwrap();
        assert_eq!(second.generation(), Ok(before));
        let mut turn = first.take().unwrap();
        turn.change().unwrap();
        assert_ne!(second.generation(), Ok(before));
        drop(turn);
        assert_eq!(first.generation(), second.generation());
    }

    #[test]
    fn a_deleted_or_damaged_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let (first, second) = (at(&path), at(&path));
        turn(&first);
        let before = first.generation().unwrap();
        std::fs::remove_file(&path).unwrap();
        turn(&second);
        assert!(turn(&first).0, "the two must meet at the new file");
        assert_ne!(first.generation(), Ok(before));
        for index in 0..RECORD_BYTES {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[index] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            assert!(turn(&first).0, "byte {index}");
        }
    }

    #[test]
    fn a_claim_lasts_until_it_is_dropped() {
        let alone = BusLock::alone();
        let claim = alone.claim("E100").unwrap().unwrap();
        assert!(alone.claim("E100").unwrap().is_none() && alone.claim("E101").unwrap().is_some());
        drop(claim);
        assert!(alone.claim("E100").unwrap().is_some());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let (first, second) = (at(&path), at(&path));
        let claim = first.claim("E100").unwrap().unwrap();
        assert!(second.claim("E100").unwrap().is_none());
        assert!(second.claim("E101").unwrap().is_some());
        drop(claim);
        assert!(second.claim("E100").unwrap().is_some());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed_and_rights_are_those_of_the_bus() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        std::os::unix::fs::symlink(folder.path().join("other"), &path).unwrap();
        assert!(at(&path).take().is_err());
        let (theirs, linked) = (folder.path().join("theirs"), folder.path().join("linked"));
        std::fs::write(&theirs, b"precious").unwrap();
        std::fs::hard_link(&theirs, &linked).unwrap();
        assert!(at(&linked).take().is_err());
        assert_eq!(std::fs::read(&theirs).unwrap(), b"precious");
        let bus = folder.path().join("bus");
        std::fs::write(&bus, []).unwrap();
        std::fs::set_permissions(&bus, std::fs::Permissions::from_mode(0o664)).unwrap();
        let place = LockFile {
            path: folder.path().join("second"),
            guards: Some(bus),
        };
        BusLock::at(move || place.clone()).take().unwrap();
        let mode = |name| {
            std::fs::metadata(folder.path().join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(mode("second"), 0o664);
        std::fs::remove_file(&path).unwrap();
        at(&path).take().unwrap();
        assert_eq!(mode("lock"), 0o600);
    }
}
