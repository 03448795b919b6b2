"""Thing groups: made, nested, joined and left; their policies count for the devices in them."""

from cloud import OPEN_POLICY, arn, client, everything, refused

iot = client()


def description(text):
    return {"thingGroupDescription": text}


# Made, described, made again.
plant = iot.create_thing_group(thingGroupName="plant", thingGroupProperties=description("all of it"))
assert plant["thingGroupArn"] == arn("thinggroup", "plant")
hall = iot.create_thing_group(thingGroupName="hall", parentGroupName="plant")
again = iot.create_thing_group(thingGroupName="plant", thingGroupProperties=description("all of it"))
assert again["thingGroupId"] == plant["thingGroupId"]
iot.create_thing_group(thingGroupName="line", parentGroupName="hall")
iot.create_thing_group(thingGroupName="office")
found = iot.describe_thing_group(thingGroupName="line")
assert found["version"] == 1 and "creationDate" in found["thingGroupMetadata"]
assert found["thingGroupMetadata"]["parentGroupName"] == "hall"
assert [g["groupName"] for g in found["thingGroupMetadata"]["rootToParentThingGroups"]] == ["plant", "hall"]
assert iot.describe_thing_group(thingGroupName="plant")["thingGroupProperties"] == {
    "thingGroupDescription": "all of it",
    "attributePayload": {"attributes": {}},
}

# Refused.
refused("ResourceAlreadyExistsException", iot.create_thing_group, thingGroupName="plant")
refused("ResourceNotFoundException", iot.create_thing_group, thingGroupName="x", parentGroupName="none")
refused("InvalidRequestException", iot.create_thing_group, thingGroupName="a b")
refused("ResourceNotFoundException", iot.describe_thing_group, thingGroupName="none")
refused("ResourceNotFoundException", iot.list_things_in_thing_group, thingGroupName="none")
refused("ResourceNotFoundException", iot.list_thing_groups, parentGroup="none")
refused("ResourceNotFoundException", iot.list_thing_groups_for_thing, thingName="none")
refused("InvalidRequestException", iot.list_thing_groups, maxResults=251)
refused("InvalidRequestException", iot.list_thing_groups, nextToken="made up")
refused("ResourceNotFoundException", iot.update_thing_group, thingGroupName="none", thingGroupProperties={})
refused("InvalidRequestException", iot.update_thing_group, thingGroupName="plant")
refused("VersionConflictException", iot.update_thing_group, thingGroupName="plant", thingGroupProperties={}, expectedVersion=9)
refused("VersionConflictException", iot.delete_thing_group, thingGroupName="line", expectedVersion=9)
refused("InvalidRequestException", iot.delete_thing_group, thingGroupName="hall")
deep = "line"
for level in range(4, 8):
    iot.create_thing_group(thingGroupName=f"level-{level}", parentGroupName=deep)
    deep = f"level-{level}"
refused("InvalidRequestException", iot.create_thing_group, "7 levels", thingGroupName="level-8", parentGroupName=deep)
for child in range(100):
    iot.create_thing_group(thingGroupName=f"desk-{child}", parentGroupName="office")
refused("InvalidRequestException", iot.create_thing_group, "100 groups", thingGroupName="desk-100", parentGroupName="office")

# Changed.
attributes = {"attributePayload": {"attributes": {"city": "Ulm", "old": "1"}}}
assert iot.update_thing_group(thingGroupName="hall", thingGroupProperties=attributes)["version"] == 2
merge = {"attributePayload": {"attributes": {"old": "", "new": "2"}, "merge": True}}
assert iot.update_thing_group(thingGroupName="hall", thingGroupProperties=merge, expectedVersion=2)["version"] == 3
kept = iot.describe_thing_group(thingGroupName="hall")["thingGroupProperties"]["attributePayload"]["attributes"]
assert kept == {"city": "Ulm", "new": "2"}, kept

# Listed.
names = lambda groups: [group["groupName"] for group in groups]
assert names(everything(iot.list_thing_groups, "thingGroups", namePrefixFilter="desk-9")) == ["desk-9"] + [f"desk-9{n}" for n in range(10)]
assert names(everything(iot.list_thing_groups, "thingGroups", parentGroup="plant")) == ["hall"]
assert len(everything(iot.list_thing_groups, "thingGroups", parentGroup="plant", recursive=True)) == 6
assert names(everything(iot.list_thing_groups, "thingGroups", recursive=False)) == ["plant", "office"]

# Joined and left, by name and by ARN, once and again.
for thing in ("lamp-1", "lamp-2"):
    iot.create_thing(thingName=thing)
for _ in range(2):
    iot.add_thing_to_thing_group(thingGroupName="line", thingName="lamp-1")
iot.add_thing_to_thing_group(thingGroupArn=hall["thingGroupArn"], thingArn=arn("thing", "lamp-2"))
assert everything(iot.list_things_in_thing_group, "things", thingGroupName="plant") == []
assert everything(iot.list_things_in_thing_group, "things", thingGroupName="plant", recursive=True) == ["lamp-1", "lamp-2"]
assert names(iot.list_thing_groups_for_thing(thingName="lamp-1")["thingGroups"]) == ["line"]
refused("InvalidRequestException", iot.add_thing_to_thing_group, "same hierarchy", thingGroupName="plant", thingName="lamp-1")
refused("ResourceNotFoundException", iot.add_thing_to_thing_group, thingGroupName="none", thingName="lamp-1")
refused("ResourceNotFoundException", iot.add_thing_to_thing_group, thingGroupName="plant", thingName="none")
refused("ResourceNotFoundException", iot.remove_thing_from_thing_group, thingGroupName="none", thingName="lamp-1")
refused("InvalidRequestException", iot.add_thing_to_thing_group, thingGroupName="plant")
refused("InvalidRequestException", iot.add_thing_to_thing_group, thingName="lamp-1")
refused("InvalidRequestException", iot.add_thing_to_thing_group, thingGroupName="plant", thingGroupArn=hall["thingGroupArn"], thingName="lamp-1")
refused("InvalidRequestException", iot.add_thing_to_thing_group, thingGroupArn=arn("thinggroup", "hall", account="999999999999"), thingName="lamp-1")
refused("ResourceNotFoundException", iot.update_thing_groups_for_thing, thingName="none", thingGroupsToAdd=["office"])
refused("InvalidRequestException", iot.update_thing_groups_for_thing, thingName="lamp-1", thingGroupsToAdd=[f"desk-{n}" for n in range(11)])
for n in range(9):
    iot.create_thing_group(thingGroupName=f"ring-{n}")
    iot.add_thing_to_thing_group(thingGroupName=f"ring-{n}", thingName="lamp-1")
refused("InvalidRequestException", iot.add_thing_to_thing_group, "10 groups", thingGroupName="office", thingName="lamp-1")
iot.update_thing_groups_for_thing(thingName="lamp-1", thingGroupsToAdd=["office"], thingGroupsToRemove=["ring-0"])
assert "office" in names(everything(iot.list_thing_groups_for_thing, "thingGroups", thingName="lamp-1"))
for _ in range(2):
    iot.remove_thing_from_thing_group(thingGroupName="office", thingName="lamp-1")

# Policies of a group and of those above it.
for name in ("of-plant", "of-line", "of-device"):
    iot.create_policy(policyName=name, policyDocument=OPEN_POLICY)
iot.attach_policy(policyName="of-plant", target=plant["thingGroupArn"])
iot.attach_policy(policyName="of-line", target=arn("thinggroup", "line"))
device = iot.create_keys_and_certificate(setAsActive=True)
iot.attach_policy(policyName="of-device", target=device["certificateArn"])
iot.attach_thing_principal(thingName="lamp-1", principal=device["certificateArn"])
policies = lambda found: sorted(policy["policyName"] for policy in found)
assert policies(iot.list_attached_policies(target=arn("thinggroup", "line"))["policies"]) == ["of-line"]
assert policies(everything(iot.list_attached_policies, "policies", target=arn("thinggroup", "line"), recursive=True)) == ["of-line", "of-plant"]
effective = iot.get_effective_policies(principal=device["certificateArn"])["effectivePolicies"]
assert policies(effective) == ["of-device", "of-line", "of-plant"]
assert policies(iot.get_effective_policies(thingName="lamp-1")["effectivePolicies"]) == ["of-line", "of-plant"]
refused("ResourceNotFoundException", iot.list_attached_policies, target=arn("thinggroup", "none"))
refused("ResourceNotFoundException", iot.attach_policy, policyName="of-plant", target=arn("thinggroup", "none"))
iot.detach_policy(policyName="of-plant", target=plant["thingGroupArn"])
effective = iot.get_effective_policies(principal=device["certificateArn"])["effectivePolicies"]
assert policies(effective) == ["of-device", "of-line"]

# Deleted; what is gone can be deleted again.
for level in (7, 6, 5, 4):
    iot.delete_thing_group(thingGroupName=f"level-{level}")
for _ in range(2):
    iot.delete_thing_group(thingGroupName="line")
assert policies(iot.get_effective_policies(principal=device["certificateArn"])["effectivePolicies"]) == ["of-device"]
