//! The access keys of the API while the server runs: found by their id, rotated, disabled, and when each was last used.
//!
//! It stands between the files with the keys and the signature check. A rotated key is written to its file and told to
//! nobody over the network; a disabled one is refused from that moment on, and after every restart. It must never lock an
//! account out: its last administrator's key cannot be disabled.

use core::sync::atomic::{AtomicI64, Ordering};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use fleet::{Exception, Refusal};
use identity::{AccountId, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::api::{AccessKey, ApiFault};
use crate::config::Role;
use crate::error::Error;
use crate::files::{self, Readers};
use crate::pki::fresh_access_key;

/// When keys were used, and which are disabled: beside the records, in JSON.
const FILE: &str = "access-keys.json";
/// What is remembered of a use after a restart is no finer than this.
const USE_WRITTEN_MILLIS: i64 = 24 * 3_600_000;

/// What is remembered of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
struct Remembered {
    last_used: i64,
    disabled: bool,
}

/// A key and where it came from.
struct Slot {
    key: Arc<AccessKey>,
    path: PathBuf,
    disabled: bool,
    last_used: AtomicI64,
    written: AtomicI64,
}

/// What may be told of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) role: Role,
    pub(crate) regions: Vec<String>,
    pub(crate) disabled: bool,
    pub(crate) last_used: Option<UnixMillis>,
    pub(crate) path: PathBuf,
}

/// The keys of a server.
pub(crate) struct Keys {
    slots: RwLock<Vec<Slot>>,
    file: PathBuf,
}

impl Keys {
    /// Takes the keys of these files.
    pub(crate) fn open(data_dir: &Path, keys: Vec<(AccessKey, PathBuf)>) -> Result<Self, Error> {
        let file = data_dir.join(FILE);
        let text = files::read_text(&file)?.unwrap_or_default();
        let known: BTreeMap<String, Remembered> = match text.trim().is_empty() {
            true => BTreeMap::new(),
            // A disabled key must not come back because its file cannot be read.
            false => serde_json::from_str(&text).map_err(|error| Error::Identity {
                path: file.clone(),
                what: error.to_string(),
            })?,
        };
        let slots = keys.into_iter().map(|(key, path)| {
            let known = known.get(&key.id).copied().unwrap_or_default();
            Slot {
                key: Arc::new(key),
                path,
                disabled: known.disabled,
                last_used: AtomicI64::new(known.last_used),
                written: AtomicI64::new(known.last_used),
            }
        });
        Ok(Self {
            slots: RwLock::new(slots.collect()),
            file,
        })
    }

    /// The key with this id, if it counts.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<AccessKey>> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.iter().find(|slot| slot.key.id == id && !slot.disabled)?;
        Some(slot.key.clone())
    }

    /// Notes that a key was used.
    pub(crate) fn used(&self, id: &str, now: UnixMillis) {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        let Some(slot) = slots.iter().find(|slot| slot.key.id == id) else {
            return;
        };
        slot.last_used.store(now.0, Ordering::Relaxed);
        let written = slot.written.load(Ordering::Relaxed);
        let is_due = now.0 - written >= USE_WRITTEN_MILLIS;
        if is_due
            && slot
                .written
                .compare_exchange(written, now.0, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            // It is a convenience: a full disk must not refuse the request.
            let _ = self.write(&slots);
        }
    }

    /// The keys of an account.
    pub(crate) fn shown(&self, account: &AccountId) -> Vec<Shown> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots
            .iter()
            .filter(|slot| slot.key.account == *account)
            .map(Slot::shown)
            .collect()
    }

    /// Makes a new key in the place of this one; its secret is in its file and nowhere else.
    pub(crate) fn rotate(&self, account: &AccountId, id: &str) -> Result<Shown, ApiFault> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let slot = slots
            .iter_mut()
            .find(|slot| slot.is(account, id))
            .ok_or_else(|| unknown(id))?;
        let (role, regions) = (slot.key.role, slot.key.regions.clone());
        let fresh = fresh_access_key(&slot.path, *account).map_err(ApiFault::failed)?;
        slot.key = Arc::new(fresh.limited(role, regions));
        slot.disabled = false;
        slot.last_used.store(0, Ordering::Relaxed);
        slot.written.store(0, Ordering::Relaxed);
        let shown = slot.shown();
        self.write(&slots).map_err(ApiFault::failed)?;
        Ok(shown)
    }

    /// Lets this key count no more.
    pub(crate) fn disable(&self, account: &AccountId, id: &str) -> Result<Shown, ApiFault> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let others = slots
            .iter()
            .filter(|slot| slot.key.account == *account && slot.key.id != id);
        let rules = |slot: &Slot| !slot.disabled && slot.key.role == Role::Admin;
        let has_other = others.into_iter().any(rules);
        let slot = slots
            .iter_mut()
            .find(|slot| slot.is(account, id))
            .ok_or_else(|| unknown(id))?;
        if !has_other && rules(slot) {
            return Err(Refusal::new(
                Exception::InvalidRequest,
                "cloud.api.last_key",
                format!("the access key {id} is the last one that rules its account"),
            )
            .hint("rotate it instead (birthmark key rotate)")
            .into());
        }
        slot.disabled = true;
        let shown = slot.shown();
        self.write(&slots).map_err(ApiFault::failed)?;
        Ok(shown)
    }

    fn write(&self, slots: &[Slot]) -> Result<(), Error> {
        let remembered = slots.iter().map(|slot| {
            let last_used = slot.last_used.load(Ordering::Relaxed);
            (
                slot.key.id.as_str(),
                Remembered {
                    last_used,
                    disabled: slot.disabled,
                },
            )
        });
        let remembered: BTreeMap<&str, Remembered> = remembered.collect();
        // A map of plain values always has a JSON form.
        let text = serde_json::to_string_pretty(&remembered).unwrap_or_default();
        files::write(&self.file, text.as_bytes(), Readers::Owner)
    }
}

impl Slot {
    fn is(&self, account: &AccountId, id: &str) -> bool {
        self.key.account == *account && self.key.id == id
    }

    fn shown(&self) -> Shown {
        let last_used = self.last_used.load(Ordering::Relaxed);
        Shown {
            id: self.key.id.clone(),
            role: self.key.role,
            regions: self
                .key
                .regions
                .iter()
                .map(|region| region.as_str().to_owned())
                .collect(),
            disabled: self.disabled,
            last_used: (last_used > 0).then_some(UnixMillis(last_used)),
            path: self.path.clone(),
        }
    }
}

fn unknown(id: &str) -> ApiFault {
    let shown: String = id.chars().take(64).collect();
    Refusal::new(
        Exception::ResourceNotFound,
        "cloud.api.key",
        format!("this account has no access key {shown}"),
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::access_key;

    fn keys(folder: &Path) -> Keys {
        let of = |name: &str, role| {
            let path = folder.join(name);
            let key = access_key(&path, AccountId::default()).unwrap();
            (key.limited(role, Vec::new()), path)
        };
        Keys::open(
            folder,
            vec![of("a", Role::Admin), of("b", Role::Read), of("c", Role::Admin)],
        )
        .unwrap()
    }

    #[test]
    fn a_rotated_key_is_another_one_and_a_disabled_one_stays_so() {
        let (folder, account) = (tempfile::tempdir().unwrap(), AccountId::default());
        let held = keys(folder.path());
        let ids: Vec<_> = held.shown(&account).into_iter().map(|shown| shown.id).collect();
        let secret = held.find(&ids[0]).unwrap().secret.to_string();
        held.used(&ids[0], UnixMillis(5 * USE_WRITTEN_MILLIS));
        let fresh = held.rotate(&account, &ids[0]).unwrap();
        assert!(held.find(&ids[0]).is_none() && fresh.last_used.is_none());
        assert_ne!(held.find(&fresh.id).unwrap().secret.as_str(), secret);
        held.used(&fresh.id, UnixMillis(6 * USE_WRITTEN_MILLIS));
        held.disable(&account, &ids[1]).unwrap();
        held.disable(&account, &ids[2]).unwrap();
        assert!(held.find(&ids[1]).is_none());
        // Somebody has to be left, and other accounts have nothing to say.
        assert!(held.disable(&account, &fresh.id).is_err());
        let other = "999999999999".parse().unwrap();
        assert!(held.rotate(&other, &fresh.id).is_err() && held.disable(&other, &fresh.id).is_err());
        assert!(held.shown(&other).is_empty());
        let again = keys(folder.path());
        assert!(again.find(&fresh.id).is_some() && again.find(&ids[2]).is_none());
        let used = again
            .shown(&account)
            .into_iter()
            .find(|shown| shown.id == fresh.id)
            .unwrap()
            .last_used;
        assert_eq!(used, Some(UnixMillis(6 * USE_WRITTEN_MILLIS)));
        let rotated = again.rotate(&account, &ids[2]).unwrap();
        assert!(again.find(&rotated.id).is_some());
    }

    #[test]
    fn a_file_that_cannot_be_read_stops_the_start() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(Keys::open(folder.path(), Vec::new()).is_err());
    }
}
