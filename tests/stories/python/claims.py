"""Fleet provisioning with AWS's own SDK: its identity client with a claim certificate, for keys made by the server and for a
request of the device's own; a hook that says no; then the device connects with what it got, and asks the API about itself.

Prints one line for each device that was provisioned.
"""

import base64
import json
import os
import subprocess
import threading
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from awscrt import mqtt, mqtt5, mqtt_request_response
from awsiot import V2ServiceException, iotidentity, mqtt5_client_builder, mqtt_connection_builder

from cloud import ACCOUNT, OPEN_POLICY, client, refused

folder = Path(os.environ["CLAIM_FOLDER"])
iot = client()
HOOK = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:check"


def who(question):
    """What a custom authorizer answers about a client."""
    login = question["protocolData"]["mqtt"]
    known = question["token"] == "ticket" and base64.b64decode(login["password"]) == b"word"
    return {
        "isAuthenticated": known,
        "principalId": "guest7",
        "policyDocuments": [OPEN_POLICY],
        "disconnectAfterInSeconds": 3600,
        "refreshAfterInSeconds": 3600,
    }


class Hook(BaseHTTPRequestHandler):
    asked = []

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Hook.asked.append(question)
        if "protocolData" in question:
            return self.say(who(question))
        allowed = not question["parameters"]["Serial"].startswith("stolen")
        self.say({"allowProvisioning": allowed, "parameterOverrides": {"Site": "plant-7"}})

    def say(self, answer):
        answer = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


hook = ThreadingHTTPServer(("127.0.0.1", int(os.environ["HOOK_PORT"])), Hook)
threading.Thread(target=hook.serve_forever, daemon=True).start()

template = {
    "Parameters": {
        "Serial": {"Type": "String"},
        "Site": {"Type": "String"},
        "AWS::IoT::Certificate::Id": {"Type": "String"},
    },
    "Resources": {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {"ThingName": {"Fn::Sub": "unit-${Serial}"}, "AttributePayload": {"site": {"Ref": "Site"}}},
        },
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"},
        },
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "open"}},
    },
    "DeviceConfiguration": {"site": {"Ref": "Site"}},
}
iot.create_policy(policyName="open", policyDocument=OPEN_POLICY)
request = {
    "templateName": "fleet",
    "templateBody": json.dumps(template),
    "provisioningRoleArn": f"arn:aws:iam::{ACCOUNT}:role/none",
    "enabled": True,
    "type": "FLEET_PROVISIONING",
}
unknown = {"targetArn": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:nobody"}
refused("InvalidRequestException", iot.create_provisioning_template, "[webhooks.nobody]", preProvisioningHook=unknown, **request)
iot.create_provisioning_template(preProvisioningHook={"targetArn": HOOK}, **request)
assert iot.describe_provisioning_template(templateName="fleet")["preProvisioningHook"]["payloadVersion"] == "2020-04-01"
refused("ResourceNotFoundException", iot.create_provisioning_claim, templateName="none")


def save(name, text):
    path = folder / name
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def connect(name, certificate, key, client_id):
    host, port = os.environ["CLOUD_MQTT"].rsplit(":", 1)
    connection = mqtt_connection_builder.mtls_from_path(
        cert_filepath=save(f"{name}.pem", certificate),
        pri_key_filepath=save(f"{name}.key", key),
        ca_filepath=os.environ["CLOUD_CA"],
        endpoint="localhost",
        port=int(port),
        client_id=client_id,
        clean_session=False,
    )
    connection.connect().result(20)
    return connection


class Claimant:
    """AWS's client, with one answer for each question."""

    def __init__(self, connection):
        self.client = iotidentity.IotIdentityClient(connection)
        self.answer = Future()
        qos = mqtt.QoS.AT_LEAST_ONCE
        accepted = lambda response: self.answer.set_result(response)
        rejected = lambda error: self.answer.set_exception(Refused(error))
        for what, subscription in [
            ("create_keys_and_certificate", iotidentity.CreateKeysAndCertificateSubscriptionRequest()),
            ("create_certificate_from_csr", iotidentity.CreateCertificateFromCsrSubscriptionRequest()),
            ("register_thing", iotidentity.RegisterThingSubscriptionRequest(template_name="fleet")),
        ]:
            for kind, callback in (("accepted", accepted), ("rejected", rejected)):
                subscribe = getattr(self.client, f"subscribe_to_{what}_{kind}")
                done, _ = subscribe(request=subscription, qos=qos, callback=callback)
                done.result(20)

    def ask(self, what, request):
        self.answer = Future()
        getattr(self.client, f"publish_{what}")(request=request, qos=mqtt.QoS.AT_LEAST_ONCE).result(20)
        return self.answer.result(20)

    def register(self, token, serial):
        request = iotidentity.RegisterThingRequest(
            template_name="fleet", certificate_ownership_token=token, parameters={"Serial": serial}
        )
        return self.ask("register_thing", request)

    def rejected(self, token, serial, status, code):
        try:
            self.register(token, serial)
        except Refused as error:
            found = (error.said.status_code, error.said.error_code)
            assert found == (status, code), (found, error.said.error_message)
            return
        raise AssertionError(f"{serial} was provisioned")


class Refused(Exception):
    def __init__(self, said):
        super().__init__(said.error_message)
        self.said = said


claim = iot.create_provisioning_claim(templateName="fleet")
assert claim["certificateId"] not in [found["certificateId"] for found in iot.list_certificates()["certificates"]]
device = Claimant(connect("claim", claim["certificatePem"], claim["keyPair"]["PrivateKey"], "device"))

made = device.ask("create_keys_and_certificate", iotidentity.CreateKeysAndCertificateRequest())
description = iot.describe_certificate(certificateId=made.certificate_id)["certificateDescription"]
assert description["status"] == "PENDING_ACTIVATION", description["status"]
device.rejected("", "1", 400, "InvalidCertificateOwnershipToken")
device.rejected("0" * 64, "1", 400, "InvalidCertificateOwnershipToken")
device.rejected(made.certificate_ownership_token, "stolen-1", 403, "AccessDenied")
done = device.register(made.certificate_ownership_token, "1")
assert (done.thing_name, done.device_configuration) == ("unit-1", {"site": "plant-7"}), vars(done)
device.rejected(made.certificate_ownership_token, "1", 400, "InvalidCertificateOwnershipToken")
assert Hook.asked[-1]["clientId"] == "device" and Hook.asked[-1]["claimCertificateId"] == claim["certificateId"]
assert Hook.asked[-1]["certificatePem"] == made.certificate_pem
unit = connect("unit-1", made.certificate_pem, made.private_key, "unit-1")
print("unit-1", iot.describe_thing(thingName="unit-1")["attributes"]["site"])

key = save("unit-2.key", "")
openssl = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=any"]
csr = subprocess.run([*openssl, "-keyout", key], check=True, capture_output=True, text=True).stdout
made = device.ask("create_certificate_from_csr", iotidentity.CreateCertificateFromCsrRequest(certificate_signing_request=csr))
done = device.register(made.certificate_ownership_token, "2")
connect("unit-2", made.certificate_pem, Path(key).read_text(), "unit-2").disconnect().result(20)
principals = iot.list_thing_principals(thingName=done.thing_name)["principals"]
assert [found.rsplit("/", 1)[1] for found in principals] == [made.certificate_id]
print(done.thing_name, done.device_configuration["site"])

# The newer client, over MQTT 5.0, and another claim for minutes.
claim = iot.create_provisioning_claim(templateName="fleet")
connected = Future()
client5 = mqtt5_client_builder.mtls_from_path(
    cert_filepath=save("claim5.pem", claim["certificatePem"]),
    pri_key_filepath=save("claim5.key", claim["keyPair"]["PrivateKey"]),
    ca_filepath=os.environ["CLOUD_CA"],
    endpoint="localhost",
    port=int(os.environ["CLOUD_MQTT"].rsplit(":", 1)[1]),
    client_id="device5",
    on_lifecycle_connection_success=lambda event: connected.set_result(event.connack_packet.reason_code),
    on_lifecycle_connection_failure=lambda event: connected.set_exception(event.exception),
)
client5.start()
assert connected.result(20) == mqtt5.ConnectReasonCode.SUCCESS
options = mqtt_request_response.ClientOptions(max_request_response_subscriptions=4, max_streaming_subscriptions=1)
identity = iotidentity.IotIdentityClientV2(client5, options)
stolen = iotidentity.RegisterThingRequest(
    template_name="fleet", certificate_ownership_token=made.certificate_ownership_token, parameters={"Serial": "3"}
)
try:
    identity.register_thing(stolen).result(20)
    raise AssertionError("a token was used twice")
except V2ServiceException as error:
    assert error.modeled_error.error_code == "InvalidCertificateOwnershipToken", error.modeled_error
made = identity.create_keys_and_certificate(iotidentity.CreateKeysAndCertificateRequest()).result(20)
request = iotidentity.RegisterThingRequest(
    template_name="fleet", certificate_ownership_token=made.certificate_ownership_token, parameters={"Serial": "3"}
)
done = identity.register_thing(request).result(20)
print(done.thing_name, done.device_configuration["site"])
client5.stop()
unit.disconnect().result(20)

# A client without a certificate, on the port for everything: user name, password, and a signed ticket.
key = str(folder / "ticket.key")
subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
public = subprocess.run(["openssl", "rsa", "-in", key, "-pubout"], check=True, capture_output=True, text=True).stdout
iot.create_authorizer(
    authorizerName="gate",
    authorizerFunctionArn=HOOK,
    tokenKeyName="ticket",
    tokenSigningPublicKeys={"first": public},
    status="ACTIVE",
)


def sign(token):
    signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=token.encode(), check=True, capture_output=True)
    return base64.b64encode(signed.stdout).decode()


def come_in(client_id, token, signature, password="word"):
    connection = mqtt_connection_builder.direct_with_custom_authorizer(
        auth_username="me",
        auth_authorizer_name="gate",
        auth_authorizer_signature=signature,
        auth_token_key_name="ticket",
        auth_token_value=token,
        auth_password=password,
        endpoint="localhost",
        ca_filepath=os.environ["CLOUD_CA"],
        client_id=client_id,
        clean_session=True,
    )
    # The builder knows port 443 alone.
    connection.port = int(os.environ["CLOUD_MUX"].rsplit(":", 1)[1])
    connection.connect().result(20)
    return connection


guest = come_in("me-1", "ticket", sign("ticket"))
heard = Future()
guest.subscribe("dt/me-1", mqtt.QoS.AT_LEAST_ONCE, lambda topic, payload, **_: heard.set_result(payload))[0].result(20)
guest.publish("dt/me-1", b"hello", mqtt.QoS.AT_LEAST_ONCE)[0].result(20)
assert heard.result(20) == b"hello"
guest.disconnect().result(20)
tested = iot.test_invoke_authorizer(
    authorizerName="gate",
    token="ticket",
    tokenSignature=sign("ticket"),
    mqttContext={"username": "me", "password": b"word", "clientId": "me-1"},
)
assert tested["isAuthenticated"] and tested["principalId"] == "guest7", tested
refused("UnauthorizedException", iot.test_invoke_authorizer, authorizerName="gate", token="ticket", tokenSignature=sign("other"))
for token, signature, password in [
    ("forged", sign("forged"), "word"),
    ("ticket", sign("ticket"), "guessed"),
    ("ticket", sign("forged"), "word"),
]:
    try:
        come_in("me-2", token, signature, password)
    except Exception:
        continue
    raise AssertionError(f"{token} with {password} was let in")
print("me-1 was let in")
