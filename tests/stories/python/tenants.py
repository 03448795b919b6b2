"""Two accounts on one server: neither sees, names or takes what is the other's, and certificates move only as agreed."""

import configparser
import os
import socket
import ssl
import tempfile

from cloud import ACCOUNT, OPEN_POLICY, REGION, arn, client, refused

OTHER = "210987654321"


def keys(file):
    profiles = configparser.ConfigParser()
    profiles.read(file)
    return dict(profiles["default"])


ours = client()
theirs = client(**keys(os.environ["OTHER_KEY"]))
reader = client(**keys(os.environ["READER_KEY"]))
here = client(region="eu-west-1")

# The same names, each in its own account and region.
for iot, account, region in ((ours, ACCOUNT, REGION), (theirs, OTHER, REGION), (here, ACCOUNT, "eu-west-1")):
    made = iot.create_thing(thingName="lamp", attributePayload={"attributes": {"owner": account}})
    assert made["thingArn"] == arn("thing", "lamp", account=account, region=region)
    iot.create_policy(policyName="open", policyDocument=OPEN_POLICY)
ours.create_thing(thingName="only-ours")
ours.create_thing_group(thingGroupName="only-ours")
refused("ResourceNotFoundException", theirs.describe_thing, thingName="only-ours")
refused("ResourceNotFoundException", theirs.describe_thing_group, thingGroupName="only-ours")
refused("ResourceNotFoundException", here.describe_thing, thingName="only-ours")
assert [thing["thingName"] for thing in theirs.list_things()["things"]] == ["lamp"]
assert theirs.describe_thing(thingName="lamp")["attributes"] == {"owner": OTHER}
assert theirs.get_registration_code() != ours.get_registration_code()
endpoints = {iot: iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"] for iot in (ours, theirs)}
assert endpoints[ours] != endpoints[theirs]

# What is ours cannot be named by them.
device = ours.create_keys_and_certificate(setAsActive=True)
ours.attach_policy(policyName="open", target=device["certificateArn"])
refused("ResourceNotFoundException", theirs.describe_certificate, certificateId=device["certificateId"])
refused("ResourceNotFoundException", theirs.update_certificate, certificateId=device["certificateId"], newStatus="REVOKED")
for call, members in (
    (theirs.attach_policy, {"policyName": "open", "target": device["certificateArn"]}),
    (theirs.attach_thing_principal, {"thingName": "lamp", "principal": device["certificateArn"]}),
    (theirs.tag_resource, {"resourceArn": arn("policy", "open"), "tags": []}),
    (theirs.add_thing_to_thing_group, {"thingName": "lamp", "thingGroupArn": arn("thinggroup", "only-ours")}),
):
    refused("InvalidRequestException", call, "another account", **members)


def connack(host, made):
    """The return code of a CONNECT sent to this endpoint; None if the connection was closed."""
    address, port = os.environ["CLOUD_MQTT"].rsplit(":", 1)
    context = ssl.create_default_context(cafile=os.environ["CLOUD_CA"])
    context.check_hostname = False
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(made["certificatePem"] + made["keyPair"]["PrivateKey"])
        file.flush()
        context.load_cert_chain(file.name)
    try:
        with socket.create_connection((address, int(port)), timeout=20) as plain:
            with context.wrap_socket(plain, server_hostname=host) as stream:
                stream.sendall(bytes.fromhex("101000044d5154540402003c0004") + b"lamp")
                answer = stream.recv(4)
                return answer[3] if len(answer) == 4 else None
    except (ssl.SSLError, ConnectionError):
        return None


# A device is known at its own account's endpoint, and at no other.
assert connack(endpoints[ours], device) == 0
assert connack(endpoints[theirs], device) is None
assert connack("nobody.example.com", device) is None
# To register another's public certificate captures nothing.
theirs.register_certificate_without_ca(certificatePem=device["certificatePem"], status="ACTIVE")
assert connack(endpoints[ours], device) == 0
theirs.update_certificate(certificateId=device["certificateId"], newStatus="REVOKED")
assert connack(endpoints[ours], device) == 0
assert ours.describe_certificate(certificateId=device["certificateId"])["certificateDescription"]["status"] == "ACTIVE"

# A key that only looks, in one region.
assert reader.list_things()["things"]
for call, members in ((reader.create_thing, {"thingName": "x"}), (reader.delete_thing, {"thingName": "lamp"}), (reader.create_keys_and_certificate, {})):
    refused("ClientError", call, "AccessDeniedException", **members)
elsewhere = client(region="eu-west-1", **keys(os.environ["READER_KEY"]))
refused("UnauthorizedException", elsewhere.list_things, "eu-west-1")

# A certificate moves.
moving = ours.create_keys_and_certificate(setAsActive=True)
known = {"certificateId": moving["certificateId"]}
refused("CertificateStateException", ours.transfer_certificate, targetAwsAccount=OTHER, **known)
ours.update_certificate(newStatus="INACTIVE", **known)
ours.attach_policy(policyName="open", target=moving["certificateArn"])
refused("TransferConflictException", ours.transfer_certificate, targetAwsAccount=OTHER, **known)
ours.detach_policy(policyName="open", target=moving["certificateArn"])
for account in (ACCOUNT, "111111111111", "x"):
    refused("InvalidRequestException", ours.transfer_certificate, targetAwsAccount=account, **known)
refused("InvalidRequestException", ours.transfer_certificate, targetAwsAccount=OTHER, transferMessage="m" * 129, **known)
refused("ResourceNotFoundException", ours.transfer_certificate, targetAwsAccount=OTHER, certificateId="0" * 64)
refused("ResourceNotFoundException", theirs.accept_certificate_transfer, **known)
refused("ResourceNotFoundException", theirs.reject_certificate_transfer, **known)
refused("TransferAlreadyCompletedException", ours.cancel_certificate_transfer, **known)
refused("ResourceNotFoundException", ours.cancel_certificate_transfer, certificateId="0" * 64)
status = lambda iot: iot.describe_certificate(**known)["certificateDescription"]["status"]


def send():
    sent = ours.transfer_certificate(targetAwsAccount=OTHER, transferMessage="yours now", **known)
    assert sent["transferredCertificateArn"] == arn("cert", moving["certificateId"], account=OTHER)
    assert status(ours) == "PENDING_TRANSFER"


send()
listed = ours.list_outgoing_certificates()["outgoingCertificates"]
assert [(one["certificateId"], one["transferredTo"], one["transferMessage"]) for one in listed] == [(moving["certificateId"], OTHER, "yours now")]
assert theirs.list_outgoing_certificates()["outgoingCertificates"] == []
refused("TransferConflictException", ours.transfer_certificate, targetAwsAccount=OTHER, **known)
refused("CertificateStateException", ours.update_certificate, newStatus="ACTIVE", **known)
theirs.reject_certificate_transfer(rejectReason="no room", **known)
refusal = ours.describe_certificate(**known)["certificateDescription"]["transferData"]
assert refusal["rejectReason"] == "no room" and refusal["rejectDate"] >= refusal["transferDate"], refusal
assert status(ours) == "INACTIVE" and ours.list_outgoing_certificates()["outgoingCertificates"] == []
refused("TransferAlreadyCompletedException", theirs.reject_certificate_transfer, **known)
send()
ours.cancel_certificate_transfer(**known)
assert status(ours) == "INACTIVE"
refused("TransferAlreadyCompletedException", ours.cancel_certificate_transfer, **known)
refused("TransferAlreadyCompletedException", theirs.accept_certificate_transfer, **known)
send()
theirs.accept_certificate_transfer(setAsActive=True, **known)
assert status(theirs) == "ACTIVE"
moved = theirs.describe_certificate(**known)["certificateDescription"]
assert moved["previousOwnedBy"] == ACCOUNT and moved["ownedBy"] == OTHER, moved
assert moved["transferData"]["transferMessage"] == "yours now" and moved["transferData"]["transferDate"] <= moved["transferData"]["acceptDate"], moved
refused("ResourceNotFoundException", ours.describe_certificate, **known)
refused("TransferAlreadyCompletedException", theirs.accept_certificate_transfer, **known)
theirs.attach_policy(policyName="open", target=arn("cert", moving["certificateId"], account=OTHER))
assert connack(endpoints[theirs], moving) == 0
assert connack(endpoints[ours], moving) is None
