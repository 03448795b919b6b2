//! Certificates and requests of other software, read as `vectors/identity` says, and beside two other readers.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise"
)]

use std::{fs, path::PathBuf};

use identity::{
    Error, UnixMillis,
    certificate::Certificate,
    der::{Fault, Reader, Tag, Writer},
    extension::{AlternativeName, BasicConstraints, KeyUsage},
    key::{Curve, KeyKind, SignatureAlgorithm},
    name::{AttributeKind, Name},
    request::Request,
};
use x509_parser::prelude::FromDer as _;

#[expect(clippy::disallowed_methods, reason = "tests read their vectors")]
fn vector(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../vectors/identity")
        .join(name);
    fs::read(&path).expect(name)
}

fn certificate(name: &str) -> Certificate {
    Certificate::parse(&vector(&format!("{name}.der"))).expect(name)
}

#[test]
fn keys_and_algorithms_are_known() {
    use SignatureAlgorithm::{
        EcdsaSha256, EcdsaSha384, EcdsaSha512, RsaPkcs1Sha256, RsaPkcs1Sha384, RsaPkcs1Sha512,
    };
    for (name, kind, algorithm) in [
        ("ca-p384", KeyKind::Ec(Curve::P384), Some(EcdsaSha384)),
        ("ca-rsa2048", KeyKind::Rsa { bits: 2048 }, Some(RsaPkcs1Sha256)),
        ("device-p256", KeyKind::Ec(Curve::P256), Some(EcdsaSha256)),
        ("device-p521", KeyKind::Ec(Curve::P521), Some(EcdsaSha512)),
        (
            "device-rsa3072-sha384",
            KeyKind::Rsa { bits: 3072 },
            Some(RsaPkcs1Sha384),
        ),
        (
            "device-rsa2048-sha512",
            KeyKind::Rsa { bits: 2048 },
            Some(RsaPkcs1Sha512),
        ),
        ("device-rsa-pss", KeyKind::Rsa { bits: 2048 }, None),
        ("device-rsa-sha1", KeyKind::Rsa { bits: 2048 }, None),
        ("version-1", KeyKind::Ec(Curve::P256), Some(EcdsaSha256)),
    ] {
        let certificate = certificate(name);
        assert_eq!(certificate.public_key().kind(), kind, "{name}");
        assert_eq!(certificate.signature_algorithm(), algorithm, "{name}");
        let signed = certificate.is_signed_by(certificate.public_key());
        let expected = if algorithm.is_some() {
            Ok(())
        } else {
            Err(Error::UnsupportedAlgorithm)
        };
        assert_eq!(signed, expected, "{name}");
    }
}

#[test]
fn a_signature_of_another_key_is_refused() {
    let (device, other) = (certificate("device-p256"), certificate("ca-p384"));
    assert_eq!(
        device.is_signed_by(other.public_key()),
        Err(Error::BadSignature { what: "certificate" })
    );
    let rsa = certificate("ca-rsa2048");
    assert_eq!(
        device.is_signed_by(rsa.public_key()),
        Err(Error::UnsupportedAlgorithm)
    );
    let mut der = vector("device-p256.der");
    let last = der.len() - 1;
    der[last] ^= 1;
    let changed = Certificate::parse(&der).unwrap();
    assert!(changed.is_signed_by(device.public_key()).is_err());
}

#[test]
fn every_attribute_that_a_template_can_name_is_read() {
    let certificate = certificate("device-p256");
    let subject = certificate.subject();
    for (kind, value) in [
        (AttributeKind::Country, "DE"),
        (AttributeKind::State, "Sachsen"),
        (AttributeKind::Locality, "Dresden"),
        (AttributeKind::Organization, "Example GmbH"),
        (AttributeKind::OrganizationalUnit, "Line 1"),
        (AttributeKind::CommonName, "bm-000001"),
        (AttributeKind::SerialNumber, "4711"),
        (AttributeKind::DnQualifier, "q"),
        (AttributeKind::Title, "t"),
        (AttributeKind::Surname, "sur"),
        (AttributeKind::GivenName, "giv"),
        (AttributeKind::Initials, "i"),
        (AttributeKind::Pseudonym, "p"),
        (AttributeKind::GenerationQualifier, "III"),
    ] {
        assert_eq!(subject.first(&kind), Some(value));
    }
    assert_eq!(
        subject
            .all(&AttributeKind::OrganizationalUnit)
            .collect::<Vec<_>>(),
        ["Line 1", "Line 2"]
    );
    assert_eq!(
        subject.to_string(),
        "1.2.840.113549.1.9.1=a@example.org,generationQualifier=III,pseudonym=p,initials=i,GN=giv,SN=sur,title=t,\
         dnQualifier=q,serialNumber=4711,CN=bm-000001,OU=Line 2,OU=Line 1,O=Example GmbH,L=Dresden,ST=Sachsen,C=DE"
    );
    assert!(certificate.is_self_issued());
}

#[test]
fn extensions_are_read_and_unknown_critical_ones_kept() {
    let device = certificate("device-p256");
    assert_eq!(
        device.basic_constraints(),
        Some(BasicConstraints {
            ca: false,
            path_len: None
        })
    );
    assert_eq!(
        device.key_usage(),
        Some(KeyUsage::DIGITAL_SIGNATURE.and(KeyUsage::KEY_AGREEMENT))
    );
    let purposes = device.extended_key_usage().unwrap();
    assert!(purposes.client_auth() && purposes.server_auth() && purposes.purposes().len() == 3);
    assert_eq!(device.subject_key_id().map(<[u8]>::len), Some(20));
    assert!(
        device
            .extensions()
            .any(|extension| extension.critical && extension.value.ends_with(b"critical"))
    );
    assert!(!device.is_ca() && !device.is_simulated());
    let directory = Name::build(&[
        (AttributeKind::Country, "DE"),
        (AttributeKind::CommonName, "elsewhere"),
    ]);
    let names = device.alternative_names();
    assert!(names.contains(&AlternativeName::Dns("device.example".into())));
    assert!(names.contains(&AlternativeName::Email("a@example.org".into())));
    assert!(names.contains(&AlternativeName::Ip("192.0.2.7".parse().unwrap())));
    assert!(names.contains(&AlternativeName::Ip("2001:db8::7".parse().unwrap())));
    assert!(names.contains(&AlternativeName::Uri(
        "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6".into()
    )));
    let found = names.iter().find_map(|name| match name {
        AlternativeName::Directory(name) => Some(name.to_string()),
        _ => None,
    });
    assert_eq!(found, Some(directory.unwrap().to_string()));
    assert!(names.contains(&AlternativeName::Other(0)) && names.contains(&AlternativeName::Other(8)));

    let ca = certificate("ca-p384");
    assert_eq!(
        ca.basic_constraints(),
        Some(BasicConstraints {
            ca: true,
            path_len: Some(3)
        })
    );
    assert!(ca.key_usage().unwrap().contains(KeyUsage::KEY_CERT_SIGN));
    assert_eq!(certificate("version-1").version(), 1);
    assert_eq!(certificate("version-1").extensions().count(), 0);
}

#[test]
fn old_string_types_become_text() {
    assert_eq!(
        certificate("name-bmp")
            .subject()
            .first(&AttributeKind::Organization),
        Some("Größe €")
    );
    assert_eq!(
        certificate("name-t61")
            .subject()
            .first(&AttributeKind::Organization),
        Some("Größe")
    );
    let multi = certificate("name-multi-valued");
    assert_eq!(multi.subject().common_name(), Some("multi"));
    assert_eq!(multi.subject().to_string(), "OU=x+serialNumber=12+CN=multi,C=DE");
}

/// The certificate with other extensions; its signature is no longer right, which reading does not look at.
fn with_extensions(
    certificate: &Certificate,
    change: impl FnOnce(&mut Vec<Vec<u8>>),
) -> Result<Certificate, Error> {
    let tbs = Reader::whole(certificate.tbs(), |reader| reader.expect(Tag::SEQUENCE))
        .unwrap()
        .content;
    let (mut reader, mut fields) = (Reader::new(tbs), Vec::new());
    while !reader.is_empty() {
        fields.push(reader.element().unwrap());
    }
    let list = Reader::new(fields.pop().unwrap().content)
        .expect(Tag::SEQUENCE)
        .unwrap()
        .content;
    let (mut reader, mut extensions) = (Reader::new(list), Vec::new());
    while !reader.is_empty() {
        extensions.push(reader.element().unwrap().bytes.to_vec());
    }
    change(&mut extensions);
    let tbs = Writer::build(|writer| {
        writer.sequence(|tbs| {
            fields.iter().for_each(|field| tbs.raw(field.bytes));
            tbs.nested(Tag::context_constructed(3), |outer| {
                outer.sequence(|list| extensions.iter().for_each(|extension| list.raw(extension)));
            });
        });
    });
    let algorithm = certificate.signature_algorithm().unwrap();
    Certificate::parse(&identity::request::assemble(
        &tbs,
        algorithm,
        certificate.signature(),
    ))
}

#[test]
fn extensions_occur_once_and_are_counted() {
    let device = certificate("device-p256");
    assert_eq!(with_extensions(&device, |_| ()), Ok(device.clone()));
    let twice = with_extensions(&device, |extensions| extensions.push(extensions[0].clone()));
    assert_eq!(
        twice,
        Err(Error::Malformed {
            what: "certificate extension",
            cause: Fault::Duplicate
        })
    );
    assert!(with_extensions(&device, Vec::clear).is_err());
    let many = |count: u8| {
        with_extensions(&device, |extensions| {
            *extensions = (0..count)
                .map(|number| {
                    Writer::build(|writer| {
                        writer.sequence(|extension| {
                            extension.element(Tag::OID, &[0x2a, number & 0x3f, number >> 6]);
                            extension.element(Tag::OCTET_STRING, &[]);
                        });
                    })
                })
                .collect();
        })
    };
    assert!(many(64).is_ok());
    assert!(matches!(many(65), Err(Error::TooLarge { limit: 64, .. })));
}

#[test]
fn an_algorithm_that_does_not_fit_the_key_is_refused() {
    let key = certificate("ca-rsa2048").public_key().clone();
    let tbs = identity::request::to_be_signed(&Name::with_common_name("x").unwrap(), &key);
    let request = |algorithm| Request::parse(&identity::request::assemble(&tbs, algorithm, &[0; 256]));
    assert!(request(SignatureAlgorithm::RsaPkcs1Sha256).is_ok());
    assert_eq!(
        request(SignatureAlgorithm::EcdsaSha256),
        Err(Error::UnsupportedAlgorithm)
    );
}

#[test]
fn requests_prove_their_keys() {
    let request = Request::parse(&vector("request-p256.der")).unwrap();
    assert_eq!(request.subject().first(&AttributeKind::SerialNumber), Some("7"));
    let proven = request.clone().verify().unwrap();
    assert_eq!(proven.public_key(), request.public_key());
    assert_eq!(proven.subject().common_name(), Some("bm-000001"));
    assert!(
        Request::parse(&vector("request-p384-extensions.der"))
            .unwrap()
            .verify()
            .is_ok()
    );
    let pem = String::from_utf8(vector("request-rsa-new-header.pem")).unwrap();
    assert!(Request::from_pem(&pem).unwrap().verify().is_ok());

    let mut der = vector("request-p256.der");
    let at = der.windows(3).position(|window| window == b"bm-").unwrap();
    der[at] = b'c';
    let lie = Request::parse(&der).unwrap().verify();
    assert_eq!(
        lie,
        Err(Error::BadSignature {
            what: "certification request"
        })
    );
    assert!(matches!(
        Request::parse(&[0x30; 4_097]),
        Err(Error::TooLarge { .. })
    ));
}

#[test]
fn keys_of_other_kinds_are_refused_by_name() {
    for name in ["refused-ed25519", "refused-secp256k1", "refused-compressed-point"] {
        let refused = Certificate::parse(&vector(&format!("{name}.der")));
        assert_eq!(refused.err(), Some(Error::UnsupportedKey), "{name}");
    }
}

#[test]
fn x509_parser_and_x509_cert_read_the_same() {
    for name in [
        "ca-p384",
        "ca-rsa2048",
        "device-p256",
        "device-p521",
        "device-rsa-pss",
        "device-rsa-sha1",
        "device-rsa2048-sha512",
        "device-rsa3072-sha384",
        "name-bmp",
        "name-multi-valued",
        "name-t61",
        "validity-beyond-2050",
        "version-1",
    ] {
        let ours = certificate(name);
        let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(ours.der()).unwrap();
        assert_eq!(ours.serial(), parsed.raw_serial(), "{name}");
        assert_eq!(ours.subject().der(), parsed.subject().as_raw(), "{name}");
        assert_eq!(ours.issuer().der(), parsed.issuer().as_raw(), "{name}");
        assert_eq!(
            ours.not_before(),
            UnixMillis::from_seconds(parsed.validity().not_before.timestamp()),
            "{name}"
        );
        assert_eq!(
            ours.not_after(),
            UnixMillis::from_seconds(parsed.validity().not_after.timestamp()),
            "{name}"
        );
        assert_eq!(ours.public_key().spki_der(), parsed.public_key().raw, "{name}");
        assert_eq!(ours.tbs(), parsed.tbs_certificate.as_ref(), "{name}");
        assert_eq!(ours.signature(), &*parsed.signature_value.data, "{name}");
        assert_eq!(ours.extensions().count(), parsed.extensions().len(), "{name}");
        assert_eq!(
            usize::from(ours.version()),
            parsed.version().0 as usize + 1,
            "{name}"
        );

        use x509_cert::der::Decode as _;
        let other = x509_cert::Certificate::from_der(ours.der());
        // x509-cert 0.2 knows no T.61 and no BMP strings outside of names it does not look into; where it reads, it agrees.
        if let Ok(other) = other {
            assert_eq!(ours.signature(), other.signature.raw_bytes(), "{name}");
        }
    }
}
