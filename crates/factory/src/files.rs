//! Files that are there completely or not at all, and that nobody else can read.
//!
//! A file is written under another name, brought to the disk, and renamed; the directory is brought to the disk after that.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::Path,
};

use crate::Error;

pub(crate) fn failed<'a>(trying: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::File {
        trying,
        path: path.into(),
        source,
    }
}

/// Makes the directory, for its owner alone.
pub(crate) fn make_directory(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(failed("make the directory", path))?;
    restrict(path, 0o700)
}

/// Takes every right from everybody else.
fn restrict(path: &Path, mode: u32) -> Result<(), Error> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(failed("set the rights of", path))?;
    }
    #[cfg(not(unix))]
    let _ = (path, mode);
    Ok(())
}

/// Refuses a file that others could read.
pub(crate) fn check_private(path: &Path) -> Result<(), Error> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let found = fs::metadata(path)
            .map_err(failed("look at", path))?
            .permissions()
            .mode();
        if found & 0o077 != 0 {
            return Err(Error::Exposed { path: path.into() });
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Options for a file that only its owner may touch.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
}

/// Writes a whole file, readable by its owner alone; afterwards it is durable under its name.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<(), Error> {
    let beside = path.with_extension("new");
    let mut file = private(OpenOptions::new().write(true).create(true).truncate(true))
        .open(&beside)
        .map_err(failed("create", &beside))?;
    restrict(&beside, 0o600)?;
    file.write_all(content).map_err(failed("write", &beside))?;
    file.sync_all().map_err(failed("write", &beside))?;
    fs::rename(&beside, path).map_err(failed("create", path))?;
    sync_directory_of(path)
}

/// Brings the names in a file's directory to the disk.
pub(crate) fn sync_directory_of(path: &Path) -> Result<(), Error> {
    #[cfg(unix)]
    if let Some(parent) = path.parent() {
        File::open(parent)
            .and_then(|directory| directory.sync_all())
            .map_err(failed("write", parent))?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

pub(crate) fn read_text(path: &Path) -> Result<zeroize::Zeroizing<String>, Error> {
    fs::read_to_string(path)
        .map(zeroize::Zeroizing::new)
        .map_err(failed("read", path))
}

/// Removes a file if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The right to be the only one in a factory; given back when it is dropped, or when the process ends however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(path: &Path) -> Result<Self, Error> {
        let file = private(OpenOptions::new().write(true).create(true).truncate(false))
            .open(path)
            .map_err(failed("open", path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked {
                path: path.parent().unwrap_or(path).into(),
            }),
            Err(TryLockError::Error(error)) => Err(failed("lock", path)(error)),
        }
    }
}
