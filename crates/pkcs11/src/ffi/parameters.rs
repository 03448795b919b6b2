//! Mechanisms of C as mechanisms of `token`: the parameter's bytes become what the mechanism wants.

use cryptoki_sys::{CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID};
use token::{Mechanism, MechanismType};

use super::Fault;

/// The mechanism with this number and these bytes as parameter.
pub(super) fn mechanism(number: u64, parameter: &[u8]) -> Result<Mechanism, Fault> {
    let kind = MechanismType::from_number(number).ok_or(Fault(CKR_MECHANISM_INVALID))?;
    let bare = bare(kind).ok_or(Fault(CKR_MECHANISM_INVALID))?;
    if parameter.is_empty() {
        Ok(bare)
    } else {
        Err(Fault(CKR_MECHANISM_PARAM_INVALID))
    }
}

/// Mechanisms that take no parameter.
fn bare(kind: MechanismType) -> Option<Mechanism> {
    match (kind, kind.hash()) {
        (MechanismType::EcKeyPairGen, _) => Some(Mechanism::EcKeyPairGen),
        (MechanismType::Ecdsa, _) => Some(Mechanism::Ecdsa(None)),
        (_, Some(hash)) if hash.digest() == kind => Some(Mechanism::Digest(hash)),
        (_, Some(hash)) if hash.ecdsa() == kind => Some(Mechanism::Ecdsa(Some(hash))),
        _ => None,
    }
}
