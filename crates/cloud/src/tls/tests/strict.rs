//! Listeners that take only what comes from a registered CA.

use identity::{CertificateId, Tenant};
use rcgen::{BasicConstraints, IsCa, Issuer};

use super::*;

/// A CA with this name, and what it signs.
fn ca(name: &str, above: Option<&Issuer<'_, KeyPair>>) -> (Vec<u8>, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let certificate = match above {
        Some(above) => params.signed_by(&key, above).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    (certificate.der().to_vec(), Issuer::new(params, key))
}

/// A device under a CA, which sends these certificates along.
fn device(
    version: &'static SupportedProtocolVersion,
    under: &Issuer<'_, KeyPair>,
    along: &[&[u8]],
    end_year: i32,
) -> Client {
    device_with(version, under, along, |params| {
        params.not_after = rcgen::date_time_ymd(end_year, 1, 1);
    })
}

/// The same with a certificate that is special.
fn device_with(
    version: &'static SupportedProtocolVersion,
    under: &Issuer<'_, KeyPair>,
    along: &[&[u8]],
    change: impl FnOnce(&mut CertificateParams),
) -> Client {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    change(&mut params);
    let certificate = params.signed_by(&key, under).unwrap();
    let mut certified = CertifiedKey::clone(&pair(&certificate, &key));
    let along = along.iter().map(|der| CertificateDer::from(der.to_vec()));
    certified.cert.extend(along);
    Client {
        certificate: Some(Arc::new(certified)),
        ..Client::of(version)
    }
}

async fn meet(settings: &Settings, client: &Client) -> Option<(Option<u8>, &'static str)> {
    let (outcome, seen) = shake(settings, client).await;
    let own = client.certificate.as_ref().unwrap().cert[0].clone();
    assert_eq!(seen.unwrap().der(), own.as_ref(), "who was refused is known, too");
    outcome.err().map(|failure| (failure.alert, failure.code))
}

const UNKNOWN: Option<(Option<u8>, &str)> = Some((Some(48), "cloud.tls.unknown_issuer"));
const EXPIRED: Option<(Option<u8>, &str)> = Some((Some(45), "cloud.tls.expired"));

#[tokio::test]
async fn a_strict_listener_takes_what_comes_from_a_registered_ca_and_nothing_else() {
    let (root, under_root) = ca("registered", None);
    let (between, under_between) = ca("between", Some(&under_root));
    let (stranger, under_stranger) = ca("registered", None);
    let anchors = Arc::new(Anchors::default());
    let settings = Settings::mqtt(
        &shown(&[&server()]),
        &Terms {
            anchors: Some(anchors.clone()),
            ..Terms::default()
        },
    )
    .unwrap();
    let (tenant, id) = (Tenant::default(), CertificateId([1; 32]));
    for version in [&TLS12, &TLS13] {
        let good = device(version, &under_root, &[], 2099);
        assert_eq!(meet(&settings, &good).await, UNKNOWN, "no CA is registered");
        anchors.hold([(Some(tenant), id, root.as_slice().into())]);
        let early = device_with(version, &under_root, &[], |params| {
            params.not_before = rcgen::date_time_ymd(2098, 1, 1);
        });
        let server_only = device_with(version, &under_root, &[], |params| {
            params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        });
        let rows = [
            (good.clone(), None),
            (device(version, &under_root, &[], 2001), EXPIRED),
            (early, Some((Some(45), "cloud.tls.certificate"))),
            (server_only, Some((Some(43), "cloud.tls.certificate"))),
            (device(version, &under_between, &[&between], 2099), None),
            (device(version, &under_between, &[], 2099), UNKNOWN),
            (device(version, &under_stranger, &[], 2099), UNKNOWN),
            (device(version, &under_stranger, &[&stranger], 2099), UNKNOWN),
        ];
        for (row, (client, expected)) in rows.into_iter().enumerate() {
            assert_eq!(meet(&settings, &client).await, expected, "{version:?} {row}");
        }
        anchors.forget(&tenant, id);
        assert_eq!(meet(&settings, &good).await, UNKNOWN, "it is registered no more");
    }
}

#[tokio::test]
async fn a_strict_server_asks_nothing_more_of_those_who_need_no_certificate() {
    let terms = Terms {
        anchors: Some(Arc::default()),
        ..Terms::default()
    };
    let settings = Settings::api(&shown(&[&server()]), &terms).unwrap();
    let (outcome, _) = shake(&settings, &Client::of(&TLS13)).await;
    assert!(outcome.is_ok());
    let (_, stranger) = ca("stranger", None);
    let client = device(&TLS13, &stranger, &[], 2099);
    assert_eq!(meet(&settings, &client).await, None);
}
