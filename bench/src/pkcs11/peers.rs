//! The modules that are compared, each with a configuration of its own: two slots, in memory for what is used, on the disk for
//! what must last.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Outcome;

/// A module and how it is told where its tokens are.
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) library: PathBuf,
    variable: &'static str,
    write: fn(&Path) -> Outcome<PathBuf>,
}

/// Ours first, then SoftHSM, then kryoptic where it was built.
pub(super) fn all(ours: &Path, kryoptic: Option<&Path>) -> Vec<Peer> {
    let mut peers = vec![Peer {
        name: "birthmark",
        library: ours.into(),
        variable: "BIRTHMARK_PKCS11_CONF",
        write: birthmark,
    }];
    let softhsm = SOFTHSM.iter().map(PathBuf::from).find(|path| path.exists());
    peers.extend(softhsm.map(|library| Peer {
        name: "softhsm",
        library,
        variable: "SOFTHSM2_CONF",
        write: softhsm_configuration,
    }));
    peers.extend(kryoptic.filter(|path| path.exists()).map(|library| Peer {
        name: "kryoptic",
        library: library.into(),
        variable: "KRYOPTIC_CONF",
        write: kryoptic_configuration,
    }));
    peers
}

/// Where distributions put it.
const SOFTHSM: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
];

impl Peer {
    /// Makes the configuration in a folder; the variable that names it.
    pub(super) fn configure(&self, folder: &Path) -> Outcome<(&'static str, OsString)> {
        let folder = folder.join(self.name);
        fs::create_dir_all(&folder)?;
        Ok((self.variable, (self.write)(&folder)?.into()))
    }
}

fn birthmark(folder: &Path) -> Outcome<PathBuf> {
    let slot = |name: &str| {
        let folder = folder.join(name);
        format!(
            "[[slot]]\nbackend = \"flash\"\ndirectory = \"{}\"\n",
            folder.display()
        )
    };
    written(folder, "pkcs11.toml", &(slot("one") + &slot("two")))
}

fn softhsm_configuration(folder: &Path) -> Outcome<PathBuf> {
    let tokens = folder.join("tokens");
    fs::create_dir_all(&tokens)?;
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    written(folder, "softhsm2.conf", &text)
}

fn kryoptic_configuration(folder: &Path) -> Outcome<PathBuf> {
    let slot = |number: u32| {
        let file = folder.join(format!("{number}.sql"));
        format!(
            "[[slots]]\nslot = {number}\ndbtype = \"sqlite\"\ndbargs = \"{}\"\n",
            file.display()
        )
    };
    written(folder, "kryoptic.toml", &(slot(1) + &slot(2)))
}

fn written(folder: &Path, name: &str, text: &str) -> Outcome<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text)?;
    Ok(path)
}
