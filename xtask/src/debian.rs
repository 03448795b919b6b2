//! Debian packages unpacked into a folder under `target/`: programs that the system need not have, and does not get.
//!
//! Nothing is installed and no rights are asked for. What cannot be had is no failure but a reason, in words.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Outcome, Trying};
use crate::process::{self, Run, which};

/// How often and how long, in seconds, a package is tried.
const PATIENCE: [&str; 6] = [
    "-o",
    "Acquire::Retries=1",
    "-o",
    "Acquire::http::Timeout=20",
    "-o",
    "Acquire::https::Timeout=20",
];

/// Programs, and all that they need and the system lacks.
pub(crate) struct Unpacked {
    folder: PathBuf,
}

/// Why there is nothing.
type Reason = String;

impl Unpacked {
    /// The packages, from the run before or from the archive.
    pub(crate) fn of(name: &str, packages: &[&str]) -> Outcome<Result<Self, Reason>> {
        let folder = process::target().join("tools").join(name);
        let (marker, wanted) = (folder.join("unpacked"), packages.join(" "));
        if fs::read_to_string(&marker).is_ok_and(|text| text == wanted) {
            return Ok(Ok(Self { folder }));
        }
        if which("apt-get").is_none() || which("dpkg").is_none() {
            return Ok(Err(format!("there is no apt-get here to fetch {wanted} with")));
        }
        eprintln!("    unpacking {wanted} into {}", folder.display());
        if let Err(reason) = fetch(&folder, packages)? {
            return Ok(Err(reason));
        }
        fs::write(&marker, wanted).trying(|| format!("write {}", marker.display()))?;
        Ok(Ok(Self { folder }))
    }

    /// A program of the packages.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join("usr/bin").join(name)
    }

    /// Where the programs find their files and libraries.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folders of the libraries, for LD_LIBRARY_PATH.
    pub(crate) fn libraries(&self) -> String {
        let machine = format!("{}-linux-gnu", std::env::consts::ARCH);
        let below = |part: &str| self.folder.join(part).join(&machine).display().to_string();
        [below("usr/lib"), below("lib")].join(":")
    }
}

fn fetch(folder: &Path, packages: &[&str]) -> Outcome<Result<(), Reason>> {
    let below = folder.join("packages");
    fs::create_dir_all(&below).trying(|| format!("create {}", below.display()))?;
    let names = match lacking(packages)? {
        Ok(names) => names,
        Err(reason) => return Ok(Err(reason)),
    };
    let download = Run::new("apt-get").args(PATIENCE).args(["download", "--quiet=2"]);
    let caught = download.args(&names).dir(&below).caught()?;
    if !caught.success {
        return Ok(Err(first_line(&caught.stderr)));
    }
    for entry in fs::read_dir(&below).trying(|| format!("list {}", below.display()))? {
        let package = entry.trying(|| format!("list {}", below.display()))?.path();
        let unpack = Run::new("dpkg").args(["-x".as_ref(), package.as_os_str(), folder.as_os_str()]);
        let caught = unpack.caught()?;
        if !caught.success {
            return Ok(Err(first_line(&caught.stderr)));
        }
    }
    fs::remove_dir_all(&below).trying(|| format!("remove {}", below.display()))?;
    Ok(Ok(()))
}

/// The packages and what they depend on, without what the system has. Lists of packages that are not there are fetched once.
fn lacking(packages: &[&str]) -> Outcome<Result<Vec<String>, Reason>> {
    let plan = || {
        Run::new("apt-get")
            .args([
                "install",
                "--print-uris",
                "--yes",
                "--quiet=2",
                "--no-install-recommends",
            ])
            .args(packages)
            .caught()
    };
    let mut caught = plan()?;
    if !caught.success {
        let _an_old_list_may_do = Run::new("apt-get")
            .args(PATIENCE)
            .args(["update", "--quiet=2"])
            .caught()?;
        caught = plan()?;
    }
    if !caught.success {
        return Ok(Err(first_line(&caught.stderr)));
    }
    let mut names = names_in(&caught.stdout);
    // A package that the system has is unpacked too: its programs look for their files beside themselves.
    names.extend(packages.iter().map(|name| (*name).to_owned()));
    names.sort();
    names.dedup();
    Ok(Ok(names))
}

/// Package names in lines `'address' name_version_machine.deb bytes checksum`.
fn names_in(listing: &str) -> Vec<String> {
    let name = |line: &str| Some(line.split_whitespace().nth(1)?.split_once('_')?.0.to_owned());
    listing
        .lines()
        .filter(|line| line.starts_with('\''))
        .filter_map(name)
        .collect()
}

/// What a program says is wrong, in one line.
pub(crate) fn first_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let errors = lines
        .clone()
        .find(|line| line.starts_with("E:") || line.starts_with("error"));
    errors
        .or_else(|| lines.clone().next())
        .unwrap_or("it failed and did not say why")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_what_apt_would_fetch() {
        let listing = "'http://a/l/libllvm22_22.1%7e.deb' libllvm22_1%3a22.1.8-1~deb12u1_amd64.deb 29378692 \n\
                       'http://a/r/rustc-web.deb' rustc-web_1.96.0+dfsg1_amd64.deb 4450500 MD5Sum:00\nReading lists...\n";
        assert_eq!(names_in(listing), ["libllvm22", "rustc-web"]);
        assert!(names_in("E: Unable to locate package rustc-web\n").is_empty());
    }

    #[test]
    fn what_cannot_be_had_has_a_reason() {
        let said = "W: old list\nE: Unable to locate package nothing-such\n";
        assert_eq!(first_line(said), "E: Unable to locate package nothing-such");
        assert_eq!(first_line("\n"), "it failed and did not say why");
    }
}
