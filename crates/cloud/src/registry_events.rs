//! The messages that tell of changes of the registry, byte for byte as AWS documents them (AWS IoT developer guide,
//! "Registry events").

use fleet::record::{Thing, ThingGroup, Uuid};
use fleet::registry_event::{Operation, RegistryEvent, Relating};
use fleet::thing_type::ThingType;
use fleet::{arn, names::GroupName};
use identity::{Tenant, ThingName, UnixMillis};
use serde_json::{Value, json};

use crate::events::Announcement;

/// The message of one change. `id` is the message's own.
pub(crate) fn announcement(
    tenant: &Tenant,
    event: &RegistryEvent,
    id: Uuid,
    now: UnixMillis,
) -> Announcement {
    let (topic, mut payload) = match event {
        RegistryEvent::Thing(operation, thing) => of_thing(*operation, thing),
        RegistryEvent::ThingType(operation, thing_type) => of_type(*operation, thing_type),
        RegistryEvent::Association(relating, thing, thing_id, thing_type) => (
            format!(
                "thingTypeAssociation/thing/{thing}/thingType/{thing_type}/{}",
                related(*relating).0
            ),
            json!({
                "eventType": "THING_TYPE_ASSOCIATION_EVENT",
                "operation": related(*relating).1,
                "thingId": thing_id.to_string(),
                "thingName": thing.as_str(),
                "thingTypeName": thing_type.as_str(),
            }),
        ),
        RegistryEvent::Group(operation, group, above) => of_group(tenant, *operation, group, above),
        RegistryEvent::Membership(relating, group, thing) => of_member(tenant, *relating, group, thing),
        RegistryEvent::Hierarchy(relating, parent, child) => (
            format!(
                "thingGroupHierarchy/thingGroup/{}/childThingGroup/{}/{}",
                parent.0,
                child.0,
                related(*relating).0
            ),
            json!({
                "eventType": "THING_GROUP_HIERARCHY_EVENT",
                "operation": related(*relating).1,
                "thingGroupId": parent.1.to_string(),
                "thingGroupName": parent.0.as_str(),
                "childGroupId": child.1.to_string(),
                "childGroupName": child.0.as_str(),
            }),
        ),
    };
    if let Value::Object(members) = &mut payload {
        members.insert("eventId".into(), id.to_string().into());
        members.insert("timestamp".into(), now.0.into());
        members.insert("accountId".into(), tenant.account.as_str().into());
    }
    Announcement {
        topic: format!("$aws/events/{topic}"),
        payload: payload.to_string().into_bytes(),
    }
}

fn of_thing(operation: Operation, thing: &Thing) -> (String, Value) {
    let (last, word) = done(operation);
    (
        format!("thing/{}/{last}", thing.name),
        json!({
            "eventType": "THING_EVENT",
            "operation": word,
            "thingId": thing.id.to_string(),
            "thingName": thing.name.as_str(),
            "versionNumber": thing.version,
            "thingTypeName": thing.type_name.as_ref().map(|name| name.as_str()),
            "billingGroupName": thing.billing_group.as_ref().map(|name| name.as_str()),
            "attributes": thing.attributes,
        }),
    )
}

fn of_type(operation: Operation, thing_type: &ThingType) -> (String, Value) {
    let (last, word) = done(operation);
    let propagating = thing_type.propagating.iter().map(|propagating| {
        json!({
            "userPropertyKey": propagating.user_property,
            "thingAttribute": propagating.thing_attribute,
            "connectionAttribute": propagating.connection_attribute,
        })
    });
    (
        format!("thingType/{}/{last}", thing_type.name),
        json!({
            "eventType": "THING_TYPE_EVENT",
            "operation": word,
            "thingTypeId": thing_type.id.to_string(),
            "thingTypeName": thing_type.name,
            "isDeprecated": thing_type.deprecated.is_some(),
            "deprecationDate": thing_type.deprecated.map(|at| at.0),
            "searchableAttributes": thing_type.searchable,
            "propagatingAttributes": propagating.collect::<Vec<_>>(),
            "description": thing_type.description,
        }),
    )
}

fn of_group(
    tenant: &Tenant,
    operation: Operation,
    group: &ThingGroup,
    above: &[(GroupName, Uuid)],
) -> (String, Value) {
    let (last, word) = done(operation);
    let chain = above
        .iter()
        .map(|(name, id)| json!({ "groupArn": arn::group(tenant, name), "groupId": id.to_string() }));
    (
        format!("thingGroup/{}/{last}", group.name),
        json!({
            "eventType": "THING_GROUP_EVENT",
            "operation": word,
            "thingGroupId": group.id.to_string(),
            "thingGroupName": group.name.as_str(),
            "versionNumber": group.version,
            "parentGroupName": group.parent.as_ref().map(|parent| parent.as_str()),
            "parentGroupId": above.last().map(|(_, id)| id.to_string()),
            "description": group.description,
            "rootToParentThingGroups": chain.collect::<Vec<_>>(),
            "attributes": group.attributes,
            "dynamicGroupMappingId": null,
        }),
    )
}

fn of_member(
    tenant: &Tenant,
    relating: Relating,
    (group, group_id): &(GroupName, Uuid),
    (thing, thing_id): &(ThingName, Uuid),
) -> (String, Value) {
    let (last, word) = related(relating);
    let membership = identity::crypto::sha256(format!("{group_id}/{thing_id}").as_bytes());
    let membership: [u8; 16] = core::array::from_fn(|at| membership.get(at).copied().unwrap_or(0));
    (
        format!("thingGroupMembership/thingGroup/{group}/thing/{thing}/{last}"),
        json!({
            "eventType": "THING_GROUP_MEMBERSHIP_EVENT",
            "operation": word,
            "groupArn": arn::group(tenant, group),
            "groupId": group_id.to_string(),
            "thingArn": arn::thing(tenant, thing),
            "thingId": thing_id.to_string(),
            "membershipId": Uuid::from_random(membership).to_string(),
        }),
    )
}

/// The last part of the topic, and the word in the message.
fn done(operation: Operation) -> (&'static str, &'static str) {
    match operation {
        Operation::Created => ("created", "CREATED"),
        Operation::Updated => ("updated", "UPDATED"),
        Operation::Deleted => ("deleted", "DELETED"),
    }
}

fn related(relating: Relating) -> (&'static str, &'static str) {
    match relating {
        Relating::Added => ("added", "ADDED"),
        Relating::Removed => ("removed", "REMOVED"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_membership_is_told_as_documented() {
        let group = (GroupName::parse("hall").unwrap(), Uuid([1; 16]));
        let thing = ("lamp".parse().unwrap(), Uuid([2; 16]));
        let event = RegistryEvent::Membership(Relating::Added, group, thing);
        let told = announcement(&Tenant::default(), &event, Uuid([3; 16]), UnixMillis(9));
        assert_eq!(
            told.topic,
            "$aws/events/thingGroupMembership/thingGroup/hall/thing/lamp/added"
        );
        let payload: Value = serde_json::from_slice(&told.payload).unwrap();
        assert_eq!(payload["eventId"], Uuid([3; 16]).to_string());
        assert_eq!(payload["timestamp"], 9);
        assert_eq!(payload["accountId"], "123456789012");
        assert_eq!(payload["operation"], "ADDED");
        assert_eq!(
            payload["groupArn"],
            "arn:aws:iot:us-east-1:123456789012:thinggroup/hall"
        );
    }
}
