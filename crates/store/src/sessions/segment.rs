//! One file of a session log: a header, then frames, each with its length and checksum.
//!
//! A frame is all or nothing. At the end of the last file there may be one that a crash cut short, or several of the same write:
//! nobody was told of them, and they are cut off. Anywhere else such a frame is damage.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::limits::LOG_FRAME_BYTES_MAX;

const MAGIC: &[u8; 8] = b"bmsesslg";
/// The newest format that is understood.
const FORMAT: u32 = 1;
const HEADER_BYTES: usize = 12;
const FRAME_HEAD_BYTES: usize = 8;

/// Where the file of this number is.
pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:012}.log"))
}

/// The numbers of all files, in order.
pub(super) fn numbers(directory: &Path) -> Result<Vec<u64>, Error> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory).map_err(fault(directory, "read the folder"))? {
        let name = entry.map_err(fault(directory, "read the folder"))?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_suffix(".log")?.parse::<u64>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Begins a file; it is there for good when this returns.
pub(super) fn create(directory: &Path, number: u64) -> Result<File, Error> {
    let path = path(directory, number);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let mut file = options.open(&path).map_err(fault(&path, "create"))?;
    crate::directory::make_private(&path)?;
    let header = [&MAGIC[..], &FORMAT.to_le_bytes()].concat();
    file.write_all(&header).map_err(fault(&path, "write"))?;
    file.sync_all().map_err(fault(&path, "sync"))?;
    sync_folder(directory)?;
    Ok(file)
}

/// Makes it durable which files are in a folder.
pub(super) fn sync_folder(directory: &Path) -> Result<(), Error> {
    let folder = File::open(directory).map_err(fault(directory, "open"))?;
    folder.sync_all().map_err(fault(directory, "sync"))
}

/// Reads every frame of a file. With `last`, what a crash cut short at its end is cut off, and the file is given back to write
/// on.
pub(super) fn read(
    path: &Path,
    last: bool,
    mut each: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<Option<File>, Error> {
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .open(path)
        .map_err(fault(path, "open"))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(fault(path, "read"))?;
    let Some(mut rest) = body(path, &bytes)? else {
        return torn_header(path, last, file);
    };
    while let Some((frame, after)) = next(rest) {
        each(frame)?;
        rest = after;
    }
    if !last && !rest.is_empty() {
        let what = format!("{} has a broken frame and is not the last file", path.display());
        return Err(Error::corrupt("session log", what));
    }
    let good = bytes.len() - rest.len();
    if !rest.is_empty() {
        file.set_len(good as u64).map_err(fault(path, "shorten"))?;
        file.sync_all().map_err(fault(path, "sync"))?;
    }
    file.seek(SeekFrom::Start(good as u64))
        .map_err(fault(path, "seek in"))?;
    Ok(last.then_some(file))
}

/// What follows the header; none when a crash came before it was whole.
fn body<'a>(path: &Path, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, Error> {
    let Some((header, body)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Ok(None);
    };
    let (magic, format) = header.split_at(MAGIC.len());
    let format = format.try_into().map_or(0, u32::from_le_bytes);
    if magic != MAGIC {
        let what = format!("{} is not a session log", path.display());
        return Err(Error::corrupt("session log", what));
    }
    if format > FORMAT {
        return Err(Error::Newer {
            path: path.to_owned(),
            found: i64::from(format),
            known: i64::from(FORMAT),
        });
    }
    Ok(Some(body))
}

fn torn_header(path: &Path, last: bool, mut file: File) -> Result<Option<File>, Error> {
    if !last {
        let what = format!("{} is shorter than its header", path.display());
        return Err(Error::corrupt("session log", what));
    }
    let header = [&MAGIC[..], &FORMAT.to_le_bytes()].concat();
    file.set_len(0).map_err(fault(path, "shorten"))?;
    file.seek(SeekFrom::Start(0)).map_err(fault(path, "seek in"))?;
    file.write_all(&header).map_err(fault(path, "write"))?;
    file.sync_all().map_err(fault(path, "sync"))?;
    Ok(Some(file))
}

/// The first frame and what follows it; none where there is no whole one.
fn next(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<FRAME_HEAD_BYTES>()?;
    let [a, b, c, d, e, f, g, h] = *head;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let (frame, after) = rest.split_at_checked(length)?;
    let whole = (1..=LOG_FRAME_BYTES_MAX).contains(&length);
    (whole && checksum(frame) == u32::from_le_bytes([e, f, g, h])).then_some((frame, after))
}

/// Appends a frame as it stands in a file.
pub(super) fn append_frame(out: &mut Vec<u8>, frame: &[u8]) {
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    out.extend(length.to_le_bytes());
    out.extend(checksum(frame).to_le_bytes());
    out.extend_from_slice(frame);
}

/// CRC-32 as in IEEE 802.3, a byte at a time.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        let at = usize::from(crc as u8 ^ byte);
        crc >> 8 ^ TABLE.get(at).copied().unwrap_or_default()
    };
    !bytes.iter().fold(!0, step)
}

static TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = at as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
}

pub(super) fn fault<'a>(path: &'a Path, action: &'static str) -> impl Fn(std::io::Error) -> Error + 'a {
    move |cause| Error::Directory {
        path: path.to_owned(),
        action,
        cause: Arc::new(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_everybody_knows() {
        // The check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms.
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    }
}
