"""What an infrastructure tool does, run after run: it declares what should be there, reads what is, and makes only the difference.

Each kind of resource is read, created, changed and deleted with the calls that such tools use. A second run of the same state
changes nothing; a changed state changes only what differs; a run that was lost half way is taken up; what is destroyed is gone.
"""

import json

from cloud import ACCOUNT, OPEN_POLICY, arn, client, refused
from error_world import FLEET, ROLE

iot = client()
missing = iot.exceptions.ResourceNotFoundException
changes = []
READ_ONLY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Receive", "Resource": "*"}]})


def tags_of(resource):
    return {tag["Key"]: tag["Value"] for tag in iot.list_tags_for_resource(resourceArn=resource)["tags"]}


def pairs(tags):
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def retag(resource, wanted):
    gone = [key for key in tags_of(resource) if key not in wanted]
    if gone:
        iot.untag_resource(resourceArn=resource, tagKeys=gone)
    iot.tag_resource(resourceArn=resource, tags=pairs(wanted))


class ThingType:
    def read(self, name):
        found = iot.describe_thing_type(thingTypeName=name)
        return {"description": found["thingTypeProperties"].get("thingTypeDescription", ""), "tags": tags_of(found["thingTypeArn"])}

    def create(self, name, wanted):
        iot.create_thing_type(thingTypeName=name, thingTypeProperties={"thingTypeDescription": wanted["description"]}, tags=pairs(wanted["tags"]))

    def update(self, name, wanted, found):
        retag(arn("thingtype", name), wanted["tags"])
        iot.update_thing_type(thingTypeName=name, thingTypeProperties={"thingTypeDescription": wanted["description"]})

    def delete(self, name):
        iot.deprecate_thing_type(thingTypeName=name)
        iot.delete_thing_type(thingTypeName=name)


class Group:
    def read(self, name):
        found = iot.describe_thing_group(thingGroupName=name)
        return {"parent": found["thingGroupMetadata"].get("parentGroupName"), "attributes": found["thingGroupProperties"].get("attributePayload", {}).get("attributes", {}), "tags": tags_of(found["thingGroupArn"])}

    def create(self, name, wanted):
        parent = {"parentGroupName": wanted["parent"]} if wanted["parent"] else {}
        iot.create_thing_group(thingGroupName=name, thingGroupProperties={"attributePayload": {"attributes": wanted["attributes"]}}, tags=pairs(wanted["tags"]), **parent)

    def update(self, name, wanted, found):
        retag(arn("thinggroup", name), wanted["tags"])
        iot.update_thing_group(thingGroupName=name, thingGroupProperties={"attributePayload": {"attributes": wanted["attributes"]}})

    def delete(self, name):
        iot.delete_thing_group(thingGroupName=name)


class BillingGroup:
    def read(self, name):
        found = iot.describe_billing_group(billingGroupName=name)
        return {"description": found["billingGroupProperties"].get("billingGroupDescription", ""), "tags": tags_of(found["billingGroupArn"])}

    def create(self, name, wanted):
        iot.create_billing_group(billingGroupName=name, billingGroupProperties={"billingGroupDescription": wanted["description"]}, tags=pairs(wanted["tags"]))

    def update(self, name, wanted, found):
        retag(arn("billinggroup", name), wanted["tags"])
        version = iot.describe_billing_group(billingGroupName=name)["version"]
        iot.update_billing_group(billingGroupName=name, billingGroupProperties={"billingGroupDescription": wanted["description"]}, expectedVersion=version)

    def delete(self, name):
        iot.delete_billing_group(billingGroupName=name)


class Thing:
    def read(self, name):
        found = iot.describe_thing(thingName=name)
        return {"type": found.get("thingTypeName"), "attributes": found["attributes"]}

    def create(self, name, wanted):
        iot.create_thing(thingName=name, thingTypeName=wanted["type"], attributePayload={"attributes": wanted["attributes"]})

    def update(self, name, wanted, found):
        iot.update_thing(thingName=name, thingTypeName=wanted["type"], attributePayload={"attributes": wanted["attributes"]})

    def delete(self, name):
        iot.delete_thing(thingName=name)


class Policy:
    """A new document is a new version; the oldest goes when there are five."""

    def read(self, name):
        found = iot.get_policy(policyName=name)
        return {"document": found["policyDocument"], "tags": tags_of(found["policyArn"])}

    def create(self, name, wanted):
        iot.create_policy(policyName=name, policyDocument=wanted["document"], tags=pairs(wanted["tags"]))

    def update(self, name, wanted, found):
        retag(arn("policy", name), wanted["tags"])
        versions = iot.list_policy_versions(policyName=name)["policyVersions"]
        if len(versions) >= 5:
            oldest = min((version for version in versions if not version["isDefaultVersion"]), key=lambda version: version["createDate"])
            iot.delete_policy_version(policyName=name, policyVersionId=oldest["versionId"])
        iot.create_policy_version(policyName=name, policyDocument=wanted["document"], setAsDefault=True)

    def delete(self, name):
        for version in iot.list_policy_versions(policyName=name)["policyVersions"]:
            if not version["isDefaultVersion"]:
                iot.delete_policy_version(policyName=name, policyVersionId=version["versionId"])
        iot.delete_policy(policyName=name)


class Template:
    def read(self, name):
        found = iot.describe_provisioning_template(templateName=name)
        return {"enabled": found["enabled"], "body": found["templateBody"], "tags": tags_of(found["templateArn"])}

    def create(self, name, wanted):
        iot.create_provisioning_template(templateName=name, templateBody=wanted["body"], enabled=wanted["enabled"], provisioningRoleArn=ROLE, tags=pairs(wanted["tags"]))

    def update(self, name, wanted, found):
        retag(arn("provisioningtemplate", name), wanted["tags"])
        if wanted["body"] != found["body"]:
            iot.create_provisioning_template_version(templateName=name, templateBody=wanted["body"], setAsDefault=True)
        iot.update_provisioning_template(templateName=name, enabled=wanted["enabled"])

    def delete(self, name):
        iot.delete_provisioning_template(templateName=name)


class Certificate:
    """Its id is known only after it was made; a tool keeps it in its state."""

    ids = {}

    def read(self, name):
        if name not in self.ids:
            raise missing({"Error": {"Code": "ResourceNotFoundException"}}, "DescribeCertificate")
        found = iot.describe_certificate(certificateId=self.ids[name])["certificateDescription"]
        return {"status": found["status"]}

    def create(self, name, wanted):
        self.ids[name] = iot.create_keys_and_certificate(setAsActive=wanted["status"] == "ACTIVE")["certificateId"]

    def update(self, name, wanted, found):
        iot.update_certificate(certificateId=self.ids[name], newStatus=wanted["status"])

    def delete(self, name):
        iot.update_certificate(certificateId=self.ids[name], newStatus="INACTIVE")
        iot.delete_certificate(certificateId=self.ids[name])


def target(name):
    return arn("cert", Certificate.ids.get(name, "0" * 64)) if name in Certificate.ids or name == "device" else arn("thinggroup", name)


class PolicyAttachment:
    def read(self, name):
        policy, to = name.split(">")
        attached = iot.list_attached_policies(target=target(to))["policies"]
        if all(one["policyName"] != policy for one in attached):
            raise missing({"Error": {"Code": "ResourceNotFoundException"}}, "ListAttachedPolicies")
        return {}

    def create(self, name, wanted):
        policy, to = name.split(">")
        iot.attach_policy(policyName=policy, target=target(to))

    def delete(self, name):
        policy, to = name.split(">")
        iot.detach_policy(policyName=policy, target=target(to))


class PrincipalAttachment:
    def read(self, name):
        thing, certificate = name.split(">")
        if target(certificate) not in iot.list_thing_principals(thingName=thing)["principals"]:
            raise missing({"Error": {"Code": "ResourceNotFoundException"}}, "ListThingPrincipals")
        return {}

    def create(self, name, wanted):
        thing, certificate = name.split(">")
        iot.attach_thing_principal(thingName=thing, principal=target(certificate))

    def delete(self, name):
        thing, certificate = name.split(">")
        iot.detach_thing_principal(thingName=thing, principal=target(certificate))


class Membership:
    def read(self, name):
        group, thing = name.split(">")
        if all(one["groupName"] != group for one in iot.list_thing_groups_for_thing(thingName=thing)["thingGroups"]):
            raise missing({"Error": {"Code": "ResourceNotFoundException"}}, "ListThingGroupsForThing")
        return {}

    def create(self, name, wanted):
        group, thing = name.split(">")
        iot.add_thing_to_thing_group(thingGroupName=group, thingName=thing)

    def delete(self, name):
        group, thing = name.split(">")
        iot.remove_thing_from_thing_group(thingGroupName=group, thingName=thing)


def found_or_none(kind, name):
    try:
        return kind.read(name)
    except missing:
        return None


def apply(state, most=None):
    """Makes the difference, in the order of the state; stops after `most` changes, as if the tool had been killed."""
    del changes[:]
    for kind, name, wanted in state:
        found = found_or_none(kind, name)
        if found == wanted:
            continue
        if len(changes) == most:
            return
        if found is None:
            kind.create(name, wanted)
        else:
            kind.update(name, wanted, found)
        changes.append(("created" if found is None else "changed", name))
        assert kind.read(name) == wanted, f"{name}: {kind.read(name)}, not {wanted}"


def destroy(state):
    for kind, name, _ in reversed(state):
        if found_or_none(kind, name) is not None:
            kind.delete(name)
        assert found_or_none(kind, name) is None, f"{name} is still there"


def state(document=OPEN_POLICY, room="1", owner="ops", status="ACTIVE", enabled=False):
    tags = {"owner": owner, "tool": "declared"}
    return [
        (ThingType(), "lamp", {"description": "gives light", "tags": tags}),
        (BillingGroup(), "city", {"description": "pays", "tags": tags}),
        (Group(), "hall", {"parent": None, "attributes": {}, "tags": tags}),
        (Group(), "line", {"parent": "hall", "attributes": {"room": room}, "tags": tags}),
        (Policy(), "device", {"document": document, "tags": tags}),
        (Policy(), "all", {"document": OPEN_POLICY, "tags": tags}),
        (Certificate(), "device", {"status": status}),
        (Thing(), "lamp-1", {"type": "lamp", "attributes": {"room": room}}),
        (PolicyAttachment(), "device>device", {}),
        (PolicyAttachment(), "all>line", {}),
        (PrincipalAttachment(), "lamp-1>device", {}),
        (Membership(), "line>lamp-1", {}),
        (Template(), "fleet", {"enabled": enabled, "body": FLEET, "tags": tags}),
    ]


# From nothing, then again.
first = state()
apply(first)
assert [what for what, _ in changes] == ["created"] * len(first), changes
for _ in range(2):
    apply(first)
    assert changes == [], changes

# Only what differs is changed, and whatever came back is the same again.
apply(state(room="2"))
assert changes == [("changed", "line"), ("changed", "lamp-1")], changes
apply(state(room="2", document=READ_ONLY, enabled=True))
assert changes == [("changed", "device"), ("changed", "fleet")], changes
for turn in range(6):
    apply(state(room="2", document=[OPEN_POLICY, READ_ONLY][turn % 2], enabled=True))
    assert changes == [("changed", "device")], changes
apply(state(room="2", document=READ_ONLY, enabled=True, owner="others"))
assert len(changes) == 7, changes
apply(state(status="INACTIVE"))
apply(state(status="INACTIVE"))
assert changes == [], changes

# Somebody changed something by hand: it is put right.
iot.update_thing(thingName="lamp-1", attributePayload={"attributes": {"room": "by-hand"}})
iot.detach_policy(policyName="all", target=arn("thinggroup", "line"))
apply(state(status="INACTIVE"))
assert changes == [("changed", "lamp-1"), ("created", "all>line")], changes

# Destroyed, twice, and nothing is left.
destroy(first)
destroy(first)
assert not iot.list_things()["things"] and not iot.list_policies()["policies"] and not iot.list_certificates()["certificates"]
for call, members in ((iot.describe_thing, {"thingName": "lamp-1"}), (iot.get_policy, {"policyName": "device"}), (iot.describe_thing_group, {"thingGroupName": "line"}), (iot.list_tags_for_resource, {"resourceArn": arn("policy", "device")})):
    refused("ResourceNotFoundException", call, **members)

# A run that was lost half way is taken up by the next.
Certificate.ids.clear()
for most in (3, 5, None):
    apply(first, most)
apply(first)
assert changes == [], changes

# A script without a state that makes everything again gets the same ids, and no second one of anything.
again = {
    iot.create_thing: {"thingName": "lamp-1", "thingTypeName": "lamp", "attributePayload": {"attributes": {"room": "1"}}},
    iot.create_billing_group: {"billingGroupName": "city", "billingGroupProperties": {"billingGroupDescription": "pays"}, "tags": pairs({"owner": "ops", "tool": "declared"})},
    iot.create_thing_type: {"thingTypeName": "lamp", "thingTypeProperties": {"thingTypeDescription": "gives light"}, "tags": pairs({"owner": "ops", "tool": "declared"})},
}
for call, members in again.items():
    ids = {tuple(value for key, value in call(**members).items() if key.endswith("Id")) for _ in range(2)}
    assert len(ids) == 1, ids
# What is detached twice, or was never attached, is detached.
for policy in ("device", "device", "none"):
    iot.detach_policy(policyName=policy, target=arn("thinggroup", "line"))
refused("InvalidRequestException", iot.detach_policy, "Invalid Target", policyName="device", target=arn("thinggroup", "none"))
for attach, members in ((iot.attach_policy, {"policyName": "all", "target": arn("thinggroup", "line")}), (iot.add_thing_to_thing_group, {"thingGroupName": "line", "thingName": "lamp-1"})):
    for _ in range(2):
        attach(**members)
apply(first)
assert changes == [] and len(iot.list_things()["things"]) == 1, changes
