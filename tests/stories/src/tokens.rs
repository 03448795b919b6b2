//! Tokens for programs that use the PKCS #11 module: in files and in a simulated chip, made with the commands that a person
//! types, each with one P-256 key and its certificate under the labels that FreeRTOS gives them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Certificates, Ended, KeyKind, birthmark, run, tool};

/// What the token is called.
pub const TOKEN: &str = "story";
/// The user's PIN; a chip takes any.
pub const PIN: &str = "1234";
/// The security officer's PIN of a token in files.
pub const OFFICER_PIN: &str = "87654321";
/// The private key.
pub const KEY: &str = "Device Priv TLS Key";
/// Its certificate.
pub const CERTIFICATE: &str = "Device Cert";

/// What keeps the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Sealed files.
    Flash,
    /// A secure element.
    Chip,
}

impl Backend {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Flash, Self::Chip];

    /// As the configuration calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flash => "flash",
            Self::Chip => "chip",
        }
    }
}

/// The module beside the binary.
///
/// # Panics
/// If it was not built.
#[must_use]
pub fn module() -> PathBuf {
    let binary = PathBuf::from(birthmark().get_program());
    let found = binary.with_file_name("libbirthmark_pkcs11.so");
    assert!(
        found.is_file(),
        "{}: build the whole workspace first",
        found.display()
    );
    found
}

/// A simulated chip that is served on a socket; gone when dropped.
#[derive(Debug)]
pub struct ServedChip {
    child: Child,
    address: String,
}

impl ServedChip {
    /// Serves one, fresh from the wafer, on a socket in this folder.
    #[track_caller]
    #[must_use]
    pub fn start(folder: &Path) -> Self {
        let mut serve = birthmark();
        serve.args(["chip", "serve", "--socket"]).arg(folder.join("chip"));
        let mut child = serve
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let address = said["chips"][0].as_str().unwrap().to_owned();
        Self { child, address }
    }

    /// Where it is: `unix:PATH`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for ServedChip {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One token of one configuration, in a folder of its own.
#[derive(Debug)]
pub struct Tokens {
    folder: TempDir,
    backend: Backend,
    chip: Option<ServedChip>,
}

impl Tokens {
    /// An empty token.
    #[track_caller]
    #[must_use]
    pub fn empty(backend: Backend) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let chip = (backend == Backend::Chip).then(|| ServedChip::start(folder.path()));
        let tokens = Self {
            folder,
            backend,
            chip,
        };
        tokens.init(TOKEN, "");
        tokens
    }

    fn init(&self, label: &str, directory: &str) {
        std::fs::write(self.path("pin"), PIN).unwrap();
        std::fs::write(self.path("so-pin"), OFFICER_PIN).unwrap();
        let mut init = birthmark();
        init.args([
            "token",
            "init",
            "--label",
            label,
            "--backend",
            self.backend.name(),
        ]);
        init.arg("--dir").arg(self.path(directory));
        match &self.chip {
            Some(chip) => init.args(["--chip", chip.address()]),
            None => init
                .arg("--pin-file")
                .arg(self.path("pin"))
                .arg("--so-pin-file")
                .arg(self.path("so-pin")),
        };
        run(&mut init).well();
    }

    /// With a P-256 key pair that `pkcs11-tool` had it make to sign; `None` when that is missing.
    #[track_caller]
    #[must_use]
    pub fn with_key(backend: Backend) -> Option<Self> {
        Self::with_key_for(backend, "--usage-sign")
    }

    /// With a key pair for this usage, as `pkcs11-tool` calls it.
    #[track_caller]
    #[must_use]
    pub fn with_key_for(backend: Backend, usage: &str) -> Option<Self> {
        let _ = tool("pkcs11-tool")?;
        let tokens = Self::empty(backend);
        let generate = ["--keypairgen", "--key-type", "EC:prime256v1", usage];
        let named = ["--label", KEY, "--id", "01"];
        tokens.as_user(&[&generate[..], &named].concat()).well();
        Some(tokens)
    }

    /// The same with a certificate for the key, `device.pem`, signed by the authority `authority.pem`.
    #[track_caller]
    #[must_use]
    pub fn with_certificate(backend: Backend) -> Option<Self> {
        let tokens = Self::with_key(backend)?;
        tokens.certify(&tokens.certificates()?);
        Some(tokens)
    }

    /// A token in files with an RSA key of 2048 bits under the same name, and its certificate.
    #[track_caller]
    #[must_use]
    pub fn with_rsa_certificate() -> Option<Self> {
        let _ = tool("pkcs11-tool")?;
        let tokens = Self::empty(Backend::Flash);
        let generate = ["--keypairgen", "--key-type", "rsa:2048", "--usage-sign"];
        let named = ["--label", KEY, "--id", "01"];
        tokens.as_user(&[&generate[..], &named].concat()).well();
        tokens.certify(&tokens.certificates()?);
        Some(tokens)
    }

    fn certify(&self, certificates: &Certificates) {
        certificates.authority("authority", KeyKind::P256);
        certificates.signed_for_key("device", "/CN=story", "authority", &self.public_key_pem());
        let id = self.id();
        let write = ["--write-object", "device.der", "--type", "cert"];
        self.as_user(&[&write[..], &["--label", CERTIFICATE, "--id", &id]].concat())
            .well();
    }

    /// Keys and certificates beside the token; `None` when there is no openssl.
    #[must_use]
    pub fn certificates(&self) -> Option<Certificates> {
        Certificates::in_folder(self.folder.path())
    }

    /// What keeps the keys.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        self.backend
    }

    /// The chip's address, if it is one.
    #[must_use]
    pub fn chip(&self) -> Option<&str> {
        self.chip.as_ref().map(ServedChip::address)
    }

    /// A file in the folder of the token.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program in that folder that finds the token through the module.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("BIRTHMARK_PKCS11_CONF", self.path("pkcs11.toml"));
        command.current_dir(self.folder.path());
        command
    }

    /// `pkcs11-tool` with these arguments, logged in nowhere.
    #[track_caller]
    #[must_use]
    pub fn pkcs11_tool(&self, arguments: &[&str]) -> Ended {
        let mut command = self.command(&tool("pkcs11-tool").unwrap());
        command.arg("--module").arg(module()).args(arguments);
        // `--read-object --type pubkey` of OpenSC 0.23 gives OpenSSL a key that it has freed just before. Where the C library keeps
        // freed memory untouched for longer that works every time, else by luck.
        command.env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=100");
        run(&mut command)
    }

    /// The same, logged in.
    #[track_caller]
    #[must_use]
    pub fn as_user(&self, arguments: &[&str]) -> Ended {
        self.pkcs11_tool(&[&["--login", "--pin", PIN], arguments].concat())
    }

    /// The key's id in lower hex: a chip may have one of its own.
    #[track_caller]
    #[must_use]
    pub fn id(&self) -> String {
        let listed = self
            .as_user(&["-O", "--type", "privkey", "--label", KEY])
            .well()
            .stdout;
        let line = listed.lines().find_map(|line| line.trim().strip_prefix("ID:"));
        line.unwrap().trim().to_owned()
    }

    /// The key's URI (RFC 7512), by the id that its certificate shares.
    #[track_caller]
    #[must_use]
    pub fn uri(&self) -> String {
        let id: String = self
            .id()
            .as_bytes()
            .chunks(2)
            .map(|byte| format!("%{}", String::from_utf8_lossy(byte)))
            .collect();
        format!("pkcs11:token={TOKEN};id={id};type=private")
    }

    /// The same with the PIN, for programs that take it from there.
    #[track_caller]
    #[must_use]
    pub fn uri_with_pin(&self) -> String {
        format!("{}?pin-value={PIN}", self.uri())
    }

    /// The public half of the key as `public.pem`.
    #[track_caller]
    #[must_use]
    pub fn public_key_pem(&self) -> PathBuf {
        let id = self.id();
        self.pkcs11_tool(&[
            "--read-object",
            "--type",
            "pubkey",
            "--id",
            &id,
            "-o",
            "public.der",
        ])
        .well();
        let mut convert = self.command(&tool("openssl").unwrap());
        convert.args(["pkey", "-pubin", "-inform", "DER", "-in", "public.der"]);
        run(convert.args(["-out", "public.pem"])).well();
        self.path("public.pem")
    }

    /// Demands that openssl believes a signature with SHA-256: ECDSA in DER, or RSA of PKCS #1.
    #[track_caller]
    pub fn openssl_verifies(&self, signature: &str, signed: &str) {
        let mut verify = self.command(&tool("openssl").unwrap());
        verify
            .args(["dgst", "-sha256", "-verify"])
            .arg(self.public_key_pem());
        verify.args(["-signature", signature, signed]);
        assert!(run(&mut verify).well().stdout.contains("Verified OK"));
    }

    /// A configuration of openssl that has the engine, `openssl.cnf`; `None` when there is no engine.
    #[must_use]
    pub fn openssl_config(&self) -> Option<PathBuf> {
        let openssl = tool("openssl")?;
        if run(self.command(&openssl).args(["engine", "pkcs11"])).code != Some(0) {
            crate::skip("openssl engine", "apt-get install libengine-pkcs11-openssl");
            return None;
        }
        let config = format!(
            "openssl_conf = begin\n[begin]\nengines = engines\n[engines]\npkcs11 = pkcs11\n[pkcs11]\n\
             engine_id = pkcs11\nMODULE_PATH = {}\ninit = 1\n[req]\ndistinguished_name = name\n[name]\n",
            module().display()
        );
        let file = self.path("openssl.cnf");
        std::fs::write(&file, config).unwrap();
        Some(file)
    }
}
