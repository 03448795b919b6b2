//! The file of the ledger: records one behind the other, each chained to everything before it by a hash.
//!
//! `header | length(4) body chain(32) | length(4) body chain(32) | ...`, where each chain value is the SHA-256 of the one
//! before it, the length and the body. An edit, a deletion or a change of order anywhere breaks the chain from there on.

use std::{
    fs::{File, OpenOptions},
    io::{BufReader, Read, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use identity::{UnixMillis, crypto};

use crate::{
    Error,
    files::{self, failed},
    ledger::record::Record,
    limits::{RECORD_BYTES_MAX, TORN_BYTES_MAX},
};

const MAGIC: &[u8; 16] = b"birthmark-ledger";
/// The newest format of the file that this program knows.
const FORMAT: u16 = 1;
pub(crate) const HEADER_BYTES: usize = 34;
const LENGTH_BYTES: usize = 4;
const CHAIN_BYTES: usize = 32;

/// A place between two records: how far the file reaches to it, and the hash of everything before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Bytes of the file before this place.
    pub at: u64,
    /// The last chain value before this place.
    pub chain: [u8; 32],
}

/// The file, open at its end.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    end: Mark,
    /// What the last [`append`](Self::append) was made of; kept for its room.
    buffer: Vec<u8>,
}

/// The header of a new ledger.
pub(crate) fn header(factory: &[u8; 16]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let parts = MAGIC.iter().chain(const { &FORMAT.to_be_bytes() }).chain(factory);
    header
        .iter_mut()
        .zip(parts)
        .for_each(|(byte, part)| *byte = *part);
    header
}

/// The place behind the header.
pub(crate) fn start(header: &[u8; HEADER_BYTES]) -> Mark {
    Mark {
        at: HEADER_BYTES as u64,
        chain: crypto::sha256(header),
    }
}

/// Appends a record to `bytes` and gives the place behind it.
pub(crate) fn push(bytes: &mut Vec<u8>, before: Mark, record: &Record, time: UnixMillis) -> Mark {
    let body = record.encode(time);
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    let chain = link(&before.chain, length, &body);
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&body);
    bytes.extend_from_slice(&chain);
    Mark {
        at: before.at + (LENGTH_BYTES + body.len() + CHAIN_BYTES) as u64,
        chain,
    }
}

fn link(before: &[u8; 32], length: [u8; 4], body: &[u8]) -> [u8; 32] {
    let mut all = Vec::with_capacity(CHAIN_BYTES + LENGTH_BYTES + body.len());
    all.extend_from_slice(before);
    all.extend_from_slice(&length);
    all.extend_from_slice(body);
    crypto::sha256(&all)
}

impl Log {
    /// Opens the file at `end`, which a [`Scan`] has found; what lies behind it is cut off.
    pub(crate) fn open(path: &Path, end: Mark) -> Result<Self, Error> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(failed("open", path))?;
        let length = file.metadata().map_err(failed("look at", path))?.len();
        if length > end.at {
            file.set_len(end.at).map_err(failed("cut", path))?;
            file.sync_all().map_err(failed("write", path))?;
        }
        file.seek(SeekFrom::Start(end.at)).map_err(failed("read", path))?;
        Ok(Self {
            path: path.into(),
            file,
            end,
            buffer: Vec::new(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn end(&self) -> Mark {
        self.end
    }

    /// Lays out the records behind the end and says where each will begin, and where the last will end. Nothing is written.
    pub(crate) fn stage(&mut self, records: &[Record], time: UnixMillis) -> (Vec<u64>, Mark) {
        self.buffer.clear();
        let mut end = self.end;
        let starts = records.iter().map(|record| {
            let start = end.at;
            end = push(&mut self.buffer, end, record, time);
            start
        });
        (starts.collect(), end)
    }

    /// Writes what was staged, with one write and one flush to the disk.
    pub(crate) fn write_staged(&mut self, end: Mark) -> Result<(), Error> {
        self.file
            .write_all(&self.buffer)
            .map_err(failed("write", &self.path))?;
        self.file.sync_data().map_err(failed("write", &self.path))?;
        self.end = end;
        Ok(())
    }

    /// From now on every write fails, as on a disk that broke.
    #[cfg(test)]
    pub(crate) fn break_disk(&mut self) {
        self.file = File::open(&self.path).unwrap();
    }

    /// Reads the one record that begins at `at`, checked against its chain.
    pub(crate) fn read_at(&self, at: u64) -> Result<Record, Error> {
        let mut file = File::open(&self.path).map_err(failed("open", &self.path))?;
        let before = chain_before(&mut file, at).map_err(failed("read", &self.path))?;
        let mut scan = Scan {
            path: self.path.clone(),
            reader: BufReader::new(file),
            end: Mark { at, chain: before },
        };
        match scan.next()? {
            Some(Step::Record { record, .. }) => Ok(record),
            _ => Err(scan.tampered("the record is not what was written")),
        }
    }
}

/// The chain value that stands before the byte `at`, or the start of the chain at the first record.
fn chain_before(file: &mut File, at: u64) -> std::io::Result<[u8; 32]> {
    if at == HEADER_BYTES as u64 {
        let mut header = [0; HEADER_BYTES];
        file.seek(SeekFrom::Start(0))?;
        file.read_exact(&mut header)?;
        return Ok(start(&header).chain);
    }
    let mut chain = [0; CHAIN_BYTES];
    file.seek(SeekFrom::Start(at.saturating_sub(CHAIN_BYTES as u64)))?;
    file.read_exact(&mut chain)?;
    Ok(chain)
}

/// What a [`Scan`] finds next.
#[derive(Debug)]
pub(crate) enum Step {
    /// A record.
    Record {
        /// Where it begins.
        at: u64,
        /// What it says.
        record: Record,
    },
    /// Bytes that are not the record that should stand here.
    Damage,
}

/// Length, and body with chain value.
type Framed = ([u8; LENGTH_BYTES], Vec<u8>);

/// A walk through the file that believes nothing.
#[derive(Debug)]
pub(crate) struct Scan {
    path: PathBuf,
    reader: BufReader<File>,
    end: Mark,
}

impl Scan {
    /// Opens the file at its first record, and says which factory it belongs to.
    pub(crate) fn open(path: &Path) -> Result<(Self, [u8; 16]), Error> {
        let file = File::open(path).map_err(failed("open", path))?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut header = [0; HEADER_BYTES];
        reader
            .read_exact(&mut header)
            .map_err(failed("read the header of", path))?;
        let tampered = |why| Error::Tampered {
            path: path.into(),
            at: 0,
            why,
        };
        let (magic, rest) = header
            .split_first_chunk::<16>()
            .ok_or_else(|| tampered("the header is short"))?;
        let (format, factory) = rest
            .split_first_chunk::<2>()
            .ok_or_else(|| tampered("the header is short"))?;
        if magic != MAGIC {
            return Err(tampered("it is no ledger"));
        }
        let format = u16::from_be_bytes(*format);
        if format != FORMAT {
            return Err(Error::Newer {
                path: path.into(),
                found: format.into(),
                known: FORMAT.into(),
            });
        }
        let factory = factory.try_into().map_err(|_| tampered("the header is short"))?;
        Ok((
            Self {
                path: path.into(),
                end: start(&header),
                reader,
            },
            factory,
        ))
    }

    /// Moves to a place that was reached before; the file must still lead to it.
    pub(crate) fn skip_to(&mut self, mark: Mark) -> Result<(), Error> {
        let file = self.reader.get_mut();
        let found = chain_before(file, mark.at).map_err(|_| Error::Tampered {
            path: self.path.clone(),
            at: mark.at,
            why: "the file is shorter than its index says",
        })?;
        self.end = mark;
        if found != mark.chain {
            return Err(self.tampered("the chain differs from the one in its index"));
        }
        self.reader
            .seek(SeekFrom::Start(mark.at))
            .map_err(failed("read", &self.path))?;
        Ok(())
    }

    /// The place behind the last good record.
    pub(crate) const fn end(&self) -> Mark {
        self.end
    }

    pub(crate) fn tampered(&self, why: &'static str) -> Error {
        Error::Tampered {
            path: self.path.clone(),
            at: self.end.at,
            why,
        }
    }

    /// The next record, damage, or the end.
    pub(crate) fn next(&mut self) -> Result<Option<Step>, Error> {
        let before = self.end;
        let Some((length, rest)) = self.read_framed()? else {
            let at_end = self.rest_bytes()? == 0;
            return Ok((!at_end).then_some(Step::Damage));
        };
        let Some((body, chain)) = rest.split_last_chunk::<CHAIN_BYTES>() else {
            return Ok(Some(Step::Damage));
        };
        if link(&before.chain, length, body) != *chain {
            return Ok(Some(Step::Damage));
        }
        // The chain is right, so these bytes are what somebody wrote: if they make no sense, it was not this program.
        let (record, _) = Record::decode(body).map_err(|_| self.tampered("the record cannot be read"))?;
        self.end = Mark {
            at: before.at + (LENGTH_BYTES + rest.len()) as u64,
            chain: *chain,
        };
        Ok(Some(Step::Record {
            at: before.at,
            record,
        }))
    }

    /// Length, and body with chain value, if the file still holds so much.
    fn read_framed(&mut self) -> Result<Option<Framed>, Error> {
        let mut length = [0; LENGTH_BYTES];
        if !self.fill(&mut length)? {
            return Ok(None);
        }
        let body = u32::from_be_bytes(length) as usize;
        if !(1..=RECORD_BYTES_MAX).contains(&body) {
            return Ok(None);
        }
        let mut rest = vec![0; body + CHAIN_BYTES];
        Ok(self.fill(&mut rest)?.then_some((length, rest)))
    }

    fn fill(&mut self, room: &mut [u8]) -> Result<bool, Error> {
        match self.reader.read_exact(room) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(failed("read", &self.path)(error)),
        }
    }

    /// How many bytes lie behind the last good record.
    pub(crate) fn rest_bytes(&self) -> Result<u64, Error> {
        let length = self
            .reader
            .get_ref()
            .metadata()
            .map_err(failed("look at", &self.path))?
            .len();
        Ok(length.saturating_sub(self.end.at))
    }

    /// Whether the damage behind the last good record can be a write that a crash cut. It cannot if a good record follows it
    /// anywhere.
    pub(crate) fn is_torn(&mut self) -> Result<bool, Error> {
        if self.rest_bytes()? > TORN_BYTES_MAX {
            return Ok(false);
        }
        let mut rest = Vec::new();
        self.reader
            .seek(SeekFrom::Start(self.end.at))
            .map_err(failed("read", &self.path))?;
        self.reader
            .read_to_end(&mut rest)
            .map_err(failed("read", &self.path))?;
        Ok(!(CHAIN_BYTES..rest.len()).any(|at| is_record(&rest, at)))
    }
}

/// Whether a record begins at `at` that follows from the chain value that stands before it.
fn is_record(bytes: &[u8], at: usize) -> bool {
    let Some((before, rest)) = bytes.split_at_checked(at) else {
        return false;
    };
    let (Some(before), Some((length, rest))) = (before.last_chunk::<CHAIN_BYTES>(), rest.split_first_chunk())
    else {
        return false;
    };
    let body_bytes = u32::from_be_bytes(*length) as usize;
    // Bodies are sequences: most places are ruled out before anything is hashed.
    if !(1..=RECORD_BYTES_MAX).contains(&body_bytes) || rest.first() != Some(&0x30) {
        return false;
    }
    let Some((body, rest)) = rest.split_at_checked(body_bytes) else {
        return false;
    };
    rest.first_chunk() == Some(&link(before, *length, body))
}

/// Writes a new ledger with its first records; it is there with all of them or not at all.
pub(crate) fn create(
    path: &Path,
    factory: &[u8; 16],
    records: &[Record],
    time: UnixMillis,
) -> Result<(), Error> {
    let header = header(factory);
    let mut bytes = header.to_vec();
    let mut end = start(&header);
    for record in records {
        end = push(&mut bytes, end, record, time);
    }
    files::write_whole(path, &bytes)
}
