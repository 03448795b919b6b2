//! A key that stays in its device.

use std::sync::Arc;
use std::vec::Vec;

use identity::key::Curve;
use zeroize::Zeroizing;

use crate::error::Error;

/// What a device computes with one of its private keys. The device locks inside as it needs; threads may call at once.
pub trait HardwareKey: Send + Sync {
    /// Signs a digest that is no longer than the curve; writes `r ‖ s`, both of the curve's size, and says how many bytes.
    fn sign_digest(&self, curve: Curve, digest: &[u8], out: &mut [u8]) -> Result<usize, Error>;

    /// Agrees with another's public point (`04 ‖ x ‖ y`) on a secret: the raw X coordinate, as long as the curve.
    fn agree(&self, curve: Curve, point: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error>;

    /// The same, and leaves the secret in the device. `None` if it can not stay there.
    fn agree_inside(&self, _curve: Curve, _point: &[u8]) -> Result<Option<Arc<dyn HardwareSecret>>, Error> {
        Ok(None)
    }

    /// Verifies `r ‖ s` over a digest that is no longer than the curve, for a public key that the device is to use itself.
    fn verify_digest(&self, _curve: Curve, _digest: &[u8], _signature: &[u8]) -> Result<(), Error> {
        Err(Error::KeyFunctionNotPermitted)
    }
}

/// A secret that stays in its device, for as long as this lives.
pub trait HardwareSecret: Send + Sync {
    /// How many bytes it has.
    fn bytes(&self) -> usize;

    /// The pseudo-random function of TLS 1.2 with SHA-256 (RFC 5246, 5): as many bytes as `out` has.
    fn prf_sha256(&self, label: &[u8], seed: &[u8], out: &mut [u8]) -> Result<(), Error>;
}
