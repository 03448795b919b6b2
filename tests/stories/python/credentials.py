"""A device trades its certificate for a temporary access key, which does what its role says and no more.

curl asks for it as the guide does; boto3 and awscrt use it.
"""

import json
import os
import queue
import subprocess
import tempfile

import boto3
import botocore.config
from awscrt import auth, mqtt
from awsiot import mqtt_connection_builder

from cloud import ACCOUNT, REGION, arn, client, everything, refused

TIMEOUT = 20
iot = client()
folder = tempfile.mkdtemp()
ROLE = f"arn:aws:iam::{ACCOUNT}:role/devices/uploader"


def document(*statements):
    allow = [{"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in statements]
    return json.dumps({"Version": "2012-10-17", "Statement": allow})


def device(name):
    """A device with a thing and a certificate, in files for curl."""
    made = iot.create_keys_and_certificate(setAsActive=True)
    iot.create_thing(thingName=name)
    iot.attach_thing_principal(thingName=name, principal=made["certificateArn"])
    for ending, text in (("pem", made["certificatePem"]), ("key", made["keyPair"]["PrivateKey"])):
        with open(f"{folder}/{name}.{ending}", "w") as file:
            file.write(text)
    return made


def ask(alias, name=None, thing=None, method="GET"):
    """Status and answer of the credentials endpoint, as curl gets them."""
    command = ["curl", "--silent", "--cacert", os.environ["CLOUD_CA"], "--write-out", "\n%{http_code}", "--request", method]
    if name:
        command += ["--cert", f"{folder}/{name}.pem", "--key", f"{folder}/{name}.key"]
    if thing:
        command += ["--header", f"x-amzn-iot-thingname: {thing}"]
    said = subprocess.run([*command, f"{os.environ['CLOUD_API']}/role-aliases/{alias}/credentials"], capture_output=True, text=True, check=True)
    body, status = said.stdout.rsplit("\n", 1)
    return int(status), json.loads(body)


def session(credentials, service="iot"):
    """What boto3 makes of the answer."""
    config = botocore.config.Config(retries={"total_max_attempts": 1})
    return boto3.Session(
        aws_access_key_id=credentials["accessKeyId"],
        aws_secret_access_key=credentials["secretAccessKey"],
        aws_session_token=credentials["sessionToken"],
    ).client(service, region_name=REGION, endpoint_url=os.environ["CLOUD_API"], verify=os.environ["CLOUD_CA"], config=config)


# Role aliases.
made = iot.create_role_alias(roleAlias="upload", roleArn=ROLE, tags=[{"Key": "k", "Value": "v"}])
assert made["roleAlias"] == "upload" and made["roleAliasArn"] == arn("rolealias", "upload")
found = iot.describe_role_alias(roleAlias="upload")["roleAliasDescription"]
assert (found["roleArn"], found["owner"], found["credentialDurationSeconds"]) == (ROLE, ACCOUNT, 3600)
iot.update_role_alias(roleAlias="upload", credentialDurationSeconds=900)
assert iot.describe_role_alias(roleAlias="upload")["roleAliasDescription"]["credentialDurationSeconds"] == 900
for name in ("void", "short@1=2,3"):
    iot.create_role_alias(roleAlias=name, roleArn=f"arn:aws:iam::{ACCOUNT}:role/none-such")
assert everything(iot.list_role_aliases, "roleAliases", ascendingOrder=True) == ["short@1=2,3", "upload", "void"]
assert iot.list_role_aliases()["roleAliases"] == ["void", "upload", "short@1=2,3"]
assert iot.list_tags_for_resource(resourceArn=made["roleAliasArn"])["tags"] == [{"Key": "k", "Value": "v"}]
refused("ResourceAlreadyExistsException", iot.create_role_alias, roleAlias="upload", roleArn=ROLE)
for members in (
    {"roleAlias": "a b"},
    {"credentialDurationSeconds": 899},
    {"credentialDurationSeconds": 43201},
    {"roleArn": "arn:aws:iam::210987654321:role/uploader"},
    {"roleArn": f"arn:aws:iam::{ACCOUNT}:user/uploader"},
    {"roleArn": "short"},
):
    refused("InvalidRequestException", iot.create_role_alias, **({"roleAlias": "other", "roleArn": ROLE} | members))
for call in (iot.describe_role_alias, iot.update_role_alias, iot.delete_role_alias):
    refused("ResourceNotFoundException", call, roleAlias="none")
iot.delete_role_alias(roleAlias="short@1=2,3")

# Who may have it.
lamp, door = device("lamp"), device("door")
iot.create_policy(policyName="assume", policyDocument=document(("iot:AssumeRoleWithCertificate", [arn("rolealias", "upload"), arn("rolealias", "void"), arn("rolealias", "gone")])))
iot.create_policy(policyName="uploads", policyDocument=document(("iot:Publish", arn("topic", "up/*")), ("iot:Connect", arn("client", "${iot:Connection.Thing.ThingName}")), (["iot:Subscribe", "iot:Receive"], "*")))
iot.attach_policy(policyName="assume", target=lamp["certificateArn"])
assert iot.describe_endpoint(endpointType="iot:CredentialProvider")["endpointAddress"]
status, answer = ask("upload", "lamp", thing="lamp")
credentials = answer["credentials"]
assert status == 200 and set(credentials) == {"accessKeyId", "secretAccessKey", "sessionToken", "expiration"}, answer
assert credentials["expiration"].endswith("Z") and "." not in credentials["expiration"]
denied = {"message": "Access Denied"}
assert ask("upload", "door") == (403, denied), "no policy allows it"
assert ask("upload", "lamp", thing="door") == (403, denied), "it is not that thing"
assert ask("upload") == (403, denied), "no certificate"
assert ask("void", "lamp") == (403, denied), "the role is not there"
assert ask("gone", "lamp")[0] == 404 and ask("other", "lamp") == (403, denied), "what there is is told to those who may"
assert ask("upload", "lamp", method="POST")[0] in (403, 404)

# What it may do: look, and publish where the role's policy says.
mine = session(credentials)
assert {thing["thingName"] for thing in mine.list_things()["things"]} == {"lamp", "door"}
refused("ClientError", mine.create_thing, "AccessDenied", thingName="other")
data = session(credentials, "iot-data")
data.publish(topic="up/lamp", payload=b"1")
refused("ForbiddenException", data.publish, topic="down/lamp", payload=b"1")
refused("ForbiddenException", data.publish, topic="up/lamp", payload=b"1", retain=True)
# The key is nothing without its own token, and counts nowhere else.
_, another = ask("upload", "lamp")
for wrong in (
    {"sessionToken": another["credentials"]["sessionToken"]},
    {"sessionToken": credentials["sessionToken"][:-8] + "AAAAAAAA"},
    {"sessionToken": "AQ"},
    {"sessionToken": None},
):
    refused("ClientError", session(credentials | wrong).list_things, "UnrecognizedClientException")
refused("ClientError", session(credentials | {"secretAccessKey": another["credentials"]["secretAccessKey"]}).list_things, "SignatureDoesNotMatch")

# MQTT over WebSocket, by the same key.
host, port = os.environ["CLOUD_API"].removeprefix("https://").rsplit(":", 1)


def websocket(client_id, credentials):
    provider = auth.AwsCredentialsProvider.new_static(credentials["accessKeyId"], credentials["secretAccessKey"], credentials["sessionToken"])
    return mqtt_connection_builder.websockets_with_default_aws_signing(
        region=REGION, credentials_provider=provider, endpoint="localhost", port=int(port),
        ca_filepath=os.environ["CLOUD_CA"], client_id=client_id, clean_session=True,
    )


connection = websocket("lamp", credentials)
connection.connect().result(TIMEOUT)
heard = queue.Queue()
connection.subscribe("up/#", mqtt.QoS.AT_LEAST_ONCE, lambda topic, payload, **_: heard.put((topic, payload)))[0].result(TIMEOUT)
connection.publish("up/lamp", "hello", mqtt.QoS.AT_LEAST_ONCE)[0].result(TIMEOUT)
assert heard.get(timeout=TIMEOUT) == ("up/lamp", b"hello")
connection.disconnect().result(TIMEOUT)
try:
    websocket("door", credentials).connect().result(TIMEOUT)
    raise AssertionError("a client id that its role does not allow was let in")
except Exception as error:
    assert not isinstance(error, AssertionError), error

# A connection that is open follows the policies of its role, and ends before whoever takes back what it rests on hears of it.
def opened():
    provider = auth.AwsCredentialsProvider.new_static(credentials["accessKeyId"], credentials["secretAccessKey"], credentials["sessionToken"])
    ends = queue.Queue()
    made = mqtt_connection_builder.websockets_with_default_aws_signing(
        region=REGION, credentials_provider=provider, endpoint="localhost", port=int(port), ca_filepath=os.environ["CLOUD_CA"],
        client_id="lamp", clean_session=True, reconnect_min_timeout_secs=60, reconnect_max_timeout_secs=60,
        on_connection_interrupted=lambda connection, error, **_: ends.put(error),
    )
    made.connect().result(TIMEOUT)
    return made, ends


def is_over(made, ends, why):
    assert ends.get(timeout=TIMEOUT), why
    made.disconnect()


def role_may(*statements):
    iot.create_policy_version(policyName="uploads", policyDocument=document(*statements), setAsDefault=True)


connection, ends = opened()
connect = ("iot:Connect", arn("client", "${iot:Connection.Thing.ThingName}"))
role_may(connect, ("iot:Publish", arn("topic", "else/*")))
connection.publish("else/lamp", "1", mqtt.QoS.AT_LEAST_ONCE)[0].result(TIMEOUT)
assert ends.empty()
connection.publish("up/lamp", "1", mqtt.QoS.AT_LEAST_ONCE)
is_over(connection, ends, "what its role may do no more is not let it do")
role_may(connect, ("iot:Publish", arn("topic", "up/${iot:Connection.Thing.ThingName}")))
connection, ends = opened()
iot.update_thing(thingName="lamp", attributePayload={"attributes": {"room": "1"}})
connection.publish("up/lamp", "1", mqtt.QoS.AT_LEAST_ONCE)[0].result(TIMEOUT)
iot.detach_thing_principal(thingName="lamp", principal=lamp["certificateArn"])
connection.publish("up/lamp", "1", mqtt.QoS.AT_LEAST_ONCE)
is_over(connection, ends, "it is not that thing any more")
iot.attach_thing_principal(thingName="lamp", principal=lamp["certificateArn"])
role_may(connect, ("iot:Publish", arn("topic", "up/*")), (["iot:Subscribe", "iot:Receive"], "*"))
connection, ends = opened()
iot.update_certificate(certificateId=lamp["certificateId"], newStatus="INACTIVE")
is_over(connection, ends, "the certificate that the key was given for is INACTIVE")
iot.update_certificate(certificateId=lamp["certificateId"], newStatus="ACTIVE")
connection, ends = opened()
iot.delete_role_alias(roleAlias="upload")
is_over(connection, ends, "the role alias that the key was given by is gone")
iot.create_role_alias(roleAlias="upload", roleArn=ROLE)

# It ends with its certificate, and with its alias.
iot.update_certificate(certificateId=lamp["certificateId"], newStatus="INACTIVE")
refused("ClientError", mine.list_things, "AccessDenied")
refused("ClientError", data.publish, "AccessDenied", topic="up/lamp", payload=b"1")
assert ask("upload", "lamp") == (403, denied)
iot.update_certificate(certificateId=lamp["certificateId"], newStatus="ACTIVE")
assert mine.list_things()["things"]
iot.delete_role_alias(roleAlias="upload")
refused("ClientError", mine.list_things, "AccessDenied")
assert ask("upload", "lamp")[0] == 404
iot.create_role_alias(roleAlias="upload", roleArn=ROLE)
assert mine.list_things()["things"]
