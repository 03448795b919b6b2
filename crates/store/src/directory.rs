//! The data directory of one `serve`: private, locked, and with names for what is in it.
//!
//! The lock is an advisory lock of the open file `lock` (flock), so it goes away with the process however that ends. The
//! number in the file is only a hint for people.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use crate::error::Error;

/// A data directory that belongs to this process until it is dropped.
#[derive(Debug, Clone)]
pub struct DataDirectory {
    path: PathBuf,
    _lock: Arc<File>,
}

impl DataDirectory {
    /// Makes the directory if it is missing (only its owner may enter), checks that it can be written, and locks it.
    /// Nothing else is changed before the lock is held.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let failed = |action| {
            let path = path.clone();
            move |cause: std::io::Error| Error::Directory {
                path,
                action,
                cause: Arc::new(cause),
            }
        };
        if !path.is_dir() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(failed("create data directory"))?;
        }
        let is_ours = is_empty_or_ours(&path).map_err(failed("read data directory"))?;
        let lock = private_options()
            .open(path.join("lock"))
            .map_err(failed("write to data directory"))?;
        claim(&path, &lock)?;
        let mode = path
            .metadata()
            .map_err(failed("read data directory"))?
            .permissions()
            .mode();
        if is_ours && mode & 0o077 != 0 {
            std::fs::set_permissions(&path, Permissions::from_mode(0o700))
                .map_err(failed("make private the data directory"))?;
        }
        Ok(Self {
            path,
            _lock: Arc::new(lock),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database of records.
    pub(crate) fn records(&self) -> PathBuf {
        records_in(&self.path)
    }

    /// The database of attempts.
    pub(crate) fn attempts(&self) -> PathBuf {
        attempts_in(&self.path)
    }
}

/// The database of records in a data directory that somebody else may hold.
pub(crate) fn records_in(directory: &Path) -> PathBuf {
    directory.join("records.sqlite")
}

/// The database of attempts in a data directory that somebody else may hold.
pub(crate) fn attempts_in(directory: &Path) -> PathBuf {
    directory.join("attempts.sqlite")
}

/// Makes a file that only its owner may read, before SQLite opens it: its journal files inherit the mode.
pub(crate) fn make_private(path: &Path) -> Result<(), Error> {
    let failed = |cause| Error::Directory {
        path: path.into(),
        action: "write",
        cause: Arc::new(cause),
    };
    private_options().open(path).map(drop).map_err(failed)
}

/// A directory with other people's files in it keeps its mode: somebody may have named `/tmp`.
fn is_empty_or_ours(path: &Path) -> std::io::Result<bool> {
    Ok(path.join("records.sqlite").exists() || path.read_dir()?.next().is_none())
}

fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    options
}

/// Takes the lock and writes our process id into it.
fn claim(path: &Path, mut lock: &File) -> Result<(), Error> {
    if flock(lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut text = String::new();
        let holder = lock
            .take(16)
            .read_to_string(&mut text)
            .ok()
            .and_then(|_| text.trim().parse().ok());
        return Err(Error::Locked {
            path: path.into(),
            holder,
        });
    }
    let written = lock
        .set_len(0)
        .and_then(|()| lock.rewind())
        .and_then(|()| writeln!(lock, "{}", std::process::id()));
    written.map_err(|cause| Error::Directory {
        path: path.into(),
        action: "write to data directory",
        cause: Arc::new(cause),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use identity::Explained as _;

    #[test]
    fn a_second_holder_is_refused_with_the_first_ones_number() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data");
        let first = DataDirectory::open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let second = DataDirectory::open(&path).unwrap_err();
        assert_eq!(second.code(), "store.locked");
        assert!(
            second.to_string().contains(&std::process::id().to_string()),
            "{second}"
        );
        drop(first);
        DataDirectory::open(&path).unwrap();
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        std::fs::write(&file, "").unwrap();
        let refusal = DataDirectory::open(file.join("data")).unwrap_err();
        assert_eq!(refusal.code(), "store.directory");
        assert!(refusal.to_string().contains("file/data"), "{refusal}");
    }

    #[test]
    fn an_open_directory_becomes_private() {
        let place = tempfile::tempdir().unwrap();
        std::fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
        let _held = DataDirectory::open(place.path()).unwrap();
        assert_eq!(
            place.path().metadata().unwrap().permissions().mode() & 0o777,
            0o700
        );
    }
}
