//! Encryption and decryption: of all data at once, or part by part.
//!
//! How much comes out is known before the work, exactly but where a padding or a tag decides: there it is the most that can
//! come. A buffer that is too small changes nothing: the same call with a larger one succeeds.

use std::boxed::Box;
use std::sync::Arc;
use std::vec::Vec;

use zeroize::Zeroizing;

use super::aes::{Blocks, Counter};
use super::gcm::{self, Gcm};
use super::{Key, Secret, fill, key_wrap};
use crate::error::Error;
use crate::limits::{RAW_BYTES_MAX, WRAPPED_BYTES_MAX};
use crate::mechanism::parameters::{Mechanism, OaepParameters};

/// Data that are being encrypted (`C_Encrypt…`).
pub struct Encrypt(Cipher);

/// Data that are being decrypted (`C_Decrypt…`).
pub struct Decrypt(Cipher);

macro_rules! operation {
    ($name:ident, $encrypts:literal) => {
        impl $name {
            /// With this mechanism and this key.
            pub fn new(mechanism: &Mechanism, key: &Arc<Key>) -> Result<Self, Error> {
                Cipher::new(mechanism, key, $encrypts).map(Self)
            }

            /// What comes out of so many bytes at once, at most.
            #[must_use]
            pub fn once_bytes(&self, data: usize) -> usize {
                self.0.once_bytes(data)
            }

            /// All data at once.
            pub fn once(&mut self, data: &[u8], out: &mut [u8]) -> Result<usize, Error> {
                self.0.once(data, out)
            }

            /// What comes out of so many more bytes, exactly.
            #[must_use]
            pub fn update_bytes(&self, part: usize) -> usize {
                self.0.update_bytes(part)
            }

            /// The next part.
            pub fn update(&mut self, part: &[u8], out: &mut [u8]) -> Result<usize, Error> {
                self.0.update(part, out)
            }

            /// What comes out at the end, at most.
            #[must_use]
            pub fn finish_bytes(&self) -> usize {
                self.0.finish_bytes()
            }

            /// The end.
            pub fn finish(&mut self, out: &mut [u8]) -> Result<usize, Error> {
                self.0.finish(out)
            }
        }
    };
}

operation!(Encrypt, true);
operation!(Decrypt, false);

struct Cipher {
    kind: Kind,
    encrypts: bool,
}

enum Kind {
    Blocks(Blocks),
    Counter(Counter),
    /// What has to be there whole before anything can be said.
    Whole {
        with: Whole,
        data: Zeroizing<Vec<u8>>,
    },
}

enum Whole {
    Gcm(Box<Gcm>),
    KeyWrap { key: Arc<Key>, padded: bool },
    Rsa { key: Arc<Key>, padding: RsaPadding },
}

enum RsaPadding {
    Pkcs1,
    Bare,
    Oaep(OaepParameters),
}

impl Cipher {
    fn new(mechanism: &Mechanism, key: &Arc<Key>, encrypts: bool) -> Result<Self, Error> {
        let kind = match mechanism {
            Mechanism::AesEcb => Kind::Blocks(Blocks::ecb(secret(key)?, encrypts)?),
            Mechanism::AesCbc { iv } => Kind::Blocks(Blocks::cbc(secret(key)?, encrypts, iv, false)?),
            Mechanism::AesCbcPad { iv } => Kind::Blocks(Blocks::cbc(secret(key)?, encrypts, iv, true)?),
            Mechanism::AesCtr { counter_bits, block } => {
                Kind::Counter(Counter::new(secret(key)?, *counter_bits, block)?)
            }
            whole => Kind::Whole {
                with: Whole::new(whole, key, encrypts)?,
                data: Zeroizing::new(Vec::new()),
            },
        };
        Ok(Self { kind, encrypts })
    }

    fn once_bytes(&self, data: usize) -> usize {
        match &self.kind {
            Kind::Blocks(blocks) => blocks.update_bytes(data).saturating_add(blocks.finish_bytes()),
            Kind::Counter(_) => data,
            Kind::Whole { with, .. } => with.bytes(data, self.encrypts),
        }
    }

    fn once(&mut self, data: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        match &mut self.kind {
            Kind::Blocks(blocks) => blocks.whole(data, out),
            Kind::Counter(counter) => stream(counter, data, out),
            Kind::Whole { with, .. } => with.apply(data, out, self.encrypts),
        }
    }

    fn update_bytes(&self, part: usize) -> usize {
        match &self.kind {
            Kind::Blocks(blocks) => blocks.update_bytes(part),
            Kind::Counter(_) => part,
            Kind::Whole { .. } => 0,
        }
    }

    fn update(&mut self, part: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        match &mut self.kind {
            Kind::Blocks(blocks) => blocks.update(part, out),
            Kind::Counter(counter) => stream(counter, part, out),
            Kind::Whole { with, data } => {
                with.gather(data, part)?;
                Ok(0)
            }
        }
    }

    fn finish_bytes(&self) -> usize {
        match &self.kind {
            Kind::Blocks(blocks) => blocks.finish_bytes(),
            Kind::Counter(_) => 0,
            Kind::Whole { with, data } => with.bytes(data.len(), self.encrypts),
        }
    }

    fn finish(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        match &mut self.kind {
            Kind::Blocks(blocks) => blocks.finish(out),
            Kind::Counter(_) => Ok(0),
            Kind::Whole { with, data } => with.apply(data, out, self.encrypts),
        }
    }
}

fn secret(key: &Key) -> Result<&Secret, Error> {
    match key {
        Key::Secret(secret) => Ok(secret),
        _ => Err(Error::KeyTypeInconsistent),
    }
}

fn stream(counter: &mut Counter, data: &[u8], out: &mut [u8]) -> Result<usize, Error> {
    let bytes = fill(out, data)?;
    counter.apply(out.get_mut(..bytes).unwrap_or_default())?;
    Ok(bytes)
}

impl Whole {
    fn new(mechanism: &Mechanism, key: &Arc<Key>, encrypts: bool) -> Result<Self, Error> {
        let rsa = |padding| {
            match (&**key, encrypts) {
                (Key::RsaPublic(_), true) | (Key::RsaPrivate(_), false) => {}
                (Key::RsaPublic(_) | Key::RsaPrivate(_), _) => return Err(Error::KeyFunctionNotPermitted),
                _ => return Err(Error::KeyTypeInconsistent),
            }
            let key = Arc::clone(key);
            Ok(Self::Rsa { key, padding })
        };
        let wrap = |padded| {
            if !matches!(secret(key)?.bytes(), 16 | 24 | 32) {
                return Err(Error::KeySizeRange);
            }
            let key = Arc::clone(key);
            Ok(Self::KeyWrap { key, padded })
        };
        match mechanism {
            Mechanism::AesGcm(parameters) => {
                Gcm::new(secret(key)?, parameters).map(|gcm| Self::Gcm(Box::new(gcm)))
            }
            Mechanism::AesKeyWrap => wrap(false),
            Mechanism::AesKeyWrapKwp => wrap(true),
            Mechanism::RsaPkcs => rsa(RsaPadding::Pkcs1),
            Mechanism::RsaX509 => rsa(RsaPadding::Bare),
            Mechanism::RsaOaep(parameters) => rsa(RsaPadding::Oaep(parameters.clone())),
            _ => Err(Error::MechanismUnknown),
        }
    }

    fn gather(&self, data: &mut Vec<u8>, part: &[u8]) -> Result<(), Error> {
        let most = match self {
            Self::Gcm(_) => return gcm::gather(data, part),
            Self::KeyWrap { .. } => WRAPPED_BYTES_MAX + 8,
            Self::Rsa { .. } => RAW_BYTES_MAX,
        };
        let found = data.len().saturating_add(part.len());
        if found > most {
            return Err(Error::DataLengthRange { found });
        }
        data.extend_from_slice(part);
        Ok(())
    }

    /// What comes out of so many bytes, at most.
    fn bytes(&self, data: usize, encrypts: bool) -> usize {
        match self {
            Self::Gcm(gcm) if encrypts => data.saturating_add(gcm.tag_bytes()),
            Self::Gcm(gcm) => data.saturating_sub(gcm.tag_bytes()),
            Self::KeyWrap { padded, .. } if encrypts => key_wrap::wrapped_bytes(data, *padded),
            Self::KeyWrap { .. } => data.saturating_sub(8),
            Self::Rsa { key, .. } => match &**key {
                Key::RsaPrivate(key) => key.bytes(),
                Key::RsaPublic(key) => key.bytes(),
                _ => 0,
            },
        }
    }

    fn apply(&self, data: &[u8], out: &mut [u8], encrypts: bool) -> Result<usize, Error> {
        match self {
            Self::Gcm(gcm) if encrypts => seal(gcm, data, out),
            Self::Gcm(gcm) => open(gcm, data, out),
            Self::KeyWrap { key, padded } => {
                let key = secret(key)?;
                let result = if encrypts {
                    key_wrap::wrap(key, data, *padded)?
                } else {
                    key_wrap::unwrap(key, data, *padded)?
                };
                fill(out, &result)
            }
            Self::Rsa { key, padding } => match &**key {
                Key::RsaPrivate(key) => match padding {
                    RsaPadding::Pkcs1 => key.decrypt_pkcs1(data, out),
                    RsaPadding::Bare => key.decrypt_bare(data, out),
                    RsaPadding::Oaep(oaep) => key.decrypt_oaep(oaep, data, out),
                },
                Key::RsaPublic(key) => {
                    let needed = key.bytes();
                    let out = out.get_mut(..needed).ok_or(Error::BufferTooSmall { needed })?;
                    match padding {
                        RsaPadding::Pkcs1 => key.encrypt_pkcs1(data, out),
                        RsaPadding::Bare => key.encrypt_bare(data, out),
                        RsaPadding::Oaep(oaep) => key.encrypt_oaep(oaep, data, out),
                    }
                }
                _ => Err(Error::KeyTypeInconsistent),
            },
        }
    }
}

fn seal(gcm: &Gcm, data: &[u8], out: &mut [u8]) -> Result<usize, Error> {
    let needed = data.len().saturating_add(gcm.tag_bytes());
    let out = out.get_mut(..needed).ok_or(Error::BufferTooSmall { needed })?;
    let (message, tag) = out.split_at_mut(data.len());
    message.copy_from_slice(data);
    let made = gcm.seal(message)?;
    fill(tag, made.get(..gcm.tag_bytes()).unwrap_or_default())?;
    Ok(needed)
}

/// Opens in memory of its own: the caller's buffer stays as it was until the tag has been verified.
fn open(gcm: &Gcm, data: &[u8], out: &mut [u8]) -> Result<usize, Error> {
    let mut sealed = Zeroizing::new(data.to_vec());
    let (message, tag) = gcm::split(&mut sealed, gcm.tag_bytes())?;
    let needed = message.len();
    if out.len() < needed {
        return Err(Error::BufferTooSmall { needed });
    }
    gcm.open(message, tag)?;
    fill(out, message)
}
