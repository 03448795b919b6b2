//! Every kind of certificate that is issued, as three other readers see it: x509-parser, x509-cert and the openssl command.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::net::IpAddr;

use common::{Ca, NOW, issue, name, root, serial, signer};
use identity::{
    Error, Explained as _, UnixMillis,
    certificate::Certificate,
    crypto::SoftwareKey,
    extension::{BasicConstraints, KeyUsage},
    issue::{AWS_ISSUED_COMMON_NAME, Prepared, Profile, Serial, SignError, Signer, Validity, prepare},
    key::{Curve, PublicKey, SignatureAlgorithm},
    name::Name,
    request::Request,
};
use x509_parser::prelude::FromDer as _;

const CODE: &str = "66a4e7b8c0d1f2039485766a4e7b8c0d1f2039485766a4e7b8c0d1f203948576";

fn key() -> SoftwareKey {
    SoftwareKey::generate(Curve::P256).unwrap()
}

fn common_name(text: &str) -> Name {
    Name::with_common_name(text).unwrap()
}

/// One of each kind, with the name that a failure prints.
fn one_of_each(root: &Ca, signer: &Ca) -> Vec<(&'static str, Certificate)> {
    let ca = &signer.certificate;
    let device = Profile::device(ca, Validity::days(NOW, 20 * 365).unwrap()).unwrap();
    let for_ever = Profile::device(ca, Validity::new(NOW, UnixMillis::NO_EXPIRY).unwrap()).unwrap();
    let ips: [IpAddr; 2] = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
    let server = Profile::server(
        ca,
        &["localhost", "*.example.org"],
        &ips,
        Validity::days(NOW, 396).unwrap(),
    );
    let verification = Profile::verification(ca, Validity::days(NOW, 6).unwrap()).unwrap();
    let aws = Profile::aws_issued(ca, NOW).unwrap();
    let leaf = |profile: &Profile, subject: &str| issue(profile, &signer.key, &key(), &common_name(subject));
    vec![
        ("root", root.certificate.clone()),
        ("signer", signer.certificate.clone()),
        ("device", leaf(&device, "bm-000001")),
        ("device for ever", leaf(&for_ever, "bm-000002")),
        ("simulated device", leaf(&device.clone().simulated(), "bm-000003")),
        ("server", leaf(&server.unwrap(), "localhost")),
        ("verification", leaf(&verification, CODE)),
        ("aws", leaf(&aws, AWS_ISSUED_COMMON_NAME)),
    ]
}

#[test]
fn other_readers_see_what_was_issued() {
    let root = root();
    let signer = signer(&root);
    for (kind, certificate) in one_of_each(&root, &signer) {
        let (rest, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate.der()).unwrap();
        assert!(rest.is_empty());
        let issuer = if kind == "root" || kind == "signer" {
            &root
        } else {
            &signer
        };
        let (_, issuer_parsed) =
            x509_parser::certificate::X509Certificate::from_der(issuer.certificate.der()).unwrap();
        assert_eq!(parsed.issuer(), issuer_parsed.subject(), "{kind}");
        assert!(
            certificate.is_signed_by(issuer.key.public_key()).is_ok(),
            "{kind}"
        );
        assert_eq!(parsed.raw_serial().len(), 16, "{kind}");
        let key_id = certificate.public_key().key_id();
        assert_eq!(certificate.subject_key_id(), Some(&key_id[..]), "{kind}");
        let authority = if kind == "root" {
            None
        } else {
            issuer.certificate.subject_key_id()
        };
        assert_eq!(certificate.authority_key_id(), authority, "{kind}");
        let constraints = parsed.basic_constraints().unwrap().unwrap();
        assert!(constraints.critical, "{kind}");
        assert_eq!(constraints.value.ca, matches!(kind, "root" | "signer"), "{kind}");
        assert!(parsed.key_usage().unwrap().unwrap().critical, "{kind}");

        // x509-cert writes what it has read: equal bytes mean that every part is the one and only DER of its value.
        use x509_cert::der::{Decode as _, Encode as _};
        let other = x509_cert::Certificate::from_der(certificate.der()).unwrap();
        assert_eq!(other.to_der().unwrap(), certificate.der(), "{kind}");
    }
}

#[test]
fn each_kind_is_good_for_its_purpose_and_no_other() {
    let root = root();
    let signer = signer(&root);
    let all = one_of_each(&root, &signer);
    let find = |wanted: &str| all.iter().find(|(kind, _)| *kind == wanted).unwrap().1.clone();
    let ca_usage = KeyUsage::KEY_CERT_SIGN.and(KeyUsage::CRL_SIGN);
    let end = |year: &str| format!("{year}-12-31T23:59:59.000Z");

    let path = |kind: &str| find(kind).basic_constraints();
    assert_eq!(
        path("root"),
        Some(BasicConstraints {
            ca: true,
            path_len: None
        })
    );
    assert_eq!(
        path("signer"),
        Some(BasicConstraints {
            ca: true,
            path_len: Some(0)
        })
    );
    for (kind, usage, client, server) in [
        ("root", ca_usage, false, false),
        ("signer", ca_usage, false, false),
        ("device", KeyUsage::DIGITAL_SIGNATURE, true, false),
        ("simulated device", KeyUsage::DIGITAL_SIGNATURE, true, false),
        ("server", KeyUsage::DIGITAL_SIGNATURE, false, true),
        ("verification", KeyUsage::DIGITAL_SIGNATURE, false, false),
        ("aws", KeyUsage::DIGITAL_SIGNATURE, false, false),
    ] {
        let certificate = find(kind);
        assert_eq!(certificate.key_usage(), Some(usage), "{kind}");
        let purposes = certificate.extended_key_usage();
        assert_eq!(
            purposes.is_some_and(|purposes| purposes.client_auth()),
            client,
            "{kind}"
        );
        assert_eq!(
            purposes.is_some_and(|purposes| purposes.server_auth()),
            server,
            "{kind}"
        );
        assert_eq!(
            certificate.is_simulated(),
            kind.starts_with("simulated"),
            "{kind}"
        );
    }
    let twenty_years = find("device").not_after().since(NOW) / UnixMillis::DAY;
    assert_eq!(twenty_years, 20 * 365);
    assert_eq!(find("device for ever").not_after().to_rfc3339(), end("9999"));
    assert_eq!(find("aws").not_after().to_rfc3339(), end("2049"));
    assert_eq!(find("server").alternative_names().len(), 4);
    assert!(find("device").is_valid_at(NOW) && !find("verification").is_valid_at(NOW.plus_days(7)));
}

#[test]
fn certificates_of_every_curve_and_of_rsa_are_issued() {
    let subject = name("Other Root");
    let keys = [Curve::P256, Curve::P384, Curve::P521].map(|curve| SoftwareKey::generate(curve).unwrap());
    let rsa = SoftwareKey::generate_rsa(2048).unwrap();
    for ca in keys.iter().chain([&rsa]) {
        let profile = Profile::root(ca.public_key(), &subject, Validity::days(NOW, 1).unwrap());
        let certificate = issue(&profile, ca, ca, &subject);
        let device = Profile::device(&certificate, Validity::days(NOW, 1).unwrap()).unwrap();
        for leaf in keys
            .iter()
            .chain([&rsa])
            .filter(|leaf| leaf.public_key() != ca.public_key())
        {
            let issued = issue(&device, ca, leaf, &common_name("x"));
            let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(issued.der()).unwrap();
            assert_eq!(parsed.public_key().raw, leaf.public_key().spki_der());
            let pem = leaf.pkcs8_pem().unwrap();
            assert_eq!(
                SoftwareKey::from_pkcs8_pem(&pem).unwrap().public_key(),
                leaf.public_key()
            );
        }
    }
}

#[test]
fn profiles_refuse_what_they_are_not_for() {
    let root = root();
    let signer = signer(&root);
    let ca = &signer.certificate;
    let rule = |result: Result<Profile, Error>| matches!(result, Err(Error::Profile { .. }));
    let days = |days| Validity::new(NOW, NOW.plus_days(days)).unwrap();
    assert!(Profile::server(ca, &["a.example"], &[], days(397)).is_ok());
    assert!(rule(Profile::server(ca, &["a.example"], &[], days(398))));
    assert!(rule(Profile::server(ca, &[], &[], days(1))));
    assert!(Profile::server(ca, &["a b"], &[], days(1)).is_err());
    assert!(Profile::server(ca, &["a..b"], &[], days(1)).is_err());
    assert!(Profile::verification(ca, days(7)).is_ok());
    assert!(rule(Profile::verification(ca, days(8))));
    assert!(Validity::new(NOW, NOW.plus_days(-1)).is_err());
    assert!(Validity::new(NOW, UnixMillis::NO_EXPIRY.plus_millis(1_000)).is_err());

    let verification = Profile::verification(ca, days(7)).unwrap();
    let key = key();
    let try_subject = |profile: &Profile, subject: &Name| {
        prepare(profile, key.prove(subject).unwrap(), subject, &serial()).is_ok()
    };
    assert!(try_subject(&verification, &common_name(CODE)));
    for wrong in [
        common_name(&CODE[1..]),
        common_name(&(CODE.to_owned() + "0")),
        common_name(&CODE.replace('6', "g")),
        name(CODE),
    ] {
        assert!(!try_subject(&verification, &wrong), "{wrong}");
    }
    let device = issue(
        &Profile::device(ca, days(1)).unwrap(),
        &signer.key,
        &key,
        &common_name("x"),
    );
    assert!(rule(Profile::device(&device, days(1))));

    let other_root = Profile::root(key.public_key(), &name("A"), days(1));
    assert!(!try_subject(&other_root, &name("B")));
    let foreign = Profile::root(signer.key.public_key(), &name("A"), days(1));
    assert!(!try_subject(&foreign, &name("A")));
    let own_key = prepare(
        &verification,
        signer.key.prove(&common_name(CODE)).unwrap(),
        &common_name(CODE),
        &serial(),
    );
    assert!(own_key.is_err());
    assert!(
        Serial::new([0; 16]).is_err() && Serial::new([0x80; 16]).is_err() && Serial::new([1; 16]).is_ok()
    );
}

/// A signer that does something else than it should.
struct Broken<'a> {
    key: &'a SoftwareKey,
    answer: fn(&[u8], &SoftwareKey) -> Result<Vec<u8>, SignError>,
}

impl Signer for Broken<'_> {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        (self.answer)(message, self.key)
    }
}

#[test]
fn nothing_leaves_without_a_signature_that_verifies() {
    let root = root();
    let subject = common_name("bm-000001");
    let profile = Profile::device(&root.certificate, Validity::days(NOW, 1).unwrap()).unwrap();
    let prepared = || prepare(&profile, key().prove(&subject).unwrap(), &subject, &serial()).unwrap();
    assert_eq!(prepared().sign(&key()).err(), Some(Error::WrongSigner));
    let wrong = |_: &[u8], key: &SoftwareKey| key.sign(b"something else");
    let sign = |answer| {
        prepared().sign(&Broken {
            key: &root.key,
            answer,
        })
    };
    assert_eq!(
        sign(wrong).err(),
        Some(Error::BadSignature { what: "certificate" })
    );
    assert!(sign(|_, _| Ok(Vec::new())).is_err());
    assert!(sign(|_, _| Ok(vec![0; 5_000])).is_err());
    let refused = sign(|_, _| Err(SignError::Refused("the quota is used up".into()))).unwrap_err();
    assert_eq!(refused.code(), "identity.signer.refused");
}

#[test]
fn a_key_of_this_process_signs_what_verifies_and_only_for_its_own_certificate() {
    let root = root();
    let subject = common_name("bm-000001");
    let profile = Profile::device(&root.certificate, Validity::days(NOW, 1).unwrap()).unwrap();
    let prepared = || prepare(&profile, key().prove(&subject).unwrap(), &subject, &serial()).unwrap();
    let signed = prepared().sign_here(&root.key).unwrap();
    assert_eq!(signed.is_signed_by(root.certificate.public_key()), Ok(()));
    assert_eq!(prepared().sign_here(&key()).err(), Some(Error::WrongSigner));
}

#[test]
fn a_preparation_resumes_from_its_bytes_under_its_own_issuer_only() {
    let root = root();
    let signer = signer(&root);
    let subject = common_name("bm-000001");
    let profile = Profile::device(&signer.certificate, Validity::days(NOW, 1).unwrap()).unwrap();
    let prepared = prepare(&profile, key().prove(&subject).unwrap(), &subject, &serial()).unwrap();
    let kept = prepared.to_be_signed().to_vec();
    let first = prepared.sign(&signer.key).unwrap();
    let second = Prepared::resume(&kept, &signer.certificate)
        .unwrap()
        .sign(&signer.key)
        .unwrap();
    assert_eq!(first.tbs(), kept);
    assert_eq!(second.tbs(), kept);
    assert!(Prepared::resume(&kept, &root.certificate).is_err());
    assert!(Prepared::resume(&kept[1..], &signer.certificate).is_err());
    assert!(Prepared::resume(&[&kept[..], &[0]].concat(), &signer.certificate).is_err());
}

#[test]
fn the_traditional_form_of_an_rsa_key_is_what_pkcs8_wraps() {
    let rsa = SoftwareKey::generate_rsa(2048).unwrap();
    let pem = rsa.traditional_pem().unwrap();
    let inner = identity::pem::decode_one("RSA PRIVATE KEY", &pem).unwrap();
    let pkcs8 = rsa.to_pkcs8_der().unwrap();
    assert!(pkcs8.ends_with(&inner) && inner.starts_with(&[0x30, 0x82]));
    assert!(key().traditional_pem().is_err());
    assert!(SoftwareKey::from_pkcs8_der(&inner[1..]).is_err());
}

#[test]
fn a_digest_signed_elsewhere_fits_into_a_request() {
    for curve in [Curve::P256, Curve::P384, Curve::P521] {
        let key = SoftwareKey::generate(curve).unwrap();
        assert!(key.sign_digest(&[0; 7]).is_err());
    }
    let key = key();
    let tbs = identity::request::to_be_signed(&common_name("chip"), key.public_key());
    let signature = key.sign_digest(&identity::crypto::sha256(&tbs)).unwrap();
    let der = identity::request::assemble(&tbs, SignatureAlgorithm::EcdsaSha256, &signature);
    assert!(Request::parse(&der).unwrap().verify().is_ok());
    let (_, parsed) = x509_parser::certification_request::X509CertificationRequest::from_der(&der).unwrap();
    assert_eq!(
        parsed.certification_request_info.subject.as_raw(),
        common_name("chip").der()
    );
}
