//! Private keys as documents: PKCS #8 (RFC 5958), the form in which they are wrapped and in which a backend keeps them.
//!
//! What is written here is secret: each buffer is made in its final size, so that none grows and leaves a copy behind, and is
//! wiped when it goes.

use std::vec::Vec;

use identity::der::{Fault, Reader, Tag, Writer};
use identity::key::Curve;
use zeroize::Zeroizing;

use super::curve::{curve_of_parameters, curve_parameters};

/// id-ecPublicKey, with tag and length.
const EC: &[u8] = &[0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
/// rsaEncryption and its NULL.
const RSA: &[u8] = &[
    0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00,
];
/// id-X25519 (RFC 8410).
const X25519: &[u8] = &[0x06, 0x03, 0x2B, 0x65, 0x6E];
/// id-Ed25519 (RFC 8410).
const ED25519: &[u8] = &[0x06, 0x03, 0x2B, 0x65, 0x70];

/// What a document says it holds; the bytes are still inside of it.
pub(crate) enum Found<'a> {
    /// A key on a named curve; the library reads the document itself.
    Ec,
    /// An RSAPrivateKey (RFC 8017, A.1.2).
    Rsa(&'a [u8]),
    /// A seed.
    Ed25519(&'a [u8]),
    /// A number.
    X25519(&'a [u8]),
}

/// Looks into a document. `None` for what is no PKCS #8 or holds another kind of key.
pub(crate) fn read(pkcs8: &[u8]) -> Option<Found<'_>> {
    let (algorithm, key) = Reader::whole(pkcs8, |document| {
        document.sequence(|info| {
            let version = info.small()?;
            let algorithm = info.expect(Tag::SEQUENCE)?.content;
            let key = info.octets()?;
            // Attributes, and from version 2 on the public key.
            info.optional(Tag::context_constructed(0))?;
            info.optional(Tag::context(1))?;
            if version > 1 {
                return Err(Fault::Content);
            }
            Ok((algorithm, key))
        })
    })
    .ok()?;
    match algorithm {
        RSA => Some(Found::Rsa(key)),
        ED25519 => Some(Found::Ed25519(inner(key)?)),
        X25519 => Some(Found::X25519(inner(key)?)),
        _ => curve_of_parameters(algorithm.strip_prefix(EC)?).map(|_| Found::Ec),
    }
}

/// CurvePrivateKey (RFC 8410, 7).
fn inner(key: &[u8]) -> Option<&[u8]> {
    Reader::whole(key, Reader::octets).ok()
}

/// As many as the longest number has bytes.
const ZEROS: &[u8] = &[0; 66];

/// An EC key from its number alone; zeros before it do not matter. `None` if the number is too long.
pub(crate) fn write_ec(curve: Curve, scalar: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let start = scalar.iter().position(|byte| *byte != 0).unwrap_or(scalar.len());
    let digits = scalar.get(start..)?;
    let zeros = curve.coordinate_bytes().checked_sub(digits.len())?;
    let number = secret_element(Tag::OCTET_STRING, &[ZEROS.get(..zeros)?, digits]);
    let key = secret_element(Tag::SEQUENCE, &[&[0x02, 0x01, 0x01], &number]);
    Some(write(&[EC, curve_parameters(curve)], &key))
}

/// An Ed25519 seed.
pub(crate) fn write_ed25519(seed: &[u8]) -> Zeroizing<Vec<u8>> {
    write(&[ED25519], &secret_element(Tag::OCTET_STRING, &[seed]))
}

/// An X25519 number.
pub(crate) fn write_x25519(scalar: &[u8]) -> Zeroizing<Vec<u8>> {
    write(&[X25519], &secret_element(Tag::OCTET_STRING, &[scalar]))
}

/// An RSAPrivateKey.
pub(crate) fn write_rsa(der: &[u8]) -> Zeroizing<Vec<u8>> {
    write(&[RSA], der)
}

/// The document of an Ed25519 public key (RFC 8410, 4).
pub(crate) fn spki_ed25519(point: &[u8]) -> Vec<u8> {
    spki(ED25519, point)
}

/// The document of an X25519 public key.
pub(crate) fn spki_x25519(point: &[u8]) -> Vec<u8> {
    spki(X25519, point)
}

fn spki(algorithm: &[u8], point: &[u8]) -> Vec<u8> {
    Writer::build(|writer| {
        writer.sequence(|spki| {
            spki.sequence(|identifier| identifier.raw(algorithm));
            spki.whole_bits(point);
        });
    })
}

fn write(algorithm: &[&[u8]], key: &[u8]) -> Zeroizing<Vec<u8>> {
    let algorithm = secret_element(Tag::SEQUENCE, algorithm);
    let key = secret_element(Tag::OCTET_STRING, &[key]);
    secret_element(Tag::SEQUENCE, &[&[0x02, 0x01, 0x00], &algorithm, &key])
}

/// One element of DER; no key here is 64 KiB long.
pub(super) fn secret_element(tag: Tag, content: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let length: usize = content.iter().map(|part| part.len()).sum();
    let mut der = Zeroizing::new(Vec::with_capacity(length + 4));
    der.push(tag.0);
    match length {
        0..0x80 => der.push(length as u8),
        0x80..0x100 => der.extend_from_slice(&[0x81, length as u8]),
        _ => der.extend_from_slice(&[0x82, (length >> 8) as u8, length as u8]),
    }
    for part in content {
        der.extend_from_slice(part);
    }
    der
}
