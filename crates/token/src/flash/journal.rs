//! The file that a token is: opened once and kept open, read from where it was left, added to, or replaced as a whole.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::vec::Vec;

use super::frame::{self, DAMAGED, Found, HEAD_BYTES, MAGIC, Position, Proof};
use super::seal::Keys;
use crate::error::Error;
use crate::limits::JOURNAL_BYTES_MAX;

/// Bytes that are read at once.
const READ_BYTES: usize = 256 * 1024;

/// What went wrong with a file.
pub(super) fn failed(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |error| Error::File {
        what,
        kind: error.kind(),
    }
}

const READING: &str = "read the token's journal";
const WRITING: &str = "write the token's journal";

/// The file, up to where it was read.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    pub(super) at: Position,
    /// Of the last frame.
    pub(super) proof: Option<Proof>,
    /// It ends with half a commit: the next one needs a new file.
    pub(super) is_torn: bool,
}

/// Whether somebody else has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    None,
    /// There is more at the end.
    More,
    /// It is another file now.
    Other,
}

impl Journal {
    /// The file of a token, if there is one. Nothing but its beginning is read.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, Error> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open the token's journal")(error)),
        };
        let mut first = Vec::with_capacity(MAGIC.len());
        let start = Read::by_ref(&mut file).take(MAGIC.len() as u64);
        BufReader::new(start)
            .read_to_end(&mut first)
            .map_err(failed(READING))?;
        Ok(Some(Self {
            file,
            at: frame::begin(&first)?,
            proof: None,
            is_torn: false,
        }))
    }

    /// Looks without reading: one call of the system.
    pub(super) fn news(&self, path: &Path) -> Result<News, Error> {
        let found = self
            .file
            .metadata()
            .map_err(failed("look at the token's journal"))?;
        if is_gone(&found, path) {
            return Ok(News::Other);
        }
        Ok(
            if found.len() == self.at.end || self.is_torn && found.len() > self.at.end {
                News::None
            } else {
                News::More
            },
        )
    }

    /// Reads what comes after the last position.
    pub(super) fn read(&mut self, each: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        self.read_frames(u64::MAX, each)
    }

    /// Reads the first frame alone.
    pub(super) fn read_first(&mut self, each: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        self.read_frames(1, each)
    }

    fn read_frames(
        &mut self,
        most: u64,
        mut each: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let cannot = failed(READING);
        let length = self.file.metadata().map_err(&cannot)?.len();
        let left = length.checked_sub(self.at.end).ok_or(DAMAGED)?;
        if length > JOURNAL_BYTES_MAX {
            return Err(DAMAGED);
        }
        let mut reader = BufReader::with_capacity(READ_BYTES.min(left as usize), &self.file);
        reader.seek(SeekFrom::Start(self.at.end)).map_err(&cannot)?;
        let (mut frame, mut frames) = (Vec::new(), 0);
        while self.at.end < length && frames < most {
            let left = (length - self.at.end) as usize;
            let Some((body, after, proof)) = next(&mut reader, &mut frame, &self.at, left)? else {
                self.is_torn = true;
                break;
            };
            each(body)?;
            (self.at, self.proof) = (after, Some(proof));
            frames += 1;
        }
        Ok(())
    }
}

/// Adds a frame, and waits until it is durable.
pub(super) fn append(path: &Path, end: u64, bytes: &[u8]) -> Result<(), Error> {
    let mut file = OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(failed(WRITING))?;
    let written = (|| {
        file.seek(SeekFrom::Start(end))?;
        file.write_all(bytes)?;
        file.sync_data()
    })();
    written.map_err(|error| {
        let _ = file.set_len(end);
        failed(WRITING)(error)
    })
}

type Next<'a> = (&'a [u8], Position, Proof);

/// The next frame, if it is whole.
fn next<'a>(
    reader: &mut impl Read,
    frame: &'a mut Vec<u8>,
    at: &Position,
    left: usize,
) -> Result<Option<Next<'a>>, Error> {
    if !fill(reader, frame, left)? {
        return Ok(None);
    }
    let (head, _) = frame.split_first_chunk::<HEAD_BYTES>().ok_or(DAMAGED)?;
    let body = frame::length(*head)?.ok_or(DAMAGED)?;
    let is_last = frame.len() == left;
    Ok(match frame::open(at, frame, body, is_last)? {
        Found::Whole { body, after, proof } => Some((body, after, proof)),
        Found::Torn => None,
    })
}

/// Reads one frame; false if the file ends before it does, or nothing was written there.
fn fill(reader: &mut impl Read, frame: &mut Vec<u8>, left: usize) -> Result<bool, Error> {
    let mut head = [0; HEAD_BYTES];
    if left < HEAD_BYTES {
        return Ok(false);
    }
    reader.read_exact(&mut head).map_err(failed(READING))?;
    let Some(body) = frame::length(head)? else {
        return Ok(false);
    };
    let whole = frame::whole_bytes(body);
    if whole > left {
        return Ok(false);
    }
    frame.clear();
    frame.extend_from_slice(&head);
    frame.resize(whole, 0);
    let rest = frame.get_mut(HEAD_BYTES..).unwrap_or_default();
    reader.read_exact(rest).map_err(failed(READING))?;
    Ok(true)
}

/// Whether the open file is no longer the one with the name.
#[cfg(unix)]
fn is_gone(found: &std::fs::Metadata, _path: &Path) -> bool {
    std::os::unix::fs::MetadataExt::nlink(found) == 0
}

#[cfg(not(unix))]
fn is_gone(found: &std::fs::Metadata, path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|now| now.created().ok() != found.created().ok())
}

/// A whole journal as bytes, frame by frame.
pub(super) struct Writer<'a> {
    keys: &'a Keys,
    bytes: Vec<u8>,
    at: Position,
}

impl<'a> Writer<'a> {
    pub(super) fn new(keys: &'a Keys) -> Result<Self, Error> {
        Ok(Self {
            keys,
            bytes: MAGIC.to_vec(),
            at: frame::begin(&MAGIC)?,
        })
    }

    pub(super) fn frame(&mut self, body: &[u8]) -> Result<(), Error> {
        let (bytes, after, _) = frame::build(&self.at, body, self.keys)?;
        self.bytes.extend_from_slice(&bytes);
        self.at = after;
        Ok(())
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Makes a file that only its owner may read, and waits until it and its name are durable.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let cannot = failed("write the token's files");
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new).map_err(&cannot)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(&cannot)?;
    std::fs::rename(&new, path).map_err(&cannot)?;
    match path.parent() {
        #[cfg(unix)]
        Some(folder) => File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(&cannot),
        _ => Ok(()),
    }
}
