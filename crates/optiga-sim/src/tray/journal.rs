//! The file of a tray: a header, and then one record after the other, one for each commit of one chip.
//!
//! A record is length, chip, changes and a checksum, appended by one write call. A process that is killed leaves its last
//! record complete or cut short; a record that is cut short never happened. Nothing is ever overwritten in place: a file full of
//! history is replaced by a shorter one, which until then is written beside it while the chips go on. There is no
//! fsync: the page cache survives the process, and a chip that loses its power is simulated, not suffered.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Error;
use crate::limits::{RECORD_BYTES_MAX, WASTE_BYTES_MAX};

/// The chip number of records that belong to the tray as a whole.
pub(crate) const WHOLE_TRAY: u32 = u32::MAX;

const HEAD_BYTES: usize = 6;
const CHECKSUM_BYTES: usize = 4;

/// The first line of the file, for people who look into it.
const MAGIC: &[u8; 40] = b"BIRTHMARK SIMULATED OPTIGA TRUST X TRAY\n";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 64;

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) profile: u8,
    pub(crate) firmware: u8,
    pub(crate) chips: u32,
    pub(crate) seed: u64,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut record = Vec::with_capacity(HEADER_BYTES);
        record.extend_from_slice(MAGIC);
        record.extend_from_slice(&VERSION.to_be_bytes());
        record.extend_from_slice(&[self.profile, self.firmware]);
        record.extend_from_slice(&self.chips.to_be_bytes());
        record.extend_from_slice(&self.seed.to_be_bytes());
        record.extend_from_slice(&[0; 4]);
        record.extend_from_slice(&crc32(&record).to_be_bytes());
        record.try_into().unwrap_or([0; HEADER_BYTES])
    }

    fn decode(path: &Path, bytes: &[u8; HEADER_BYTES]) -> Result<Self, Error> {
        let foreign = || Error::NotATray {
            path: path.to_owned(),
        };
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(foreign)?;
        let [
            v1,
            v0,
            profile,
            firmware,
            c3,
            c2,
            c1,
            c0,
            seed @ ..,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
        ] = rest
        else {
            return Err(foreign());
        };
        let version = u16::from_be_bytes([*v1, *v0]);
        if version > VERSION {
            return Err(Error::Newer {
                path: path.to_owned(),
                version,
            });
        }
        let header = Self {
            profile: *profile,
            firmware: *firmware,
            chips: u32::from_be_bytes([*c3, *c2, *c1, *c0]),
            seed: u64::from_be_bytes(seed.try_into().map_err(|_| foreign())?),
        };
        if header.encode() == *bytes {
            Ok(header)
        } else {
            Err(Error::Damaged {
                path: path.to_owned(),
                at_byte: 0,
            })
        }
    }
}

/// One record while it grows.
#[derive(Debug)]
pub(crate) struct Record(Vec<u8>);

impl Record {
    pub(crate) fn new(chip: u32) -> Self {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&chip.to_be_bytes());
        Self(bytes)
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn chip(&self) -> u32 {
        let bytes = self.0.get(2..).and_then(<[u8]>::first_chunk);
        bytes.map_or(WHOLE_TRAY, |bytes| u32::from_be_bytes(*bytes))
    }

    pub(crate) fn payload(&self) -> &[u8] {
        self.0.get(HEAD_BYTES..).unwrap_or_default()
    }

    /// Bytes that the record takes in the file.
    pub(crate) fn sealed_bytes(&self) -> usize {
        self.0.len() + CHECKSUM_BYTES
    }

    fn seal(mut self) -> io::Result<Vec<u8>> {
        let length = self.payload().len();
        if length > RECORD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if let Some(place) = self.0.first_chunk_mut() {
            *place = (length as u16).to_be_bytes();
        }
        let checksum = crc32(&self.0);
        self.push(&checksum.to_be_bytes());
        Ok(self.0)
    }
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Journal {
    end: Mutex<End>,
}

#[derive(Debug)]
struct End {
    file: File,
    length: u64,
    /// A write failed and its beginning could not be taken back.
    broken: bool,
    /// The file that this one replaced; its lock keeps others away from both.
    _replaced: Option<File>,
    /// The file that is going to replace this one, while it is being written.
    draft: Option<Draft>,
    /// Length from which on the file is worth rewriting.
    rewrite_at: u64,
    /// Whom to tell that it has become that long.
    rewriter: Option<SyncSender<Wake>>,
}

/// A shorter file with the same content: chips below `chips_done` are in it, and what they write goes into both files.
#[derive(Debug)]
struct Draft {
    file: File,
    length: u64,
    chips_done: u32,
}

/// What the thread that rewrites the file is woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The file has grown.
    Rewrite,
    /// The tray is gone.
    End,
}

impl Journal {
    /// Opens or makes the file. With `wanted` a tray that exists must be that one; without it, it must exist.
    /// `tell` gets each record's chip and payload and says whether they make sense.
    pub(crate) fn open(
        path: &Path,
        wanted: Option<Header>,
        tell: impl FnMut(&Header, u32, &[u8]) -> Option<()>,
    ) -> Result<(Self, Header), Error> {
        let mut file = open_locked(path, wanted.is_some())?;
        let size = file.metadata().map_err(Error::file("read", path))?.len();
        let header = match wanted {
            Some(header) if size == 0 => {
                file.write_all(&header.encode())
                    .map_err(Error::file("write", path))?;
                header
            }
            _ => read_header(path, &mut file, size)?,
        };
        if let Some(wanted) = wanted {
            compare(path, &header, &wanted)?;
        }
        let length = read_records(path, &mut file, &header, tell)?;
        let mut end = End {
            file,
            length,
            broken: false,
            _replaced: None,
            draft: None,
            rewrite_at: rewrite_at(length),
            rewriter: None,
        };
        end.cut_back().map_err(Error::file("write", path))?;
        Ok((Self { end: Mutex::new(end) }, header))
    }

    /// Bytes of the file.
    pub(crate) fn length(&self) -> u64 {
        self.lock().length
    }

    /// Tells this thread from now on when the file is worth rewriting.
    pub(crate) fn tell(&self, rewriter: SyncSender<Wake>) {
        self.lock().rewriter = Some(rewriter);
    }

    /// Appends one record; it is in the file, whole, when this returns.
    pub(crate) fn append(&self, record: Record) -> io::Result<()> {
        let chip = record.chip();
        let bytes = record.seal()?;
        let mut end = self.lock();
        if end.broken {
            return Err(io::ErrorKind::Other.into());
        }
        if let Err(error) = end.file.write_all(&bytes) {
            end.broken = end.cut_back().is_err();
            return Err(error);
        }
        end.length += bytes.len() as u64;
        end.copy(chip, &bytes);
        end.wake();
        Ok(())
    }

    /// Begins a file that will replace this one.
    pub(crate) fn begin_draft(&self, path: &Path, header: &Header) -> Result<(), Error> {
        let draft = draft_path(path);
        drop(std::fs::remove_file(&draft));
        let mut file = open_locked(&draft, true)?;
        file.write_all(&header.encode())
            .map_err(Error::file("write", &draft))?;
        self.lock().draft = Some(Draft {
            file,
            length: HEADER_BYTES as u64,
            chips_done: 0,
        });
        Ok(())
    }

    /// Writes what is known about the chips below `chips_done` into the draft; false if there is no draft any more.
    /// The caller holds the chip that the records are of, so that nothing can come between.
    pub(crate) fn draft(&self, records: Vec<Record>, chips_done: u32) -> bool {
        let mut bytes = Vec::new();
        for record in records {
            let Ok(sealed) = record.seal() else { return false };
            bytes.extend(sealed);
        }
        let mut end = self.lock();
        end.copy(WHOLE_TRAY, &bytes);
        end.draft
            .as_mut()
            .map(|draft| draft.chips_done = chips_done)
            .is_some()
    }

    /// Puts the draft in the place of the file.
    pub(crate) fn finish_draft(&self, path: &Path) -> Result<(), Error> {
        let mut end = self.lock();
        let Some(draft) = end.draft.take() else {
            return Ok(());
        };
        std::fs::rename(draft_path(path), path).map_err(Error::file("replace", path))?;
        let replaced = core::mem::replace(&mut end.file, draft.file);
        (end.length, end._replaced) = (draft.length, Some(replaced));
        end.rewrite_at = rewrite_at(end.length);
        Ok(())
    }

    /// Gives the draft up; the file is as good as it was.
    pub(crate) fn drop_draft(&self, path: &Path) {
        let mut end = self.lock();
        end.draft = None;
        end.rewrite_at = rewrite_at(end.length);
        drop(std::fs::remove_file(draft_path(path)));
    }

    fn lock(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl End {
    /// Writes into the draft what it would lack. A draft that cannot be written is given up.
    fn copy(&mut self, chip: u32, bytes: &[u8]) {
        let Some(draft) = &mut self.draft else { return };
        if chip != WHOLE_TRAY && chip >= draft.chips_done {
            return;
        }
        draft.length += bytes.len() as u64;
        if draft.file.write_all(bytes).is_err() {
            self.draft = None;
        }
    }

    fn wake(&mut self) {
        if self.length < self.rewrite_at {
            return;
        }
        self.rewrite_at = u64::MAX;
        if let Some(rewriter) = &self.rewriter {
            // A thread that is awake already will look once more.
            let _awake = rewriter.try_send(Wake::Rewrite);
        }
    }

    /// Removes whatever stands behind the last whole record.
    fn cut_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length)).map(drop)
    }
}

fn draft_path(path: &Path) -> PathBuf {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    draft.into()
}

/// Twice as long, and some more: rewriting costs no more than writing did.
fn rewrite_at(length: u64) -> u64 {
    2 * length + WASTE_BYTES_MAX
}

fn open_locked(path: &Path, create: bool) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(create);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(Error::file("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(cause)) => Err(Error::file("lock", path)(cause)),
    }
}

fn read_header(path: &Path, file: &mut File, size: u64) -> Result<Header, Error> {
    if size < HEADER_BYTES as u64 {
        return Err(Error::NotATray {
            path: path.to_owned(),
        });
    }
    let mut bytes = [0; HEADER_BYTES];
    file.read_exact(&mut bytes).map_err(Error::file("read", path))?;
    Header::decode(path, &bytes)
}

fn compare(path: &Path, found: &Header, wanted: &Header) -> Result<(), Error> {
    let mismatch = |what: &str, found: u64, wanted: u64| {
        let what = format!("its {what} is {found}, {wanted} was asked for");
        Err(Error::Mismatch {
            path: path.to_owned(),
            what,
        })
    };
    if found.chips != wanted.chips {
        return mismatch("number of chips", found.chips.into(), wanted.chips.into());
    }
    if found.seed != wanted.seed {
        return mismatch("seed", found.seed, wanted.seed);
    }
    if found.profile != wanted.profile {
        return mismatch("profile", found.profile.into(), wanted.profile.into());
    }
    if found.firmware != wanted.firmware {
        return mismatch("firmware", found.firmware.into(), wanted.firmware.into());
    }
    Ok(())
}

/// Reads all records and returns where the last whole one ends.
fn read_records(
    path: &Path,
    file: &mut File,
    header: &Header,
    mut tell: impl FnMut(&Header, u32, &[u8]) -> Option<()>,
) -> Result<u64, Error> {
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut at_byte = HEADER_BYTES as u64;
    let mut record = Vec::new();
    while read_record(&mut reader, &mut record).map_err(Error::file("read", path))? {
        let sensible = parse_record(&record).and_then(|(chip, payload)| tell(header, chip, payload));
        if sensible.is_none() {
            return Err(Error::Damaged {
                path: path.to_owned(),
                at_byte,
            });
        }
        at_byte += record.len() as u64;
    }
    Ok(at_byte)
}

/// Reads the bytes of the next record; false if the file ends before it does.
fn read_record(reader: &mut impl Read, record: &mut Vec<u8>) -> io::Result<bool> {
    record.clear();
    if reader.by_ref().take(HEAD_BYTES as u64).read_to_end(record)? < HEAD_BYTES {
        return Ok(false);
    }
    let length = record
        .first_chunk()
        .map_or(0, |length| u16::from_be_bytes(*length));
    let rest = usize::from(length) + CHECKSUM_BYTES;
    Ok(reader.by_ref().take(rest as u64).read_to_end(record)? == rest)
}

fn parse_record(record: &[u8]) -> Option<(u32, &[u8])> {
    let (covered, checksum) = record.split_last_chunk()?;
    let (chip, payload) = covered.get(2..)?.split_first_chunk()?;
    let right = crc32(covered) == u32::from_be_bytes(*checksum);
    right.then_some((u32::from_be_bytes(*chip), payload))
}

const CRC32: [u32; 256] = crc32_table();

#[expect(
    clippy::indexing_slicing,
    reason = "an index below 256, when the program is built"
)]
const fn crc32_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ 0xEDB8_8320
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

/// CRC-32 (ISO-HDLC): finds what a crash or a disk did to a record, not what a person did.
#[expect(
    clippy::indexing_slicing,
    reason = "an index of eight bits into a table of 256"
)]
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (crc >> 8) ^ CRC32[((crc ^ u32::from(*byte)) & 0xFF) as usize]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        profile: 0,
        firmware: 1,
        chips: 3,
        seed: 7,
    };

    fn record(chip: u32, payload: &[u8]) -> Record {
        let mut record = Record::new(chip);
        record.push(payload);
        record
    }

    type Seen = Vec<(u32, Vec<u8>)>;

    fn open(path: &Path) -> Result<(Journal, Seen), Error> {
        let mut seen = vec![];
        let (journal, _) = Journal::open(path, Some(HEADER), |_, chip, payload| {
            seen.push((chip, payload.to_vec()));
            Some(())
        })?;
        Ok((journal, seen))
    }

    #[test]
    fn crc32_is_the_known_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_file_cut_at_any_byte_keeps_every_whole_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tray");
        let (journal, _) = open(&path).unwrap();
        let mut ends = vec![journal.length()];
        for (chip, size) in [(0, 1), (2, 0), (1, 40)] {
            journal.append(record(chip, &vec![7; size])).unwrap();
            ends.push(journal.length());
        }
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for cut in HEADER_BYTES..=whole.len() {
            std::fs::write(&path, whole.get(..cut).unwrap()).unwrap();
            let (journal, seen) = open(&path).unwrap();
            let expected = ends.iter().filter(|end| **end <= cut as u64).count() - 1;
            assert_eq!(seen.len(), expected, "cut at {cut}");
            journal.append(record(9, &[1])).unwrap();
            drop(journal);
            let (_, seen) = open(&path).unwrap();
            assert_eq!(seen.len(), expected + 1);
            assert_eq!(seen.last().unwrap(), &(9, vec![1]));
        }
    }

    #[test]
    fn a_changed_byte_is_damage_and_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tray");
        let (journal, _) = open(&path).unwrap();
        journal.append(record(0, &[1, 2, 3])).unwrap();
        journal.append(record(1, &[4; 300])).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 0x01;
            std::fs::write(&path, &broken).unwrap();
            let outcome = open(&path);
            match at {
                0..40 => assert!(matches!(outcome, Err(Error::NotATray { .. })), "{at}"),
                40 => assert!(matches!(outcome, Err(Error::Newer { .. })), "{at}"),
                // A length that points beyond the end looks like a record that was cut short.
                _ if outcome.is_ok() => assert!(at == 64 || at == 77 || at == 78, "{at}"),
                _ => assert!(matches!(outcome, Err(Error::Damaged { .. })), "{at}"),
            }
        }
    }

    #[test]
    fn a_tray_is_opened_once_and_only_as_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tray");
        assert!(matches!(
            Journal::open(&path, None, |_, _, _| Some(())),
            Err(Error::File { .. })
        ));
        let (journal, _) = open(&path).unwrap();
        assert!(matches!(open(&path), Err(Error::InUse { .. })));
        drop(journal);
        for other in [
            Header { chips: 4, ..HEADER },
            Header { seed: 8, ..HEADER },
            Header { profile: 1, ..HEADER },
            Header {
                firmware: 0,
                ..HEADER
            },
        ] {
            let outcome = Journal::open(&path, Some(other), |_, _, _| Some(()));
            assert!(matches!(outcome, Err(Error::Mismatch { .. })), "{other:?}");
        }
        let (_, header) = Journal::open(&path, None, |_, _, _| Some(())).unwrap();
        assert_eq!(header, HEADER);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(
                std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }

    #[test]
    fn a_rewritten_file_is_still_locked_and_still_grows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tray");
        let (journal, _) = open(&path).unwrap();
        journal.append(record(0, &[1; 100])).unwrap();
        journal.begin_draft(&path, &HEADER).unwrap();
        assert!(journal.draft(vec![record(2, &[5])], 2));
        journal.finish_draft(&path).unwrap();
        assert!(matches!(open(&path), Err(Error::InUse { .. })));
        journal.append(record(1, &[6])).unwrap();
        drop(journal);
        assert_eq!(open(&path).unwrap().1, [(2, vec![5]), (1, vec![6])]);
    }

    #[test]
    fn what_is_written_while_the_file_is_rewritten_is_in_both_or_comes_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tray");
        let (journal, _) = open(&path).unwrap();
        journal.append(record(0, &[1])).unwrap();
        journal.begin_draft(&path, &HEADER).unwrap();
        journal.append(record(2, &[2])).unwrap();
        assert!(journal.draft(vec![record(0, &[1])], 1));
        journal.append(record(0, &[3])).unwrap();
        journal.append(record(1, &[4])).unwrap();
        journal.append(record(WHOLE_TRAY, &[5])).unwrap();
        // A crash now: the old file has it all.
        let copy = folder.path().join("copy");
        std::fs::copy(&path, &copy).unwrap();
        assert_eq!(open(&copy).unwrap().1.len(), 5);
        assert!(journal.draft(vec![record(1, &[4])], 2));
        assert!(journal.draft(vec![record(2, &[2])], 3));
        journal.finish_draft(&path).unwrap();
        drop(journal);
        let expected: [(u32, &[u8]); 5] = [(0, &[1]), (0, &[3]), (WHOLE_TRAY, &[5]), (1, &[4]), (2, &[2])];
        assert_eq!(
            open(&path).unwrap().1,
            expected.map(|(chip, bytes)| (chip, bytes.to_vec()))
        );
    }

    #[test]
    fn a_draft_that_is_given_up_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tray");
        let (journal, _) = open(&path).unwrap();
        journal.begin_draft(&path, &HEADER).unwrap();
        journal.append(record(0, &[1])).unwrap();
        journal.drop_draft(&path);
        assert!(!journal.draft(vec![], 1));
        journal.finish_draft(&path).unwrap();
        drop(journal);
        assert_eq!(open(&path).unwrap().1, [(0, vec![1])]);
    }
}
