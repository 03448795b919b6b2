//! Attributes that follow from others: what a certificate says, what a public key looks like, and the defaults of the table.

use std::vec::Vec;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use identity::UnixMillis;
use identity::certificate::Certificate;
use identity::der::{Tag, Writer};
use identity::key::{KeyKind, PublicKey};

use super::rules;
use crate::attribute::{AttributeKind as A, Class, Value};
use crate::attributes::Attributes;
use crate::crypto::curve_parameters;
use crate::mechanism::KeyType;

const CHECK_VALUE_BYTES: usize = 3;
const AUTHORITY: u64 = 2;
const USER: u64 = 1;

/// Adds what follows from what is there, and then the defaults. What is there already is left as it is.
pub(crate) fn complete(attributes: &mut Attributes) {
    match attributes.class() {
        Some(Class::Certificate) => certificate(attributes),
        Some(Class::PublicKey | Class::PrivateKey) => key(attributes),
        _ => {}
    }
    let Some(class) = attributes.class() else { return };
    for rule in rules::all(class, attributes.key_type()) {
        if let Some(default) = rule.default() {
            attributes.set_default(default.kind, default.value);
        }
    }
}

fn set_bytes(attributes: &mut Attributes, kind: A, value: Vec<u8>) {
    attributes.set_default(kind, Value::from(value));
}

fn certificate(attributes: &mut Attributes) {
    let value = attributes.bytes(A::Value).unwrap_or_default();
    let Ok(certificate) = Certificate::parse(value) else {
        return;
    };
    let check = sha1(certificate.der());
    set_bytes(
        attributes,
        A::CheckValue,
        check.get(..CHECK_VALUE_BYTES).unwrap_or_default().to_vec(),
    );
    set_bytes(attributes, A::Subject, certificate.subject().der().to_vec());
    set_bytes(attributes, A::Issuer, certificate.issuer().der().to_vec());
    let serial = Writer::build(|writer| writer.element(Tag::INTEGER, certificate.serial()));
    set_bytes(attributes, A::SerialNumber, serial);
    set_bytes(attributes, A::StartDate, date(certificate.not_before()));
    set_bytes(attributes, A::EndDate, date(certificate.not_after()));
    let category = if certificate.is_ca() { AUTHORITY } else { USER };
    attributes.set_default(A::CertificateCategory, Value::Number(category));
    let key = certificate.public_key();
    set_bytes(attributes, A::PublicKeyInfo, key.spki_der().to_vec());
    set_bytes(attributes, A::HashOfSubjectPublicKey, sha1(key.bits()));
    if certificate.is_self_issued() {
        set_bytes(attributes, A::HashOfIssuerPublicKey, sha1(key.bits()));
    }
    identify(attributes, key);
}

fn key(attributes: &mut Attributes) {
    let Some(info) = attributes.bytes(A::PublicKeyInfo) else {
        return;
    };
    let Ok(key) = PublicKey::from_spki_der(info) else {
        return;
    };
    identify(attributes, &key);
    if let KeyKind::Ec(curve) = key.kind() {
        attributes.set_default(A::KeyType, Value::Number(KeyType::Ec.number()));
        set_bytes(attributes, A::EcParams, curve_parameters(curve).to_vec());
        if attributes.class() == Some(Class::PublicKey) {
            set_bytes(
                attributes,
                A::EcPoint,
                octet_string(key.ec_point().unwrap_or_default()),
            );
        }
    }
}

/// One number for a private key, its public key and its certificate: the left 160 bits of the SHA-256 of the point (RFC 7093,
/// method 1), where older tokens use SHA-1. A program that wants to give its own later gives it; empty is as good as none.
fn identify(attributes: &mut Attributes, key: &PublicKey) {
    if attributes.bytes(A::Id).unwrap_or_default().is_empty() {
        attributes.set(A::Id, Value::from(key.key_id().to_vec()));
    }
}

/// A point as an attribute has it.
pub(crate) fn octet_string(point: &[u8]) -> Vec<u8> {
    Writer::build(|writer| writer.element(Tag::OCTET_STRING, point))
}

fn sha1(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}

/// `CK_DATE`: eight digits.
fn date(moment: UnixMillis) -> Vec<u8> {
    let civil = moment.civil();
    std::format!("{:04}{:02}{:02}", civil.year, civil.month, civil.day).into_bytes()
}
