//! A factory as a directory: made once, opened again and again, by one process at a time.
//!
//! `root.key.pem` `signer.key.pem` (PKCS #8) · `root.pem` `signer.pem` · `ledger.log` `ledger.sqlite` · `factory.lock`. All
//! are for their owner alone. `signer.pem` is written last: where it is missing, nothing was ever signed for anybody.

use std::{
    fs,
    path::{Path, PathBuf},
};

use identity::{
    UnixMillis, certificate::Certificate, crypto::SoftwareKey, issue::Signer,
    limits::REGISTRATION_CODE_CHARACTERS,
};

use crate::{
    Error, Order, Plan, Terms,
    ca::{Hierarchy, Verification},
    files::{self, Lock, failed},
    ledger::{self, Intent, Ledger, Purpose, Record},
    line::{Line, Setup},
};

const ROOT_KEY: &str = "root.key.pem";
const ROOT: &str = "root.pem";
const SIGNER_KEY: &str = "signer.key.pem";
const SIGNER: &str = "signer.pem";
const LOCK: &str = "factory.lock";
/// Every name that a factory that was begun and not finished can hold.
const OWN: [&str; 14] = [
    ROOT_KEY,
    "root.key.new",
    ROOT,
    "root.new",
    SIGNER_KEY,
    "signer.key.new",
    SIGNER,
    "signer.new",
    LOCK,
    ledger::LOG_FILE,
    "ledger.new",
    ledger::INDEX_FILE,
    "ledger.sqlite-wal",
    "ledger.sqlite-shm",
];

/// An open factory.
pub struct Factory {
    path: PathBuf,
    root: Certificate,
    signer: Certificate,
    signer_key: Box<dyn Signer>,
    ledger: Ledger,
    _lock: Lock,
}

impl std::fmt::Debug for Factory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Factory({})", self.path.display())
    }
}

impl Factory {
    /// Makes a factory in a new or empty directory, or finishes one whose making was interrupted.
    pub fn create(path: &Path, plan: &Plan, now: UnixMillis) -> Result<Self, Error> {
        check_free(path)?;
        files::make_directory(path)?;
        let lock = Lock::take(&path.join(LOCK))?;
        check_free(path)?;
        for suffix in ["", "-wal", "-shm"] {
            files::remove(&path.join(format!("{}{suffix}", ledger::INDEX_FILE)))?;
        }
        let hierarchy = Hierarchy::make(plan)?;
        files::write_whole(&path.join(ROOT_KEY), hierarchy.root_key.pkcs8_pem()?.as_bytes())?;
        files::write_whole(
            &path.join(SIGNER_KEY),
            hierarchy.signer_key.pkcs8_pem()?.as_bytes(),
        )?;
        Ledger::create(path, &hierarchy.records, now)?;
        files::write_whole(&path.join(ROOT), hierarchy.root.pem().as_bytes())?;
        files::write_whole(&path.join(SIGNER), hierarchy.signer.pem().as_bytes())?;
        Self::open_locked(path, lock)
    }

    /// Opens a factory.
    pub fn open(path: &Path) -> Result<Self, Error> {
        match state(path)? {
            Found::Nothing | Found::Others => return Err(Error::Missing { path: path.into() }),
            Found::Begun => return Err(Error::Incomplete { path: path.into() }),
            Found::Complete => {}
        }
        let lock = Lock::take(&path.join(LOCK))?;
        Self::open_locked(path, lock)
    }

    /// Opens the factory if there is one, and makes it otherwise.
    pub fn open_or_create(path: &Path, plan: &Plan, now: UnixMillis) -> Result<Self, Error> {
        match state(path)? {
            Found::Complete => Self::open(path),
            _ => Self::create(path, plan, now),
        }
    }

    fn open_locked(path: &Path, lock: Lock) -> Result<Self, Error> {
        for name in ["", ROOT_KEY, SIGNER_KEY] {
            files::check_private(&path.join(name))?;
        }
        let certificate = |name: &str| -> Result<Certificate, Error> {
            Ok(Certificate::from_pem(&files::read_text(&path.join(name))?)?)
        };
        let (root, signer) = (certificate(ROOT)?, certificate(SIGNER)?);
        let key_path = path.join(SIGNER_KEY);
        let signer_key = SoftwareKey::from_pkcs8_pem(&files::read_text(&key_path)?)?;
        if signer_key.public_key() != signer.public_key() {
            return Err(Error::Misplaced { path: key_path });
        }
        if signer.is_signed_by(root.public_key()).is_err() {
            return Err(Error::Misplaced {
                path: path.join(SIGNER),
            });
        }
        let ledger = Ledger::open(path)?;
        Ok(Self {
            path: path.into(),
            root,
            signer,
            signer_key: Box::new(signer_key),
            ledger,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The certificate of the root CA.
    pub const fn root(&self) -> &Certificate {
        &self.root
    }

    /// The certificate of the CA that signs devices: what a cloud registers.
    pub const fn signer(&self) -> &Certificate {
        &self.signer
    }

    /// Whether everything made here is marked as simulated.
    pub fn is_simulated(&self) -> bool {
        self.signer.is_simulated()
    }

    /// The ledger.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Accepts an order, or finds it again by its name; then its count and prefix must be the same as before.
    pub fn order(&mut self, terms: &Terms, now: UnixMillis) -> Result<Order, Error> {
        terms.check()?;
        if let Some(known) = self.ledger.order(&terms.name)? {
            let same = known.terms.agrees_with(terms);
            return if same {
                Ok(known)
            } else {
                Err(Error::OtherTerms {
                    name: terms.name.clone(),
                })
            };
        }
        if let Some(other) = self
            .ledger
            .orders()?
            .iter()
            .find(|order| order.terms.prefix == terms.prefix)
        {
            let what = format!(
                "things that begin with {:?}, in the order {}",
                terms.prefix, other.terms.name
            );
            return Err(Error::Duplicate { what });
        }
        if terms.validity.not_after() > self.signer.not_after() {
            return Err(Error::OutlivesSigner);
        }
        self.ledger.keep(&[Record::Order(terms.clone())], now)?;
        self.ledger
            .order(&terms.name)?
            .ok_or(Error::OutOfStep { what: "an order" })
    }

    /// Sets up a line for an order.
    pub fn line(&mut self, order: &Order, setup: &Setup) -> Result<Line<'_>, Error> {
        Line::set_up(
            &mut self.ledger,
            &self.signer,
            self.signer_key.as_ref(),
            order,
            setup,
        )
    }

    /// Proves to a cloud that the signer's key is here: a certificate whose common name is the cloud's registration code. Its
    /// own key is made for it and gone when this returns; it is in the ledger before it is signed.
    pub fn verification_certificate(&mut self, code: &str, now: UnixMillis) -> Result<Certificate, Error> {
        if code.len() != REGISTRATION_CODE_CHARACTERS || !code.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Error::RegistrationCode);
        }
        let serial = self.ledger.draw_serial()?;
        let Verification { prepared, key_hash } = Verification::prepare(&self.signer, code, &serial, now)?;
        let tbs = prepared.to_be_signed().into();
        let intent = Intent {
            serial,
            key_hash,
            purpose: Purpose::Verification,
            tbs,
        };
        self.ledger.keep(&[Record::Intent(intent)], now)?;
        let certificate = prepared.sign(self.signer_key.as_ref())?;
        self.ledger.keep(&[Record::Signed(certificate.clone())], now)?;
        Ok(certificate)
    }
}

/// What is in a directory.
enum Found {
    Nothing,
    Begun,
    Complete,
    Others,
}

fn state(path: &Path) -> Result<Found, Error> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
        entries => entries.map_err(failed("read", path))?,
    };
    let mut found = Found::Nothing;
    for entry in entries {
        let name = entry.map_err(failed("read", path))?.file_name();
        if name == SIGNER {
            return Ok(Found::Complete);
        }
        let own = OWN.iter().any(|own| name == *own);
        found = if own && !matches!(found, Found::Others) {
            Found::Begun
        } else {
            Found::Others
        };
    }
    Ok(found)
}

fn check_free(path: &Path) -> Result<(), Error> {
    match state(path)? {
        Found::Nothing | Found::Begun => Ok(()),
        Found::Complete => Err(Error::Exists { path: path.into() }),
        Found::Others => Err(Error::Occupied { path: path.into() }),
    }
}
