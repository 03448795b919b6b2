//! The facts that a first connection and RegisterThing rest on, for one device or for many of one moment.
//!
//! Devices of one template name the same policies, groups and types: those are read once for all of them.

use core::hash::Hash;
use std::collections::HashMap;

use fleet::billing_group::BillingGroup;
use fleet::names::{GroupName, PolicyName};
use fleet::onboarding::{Facts, Holder, Needs};
use fleet::record::{PolicyTarget, RegistrationCode, ThingGroup, Versioned};
use fleet::thing_group_members::Joined;
use fleet::thing_type::ThingType;
use identity::{CertificateId, ThingName};
use rusqlite::Connection;

use super::read;
use crate::error::Error;
use crate::records::Holding;

/// What the facts of many devices have in common, of one moment.
#[derive(Default)]
pub(super) struct Common {
    code: Option<Option<RegistrationCode>>,
    policies: HashMap<PolicyName, Option<Versioned<PolicyName>>>,
    lineages: HashMap<GroupName, Vec<Versioned<ThingGroup>>>,
    thing_types: HashMap<String, Option<Versioned<ThingType>>>,
    billing_groups: HashMap<String, Option<Versioned<BillingGroup>>>,
}

/// What is remembered under this name, or what is found now.
fn found_once<K: Clone + Eq + Hash, V: Clone>(
    known: &mut HashMap<K, V>,
    key: &K,
    find: impl FnOnce() -> Result<V, Error>,
) -> Result<V, Error> {
    if let Some(value) = known.get(key) {
        return Ok(value.clone());
    }
    let value = find()?;
    known.insert(key.clone(), value.clone());
    Ok(value)
}

/// The facts of one device.
pub(super) fn of(
    connection: &Connection,
    tenant: i64,
    id: Option<&CertificateId>,
    needs: &Needs,
    common: &mut Common,
) -> Result<Facts, Error> {
    let code = match &common.code {
        Some(code) => code.clone(),
        None => read::registration_code(connection, tenant)?.map(|code| code.record),
    };
    common.code = Some(code.clone());
    let mut facts = Facts {
        code,
        ..Facts::default()
    };
    if let Some(id) = id {
        look_at_certificate(connection, tenant, id, &mut facts)?;
    }
    if let Some(name) = &needs.thing {
        look_at_thing(connection, tenant, name, needs, &mut facts)?;
    }
    for name in &needs.groups {
        let lineage = found_once(&mut common.lineages, name, || {
            read::lineage(connection, tenant, name)
        })?;
        let name = name.clone();
        facts.groups.push(Joined { name, lineage });
    }
    if let Some(name) = needs.type_name.as_ref().map(|name| name.as_str().to_owned()) {
        facts.thing_type = found_once(&mut common.thing_types, &name, || {
            read::resource(connection, tenant, &name)
        })?;
    }
    if let Some(name) = needs.billing_group.as_ref().map(|name| name.as_str().to_owned()) {
        facts.billing_group = found_once(&mut common.billing_groups, &name, || {
            read::resource(connection, tenant, &name)
        })?;
    }
    for name in &needs.policies {
        let found = found_once(&mut common.policies, name, || {
            read::policy_version(connection, tenant, name)
        })?;
        facts.policies.extend(found);
    }
    Ok(facts)
}

/// The certificate, and what hangs on it.
fn look_at_certificate(
    connection: &Connection,
    tenant: i64,
    id: &CertificateId,
    facts: &mut Facts,
) -> Result<(), Error> {
    facts.existing = read::certificate(connection, tenant, id)?.map(|(_, certificate)| certificate);
    if facts.existing.is_some() {
        let policies = read::policies_of(connection, tenant, &PolicyTarget::Certificate(*id))?;
        facts.attached_policies = policies
            .into_iter()
            .map(|attachment| attachment.record.policy)
            .collect();
        let things = read::things_of(connection, tenant, id)?;
        facts.attached_things = things
            .into_iter()
            .map(|principal| principal.record.thing)
            .collect();
    }
    Ok(())
}

/// The thing, and what hangs on it.
fn look_at_thing(
    connection: &Connection,
    tenant: i64,
    name: &ThingName,
    needs: &Needs,
    facts: &mut Facts,
) -> Result<(), Error> {
    facts.thing = read::thing(connection, tenant, name)?.map(|(_, thing)| thing);
    if facts.thing.is_some() {
        let holder = |holding: Holding| Holder {
            certificate: holding.principal.record.certificate,
            status: holding.status,
        };
        facts.holders = read::principals_of(connection, tenant, name)?
            .into_iter()
            .map(holder)
            .collect();
    }
    if facts.thing.is_some() && !needs.groups.is_empty() {
        facts.memberships = read::groups_of(connection, tenant, name)?;
    }
    Ok(())
}
