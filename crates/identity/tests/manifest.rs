//! Manifests: what was signed is read back, and nothing that was changed, forged or cut is.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use identity::crypto::SoftwareKey;
use identity::issue::Signer as _;
use identity::key::{Curve, PublicKey};
use identity::limits::MANIFEST_ENTRIES_MAX;
use identity::manifest::{self, Entry, KeyHash, Segment, Terms, jws, microchip, rows};
use identity::name::Name;
use identity::{CertificateId, Error, UnixMillis, issue};
use serde_json::{Value, json};

fn entry(number: u8) -> Entry {
    Entry {
        key: KeyHash([number; 32]),
        certificate: Some(CertificateId([number; 32])),
        unit: format!("0011{number}"),
        thing: Some("lamp-1".parse().unwrap()),
        parameters: BTreeMap::from([("reel".to_owned(), "R \"7\" ü".to_owned())]),
    }
}

fn segment() -> Segment {
    Segment {
        order: "spring.2026".to_owned(),
        terms: Terms {
            ca: CertificateId([7; 32]),
            count: 100,
            not_before: UnixMillis(0),
            not_after: UnixMillis(1_000),
            per_hour: 5,
        },
        sequence: 3,
        previous: [9; 32],
        entries: vec![entry(1), entry(2)],
    }
}

fn keys() -> Vec<SoftwareKey> {
    let mut keys: Vec<_> = [Curve::P256, Curve::P384, Curve::P521]
        .map(|curve| SoftwareKey::generate(curve).unwrap())
        .into();
    keys.push(SoftwareKey::generate_rsa(2048).unwrap());
    keys
}

#[test]
fn a_segment_is_read_back_whatever_key_signed_it() {
    for key in keys() {
        let (line, digest) = manifest::seal(&segment(), &key).unwrap();
        assert!(!line.contains('\n'));
        let opened = manifest::open(&line, |id| {
            (id == KeyHash::of(key.public_key())).then(|| key.public_key().clone())
        })
        .unwrap();
        assert_eq!((opened.segment, opened.digest), (segment(), digest));
        assert_eq!(opened.signer, KeyHash::of(key.public_key()));
        let glimpse = manifest::glimpse(&line).unwrap();
        assert_eq!(
            (glimpse.sequence, glimpse.devices, glimpse.digest),
            (3, 2, KeyHash(digest))
        );
    }
}

#[test]
fn a_segment_that_was_changed_or_signed_by_a_stranger_is_refused() {
    let (key, stranger) = (
        SoftwareKey::generate(Curve::P256).unwrap(),
        SoftwareKey::generate(Curve::P256).unwrap(),
    );
    let (line, _) = manifest::seal(&segment(), &key).unwrap();
    let open = |line: &str| manifest::open(line, |_| Some(key.public_key().clone()));
    assert!(open(&line).is_ok());
    assert_eq!(manifest::open(&line, |_| None), Err(Error::ManifestSigner));
    assert_eq!(
        manifest::open(&line, |_| Some(stranger.public_key().clone())),
        Err(Error::ManifestSigner)
    );
    let parts: Value = serde_json::from_str(&line).unwrap();
    let other = {
        let mut other = segment();
        other.entries.push(entry(3));
        let (line, _) = manifest::seal(&other, &key).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    for member in ["payload", "signature"] {
        let mut mixed = parts.clone();
        mixed[member] = other[member].clone();
        assert_eq!(
            open(&mixed.to_string()),
            Err(Error::BadSignature { what: "manifest" }),
            "{member}"
        );
    }
    let header = |change: Value| {
        let text = parts["protected"].as_str().unwrap();
        let mut header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
        for (name, value) in change.as_object().unwrap() {
            header[name] = value.clone();
        }
        let mut mixed = parts.clone();
        mixed["protected"] = URL_SAFE_NO_PAD.encode(header.to_string()).into();
        mixed.to_string()
    };
    // The header cannot choose how it is checked.
    for alg in ["none", "HS256", "ES384", "RS256", ""] {
        assert_eq!(
            open(&header(json!({ "alg": alg }))),
            Err(Error::UnsupportedAlgorithm),
            "{alg}"
        );
    }
    assert!(open(&header(json!({ "crit": ["b64"], "b64": false }))).is_err());
    assert!(open(&header(json!({ "typ": "JWT" }))).is_err());
    for text in [
        "",
        "{}",
        "[]",
        "null",
        &line[..line.len() - 1],
        &line.replace("payload", "payloads"),
    ] {
        assert!(open(text).is_err(), "{text}");
    }
}

#[test]
fn segments_beyond_their_limits_are_not_signed() {
    let key = SoftwareKey::generate(Curve::P256).unwrap();
    type Change = fn(&mut Segment);
    let changes: [Change; 9] = [
        |segment| segment.order = String::new(),
        |segment| segment.order = "a/b".to_owned(),
        |segment| segment.terms.count = 0,
        |segment| segment.terms.not_after = segment.terms.not_before,
        |segment| segment.sequence = 0,
        |segment| segment.entries.clear(),
        |segment| segment.entries = vec![entry(1); MANIFEST_ENTRIES_MAX + 1],
        |segment| segment.entries[0].unit = "u".repeat(257),
        |segment| segment.entries[0].parameters = BTreeMap::from([("a b".to_owned(), String::new())]),
    ];
    for change in changes {
        let mut changed = segment();
        change(&mut changed);
        assert!(manifest::seal(&changed, &key).is_err(), "{changed:?}");
    }
    let mut full = segment();
    full.entries = vec![entry(1); MANIFEST_ENTRIES_MAX];
    assert!(manifest::seal(&full, &key).is_ok());
}

/// RFC 7515, appendix A.3: a signature that somebody else made.
#[test]
fn the_example_of_the_standard_verifies() {
    let coordinate = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let mut point = vec![4];
    point.extend(coordinate("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"));
    point.extend(coordinate("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"));
    let key = PublicKey::from_ec_point(Curve::P256, &point).unwrap();
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let token = |signature: &str| {
        let text = json!({
            "protected": "eyJhbGciOiJFUzI1NiJ9",
            "payload": "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
            "signature": signature,
        });
        jws::Token::from_value(&text).unwrap()
    };
    let payload = token(signature).verify(&key).unwrap();
    assert!(payload.starts_with(b"{\"iss\":\"joe\""));
    assert!(token(&signature.replace("DtEh", "DtEi")).verify(&key).is_err());
    assert!(token("").verify(&key).is_err());
}

/// A signer with its certificate, as Microchip's manifests name it, and one signed element.
fn element(change: impl FnOnce(&mut Value)) -> (identity::certificate::Certificate, Value, KeyHash) {
    let validity = issue::Validity::new(UnixMillis(0), UnixMillis(1_000_000_000_000)).unwrap();
    let (authority, device) = (
        SoftwareKey::generate(Curve::P256).unwrap(),
        SoftwareKey::generate(Curve::P256).unwrap(),
    );
    let name = Name::with_common_name("Manifest Signer").unwrap();
    let proven = authority.prove(&name).unwrap();
    let profile = issue::Profile::root(authority.public_key(), &name, validity);
    let serial = |seed: u8| issue::Serial::new([seed; 16]).unwrap();
    let signer = issue::prepare(&profile, proven, &name, &serial(1))
        .unwrap()
        .sign(&authority)
        .unwrap();
    let subject = Name::with_common_name("sn0123").unwrap();
    let profile = issue::Profile::device(&signer, validity).unwrap();
    let leaf = issue::prepare(&profile, device.prove(&subject).unwrap(), &subject, &serial(2))
        .unwrap()
        .sign(&authority)
        .unwrap();
    let point = device.public_key().ec_point().unwrap();
    let mut payload = json!({
        "version": 1, "model": "ATECC608A", "partNumber": "ATECC608A-TNGTLSU", "uniqueId": "0123f1822c38dd7a01",
        "manufacturer": { "organizationName": "Microchip Technology Inc" },
        "publicKeySet": { "keys": [{
            "kid": "0", "kty": "EC", "crv": "P-256",
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
            "x5c": [STANDARD.encode(leaf.der()), STANDARD.encode(signer.der())],
        }] },
    });
    change(&mut payload);
    let mut header = serde_json::Map::new();
    header.insert("typ".into(), "JWT".into());
    header.insert(
        "kid".into(),
        URL_SAFE_NO_PAD.encode(authority.public_key().key_id()).into(),
    );
    header.insert("x5t#S256".into(), URL_SAFE_NO_PAD.encode(signer.id().0).into());
    let mut item: Value =
        serde_json::from_str(&jws::sign(payload.to_string().as_bytes(), header, &authority).unwrap())
            .unwrap();
    item["header"] = json!({ "uniqueId": "0123f1822c38dd7a01" });
    (signer, item, KeyHash::of(device.public_key()))
}

#[test]
fn an_element_of_microchips_manifest_becomes_an_entry() {
    let (signer, item, key) = element(|_| {});
    assert_eq!(microchip::signer_of(&item).unwrap(), signer.id());
    let entry = microchip::open(&item, &signer).unwrap();
    assert_eq!((entry.key, entry.unit.as_str()), (key, "0123f1822c38dd7a01"));
    assert!(entry.certificate.is_some());
    assert_eq!(entry.parameters["partNumber"], "ATECC608A-TNGTLSU");
    // Without a certificate the key alone counts.
    let (signer, item, key) = element(|payload| {
        drop(
            payload["publicKeySet"]["keys"][0]
                .as_object_mut()
                .unwrap()
                .remove("x5c"),
        )
    });
    let entry = microchip::open(&item, &signer).unwrap();
    assert_eq!((entry.key, entry.certificate), (key, None));
}

#[test]
fn elements_that_lie_are_refused() {
    let (signer, mut item, _) = element(|_| {});
    item["header"]["uniqueId"] = "ffff".into();
    assert!(microchip::open(&item, &signer).is_err());
    let (other, ..) = element(|_| {});
    let (_, item, _) = element(|_| {});
    assert_eq!(microchip::open(&item, &other), Err(Error::ManifestSigner));
    type Change = fn(&mut Value);
    let changes: [Change; 5] = [
        |payload| payload["version"] = 2.into(),
        |payload| payload["publicKeySet"]["keys"] = json!([]),
        |payload| payload["publicKeySet"]["keys"][0]["kty"] = "oct".into(),
        |payload| payload["publicKeySet"]["keys"][0]["x"] = "AA".into(),
        // The certificate is for another key than the one that stands beside it.
        |payload| {
            let other = SoftwareKey::generate(Curve::P256).unwrap();
            let point = other.public_key().ec_point().unwrap();
            payload["publicKeySet"]["keys"][0]["x"] = URL_SAFE_NO_PAD.encode(&point[1..33]).into();
            payload["publicKeySet"]["keys"][0]["y"] = URL_SAFE_NO_PAD.encode(&point[33..]).into();
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let (signer, item, _) = element(change);
        assert!(microchip::open(&item, &signer).is_err(), "{index}");
    }
}

#[test]
fn tables_become_entries() {
    let key = SoftwareKey::generate(Curve::P256).unwrap();
    let hash = KeyHash::of(key.public_key());
    let line =
        json!({ "key": key.public_key().pem(), "thing": "lamp-1", "reel": 7, "note": null }).to_string();
    let entry = rows::from_json(&line).unwrap();
    assert_eq!((entry.key, entry.parameters["reel"].as_str()), (hash, "7"));
    let mut csv = rows::Csv::default();
    let pem = key.public_key().pem();
    let text =
        format!("\u{feff}unit,key,thing,note\r\n\"a \"\"b\"\", c\",\"{pem}\",lamp-1,\r\n\n0011,{hash},,x\n");
    let found: Vec<_> = text
        .split_inclusive('\n')
        .filter_map(|line| csv.line(line).unwrap())
        .collect();
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].unit.as_str(), found[0].key), ("a \"b\", c", hash));
    assert_eq!(
        (found[1].unit.as_str(), found[1].parameters["note"].as_str()),
        ("0011", "x")
    );
    for wrong in [
        "{}",
        "[]",
        "{\"key\": \"zz\"}",
        "{\"key\": [1]}",
        &json!({ "certificate": CertificateId([1; 32]).to_string() }).to_string(),
        &json!({ "key": hash.to_string(), "thing": "no spaces" }).to_string(),
        &json!({ "key": hash.to_string(), "bad name": "x" }).to_string(),
    ] {
        assert!(rows::from_json(wrong).is_err(), "{wrong}");
    }
    for wrong in ["key,unit\na\n", "key\n\"a\"b\n", "key,unit\n,\n"] {
        let mut csv = rows::Csv::default();
        let outcome: Result<Vec<_>, _> = wrong.split_inclusive('\n').map(|line| csv.line(line)).collect();
        assert!(outcome.is_err(), "{wrong:?}");
    }
}
