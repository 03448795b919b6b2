//! Keys and certificates as a stranger makes them: with the `openssl` command, the way the AWS IoT developer guide shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{run, tool};

/// What kind of key is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// P-256, as in small devices.
    P256,
    /// RSA with 2048 bits, as in the guide.
    Rsa2048,
}

/// A folder with keys and certificates.
#[derive(Debug)]
pub struct Certificates {
    openssl: PathBuf,
    folder: PathBuf,
}

impl Certificates {
    /// In a folder that exists; `None` when there is no openssl and the test was counted as skipped.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Option<Self> {
        Some(Self {
            openssl: tool("openssl")?,
            folder: folder.to_path_buf(),
        })
    }

    /// `NAME.key` and the self-signed CA `NAME.pem`.
    #[track_caller]
    pub fn authority(&self, name: &str, kind: KeyKind) {
        self.key(name, kind);
        let subject = format!("/O=Stories/CN={name}");
        self.openssl(&[
            "req", "-x509", "-new", "-sha256", "-days", "1024", "-subj", &subject,
        ])
        .arg("-key")
        .arg(self.path(name, "key"))
        .arg("-out")
        .arg(self.path(name, "pem"))
        .finish();
    }

    /// `NAME.key`.
    #[track_caller]
    pub fn key(&self, name: &str, kind: KeyKind) {
        let words: &[&str] = match kind {
            KeyKind::P256 => &[
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ],
            KeyKind::Rsa2048 => &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        };
        self.openssl(words)
            .arg("-out")
            .arg(self.path(name, "key"))
            .finish();
    }

    /// `NAME.csr` from `NAME.key`.
    #[track_caller]
    pub fn request(&self, name: &str, subject: &str) {
        self.openssl(&["req", "-new", "-sha256", "-subj", subject])
            .arg("-key")
            .arg(self.path(name, "key"))
            .arg("-out")
            .arg(self.path(name, "csr"))
            .finish();
    }

    /// `NAME.pem`, signed by an authority of this folder, from a fresh `NAME.key`.
    #[track_caller]
    pub fn signed(&self, name: &str, subject: &str, authority: &str, kind: KeyKind) {
        self.signed_for(name, subject, authority, kind, "365");
    }

    /// The same with the days it is valid from now; a negative number makes one that has expired.
    #[track_caller]
    pub fn signed_for(&self, name: &str, subject: &str, authority: &str, kind: KeyKind, days: &str) {
        self.key(name, kind);
        self.request(name, subject);
        self.openssl(&["x509", "-req", "-sha256", "-days", days, "-CAcreateserial"])
            .arg("-in")
            .arg(self.path(name, "csr"))
            .arg("-CA")
            .arg(self.path(authority, "pem"))
            .arg("-CAkey")
            .arg(self.path(authority, "key"))
            .arg("-out")
            .arg(self.path(name, "pem"))
            .finish();
    }

    /// The same for a server, whose names stand in `extension` as a file of openssl has them.
    #[track_caller]
    pub fn signed_server(&self, name: &str, authority: &str, days: &str, extension: &str) {
        self.key(name, KeyKind::P256);
        self.request(name, &format!("/CN={name}"));
        let file = self.path(name, "extension");
        fs::write(&file, extension).unwrap();
        self.openssl(&["x509", "-req", "-sha256", "-days", days, "-CAcreateserial"])
            .arg("-extfile")
            .arg(file)
            .arg("-in")
            .arg(self.path(name, "csr"))
            .arg("-CA")
            .arg(self.path(authority, "pem"))
            .arg("-CAkey")
            .arg(self.path(authority, "key"))
            .arg("-out")
            .arg(self.path(name, "pem"))
            .finish();
    }

    /// `NAME.pem` and `NAME.der` for a public key whose private half is somewhere else.
    #[track_caller]
    pub fn signed_for_key(&self, name: &str, subject: &str, authority: &str, public_key: &Path) {
        self.key("nobody", KeyKind::P256);
        self.openssl(&["req", "-new", "-sha256", "-subj", subject])
            .arg("-key")
            .arg(self.path("nobody", "key"))
            .arg("-out")
            .arg(self.path(name, "csr"))
            .finish();
        self.openssl(&["x509", "-req", "-sha256", "-days", "365", "-CAcreateserial"])
            .arg("-in")
            .arg(self.path(name, "csr"))
            .arg("-force_pubkey")
            .arg(public_key)
            .arg("-CA")
            .arg(self.path(authority, "pem"))
            .arg("-CAkey")
            .arg(self.path(authority, "key"))
            .arg("-out")
            .arg(self.path(name, "pem"))
            .finish();
        self.openssl(&["x509", "-outform", "DER"])
            .arg("-in")
            .arg(self.path(name, "pem"))
            .arg("-out")
            .arg(self.path(name, "der"))
            .finish();
    }

    /// `NAME-chain.pem`: the certificate and its authority's, as the guide has devices send them.
    #[track_caller]
    #[must_use]
    pub fn chain(&self, name: &str, authority: &str) -> PathBuf {
        let chain = self.path(&format!("{name}-chain"), "pem");
        let both = self.text(name, "pem") + &self.text(authority, "pem");
        fs::write(&chain, both).unwrap();
        chain
    }

    /// The SHA-256 of a certificate in lower hex: its certificate id.
    #[track_caller]
    #[must_use]
    pub fn id(&self, name: &str) -> String {
        let said = run(self
            .openssl(&["x509", "-noout", "-fingerprint", "-sha256"])
            .arg("-in")
            .arg(self.path(name, "pem"))
            .command())
        .well()
        .stdout;
        said.split('=')
            .next_back()
            .unwrap_or_default()
            .trim()
            .replace(':', "")
            .to_lowercase()
    }

    /// Where a file of this folder is.
    #[must_use]
    pub fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{name}.{ending}"))
    }

    /// `file://...`, as the AWS command line wants it.
    #[must_use]
    pub fn url(&self, name: &str, ending: &str) -> String {
        format!("file://{}", self.path(name, ending).display())
    }

    /// What a file of this folder holds.
    #[track_caller]
    #[must_use]
    pub fn text(&self, name: &str, ending: &str) -> String {
        fs::read_to_string(self.path(name, ending)).unwrap()
    }

    fn openssl(&self, words: &[&str]) -> Openssl {
        let mut command = Command::new(&self.openssl);
        command.args(words);
        Openssl(command)
    }
}

/// One call of openssl, being put together.
struct Openssl(Command);

impl Openssl {
    fn arg(mut self, word: impl AsRef<std::ffi::OsStr>) -> Self {
        self.0.arg(word);
        self
    }

    #[track_caller]
    fn finish(mut self) {
        let _ = run(&mut self.0).well();
    }

    fn command(&mut self) -> &mut Command {
        &mut self.0
    }
}
