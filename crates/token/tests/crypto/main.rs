//! The token's cryptography against answers that are known from elsewhere, and against what it must refuse.
//!
//! Answers come from the standards that are named, and where none are printed from OpenSSL 3.0 (`openssl enc`, `dgst`, `kdf`).

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

mod known;
mod refused;
mod round;

use std::sync::Arc;

use token::Error;
use token::crypto::{Decrypt, Encrypt, Key, Mechanism, Secret};

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).unwrap() as u8)
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn secret(value: &[u8]) -> Arc<Key> {
    Arc::new(Key::Secret(Secret::new(value).unwrap()))
}

fn encrypt(mechanism: &Mechanism, key: &Arc<Key>, data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut encrypt = Encrypt::new(mechanism, key)?;
    let mut out = vec![0; encrypt.once_bytes(data.len())];
    let bytes = encrypt.once(data, &mut out)?;
    out.truncate(bytes);
    Ok(out)
}

fn decrypt(mechanism: &Mechanism, key: &Arc<Key>, data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut decrypt = Decrypt::new(mechanism, key)?;
    let mut out = vec![0; decrypt.once_bytes(data.len())];
    let bytes = decrypt.once(data, &mut out)?;
    out.truncate(bytes);
    Ok(out)
}
