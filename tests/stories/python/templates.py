"""RegisterThing: templates that give a thing its type, groups and billing group, and what happens to one that exists."""

import json

from cloud import OPEN_POLICY, arn, client, refused

iot = client()
iot.create_thing_type(thingTypeName="lamp")
iot.create_thing_type(thingTypeName="old")
iot.deprecate_thing_type(thingTypeName="old")
iot.create_billing_group(billingGroupName="city")
iot.create_billing_group(billingGroupName="state")
for group in ("hall", "yard"):
    iot.create_thing_group(thingGroupName=group)
iot.create_thing_group(thingGroupName="line", parentGroupName="hall")
iot.create_policy(policyName="open", policyDocument=OPEN_POLICY)


def register(name, overrides=None, certificate=None, refusal=None, **properties):
    thing = {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Name"}, **properties}}
    if overrides:
        thing["OverrideSettings"] = overrides
    resources = {"thing": thing}
    if certificate:
        resources["certificate"] = {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": certificate}}
        resources["policy"] = {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "open"}}
    body = json.dumps({"Parameters": {"Name": {"Type": "String"}}, "Resources": resources})
    request = {"templateBody": body, "parameters": {"Name": name}}
    if refusal:
        return refused(refusal, iot.register_thing, **request)
    return iot.register_thing(**request)["resourceArns"]


def groups_of(name):
    return sorted(group["groupName"] for group in iot.list_thing_groups_for_thing(thingName=name)["thingGroups"])


lamp = {"ThingTypeName": "lamp", "ThingGroups": ["line", "yard"], "BillingGroup": "city"}
attributes = {"AttributePayload": {f"a{n}": "1" for n in range(3)}}
device = iot.create_keys_and_certificate(setAsActive=False)
made = register("lamp-1", certificate=device["certificateId"], **lamp, **attributes)
assert made["thing"] == arn("thing", "lamp-1") and made["certificate"] == device["certificateArn"], made
found = iot.describe_thing(thingName="lamp-1")
assert (found["thingTypeName"], found["billingGroupName"], len(found["attributes"])) == ("lamp", "city", 3)
assert groups_of("lamp-1") == ["line", "yard"]
register("lamp-1", certificate=device["certificateId"], **lamp, **attributes)
assert iot.describe_thing(thingName="lamp-1")["version"] == 1

for wrong in ({"ThingTypeName": "none"}, {"ThingTypeName": "old"}, {"ThingGroups": ["none"]}, {"BillingGroup": "none"}, {"ThingGroups": ["hall", "line"]}, {"ThingTypeName": "a b"}):
    register("lamp-2", refusal="ResourceRegistrationFailureException", **wrong)
for wrong in ({"ThingGroups": "hall"}, {"ThingGroups": [str(n) for n in range(11)]}, {"Colour": "red"}):
    register("lamp-2", refusal="InvalidRequestException", **wrong)
refused("ResourceNotFoundException", iot.describe_thing, thingName="lamp-2")

# What to do with a thing that exists.
conflict = "ConflictingResourceUpdateException"
register("lamp-1", refusal=conflict, **attributes, ThingTypeName="old")
register("lamp-1", refusal=conflict, **attributes, ThingTypeName="old", overrides={"ThingTypeName": "FAIL"})
register("lamp-1", refusal=conflict, **attributes, ThingGroups=["hall"])
register("lamp-1", refusal=conflict, **attributes, BillingGroup="state")
register("lamp-1", refusal=conflict)
register("lamp-1", refusal="InvalidRequestException", overrides={"ThingTypeName": "MERGE"})
register("lamp-1", **attributes, ThingTypeName="old", overrides={"ThingTypeName": "DO_NOTHING"})
iot.create_thing_type(thingTypeName="lantern")
register("lamp-1", **attributes, ThingTypeName="lantern", overrides={"ThingTypeName": "REPLACE"})
assert iot.describe_thing(thingName="lamp-1")["thingTypeName"] == "lantern"
register("lamp-1", **attributes, ThingGroups=["yard"], overrides={"ThingGroups": "DO_NOTHING"})
assert groups_of("lamp-1") == ["line", "yard"]
iot.create_thing_group(thingGroupName="roof")
register("lamp-1", **attributes, ThingGroups=["roof"], overrides={"ThingGroups": "MERGE"})
assert groups_of("lamp-1") == ["line", "roof", "yard"]
register("lamp-1", **attributes, ThingGroups=["hall"], overrides={"ThingGroups": "REPLACE"})
assert groups_of("lamp-1") == ["hall"]
register("lamp-1", AttributePayload={"b": "2"}, overrides={"AttributePayload": "MERGE"})
assert len(iot.describe_thing(thingName="lamp-1")["attributes"]) == 4
