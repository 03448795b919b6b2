//! What a batch tells of a newcomer is compared with what a look-up finds once it is kept.

use std::collections::BTreeMap;

use fleet::attempt::Trail;
use fleet::audit::Actor;
use fleet::names::{GroupName, PolicyVersionId};
use fleet::onboarding::{Arrival, Authority, identify};
use fleet::record::{
    CaCertificate, CaStatus, CertificateMode, Policy, PolicyVersion, RegistrationConfig, ThingGroup, Uuid,
};
use fleet::{Call, Profile};
use identity::UnixMillis;
use identity::crypto::SoftwareKey;
use identity::issue::{self, Serial, Validity};
use identity::key::Curve;
use identity::name::Name;
use store::{DataDirectory, Records as _};

use super::super::known_of;
use super::*;

const NOW: UnixMillis = UnixMillis::from_seconds(1_795_392_000);
const DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
const THING: &str = r#"{"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "bm-1",
    "AttributePayload": {"country": "NZ", "serial": "17"}}}"#;
const POLICY: &str = r#"{"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "zeta"}}"#;

fn certificate(status: &str) -> String {
    format!(
        r#"{{"Type": "AWS::IoT::Certificate", "Properties": {{
            "CertificateId": {{"Ref": "AWS::IoT::Certificate::Id"}}, "Status": "{status}"}}}}"#
    )
}

/// A tenant with a CA, two policies and a group.
struct Place {
    _directory: tempfile::TempDir,
    records: LocalRecords,
    grants: Grants,
    ca: Certificate,
    key: SoftwareKey,
}

/// What was decided about a first connection, and not kept yet.
struct Decided {
    leaf: Certificate,
    batch: Batch,
}

fn call() -> Call {
    Call {
        tenant: Tenant::default(),
        now: NOW,
        actor: Actor::Operator,
        profile: Profile::Aws,
    }
}

fn issued(signer: Option<(&Certificate, &SoftwareKey)>, name: &str) -> (Certificate, SoftwareKey) {
    let key = SoftwareKey::generate(Curve::P256).unwrap();
    let name = Name::with_common_name(name).unwrap();
    let proven = key.prove(&name).unwrap();
    let validity = Validity::new(NOW.plus_days(-1), NOW.plus_days(3650)).unwrap();
    let profile = match signer {
        None => issue::Profile::root(proven.public_key(), &name, validity),
        Some((ca, _)) => issue::Profile::device(ca, validity).unwrap(),
    };
    let serial = Serial::new([0x11; 16]).unwrap();
    let prepared = issue::prepare(&profile, proven, &name, &serial).unwrap();
    let signed = prepared.sign(signer.map_or(&key, |(_, key)| key)).unwrap();
    (signed, key)
}

fn policy(name: &str, document: &str) -> Policy {
    let id = PolicyVersionId(1);
    let version = PolicyVersion {
        id,
        document: document.into(),
        created: NOW,
    };
    Policy {
        name: PolicyName::parse(name).unwrap(),
        versions: vec![version],
        default_version: id,
        last_version: id,
        created: NOW,
        modified: NOW,
        tags: Vec::new(),
    }
}

fn group() -> ThingGroup {
    ThingGroup {
        name: GroupName::parse("trusted").unwrap(),
        id: Uuid([3; 16]),
        parent: None,
        description: String::new(),
        attributes: BTreeMap::new(),
        version: 1,
        created: NOW,
        modified: NOW,
        tags: Vec::new(),
    }
}

fn ca_record(ca: &Certificate, template: String) -> CaCertificate {
    CaCertificate {
        id: ca.id(),
        der: ca.der().into(),
        subject: ca.subject().der().into(),
        key_id: ca
            .subject_key_id()
            .and_then(|id| id.try_into().ok())
            .unwrap_or([0; 20]),
        status: CaStatus::Active,
        auto_registration: true,
        mode: CertificateMode::Default,
        registration: Some(RegistrationConfig {
            template_body: Some(template),
            template_name: None,
            role_arn: None,
        }),
        gated: false,
        not_before: NOW.plus_days(-1),
        not_after: NOW.plus_days(3650),
        created: NOW,
        modified: NOW,
        customer_version: 1,
        tags: Vec::new(),
    }
}

impl Place {
    async fn with(resources: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let opened = DataDirectory::open(directory.path()).unwrap();
        let records = LocalRecords::open(&opened).unwrap();
        let (ca, key) = issued(None, "Signer");
        let named = resources.iter().enumerate();
        let resources: Vec<_> = named.map(|(at, body)| format!(r#""r{at}": {body}"#)).collect();
        let template = format!(
            r#"{{"Parameters": {{"AWS::IoT::Certificate::Id": {{"Type": "String"}}}}, "Resources": {{{}}}}}"#,
            resources.join(", ")
        );
        let mut batch = Batch::new(&Tenant::default());
        batch.insert(Record::Ca(ca_record(&ca, template)));
        batch.insert(Record::Policy(policy("alpha", DOCUMENT)));
        batch.insert(Record::Policy(policy("zeta", DOCUMENT)));
        batch.insert(Record::Group(group()));
        batch.raises_epoch = true;
        records.commit(batch).await.unwrap();
        Self {
            _directory: directory,
            records,
            grants: Grants::default(),
            ca,
            key,
        }
    }

    async fn decide(&self) -> Decided {
        let (leaf, _) = issued(Some((&self.ca, &self.key)), "bm-1");
        let (tenant, mut trail) = (Tenant::default(), Trail::default());
        let found = self.records.ca(&tenant, &self.ca.id()).await.unwrap();
        let authorities = [Authority::read(found.unwrap()).unwrap()];
        let arrival = Arrival {
            leaf: &leaf,
            named_by_sni: true,
            allow_simulated: false,
        };
        let identified = identify(&call(), arrival, &authorities, &mut trail).unwrap();
        let (id, needs) = (leaf.id(), identified.needs());
        let facts = self.records.onboarding_facts(&tenant, &id, &needs);
        let facts = facts.await.unwrap();
        let decided = identified.decide(&call(), &facts, Uuid([7; 16]), &mut trail);
        let batch = decided.unwrap().batch;
        Decided { leaf, batch }
    }

    /// What is known of the newcomer, and what a look-up finds.
    async fn both(&self, Decided { leaf, batch }: Decided) -> (Option<Known>, Known) {
        let tenant = Tenant::default();
        let newcomer = Newcomer::of(&batch, &leaf.id());
        let epoch = self.records.commit(batch).await.unwrap().epoch;
        let known = match newcomer {
            None => None,
            Some(newcomer) => {
                let known = newcomer.known(&self.grants, &self.records, &tenant, &leaf, epoch);
                known.await
            }
        };
        let trust = self.records.trust(&tenant, &leaf.id()).await.unwrap().unwrap();
        let looked_up = known_of(&self.grants, &tenant, &leaf, trust);
        (known, looked_up.unwrap_or_else(|fault| panic!("{fault}")))
    }
}

#[track_caller]
fn assert_same(known: &Known, looked_up: &Known) {
    assert_eq!(known.registered, looked_up.registered);
    assert_eq!(known.facts, looked_up.facts);
    assert_eq!(known.things, looked_up.things);
    let told = |known: &Known| format!("{:?}", known.grant);
    assert_eq!(told(known), told(looked_up));
}

#[tokio::test]
async fn what_a_batch_tells_is_what_a_look_up_finds() {
    let active = certificate("ACTIVE");
    for resources in [
        &[&*active, THING, POLICY][..],
        &[&active, THING],
        &[&active, POLICY],
        &[&active],
    ] {
        let place = Place::with(resources).await;
        let decided = place.decide().await;
        let (known, looked_up) = place.both(decided).await;
        let known = known.unwrap_or_else(|| panic!("nothing is known of {resources:?}"));
        assert_same(&known, &looked_up);
        assert_eq!(
            known.grant.policies().len(),
            usize::from(resources.contains(&POLICY))
        );
        assert_eq!(known.things.len(), usize::from(resources.contains(&THING)));
        assert_eq!(known.grant.epoch, 1);
    }
}

#[tokio::test]
async fn in_doubt_nothing_is_known() {
    let (active, inactive) = (certificate("ACTIVE"), certificate("INACTIVE"));
    let grouped =
        r#"{"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "bm-1", "ThingGroups": ["trusted"]}}"#;
    let second = r#"{"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "alpha"}}"#;
    let inline = format!(
        r#"{{"Type": "AWS::IoT::Policy", "Properties": {{"PolicyDocument": {}}}}}"#,
        serde_json::Value::from(DOCUMENT)
    );
    for resources in [
        &[&*inactive, THING, POLICY][..],
        &[&active, grouped, POLICY],
        &[&active, THING, POLICY, second],
        &[&active, THING, &inline],
    ] {
        let place = Place::with(resources).await;
        let decided = place.decide().await;
        let (known, _) = place.both(decided).await;
        assert!(known.is_none(), "{resources:?}");
    }
}

#[tokio::test]
async fn a_thing_that_was_there_is_looked_up() {
    let active = certificate("ACTIVE");
    let place = Place::with(&[&active, THING, POLICY]).await;
    let first = place.decide().await;
    assert!(place.both(first).await.0.is_some());
    // Another certificate for the same thing, which may be in any group by now.
    let second = place.decide().await;
    assert!(place.both(second).await.0.is_none());
}

#[tokio::test]
async fn a_policy_that_changed_since_is_looked_up() {
    let active = certificate("ACTIVE");
    let place = Place::with(&[&active, THING, POLICY]).await;
    let Decided { leaf, batch } = place.decide().await;
    let newcomer = Newcomer::of(&batch, &leaf.id()).unwrap();
    let tenant = Tenant::default();
    let epoch = place.records.commit(batch).await.unwrap().epoch;
    let name = PolicyName::parse("zeta").unwrap();
    let version = place
        .records
        .policy(&tenant, &name)
        .await
        .unwrap()
        .unwrap()
        .version;
    let mut change = Batch::new(&tenant);
    let narrower = DOCUMENT.replace("Allow", "Deny");
    change.replace(Record::Policy(policy("zeta", &narrower)), version);
    place.records.commit(change).await.unwrap();
    let known = newcomer.known(&place.grants, &place.records, &tenant, &leaf, epoch);
    assert!(known.await.is_none());
}
