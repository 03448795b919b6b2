//! The promises about devices of manifests, and about counters.

use fleet::batch::{Key, Record, Tally};
use fleet::manifest::{ManifestEntry, ManifestOrder, ManifestProgress, ManifestSigner};
use fleet::resource::Resource as _;
use identity::Tenant;
use identity::manifest::{Entry, KeyHash};

use super::Place;
use super::made::{NOW, batch, id, other_tenant};
use super::steps::{conflict, keep};
use crate::{Conflict, Records, wait};

fn device(number: u64) -> ManifestEntry {
    ManifestEntry {
        entry: Entry {
            key: KeyHash(id(number).0),
            certificate: Some(id(number + 100)),
            unit: format!("unit ü {number}"),
            thing: "lamp-1".parse().ok(),
            parameters: [("reel".to_owned(), "R7".to_owned())].into(),
        },
        order: "spring".to_owned(),
        admitted: None,
    }
}

fn kept(number: u64) -> Record {
    Record::ManifestEntry(Box::new(device(number)))
}

fn order() -> ManifestOrder {
    ManifestOrder {
        name: "spring".to_owned(),
        signer: "s".to_owned(),
        ca: id(1).to_string(),
        count: 2,
        not_before: NOW,
        not_after: NOW,
        per_hour: 1,
        is_microchip: true,
        created: NOW,
    }
}

/// A device is found by its key and inside its tenant, once; what admits it is kept under its version.
pub fn devices_of_manifests_are_found_by_their_keys(place: &impl Place) {
    let (records, tenant) = (place.open(), Tenant::default());
    let key = device(1).entry.key;
    let listed = |tenant: &Tenant| wait(records.listed(tenant, &key, 7)).unwrap();
    assert!(listed(&tenant).is_none());
    keep(&records, batch([kept(1), kept(2)]));
    let found = wait(records.manifest_entries(&tenant, &[key, KeyHash([9; 32])])).unwrap();
    assert_eq!(
        found.iter().map(|found| &found.record).collect::<Vec<_>>(),
        [&device(1)]
    );
    assert_eq!(
        conflict(&records, batch([kept(1)])),
        Conflict::Record(Key::ManifestEntry(key))
    );
    assert!(listed(&other_tenant()).is_none());
    let bare = listed(&tenant).unwrap();
    assert!(bare.order.is_none() && bare.signer.is_none() && bare.admitted == 0);
    let signer = ManifestSigner {
        id: "s".to_owned(),
        label: String::new(),
        document: "PEM".to_owned(),
        certificate: String::new(),
        revoked: true,
        created: NOW,
        modified: NOW,
    };
    let progress = ManifestProgress {
        name: "spring".to_owned(),
        sequence: 1,
        digest: String::new(),
        entries: 2,
        modified: NOW,
    };
    keep(&records, batch([order().kept(), signer.kept(), progress.kept()]));
    let mut admitted = device(1);
    admitted.admitted = Some(id(77));
    let mut using = batch([]);
    using.replace(
        Record::ManifestEntry(Box::new(admitted.clone())),
        bare.entry.version,
    );
    using.tallies.push(Tally {
        name: order().admitted_tally(),
        window: 0,
        most: 2,
    });
    using.tallies.push(Tally {
        name: order().hourly_tally(),
        window: 7,
        most: 1,
    });
    keep(&records, using.clone());
    let whole = listed(&tenant).unwrap();
    assert_eq!(whole.entry.record, admitted);
    assert_eq!(whole.order.map(|order| order.record), Some(order()));
    assert!(whole.signer.unwrap().record.revoked);
    assert_eq!((whole.admitted, whole.admitted_this_hour), (1, 1));
    // The same entry admits nobody else.
    assert_eq!(
        conflict(&records, using),
        Conflict::Record(Key::ManifestEntry(key))
    );
}

/// A counter goes up with its batch and never higher than it may; another window begins anew; nothing is counted of a
/// batch that is not kept.
pub fn a_counter_never_goes_higher_than_it_may(place: &impl Place) {
    let (records, tenant) = (place.open(), Tenant::default());
    let counting = |number: u64, window: i64, most: u64| {
        let mut batch = batch([kept(number)]);
        batch.tallies.push(Tally {
            name: "t".to_owned(),
            window,
            most,
        });
        batch
    };
    let count = |window: i64| wait(records.tally(&tenant, "t", window)).unwrap();
    assert_eq!(count(1), 0);
    keep(&records, counting(1, 1, 2));
    assert!(matches!(
        conflict(&records, counting(1, 1, 2)),
        Conflict::Record(_)
    ));
    assert_eq!(count(1), 1);
    keep(&records, counting(2, 1, 2));
    assert_eq!(
        conflict(&records, counting(3, 1, 2)),
        Conflict::Tally("t".to_owned())
    );
    assert!(
        wait(records.manifest_entries(&tenant, &[device(3).entry.key]))
            .unwrap()
            .is_empty()
    );
    keep(&records, counting(3, 2, 2));
    assert_eq!((count(1), count(2)), (0, 1));
    assert_eq!(wait(records.tally(&other_tenant(), "t", 2)).unwrap(), 0);
}
