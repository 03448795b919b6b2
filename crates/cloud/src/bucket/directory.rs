//! Directories that the operator gave a name, as AWS's callers name buckets.
//!
//! A key is resolved beneath its directory one component at a time, each opened relative to the one before and never
//! through a link, so no key and no link that somebody put there leads out. Only regular files are read.

use std::fs::File;
use std::io;
use std::path::Path;

/// Opens the file under a key.
#[cfg(unix)]
pub(crate) fn open(directory: &Path, key: &str) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, openat};
    let refused = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
    let mut parts = key.split('/').peekable();
    let mut place = rustix::fs::open(
        directory,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    while let Some(part) = parts.next() {
        if matches!(part, "" | "." | "..") || part.contains('\0') {
            return Err(refused("the key has a part that names no file"));
        }
        let kind = match parts.peek() {
            Some(_) => OFlags::DIRECTORY,
            // Opening a pipe would wait for its other end.
            None => OFlags::NONBLOCK,
        };
        place = openat(
            &place,
            part,
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | kind,
            Mode::empty(),
        )?;
    }
    let file = File::from(place);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(refused("the key names no regular file")),
    }
}

/// Opens the file under a key.
#[cfg(not(unix))]
pub(crate) fn open(_: &Path, _: &str) -> io::Result<File> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "directories as buckets are not served on this platform",
    ))
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn keys_stay_beneath_their_directory() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        let bucket = outside.path().join("bucket");
        std::fs::create_dir_all(bucket.join("a/b")).unwrap();
        std::fs::write(bucket.join("a/b/lines"), "found").unwrap();
        symlink(outside.path().join("secret"), bucket.join("link")).unwrap();
        symlink(outside.path(), bucket.join("up")).unwrap();
        let mut text = String::new();
        open(&bucket, "a/b/lines")
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "found");
        let secret = outside.path().join("secret");
        for key in [
            "",
            "none",
            "a",
            "a/b/",
            "../secret",
            "a/../../secret",
            "link",
            "up/secret",
            "./a/b/lines",
            "a//b/lines",
            secret.to_str().unwrap(),
        ] {
            assert!(open(&bucket, key).is_err(), "{key}");
        }
    }
}
