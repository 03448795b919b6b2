"""Thing types, billing groups and tags; and what the registry publishes of its changes."""

import json
import queue

from cloud import OPEN_POLICY, arn, client, everything, refused
from device import connect

iot = client()
names = lambda items, key: [item[key] for item in items]

# Who listens hears of nothing until it is turned on.
heard = queue.Queue()
listener = iot.create_keys_and_certificate(setAsActive=True)
iot.create_policy(policyName="open", policyDocument=OPEN_POLICY)
iot.attach_policy(policyName="open", target=listener["certificateArn"])
device = connect("listener", listener)
device.subscribe("$aws/events/#", lambda topic, payload: heard.put((topic, json.loads(payload))))
assert not iot.describe_event_configurations()["eventConfigurations"]["THING"]["Enabled"]
iot.create_thing(thingName="unheard")
switches = ["THING", "THING_TYPE", "THING_TYPE_ASSOCIATION", "THING_GROUP", "THING_GROUP_MEMBERSHIP", "THING_GROUP_HIERARCHY"]
iot.update_event_configurations(eventConfigurations={name: {"Enabled": True} for name in switches})
found = iot.describe_event_configurations()
assert found["eventConfigurations"]["THING"]["Enabled"] and not found["eventConfigurations"]["JOB"]["Enabled"]
assert found["creationDate"] <= found["lastModifiedDate"]
refused("InvalidRequestException", iot.update_event_configurations, eventConfigurations={"WEATHER": {"Enabled": True}})


def hears(topic, **members):
    while True:
        found, payload = heard.get(timeout=20)
        if "/presence/" in found or "/subscriptions/" in found:
            continue
        assert found == "$aws/events/" + topic, f"{found}, not {topic}"
        for key, value in members.items():
            assert payload[key] == value, f"{topic}: {payload}"
        assert payload["accountId"] == "123456789012" and len(payload["eventId"]) == 36 and payload["timestamp"] > 10**12
        return payload


# Thing types.
properties = {"thingTypeDescription": "light", "searchableAttributes": ["room", "watt"]}
lamp = iot.create_thing_type(thingTypeName="lamp", thingTypeProperties=properties)
assert lamp["thingTypeArn"] == arn("thingtype", "lamp")
assert iot.create_thing_type(thingTypeName="lamp", thingTypeProperties=properties)["thingTypeId"] == lamp["thingTypeId"]
hears("thingType/lamp/created", eventType="THING_TYPE_EVENT", operation="CREATED", isDeprecated=False, thingTypeId=lamp["thingTypeId"])
error = refused("ResourceAlreadyExistsException", iot.create_thing_type, thingTypeName="lamp")
assert error["resourceArn"] == lamp["thingTypeArn"] and error["resourceId"] == lamp["thingTypeId"]
refused("InvalidRequestException", iot.create_thing_type, thingTypeName="a b")
refused("InvalidRequestException", iot.create_thing_type, thingTypeName="x", thingTypeProperties={"searchableAttributes": list("abcd")})
propagating = {"mqtt5Configuration": {"propagatingAttributes": [{"userPropertyKey": "r", "thingAttribute": "room"}]}}
iot.update_thing_type(thingTypeName="lamp", thingTypeProperties=propagating)
hears("thingType/lamp/updated", searchableAttributes=["room", "watt"])
found = iot.describe_thing_type(thingTypeName="lamp")
assert found["thingTypeProperties"] == properties | propagating, found
assert found["thingTypeMetadata"]["deprecated"] is False
both = {"userPropertyKey": "r", "thingAttribute": "room", "connectionAttribute": "iot:ClientId"}
refused("InvalidRequestException", iot.update_thing_type, thingTypeName="lamp", thingTypeProperties={"mqtt5Configuration": {"propagatingAttributes": [both]}})
for call in (iot.describe_thing_type, iot.update_thing_type, iot.deprecate_thing_type, iot.delete_thing_type):
    refused("ResourceNotFoundException", call, thingTypeName="none")

# Things of a type may have more attributes, and name their type.
many = {"attributes": {f"a{n}": "1" for n in range(50)}}
thing = iot.create_thing(thingName="lamp-1", thingTypeName="lamp", attributePayload=many)
hears("thing/lamp-1/created", thingTypeName="lamp", versionNumber=1, attributes=many["attributes"], thingId=thing["thingId"])
hears("thingTypeAssociation/thing/lamp-1/thingType/lamp/added", operation="ADDED")
assert iot.create_thing(thingName="lamp-1", thingTypeName="lamp", attributePayload=many)["thingId"] == thing["thingId"]
refused("ResourceAlreadyExistsException", iot.create_thing, thingName="lamp-1")
refused("ResourceNotFoundException", iot.create_thing, thingName="x", thingTypeName="none")
refused("ResourceNotFoundException", iot.create_thing, thingName="x", billingGroupName="none")
refused("InvalidRequestException", iot.create_thing, "50 attributes", thingName="x", thingTypeName="lamp", attributePayload={"attributes": {f"a{n}": "1" for n in range(51)}})
refused("InvalidRequestException", iot.create_thing, "3 attributes", thingName="x", attributePayload=many)
assert iot.describe_thing(thingName="lamp-1")["thingTypeName"] == "lamp"
assert names(everything(iot.list_things, "things", thingTypeName="lamp"), "thingName") == ["lamp-1"]
refused("InvalidRequestException", iot.update_thing, thingName="lamp-1", removeThingType=True)
iot.update_thing(thingName="lamp-1", thingTypeName="lamp", attributePayload={"attributes": {}}, expectedVersion=1)
hears("thing/lamp-1/updated", versionNumber=2)
iot.update_thing(thingName="lamp-1", removeThingType=True)
hears("thing/lamp-1/updated", thingTypeName=None)
hears("thingTypeAssociation/thing/lamp-1/thingType/lamp/removed", operation="REMOVED")
iot.update_thing(thingName="lamp-1", thingTypeName="lamp")
hears("thing/lamp-1/updated")
hears("thingTypeAssociation/thing/lamp-1/thingType/lamp/added")

# A type is deprecated, then deleted, when no thing has it.
refused("InvalidRequestException", iot.delete_thing_type, "deprecated", thingTypeName="lamp")
for undo in (False, False, True, False):
    iot.deprecate_thing_type(thingTypeName="lamp", undoDeprecate=undo)
for deprecated in (True, False, True):
    hears("thingType/lamp/updated", isDeprecated=deprecated)
assert iot.describe_thing_type(thingTypeName="lamp")["thingTypeMetadata"]["deprecationDate"]
refused("InvalidRequestException", iot.create_thing, "deprecated", thingName="lamp-2", thingTypeName="lamp")
refused("InvalidRequestException", iot.delete_thing_type, "things of this type", thingTypeName="lamp")
iot.create_thing_type(thingTypeName="lamp-shade")
assert names(everything(iot.list_thing_types, "thingTypes"), "thingTypeName") == ["lamp", "lamp-shade"]
assert names(iot.list_thing_types(thingTypeName="lamp")["thingTypes"], "thingTypeName") == ["lamp"]
iot.update_event_configurations(eventConfigurations={"THING_TYPE": {"Enabled": False}})
iot.delete_thing(thingName="lamp-1")
hears("thingType/lamp-shade/created")
hears("thing/lamp-1/deleted", operation="DELETED")
hears("thingTypeAssociation/thing/lamp-1/thingType/lamp/removed")
iot.delete_thing_type(thingTypeName="lamp")

# Groups are told as well.
hall = iot.create_thing_group(thingGroupName="hall")
hears("thingGroup/hall/created", eventType="THING_GROUP_EVENT", thingGroupId=hall["thingGroupId"], parentGroupName=None)
line = iot.create_thing_group(thingGroupName="line", parentGroupName="hall")
hears("thingGroup/line/created", parentGroupName="hall", rootToParentThingGroups=[{"groupArn": hall["thingGroupArn"], "groupId": hall["thingGroupId"]}])
hears("thingGroupHierarchy/thingGroup/hall/childThingGroup/line/added", childGroupId=line["thingGroupId"])
iot.add_thing_to_thing_group(thingGroupName="line", thingName="unheard")
hears("thingGroupMembership/thingGroup/line/thing/unheard/added", groupArn=line["thingGroupArn"])
iot.remove_thing_from_thing_group(thingGroupName="line", thingName="unheard")
hears("thingGroupMembership/thingGroup/line/thing/unheard/removed")
iot.update_thing_group(thingGroupName="line", thingGroupProperties={})
hears("thingGroup/line/updated", versionNumber=2, parentGroupName="hall")
iot.delete_thing_group(thingGroupName="line")
hears("thingGroup/line/deleted")
hears("thingGroupHierarchy/thingGroup/hall/childThingGroup/line/removed")

# Billing groups.
about = {"billingGroupDescription": "who pays"}
city = iot.create_billing_group(billingGroupName="city", billingGroupProperties=about)
assert iot.create_billing_group(billingGroupName="city", billingGroupProperties=about)["billingGroupId"] == city["billingGroupId"]
refused("ResourceAlreadyExistsException", iot.create_billing_group, billingGroupName="city")
refused("InvalidRequestException", iot.create_billing_group, billingGroupName="a/b")
refused("ResourceNotFoundException", iot.describe_billing_group, billingGroupName="none")
refused("ResourceNotFoundException", iot.update_billing_group, billingGroupName="none", billingGroupProperties={})
refused("ResourceNotFoundException", iot.list_things_in_billing_group, billingGroupName="none")
assert iot.update_billing_group(billingGroupName="city", billingGroupProperties={}, expectedVersion=1)["version"] == 2
refused("VersionConflictException", iot.update_billing_group, billingGroupName="city", billingGroupProperties={}, expectedVersion=1)
found = iot.describe_billing_group(billingGroupName="city")
assert found["billingGroupProperties"] == about and found["version"] == 2
iot.create_billing_group(billingGroupName="state")
assert names(everything(iot.list_billing_groups, "billingGroups"), "groupName") == ["city", "state"]
assert names(iot.list_billing_groups(namePrefixFilter="st")["billingGroups"], "groupName") == ["state"]
for _ in range(2):
    iot.add_thing_to_billing_group(billingGroupName="city", thingName="unheard")
iot.create_thing(thingName="born-there", billingGroupName="city")
assert iot.describe_thing(thingName="unheard")["billingGroupName"] == "city"
assert everything(iot.list_things_in_billing_group, "things", billingGroupName="city") == ["unheard", "born-there"]
refused("InvalidRequestException", iot.add_thing_to_billing_group, "city", billingGroupName="state", thingName="unheard")
refused("ResourceNotFoundException", iot.add_thing_to_billing_group, billingGroupName="none", thingName="unheard")
refused("ResourceNotFoundException", iot.add_thing_to_billing_group, billingGroupName="city", thingName="none")
refused("ResourceNotFoundException", iot.remove_thing_from_billing_group, billingGroupName="city", thingName="none")
refused("InvalidRequestException", iot.add_thing_to_billing_group, thingName="unheard")
refused("InvalidRequestException", iot.delete_billing_group, "things in it", billingGroupName="city")
refused("VersionConflictException", iot.delete_billing_group, billingGroupName="city", expectedVersion=7)
for thing in ("unheard", "born-there", "born-there"):
    iot.remove_thing_from_billing_group(billingGroupArn=city["billingGroupArn"], thingArn=arn("thing", thing))
for _ in range(2):
    iot.delete_billing_group(billingGroupName="city")

# Tags of everything that has some.
tag = lambda key, value: {"Key": key, "Value": value}
iot.create_provisioning_template(
    templateName="fleet",
    provisioningRoleArn="arn:aws:iam::123456789012:role/any",
    templateBody=json.dumps({"Resources": {"certificate": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"}}}}),
)
for resource in (arn("thinggroup", "hall"), arn("thingtype", "lamp-shade"), arn("billinggroup", "state"), arn("policy", "open"), arn("provisioningtemplate", "fleet")):
    iot.tag_resource(resourceArn=resource, tags=[tag("a", "1"), tag("b", "2")])
    iot.tag_resource(resourceArn=resource, tags=[tag("b", "3")])
    assert iot.list_tags_for_resource(resourceArn=resource)["tags"] == [tag("a", "1"), tag("b", "3")], resource
    iot.untag_resource(resourceArn=resource, tagKeys=["a", "none"])
    assert iot.list_tags_for_resource(resourceArn=resource)["tags"] == [tag("b", "3")], resource
    missing = resource.rsplit("/", 1)[0] + "/none"
    refused("ResourceNotFoundException", iot.tag_resource, resourceArn=missing, tags=[tag("a", "1")])
    refused("ResourceNotFoundException", iot.untag_resource, resourceArn=missing, tagKeys=["a"])
    refused("ResourceNotFoundException", iot.list_tags_for_resource, resourceArn=missing)
    refused("InvalidRequestException", iot.tag_resource, resourceArn=resource, tags=[tag("", "1")])
    refused("LimitExceededException", iot.tag_resource, resourceArn=resource, tags=[tag(f"t{n}", "1") for n in range(50)])
refused("InvalidRequestException", iot.tag_resource, resourceArn=arn("thing", "unheard"), tags=[])
refused("InvalidRequestException", iot.tag_resource, resourceArn="nonsense", tags=[])
refused("InvalidRequestException", iot.list_tags_for_resource, resourceArn=arn("policy", "open", account="999999999999"))
iot.create_thing_type(thingTypeName="tagged", tags=[tag("a", "1")])
assert iot.list_tags_for_resource(resourceArn=arn("thingtype", "tagged"))["tags"] == [tag("a", "1")]
device.close()
