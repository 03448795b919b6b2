//! The lock that keeps processes apart: one writer, or any number of readers, of a token's directory.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;

use super::journal::failed;
use crate::error::Error;

const LOCKING: &str = "lock the token's directory";

/// The file whose only use is to be locked; none in a directory where nothing can ever change.
#[derive(Debug)]
pub(super) struct LockFile {
    file: Option<File>,
    is_writable: bool,
}

impl LockFile {
    /// Opens it, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Ok(file) => Ok(Self {
                file: Some(file),
                is_writable: true,
            }),
            Err(error) if is_write_protected(error.kind()) => Ok(Self {
                file: File::open(path).ok(),
                is_writable: false,
            }),
            Err(error) => Err(failed(LOCKING)(error)),
        }
    }

    /// Locks out everybody else.
    pub(super) fn writing(&self) -> Result<Locked<'_>, Error> {
        let file = self.file.as_ref().filter(|_| self.is_writable);
        let file = file.ok_or(Error::WriteProtected)?;
        file.lock().map_err(failed(LOCKING))?;
        Ok(Locked(Some(file)))
    }

    /// Locks out writers.
    pub(super) fn reading(&self) -> Result<Locked<'_>, Error> {
        let file = self.file.as_ref();
        file.map_or(Ok(()), File::lock_shared).map_err(failed(LOCKING))?;
        Ok(Locked(file))
    }
}

/// Whether this is the answer of a medium or a directory that does not change.
pub(super) const fn is_write_protected(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied)
}

/// The lock, until it is dropped. It is given back by name and not by closing the file: a process that forked meanwhile has the
/// same file open.
#[derive(Debug)]
pub(super) struct Locked<'a>(Option<&'a File>);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.0 {
            let _ = file.unlock();
        }
    }
}
