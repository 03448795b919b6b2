//! Temporary access keys: what a device gets for its certificate, and how this server knows them again.
//!
//! They stand beside the access keys of the operator's files. Nothing of them is kept: what a key may do, for whom and
//! until when is sealed in its session token, and its secret follows from its name. Both hang on one key of this server,
//! a file that only its owner can read; without that file all temporary keys are void. It must never take a token that was
//! not sealed here, or one that belongs to another access key.

use core::fmt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use identity::{AccountId, CertificateId, Region, Tenant, UnixMillis};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock;
use crate::error::Error;
use crate::files::{self, Readers};
use crate::limits::SESSION_TOKEN_BYTES_MAX;

/// What the names of temporary access keys begin with.
const PREFIX: &str = "BMTA";
/// What a token of this form begins with.
const FORM: u8 = 1;
/// What each of the two keys is made for.
const SEALING: &[u8] = b"birthmark temporary keys: seal";
const DERIVING: &[u8] = b"birthmark temporary keys: derive";

/// What a temporary access key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assumed {
    /// Whose.
    pub(crate) tenant: Tenant,
    /// The name of the role in the operator's file.
    pub(crate) role: String,
    /// The certificate that asked for it.
    pub(crate) certificate: CertificateId,
    /// The alias that it asked by.
    pub(crate) alias: String,
    /// The thing that it said it is, and is attached to.
    pub(crate) thing: Option<String>,
    /// When it ends.
    pub(crate) expires: UnixMillis,
}

/// A temporary access key as it is given out.
pub(crate) struct Issued {
    /// Its name.
    pub(crate) access_key: String,
    /// Its secret.
    pub(crate) secret: Zeroizing<String>,
    /// What goes with it in every request.
    pub(crate) token: String,
}

/// An [`Assumed`] inside a token.
#[derive(Serialize, Deserialize)]
struct Sealed {
    #[serde(rename = "a")]
    account: String,
    #[serde(rename = "g")]
    region: String,
    #[serde(rename = "r")]
    role: String,
    #[serde(rename = "c")]
    certificate: String,
    #[serde(rename = "l")]
    alias: String,
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    thing: Option<String>,
    #[serde(rename = "e")]
    expires: i64,
}

impl Sealed {
    fn of(assumed: &Assumed) -> Self {
        Self {
            account: assumed.tenant.account.to_string(),
            region: assumed.tenant.region.to_string(),
            role: assumed.role.clone(),
            certificate: assumed.certificate.to_string(),
            alias: assumed.alias.clone(),
            thing: assumed.thing.clone(),
            expires: assumed.expires.0,
        }
    }

    fn assumed(self) -> Option<Assumed> {
        let account: AccountId = self.account.parse().ok()?;
        let region: Region = self.region.parse().ok()?;
        Some(Assumed {
            tenant: Tenant { account, region },
            role: self.role,
            certificate: self.certificate.parse().ok()?,
            alias: self.alias,
            thing: self.thing,
            expires: UnixMillis(self.expires),
        })
    }
}

/// The key of this server under all temporary access keys.
pub(crate) struct TemporaryKeys {
    sealing: RandomizedNonceKey,
    deriving: hmac::Key,
}

impl TemporaryKeys {
    /// Opens the file, or makes it.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let seed = match files::read(path)?.map(Zeroizing::new) {
            Some(seed) => <[u8; 32]>::try_from(seed.as_slice()).map_err(|_| Error::Identity {
                path: path.to_owned(),
                what: "it has not 32 bytes".into(),
            })?,
            None => {
                let seed: [u8; 32] = clock::random().map_err(Error::Issue)?;
                files::write(path, &seed, Readers::Owner)?;
                seed
            }
        };
        Self::of(&Zeroizing::new(seed)).ok_or_else(|| Error::Identity {
            path: path.to_owned(),
            what: "the cryptographic library does not take it".into(),
        })
    }

    fn of(seed: &[u8; 32]) -> Option<Self> {
        let seed = hmac::Key::new(hmac::HMAC_SHA256, seed);
        let (sealing, deriving) = (hmac::sign(&seed, SEALING), hmac::sign(&seed, DERIVING));
        Some(Self {
            sealing: RandomizedNonceKey::new(&AES_256_GCM_SIV, sealing.as_ref()).ok()?,
            deriving: hmac::Key::new(hmac::HMAC_SHA256, deriving.as_ref()),
        })
    }

    /// A new temporary access key.
    pub(crate) fn issue(&self, assumed: &Assumed) -> Option<Issued> {
        let access_key = crate::pki::access_key_name(PREFIX).ok()?;
        let mut bytes = serde_json::to_vec(&Sealed::of(assumed)).ok()?;
        let aad = Aad::from(access_key.as_bytes());
        let nonce = self.sealing.seal_in_place_append_tag(aad, &mut bytes).ok()?;
        let mut token = vec![FORM];
        token.extend_from_slice(nonce.as_ref());
        token.extend_from_slice(&bytes);
        Some(Issued {
            secret: self.secret(&access_key),
            token: URL_SAFE_NO_PAD.encode(token),
            access_key,
        })
    }

    /// What a token says, if it was sealed here for this access key, and the secret of that key.
    pub(crate) fn unseal(&self, access_key: &str, token: &str) -> Option<(Assumed, Zeroizing<String>)> {
        if token.len() > SESSION_TOKEN_BYTES_MAX {
            return None;
        }
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (form, rest) = token.split_first()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().filter(|_| *form == FORM)?;
        let mut sealed = sealed.to_vec();
        let aad = Aad::from(access_key.as_bytes());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.sealing.open_in_place(nonce, aad, &mut sealed).ok()?;
        let sealed: Sealed = serde_json::from_slice(opened).ok()?;
        Some((sealed.assumed()?, self.secret(access_key)))
    }

    fn secret(&self, access_key: &str) -> Zeroizing<String> {
        let secret = hmac::sign(&self.deriving, access_key.as_bytes());
        let secret = secret.as_ref().get(..30).unwrap_or_default();
        Zeroizing::new(STANDARD.encode(secret))
    }
}

impl fmt::Debug for TemporaryKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TemporaryKeys")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assumed(thing: Option<&str>) -> Assumed {
        Assumed {
            tenant: Tenant::default(),
            role: "uploader".to_owned(),
            certificate: CertificateId([7; 32]),
            alias: "upload".to_owned(),
            thing: thing.map(str::to_owned),
            expires: UnixMillis(1_795_395_723_000),
        }
    }

    #[test]
    fn a_token_is_known_again_with_its_secret() {
        let keys = TemporaryKeys::of(&[1; 32]).unwrap();
        for thing in [None, Some("lamp")] {
            let issued = keys.issue(&assumed(thing)).unwrap();
            assert!(issued.access_key.starts_with(PREFIX) && issued.access_key.len() == 20);
            assert_eq!(issued.secret.len(), 40);
            let (found, secret) = keys.unseal(&issued.access_key, &issued.token).unwrap();
            assert_eq!((found, secret), (assumed(thing), issued.secret));
        }
    }

    #[test]
    fn what_was_not_sealed_here_for_this_key_is_nothing() {
        let keys = TemporaryKeys::of(&[1; 32]).unwrap();
        let (one, other) = (
            keys.issue(&assumed(None)).unwrap(),
            keys.issue(&assumed(None)).unwrap(),
        );
        assert_ne!((&one.access_key, &one.token), (&other.access_key, &other.token));
        assert!(keys.unseal(&one.access_key, &other.token).is_none());
        let elsewhere = TemporaryKeys::of(&[2; 32]).unwrap();
        assert!(elsewhere.unseal(&one.access_key, &one.token).is_none());
        for at in 0..one.token.len() {
            let mut spoilt = one.token.clone().into_bytes();
            if let Some(byte) = spoilt.get_mut(at) {
                *byte = if *byte == b'A' { b'B' } else { b'A' };
            }
            let spoilt = String::from_utf8(spoilt).unwrap();
            assert!(keys.unseal(&one.access_key, &spoilt).is_none(), "byte {at}");
        }
        for bad in [
            "",
            "A",
            "AQ",
            "=",
            "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            &"A".repeat(5000),
        ] {
            assert!(keys.unseal(&one.access_key, bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_key_is_made_once_for_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("temporary-keys.key");
        let issued = TemporaryKeys::open(&path).unwrap().issue(&assumed(None)).unwrap();
        let again = TemporaryKeys::open(&path).unwrap();
        assert!(again.unseal(&issued.access_key, &issued.token).is_some());
        std::fs::write(&path, b"short").unwrap();
        assert!(TemporaryKeys::open(&path).is_err());
    }
}
