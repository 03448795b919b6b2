//! The file that a token is: frames, one after another, never changed once written.
//!
//! A frame is its length, the length's complement, the body, and the SHA-256 over the sum before it and all of this: every byte
//! of the file counts. A frame is one commit: it is there whole, or it is not there. A write that was cut short (the process was
//! killed, the power went) leaves a frame that ends too early, or zeros where its sum should be; that is an end, and the next
//! writer cuts it off. Anything else that does not add up is damage and never passed over.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::vec::Vec;

use aws_lc_rs::digest::{Context, SHA256};

use crate::error::Error;
use crate::limits::{FRAME_BYTES_MAX, JOURNAL_BYTES_MAX};

/// The sum over everything up to a place in the file.
pub(super) type Chain = [u8; 32];

/// The sum of an empty file.
pub(super) const START: Chain = *b"birthmark token journal, form 1.";

const HEAD_BYTES: usize = 8;
const SUM_BYTES: usize = 32;

const DAMAGED: Error = Error::DeviceContent {
    what: "the token's journal has bytes that nobody wrote",
};

/// What went wrong with a file.
pub(super) fn failed(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |error| Error::File {
        what,
        kind: error.kind(),
    }
}

/// A frame that was read.
pub(super) struct Frame {
    /// The sum of everything before it.
    pub(super) before: Chain,
    pub(super) body: Vec<u8>,
    /// The sum of everything up to its end.
    pub(super) after: Chain,
    /// Where it ends.
    pub(super) end: u64,
}

fn sum(before: &Chain, head: &[u8], body: &[u8]) -> Chain {
    let mut context = Context::new(&SHA256);
    for part in [before, head, body] {
        context.update(part);
    }
    context.finish().as_ref().try_into().unwrap_or_default()
}

/// A frame as it is written.
pub(super) fn frame(before: &Chain, body: &[u8]) -> Result<(Vec<u8>, Chain), Error> {
    let length = u32::try_from(body.len())
        .ok()
        .filter(|length| *length <= FRAME_BYTES_MAX);
    let length = length.ok_or(Error::DataLengthRange { found: body.len() })?;
    let head = [length.to_be_bytes(), (!length).to_be_bytes()].concat();
    let after = sum(before, &head, body);
    Ok(([&head[..], body, &after].concat(), after))
}

/// All whole frames from a place in the file on, where the sum is `before`.
pub(super) fn scan(file: &mut File, from: u64, mut before: Chain) -> Result<Vec<Frame>, Error> {
    let cannot = failed("read the token's journal");
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from)).map_err(&cannot)?;
    file.take(JOURNAL_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(&cannot)?;
    if bytes.len() as u64 > JOURNAL_BYTES_MAX {
        return Err(DAMAGED);
    }
    let (mut rest, mut end, mut frames) = (bytes.as_slice(), from, Vec::new());
    while let Some((body, after, remaining)) = first(rest, &before)? {
        end += (rest.len() - remaining.len()) as u64;
        frames.push(Frame {
            before,
            body: body.to_vec(),
            after,
            end,
        });
        (before, rest) = (after, remaining);
    }
    Ok(frames)
}

type Cut<'a> = (&'a [u8], Chain, &'a [u8]);

/// The first frame and what follows; `None` at the end, torn or not.
fn first<'a>(bytes: &'a [u8], before: &Chain) -> Result<Option<Cut<'a>>, Error> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Ok(None);
    };
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let number = u64::from_be_bytes(*head);
    let (length, complement) = ((number >> 32) as u32, number as u32);
    if length != !complement || length > FRAME_BYTES_MAX {
        return Err(DAMAGED);
    }
    let Some((body, rest)) = rest.split_at_checked(length as usize) else {
        return Ok(None);
    };
    let Some((found, rest)) = rest.split_first_chunk::<SUM_BYTES>() else {
        return Ok(None);
    };
    if *found == sum(before, head, body) {
        return Ok(Some((body, *found, rest)));
    }
    // The file grew, but the bytes did not all get there before the power went.
    if rest.is_empty() && *found == [0; SUM_BYTES] {
        return Ok(None);
    }
    Err(DAMAGED)
}

/// Adds a frame where the last whole one ends, over whatever torn bytes are there, and waits until it is durable.
pub(super) fn append(path: &Path, end: u64, bytes: &[u8]) -> Result<(), Error> {
    let cannot = failed("write the token's journal");
    let mut file = OpenOptions::new().write(true).open(path).map_err(&cannot)?;
    let written = (|| {
        if file.metadata()?.len() != end {
            file.set_len(end)?;
        }
        file.seek(SeekFrom::Start(end))?;
        file.write_all(bytes)?;
        file.sync_data()
    })();
    written.map_err(|error| {
        // Half of it may be there: the next reader must not take it for more than a torn end.
        let _ = file.set_len(end);
        cannot(error)
    })
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
