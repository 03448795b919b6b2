//! A small hierarchy for the tests: a root, a signer under it, and the moment at which everything happens.
#![allow(dead_code, reason = "not every test file needs all of it")]

use identity::{
    UnixMillis,
    certificate::Certificate,
    crypto::{self, SoftwareKey},
    issue::{Profile, Serial, Signer as _, Validity, prepare},
    key::Curve,
    name::{AttributeKind, Name},
};

/// 2026-11-22T00:00:00Z.
pub(crate) const NOW: UnixMillis = UnixMillis::from_seconds(1_795_305_600);

/// A CA: its key and its certificate.
pub(crate) struct Ca {
    pub(crate) key: SoftwareKey,
    pub(crate) certificate: Certificate,
}

pub(crate) fn serial() -> Serial {
    let mut bytes = [0; 16];
    crypto::random(&mut bytes).unwrap();
    Serial::from_random(bytes)
}

pub(crate) fn name(common_name: &str) -> Name {
    Name::build(&[
        (AttributeKind::Country, "DE"),
        (AttributeKind::Organization, "Example GmbH"),
        (AttributeKind::CommonName, common_name),
    ])
    .unwrap()
}

pub(crate) fn root() -> Ca {
    let key = SoftwareKey::generate(Curve::P256).unwrap();
    let subject = name("Example Root");
    let profile = Profile::root(key.public_key(), &subject, Validity::days(NOW, 30 * 365).unwrap());
    let proven = key.prove(&subject).unwrap();
    let certificate = prepare(&profile, proven, &subject, &serial())
        .unwrap()
        .sign(&key)
        .unwrap();
    Ca { key, certificate }
}

pub(crate) fn signer(root: &Ca) -> Ca {
    let profile = Profile::signer_ca(&root.certificate, Validity::days(NOW, 25 * 365).unwrap()).unwrap();
    let key = SoftwareKey::generate(Curve::P256).unwrap();
    let certificate = issue(&profile, &root.key, &key, &name("Example Signer 1"));
    Ca { key, certificate }
}

pub(crate) fn issue(profile: &Profile, ca: &SoftwareKey, key: &SoftwareKey, subject: &Name) -> Certificate {
    prepare(profile, key.prove(subject).unwrap(), subject, &serial())
        .unwrap()
        .sign(ca)
        .unwrap()
}
