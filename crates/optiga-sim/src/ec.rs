//! Elliptic curves as the chip stores and speaks them: keys as scalar and point, signatures as two integers without a sequence
//! around them.

use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::signature::{
    EcdsaKeyPair, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, KeyPair, UnparsedPublicKey,
};
use aws_lc_rs::{agreement, digest, signature};
use zeroize::Zeroizing;

/// The curves of the Trust X.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
}

impl Curve {
    /// The algorithm identifier of the command layer.
    pub(crate) const fn from_wire(code: u8) -> Option<Self> {
        match code {
            3 => Some(Self::P256),
            4 => Some(Self::P384),
            _ => None,
        }
    }

    pub(crate) const fn to_wire(self) -> u8 {
        match self {
            Self::P256 => 3,
            Self::P384 => 4,
        }
    }

    /// Bytes of a scalar, of a coordinate, and of the longest digest.
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }

    fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
            Self::P384 => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
        }
    }

    fn verifying(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Self::P256 => &signature::ECDSA_P256_SHA256_ASN1,
            Self::P384 => &signature::ECDSA_P384_SHA384_ASN1,
        }
    }

    fn agreeing(self) -> &'static agreement::Algorithm {
        match self {
            Self::P256 => &agreement::ECDH_P256,
            Self::P384 => &agreement::ECDH_P384,
        }
    }

    /// A digest shorter than the key is a number: it gets zeros on its left.
    fn pad(self, bytes: &[u8]) -> Option<digest::Digest> {
        let mut padded = [0; 48];
        let padded = padded.get_mut(..self.bytes())?;
        padded
            .get_mut(self.bytes().checked_sub(bytes.len())?..)?
            .copy_from_slice(bytes);
        let algorithm = match self {
            Self::P256 => &digest::SHA256,
            Self::P384 => &digest::SHA384,
        };
        digest::Digest::import_less_safe(padded, algorithm).ok()
    }
}

/// A key pair as the memory holds it: the scalar, then the uncompressed point.
pub(crate) type StoredKey = Zeroizing<Vec<u8>>;

/// A key pair that is ready to sign, and how it is stored.
pub(crate) struct Generated {
    pub(crate) pair: EcdsaKeyPair,
    pub(crate) stored: StoredKey,
}

/// A new key pair from the machine's randomness.
pub(crate) fn generate(curve: Curve) -> Option<Generated> {
    let pair = EcdsaKeyPair::generate(curve.signing()).ok()?;
    let scalar = pair.private_key().as_be_bytes().ok()?;
    let stored = Zeroizing::new([scalar.as_ref(), pair.public_key().as_ref()].concat());
    Some(Generated { pair, stored })
}

/// The key pair with this scalar, as it is stored.
pub(crate) fn store_scalar(curve: Curve, scalar: &[u8]) -> Option<StoredKey> {
    let key = agreement::PrivateKey::from_private_key(curve.agreeing(), scalar).ok()?;
    let point = key.compute_public_key().ok()?;
    Some(Zeroizing::new([scalar, point.as_ref()].concat()))
}

/// The uncompressed point of a stored key.
pub(crate) fn point(curve: Curve, stored: &[u8]) -> &[u8] {
    stored.get(curve.bytes()..).unwrap_or_default()
}

/// Makes a stored key ready to sign.
pub(crate) fn load(curve: Curve, stored: &[u8]) -> Option<EcdsaKeyPair> {
    let (scalar, point) = stored.split_at_checked(curve.bytes())?;
    EcdsaKeyPair::from_private_key_and_public_key(curve.signing(), scalar, point).ok()
}

/// r and s as two DER integers, one after the other.
pub(crate) fn sign(pair: &EcdsaKeyPair, curve: Curve, digest: &[u8]) -> Option<Vec<u8>> {
    let signature = pair.sign_digest(&curve.pad(digest)?).ok()?;
    // Up to P-384 the sequence around the integers has a head of two bytes.
    signature.as_ref().get(2..).map(<[u8]>::to_vec)
}

/// r and s without any head, each as long as the key.
pub(crate) fn bare(curve: Curve, integers: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; 2 * curve.bytes()];
    let mut rest = integers;
    for room in out.chunks_mut(curve.bytes()) {
        let [0x02, length, tail @ ..] = rest else {
            return None;
        };
        let (number, tail) = tail.split_at_checked(usize::from(*length))?;
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        room.get_mut(curve.bytes().checked_sub(number.len())?..)?
            .copy_from_slice(number);
        rest = tail;
    }
    rest.is_empty().then_some(out)
}

/// Whether the two integers are a signature of the digest by the key with this point.
pub(crate) fn verifies(curve: Curve, point: &[u8], digest: &[u8], integers: &[u8]) -> bool {
    let Some(digest) = curve.pad(digest) else {
        return false;
    };
    let Ok(length @ 0..=0x7F) = u8::try_from(integers.len()) else {
        return false;
    };
    let sequence = [&[0x30, length], integers].concat();
    UnparsedPublicKey::new(curve.verifying(), point)
        .verify_digest(&digest, &sequence)
        .is_ok()
}

/// Whether the bytes are an uncompressed point on the curve.
pub(crate) fn is_on_curve(curve: Curve, point: &[u8]) -> bool {
    let uncompressed = point.first() == Some(&4) && point.len() == 1 + 2 * curve.bytes();
    let key = agreement::UnparsedPublicKey::new(curve.agreeing(), point);
    uncompressed && agreement::ParsedPublicKey::try_from(key).is_ok()
}

/// The x coordinate of the shared point.
pub(crate) fn agree(curve: Curve, stored: &[u8], peer: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let scalar = stored.get(..curve.bytes())?;
    let key = agreement::PrivateKey::from_private_key(curve.agreeing(), scalar).ok()?;
    let peer = agreement::UnparsedPublicKey::new(curve.agreeing(), peer);
    agreement::agree(&key, peer, (), |secret| Ok(Zeroizing::new(secret.to_vec()))).ok()
}

/// A public key as a command carries it: a DER BIT STRING with the uncompressed point.
pub(crate) fn push_bit_string(out: &mut Vec<u8>, point: &[u8]) {
    out.extend_from_slice(&[0x03, (point.len() + 1) as u8, 0]);
    out.extend_from_slice(point);
}

/// The point in such a BIT STRING.
pub(crate) fn read_bit_string(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [0x03, length, 0, point @ ..] if usize::from(*length) == point.len() + 1 => Some(point),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_two_integers_and_verifies_under_its_own_key_only() {
        for curve in [Curve::P256, Curve::P384] {
            let (key, other) = (generate(curve).unwrap(), generate(curve).unwrap());
            for digest in [&[7; 10][..], &[7; 32]] {
                let signature = sign(&key.pair, curve, digest).unwrap();
                assert_eq!(signature[0], 0x02);
                assert!(verifies(curve, point(curve, &key.stored), digest, &signature));
                assert!(!verifies(curve, point(curve, &other.stored), digest, &signature));
                assert!(!verifies(curve, point(curve, &key.stored), &[8; 10], &signature));
            }
            let reloaded = load(curve, &key.stored).unwrap();
            let signature = sign(&reloaded, curve, &[1; 20]).unwrap();
            assert!(verifies(curve, point(curve, &key.stored), &[1; 20], &signature));
            let too_long = vec![1; curve.bytes() + 1];
            assert!(sign(&reloaded, curve, &too_long).is_none());
        }
    }

    #[test]
    fn both_sides_agree_on_one_secret() {
        for curve in [Curve::P256, Curve::P384] {
            let (ours, theirs) = (generate(curve).unwrap().stored, generate(curve).unwrap().stored);
            let secret = agree(curve, &ours, point(curve, &theirs)).unwrap();
            assert_eq!(secret.len(), curve.bytes());
            assert_eq!(secret, agree(curve, &theirs, point(curve, &ours)).unwrap());
            assert!(is_on_curve(curve, point(curve, &ours)));
            let mut off_curve = point(curve, &ours).to_vec();
            off_curve[5] ^= 1;
            assert!(!is_on_curve(curve, &off_curve));
            assert!(agree(curve, &ours, &off_curve).is_none());
        }
    }

    #[test]
    fn bit_strings_hold_a_point_or_nothing() {
        let mut out = vec![];
        push_bit_string(&mut out, &[4; 65]);
        assert_eq!(out[..3], [0x03, 0x42, 0x00]);
        assert_eq!(read_bit_string(&out), Some(&[4; 65][..]));
        for broken in [&[][..], &[3, 2, 1, 4], &[3, 3, 0, 4], &[4, 2, 0, 4]] {
            assert_eq!(read_bit_string(broken), None);
        }
    }
}
