//! What TLS 1.2 makes of its secrets: the pseudo-random function of RFC 5246, 5, and its uses.

use std::vec::Vec;

use aws_lc_rs::tls_prf;
use zeroize::Zeroizing;

use super::derive::{Derived, KeyBlock};
use super::{HardwareSecret, Key, LIBRARY, Secret};
use crate::error::Error;
use crate::limits::{PARAMETER_BYTES_MAX, TLS_KEY_BYTES_MAX};
use crate::mechanism::Hash;
use crate::mechanism::parameters::{
    Tls12ExtendedMasterParameters, Tls12KdfParameters, Tls12KeyAndMacParameters, Tls12MasterParameters,
    TlsMacParameters,
};

/// A premaster secret from RSA, and every master secret.
const MASTER_BYTES: usize = 48;
/// Random bytes of either side.
const RANDOM_BYTES: usize = 32;

/// A secret that TLS 1.2 derives from.
#[derive(Clone, Copy)]
pub(crate) enum Base<'a> {
    /// In memory.
    Memory(&'a Secret),
    /// In a device, which runs the function itself.
    Device(&'a dyn HardwareSecret),
}

impl<'a> Base<'a> {
    pub(crate) fn of(key: &'a Key) -> Result<Self, Error> {
        match key {
            Key::Secret(secret) => Ok(Self::Memory(secret)),
            Key::HardwareSecret(device) => Ok(Self::Device(&**device)),
            _ => Err(Error::KeyTypeInconsistent),
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Memory(secret) => secret.bytes(),
            Self::Device(device) => device.bytes(),
        }
    }
}

/// The pseudo-random function.
fn prf(
    hash: Hash,
    base: Base<'_>,
    label: &[u8],
    seeds: (&[u8], &[u8]),
    bytes: usize,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let algorithm = algorithm(hash)?;
    let secret = match base {
        Base::Memory(secret) => secret.value(),
        Base::Device(device) if hash == Hash::Sha256 => {
            let mut out = Zeroizing::new(std::vec![0; bytes]);
            device.prf_sha256(label, &[seeds.0, seeds.1].concat(), &mut out)?;
            return Ok(out);
        }
        Base::Device(_) => return Err(Error::KeyFunctionNotPermitted),
    };
    let secret = tls_prf::Secret::new(algorithm, secret).map_err(|_| Error::KeySizeRange)?;
    let out = secret.derive_with_seed_concatination(label, seeds.0, seeds.1, bytes);
    Ok(Zeroizing::new(out.map_err(|_| LIBRARY)?.as_ref().to_vec()))
}

/// The hashes that cipher suites of TLS 1.2 name.
const fn algorithm(hash: Hash) -> Result<&'static tls_prf::Algorithm, Error> {
    Ok(match hash {
        Hash::Sha256 => &tls_prf::P_SHA256,
        Hash::Sha384 => &tls_prf::P_SHA384,
        Hash::Sha512 => &tls_prf::P_SHA512,
        _ => return Err(Error::MechanismParameterInvalid),
    })
}

fn randoms<'a>(client: &'a [u8], server: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Error> {
    if client.len() != RANDOM_BYTES || server.len() != RANDOM_BYTES {
        return Err(Error::MechanismParameterInvalid);
    }
    Ok((client, server))
}

/// The version before a premaster secret that comes from RSA, which is as long as a master secret.
fn version(with: bool, base: Base<'_>) -> Result<Option<(u8, u8)>, Error> {
    match base {
        _ if !with => Ok(None),
        Base::Memory(secret) => match secret.value() {
            [major, minor, ..] if secret.bytes() == MASTER_BYTES => Ok(Some((*major, *minor))),
            _ => Err(Error::KeySizeRange),
        },
        Base::Device(_) => Err(Error::KeyFunctionNotPermitted),
    }
}

/// RFC 5246, 8.1.
pub(crate) fn master(parameters: &Tls12MasterParameters, base: Base<'_>) -> Result<Derived, Error> {
    let version = version(parameters.with_version, base)?;
    let seeds = randoms(&parameters.client_random, &parameters.server_random)?;
    let secret = prf(parameters.hash, base, b"master secret", seeds, MASTER_BYTES)?;
    Ok(Derived::Master { secret, version })
}

/// RFC 7627, 4.
pub(crate) fn extended_master(
    parameters: &Tls12ExtendedMasterParameters,
    base: Base<'_>,
) -> Result<Derived, Error> {
    let version = version(parameters.with_version, base)?;
    if parameters.session_hash.len() != parameters.hash.bytes() {
        return Err(Error::MechanismParameterInvalid);
    }
    let seeds = (parameters.session_hash.as_slice(), &[][..]);
    let label = b"extended master secret";
    let secret = prf(parameters.hash, base, label, seeds, MASTER_BYTES)?;
    Ok(Derived::Master { secret, version })
}

/// RFC 5246, 6.3: here the server's random bytes come first.
pub(crate) fn key_block(parameters: &Tls12KeyAndMacParameters, base: Base<'_>) -> Result<KeyBlock, Error> {
    let (client, server) = randoms(&parameters.client_random, &parameters.server_random)?;
    let sizes = [parameters.mac_bytes, parameters.key_bytes, parameters.iv_bytes];
    if base.bytes() != MASTER_BYTES || sizes.iter().any(|bytes| *bytes > TLS_KEY_BYTES_MAX) {
        return Err(Error::MechanismParameterInvalid);
    }
    let bytes = 2 * sizes.iter().sum::<usize>();
    if bytes == 0 {
        return Err(Error::MechanismParameterInvalid);
    }
    let block = prf(parameters.hash, base, b"key expansion", (server, client), bytes)?;
    let mut rest = block.as_slice();
    let mut next = |bytes: usize| {
        let (taken, left) = rest.split_at_checked(bytes).unwrap_or((rest, &[]));
        rest = left;
        Zeroizing::new(taken.to_vec())
    };
    Ok(KeyBlock {
        client_mac: next(parameters.mac_bytes),
        server_mac: next(parameters.mac_bytes),
        client_key: next(parameters.key_bytes),
        server_key: next(parameters.key_bytes),
        client_iv: next(parameters.iv_bytes).to_vec(),
        server_iv: next(parameters.iv_bytes).to_vec(),
    })
}

/// RFC 5705, 4.
pub(crate) fn exported(
    parameters: &Tls12KdfParameters,
    base: Base<'_>,
    bytes: usize,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (client, server) = randoms(&parameters.client_random, &parameters.server_random)?;
    if parameters.label.is_empty() || parameters.label.len() > PARAMETER_BYTES_MAX {
        return Err(Error::MechanismParameterInvalid);
    }
    let mut tail = server.to_vec();
    if let Some(context) = &parameters.context {
        let length = u16::try_from(context.len()).map_err(|_| Error::MechanismParameterInvalid)?;
        tail.extend_from_slice(&length.to_be_bytes());
        tail.extend_from_slice(context);
    }
    prf(parameters.hash, base, &parameters.label, (client, &tail), bytes)
}

/// Bytes that a Finished message may verify with, at least (RFC 5246, 7.4.9).
const FINISHED_BYTES_MIN: usize = 12;

/// Whether these parameters make sense; asked before any data come.
pub(crate) fn check_finished(parameters: &TlsMacParameters) -> Result<(), Error> {
    algorithm(parameters.hash)?;
    if parameters.bytes < FINISHED_BYTES_MIN || parameters.bytes > super::mac::MAC_BYTES_MAX {
        return Err(Error::MechanismParameterInvalid);
    }
    Ok(())
}

/// RFC 5246, 7.4.9, over the hash of the handshake.
pub(crate) fn finished(
    parameters: &TlsMacParameters,
    base: &Secret,
    handshake: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let label: &[u8] = if parameters.server {
        b"server finished"
    } else {
        b"client finished"
    };
    prf(
        parameters.hash,
        Base::Memory(base),
        label,
        (handshake, &[]),
        parameters.bytes,
    )
}
