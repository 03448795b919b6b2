//! Files that are either there completely or not at all.
//!
//! It stands under everything that the cloud writes beside its database: keys, certificates, credentials, `ready.json`.
//! A kill at any moment leaves the old file or the new one. Files with secrets are never readable by others, not even for
//! a moment.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use crate::error::Error;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Everybody.
    All,
    /// The owner.
    Owner,
}

/// Creates the directory if it is missing, and proves that it can be written.
pub(crate) fn make_directory(path: &Path) -> Result<(), Error> {
    let failed = |action| {
        move |source| Error::File {
            action,
            path: path.to_owned(),
            source,
        }
    };
    fs::create_dir_all(path).map_err(failed("create the directory"))?;
    let probe = path.join(".writable");
    File::create(&probe).map_err(failed("write into the directory"))?;
    fs::remove_file(&probe).map_err(failed("write into the directory"))
}

/// Writes a whole file: beside it, onto the disk, then into its place.
pub(crate) fn write(path: &Path, content: &[u8], readers: Readers) -> Result<(), Error> {
    write_beside(path, content, readers).map_err(|source| Error::File {
        action: "write the file",
        path: path.to_owned(),
        source,
    })
}

fn write_beside(path: &Path, content: &[u8], readers: Readers) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let _ = fs::remove_file(&beside);
    let mut file = open_new(Path::new(&beside), readers)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_directory(path)
}

fn open_new(path: &Path, readers: Readers) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(if readers == Readers::Owner { 0o600 } else { 0o644 });
    }
    #[cfg(not(unix))]
    let _ = readers;
    options.open(path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    if cfg!(unix) {
        File::open(parent)?.sync_all()
    } else {
        Ok(())
    }
}

/// Reads a whole file; `None` if it is not there.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File {
            action: "read the file",
            path: path.to_owned(),
            source,
        }),
    }
}

/// Reads a whole text file; `None` if it is not there.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, Error> {
    read(path)?
        .map(String::from_utf8)
        .transpose()
        .map_err(|_| Error::Identity {
            path: path.to_owned(),
            what: "it is not UTF-8 text".into(),
        })
}

/// Removes a file if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::File {
            action: "remove the file",
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_replaces_the_old_one_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        assert_eq!(read(&path).unwrap(), None);
        write(&path, b"one", Readers::All).unwrap();
        // What a kill left behind is in nobody's way.
        fs::write(directory.path().join("a.new"), b"torn").unwrap();
        write(&path, b"two", Readers::Owner).unwrap();
        assert_eq!(read_text(&path).unwrap().as_deref(), Some("two"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn secrets_are_for_their_owner() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        for (readers, mode) in [(Readers::Owner, 0o600), (Readers::All, 0o644)] {
            let path = directory.path().join("key");
            write(&path, b"secret", readers).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
    }

    #[test]
    fn a_directory_that_cannot_be_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, b"").unwrap();
        let error = make_directory(&file.join("below")).unwrap_err();
        assert!(error.to_string().contains("file/below"), "{error}");
    }
}
