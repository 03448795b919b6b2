"""Custom authorizers at every listener: MQTT, MQTT over WebSocket and HTTPS, by Paho, by Amazon's SDK and by curl.

The program behind them answers by what it is asked. HOOK_PORT is where it listens, CLOUD_MUX the port for everything.
"""

import base64
import json
import os
import queue
import ssl
import subprocess
import tempfile
import threading
import urllib.parse
import urllib.request
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import botocore.auth
import botocore.awsrequest
import botocore.session
import paho.mqtt.client as paho
from awscrt import mqtt, mqtt5
from awsiot import mqtt5_client_builder, mqtt_connection_builder
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from cloud import ACCOUNT, client
from presigned import presigned

TIMEOUT = 20
CA = os.environ["CLOUD_CA"]
HOST, PORT = "localhost", int(os.environ["CLOUD_MUX"].rsplit(":", 1)[1])
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:who"
NAME, SIGNATURE = "x-amz-customauthorizer-name", "x-amz-customauthorizer-signature"
folder = Path(tempfile.mkdtemp())
iot, data = client(), client("iot-data")
warnings.simplefilter("ignore")


class Program(BaseHTTPRequestHandler):
    """Who knows the word is let in, and may do what is under `dt/`."""

    asked = []
    arrived = queue.Queue()
    topics = "dt/*"
    words = {"word"}

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Program.asked.append(question)
        Program.arrived.put(question)
        carried = question["protocolData"]
        password = base64.b64decode(carried.get("mqtt", {}).get("password", "")).decode()
        header = carried.get("http", {}).get("headers", {}).get("word")
        allow = {"Effect": "Allow", "Action": ["iot:Publish", "iot:Subscribe", "iot:Receive"]}
        resources = [f"arn:aws:iot:us-east-1:{ACCOUNT}:{kind}/{Program.topics}" for kind in ["topic", "topicfilter"]]
        connect = {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}
        answer = {
            "isAuthenticated": bool(question.get("token") == "ticket" or {password, header} & Program.words),
            "principalId": "guest7",
            "policyDocuments": [{"Version": "2012-10-17", "Statement": [connect, {**allow, "Resource": resources}]}],
            "refreshAfterInSeconds": 300,
        }
        answer = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


program = ThreadingHTTPServer(("127.0.0.1", int(os.environ["HOOK_PORT"])), Program)
threading.Thread(target=program.serve_forever, daemon=True).start()


def last_asked():
    """The last question, and forgets all."""
    asked, Program.asked[:] = Program.asked[-1], []
    return asked


class Client:
    """Paho, over WebSocket or not, with all that happens to it in a queue."""

    def __init__(self, name, path=None, headers=None, user=None, password=None, version=MQTTProtocolVersion.MQTTv311, port=PORT):
        self.name, self.port, self.happened = name, port, queue.Queue()
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, name, protocol=version, transport="websockets" if path else "tcp", reconnect_on_failure=False
        )
        context = ssl.create_default_context(cafile=CA)
        context.set_alpn_protocols(["http/1.1" if path else "mqtt"])
        self.client.tls_set_context(context)
        if path:
            self.client.ws_set_options(path=path, headers=headers)
        if user is not None:
            self.client.username_pw_set(user, password)
        put = self.happened.put
        self.client.on_connect = lambda *event: put(("connect", event[3]))
        self.client.on_subscribe = lambda *event: put(("subscribe", event[3]))
        self.client.on_publish = lambda *event: put(("publish", event[3]))
        self.client.on_message = lambda _c, _u, message: put(("message", message))
        self.client.on_disconnect = lambda *event: put(("disconnect", event[3]))

    def wait(self, *kinds):
        while True:
            kind, what = self.happened.get(timeout=TIMEOUT)
            if kind in kinds:
                return kind, what

    def connect(self):
        self.client.connect(HOST, self.port, keepalive=30)
        self.client.loop_start()
        kind, reason = self.wait("connect", "disconnect")
        assert kind == "connect" and not reason.is_failure, f"{self.name}: {kind} {reason}"
        return self

    def hears_itself(self, topic):
        self.client.subscribe(topic, 1)
        _, granted = self.wait("subscribe")
        assert [reason.value for reason in granted] == [1], (self.name, granted)
        self.client.publish(topic, self.name, 1)
        _, message = self.wait("message")
        assert message.payload.decode() == self.name

    def speaks(self):
        self.connect().hears_itself(f"dt/{self.name}")
        self.client.subscribe("secret/#", 1)
        kind, told = self.wait("disconnect", "subscribe")
        assert kind == "disconnect" or all(reason.is_failure for reason in told), (self.name, kind, told)
        if kind == "subscribe":
            self.client.disconnect()
            self.wait("disconnect")

    def is_refused(self, *words):
        try:
            self.client.connect(HOST, self.port, keepalive=30)
        except (OSError, paho.WebsocketConnectionError, ValueError) as error:
            assert all(word in str(error) for word in words), (self.name, error)
            return
        self.client.loop_start()
        kind, reason = self.wait("connect", "disconnect")
        assert kind == "disconnect" or reason.is_failure, (self.name, kind, reason)
        assert not words, f"{self.name} was refused by CONNACK, not by HTTP"


def curl(*arguments, host=HOST):
    """The statuses and the bodies of the answers."""
    command = ["curl", "-sS", "--http1.1", "--cacert", CA, "--connect-to", f"{host}:443:{HOST}:{PORT}", "-w", "\n%{http_code}\n", *arguments]
    lines = subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT).stdout.split("\n")
    return [int(status) for status in lines[1::2]], lines[0::2][:-1]


def post(topic, *arguments, host=HOST, query=""):
    return curl("-d", "by https", f"https://{host}/topics/{topic}?qos=1{query}", *arguments, host=host)


# Nobody to be asked: a client without signature, certificate and authorizer is nobody's.
Client("nobody", "/mqtt").is_refused()
assert post("dt/a")[0] == [403]

key = str(folder / "ticket.key")
subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
public = subprocess.run(["openssl", "rsa", "-in", key, "-pubout"], check=True, capture_output=True, text=True).stdout
iot.create_authorizer(
    authorizerName="gate",
    authorizerFunctionArn=FUNCTION,
    tokenKeyName="pass",
    tokenSigningPublicKeys={"first": public},
    status="ACTIVE",
    enableCachingForHttp=True,
)
iot.create_authorizer(authorizerName="open", authorizerFunctionArn=FUNCTION, signingDisabled=True, status="ACTIVE")


def sign(token):
    signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=token.encode(), check=True, capture_output=True)
    return base64.b64encode(signed.stdout).decode()


good = {NAME: "gate", "pass": "ticket", SIGNATURE: sign("ticket")}
forged = {**good, SIGNATURE: sign("other")}
stranger = {**good, "pass": "stranger", SIGNATURE: sign("stranger")}
query = urllib.parse.urlencode

# WebSocket: by headers, by the query, and by user name and password of the CONNECT.
Client("ws-headers", "/mqtt", headers=good).speaks()
question = last_asked()
assert question["protocols"] == ["tls", "http", "mqtt"] and question["signatureVerified"] is True, question
assert question["token"] == "ticket" and question["connectionMetadata"]["id"], question
carried = question["protocolData"]
assert carried["tls"] == {"serverName": HOST} and carried["mqtt"] == {"clientId": "ws-headers"}, carried
assert carried["http"]["headers"]["pass"] == "ticket" and carried["http"]["queryString"] == "", carried
Client("ws-query", f"/mqtt?{query(good)}").speaks()
assert last_asked()["protocolData"]["http"]["queryString"].startswith(f"?{NAME}=gate&")
Client("ws-login", "/mqtt", user=f"me?{query(good)}", version=MQTTProtocolVersion.MQTTv5).speaks()
assert last_asked()["protocolData"]["mqtt"]["username"].startswith("me?")
Client("ws-both", f"/mqtt?{NAME}=open", user="me", password="word").speaks()
question = last_asked()
assert question["signatureVerified"] is False and "token" not in question, question
assert question["protocolData"]["mqtt"] == {"clientId": "ws-both", "username": "me", "password": base64.b64encode(b"word").decode()}, question

Client("ws-forged", "/mqtt", headers=forged).is_refused()
Client("ws-none", f"/mqtt?{NAME}=none").is_refused()
Client("ws-silent", "/mqtt").is_refused()
Client("ws-unsigned", f"/mqtt?{NAME}=gate&pass=ticket").is_refused()
assert not Program.asked, "a token that nobody signed was asked about"
Client("ws-stranger", "/mqtt", headers=stranger).is_refused()
Client("ws-guess", f"/mqtt?{NAME}=open", user="me", password="guess").is_refused()
Client("ws-guess-v5", f"/mqtt?{NAME}=open", user="me", password="guess", version=MQTTProtocolVersion.MQTTv5).is_refused()
upgrade = ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13"]
upgrade += ["-H", "Sec-WebSocket-Protocol: mqtt", "-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
for asked, expected in [(forged, 401), ({NAME: "none"}, 401)]:
    found, said = curl(f"https://{HOST}/mqtt?{query(asked)}", *upgrade)
    assert (found, json.loads(said[0])) == ([expected], {"message": "Unauthorized"}), (found, said)
found, said = curl(f"https://{HOST}/mqtt?{query(good)}", *upgrade, "-H", "more: " + "x" * 16_384)
assert found == [400] and "longer than 16384 bytes" in said[0], (found, said)

# Amazon's SDK.
login = {"auth_username": "me", "auth_password": "word", "auth_authorizer_name": "gate", "ca_filepath": CA, "endpoint": HOST}
token = {"auth_token_key_name": "pass", "auth_token_value": "ticket", "auth_authorizer_signature": sign("ticket")}
for name, build in [
    ("sdk-direct", mqtt_connection_builder.direct_with_custom_authorizer),
    ("sdk-websocket", mqtt_connection_builder.websockets_with_custom_authorizer),
]:
    connection = build(client_id=name, clean_session=True, **login, **token)
    connection.port = PORT
    connection.connect().result(TIMEOUT)
    heard = queue.Queue()
    connection.subscribe(f"dt/{name}", mqtt.QoS.AT_LEAST_ONCE, lambda topic, payload, **_: heard.put(payload))[0].result(TIMEOUT)
    connection.publish(f"dt/{name}", "hello", mqtt.QoS.AT_LEAST_ONCE)[0].result(TIMEOUT)
    assert heard.get(timeout=TIMEOUT) == b"hello"
    connection.disconnect().result(TIMEOUT)
happened = queue.Queue()
five = mqtt5_client_builder.websockets_with_custom_authorizer(
    client_id="sdk5-websocket",
    port=PORT,
    on_lifecycle_connection_success=lambda event: happened.put("connected"),
    on_lifecycle_connection_failure=lambda event: happened.put(event.exception),
    on_lifecycle_stopped=lambda event: happened.put("stopped"),
    **login,
    **token,
)
five.start()
assert happened.get(timeout=TIMEOUT) == "connected"
published = five.publish(mqtt5.PublishPacket(topic="secret/x", qos=mqtt5.QoS.AT_LEAST_ONCE, payload="no")).result(TIMEOUT)
assert published.puback.reason_code == mqtt5.PubackReasonCode.NOT_AUTHORIZED, published.puback
five.stop()
assert happened.get(timeout=TIMEOUT) == "stopped"

# HTTPS: one publishes by headers and by the query; what the authorizer said counts for further requests over the connection.
ear = Client("ear", f"/mqtt?{NAME}=open", user="me", password="word").connect()
ear.client.subscribe("dt/https", 1)
ear.wait("subscribe")
headers = [part for name, value in good.items() for part in ["-H", f"{name}: {value}"]]
Program.asked.clear()
for arguments, more in [(headers, ""), ([], f"&{query(good)}")]:
    found, said = post("dt/https", *arguments, query=more)
    assert found == [200] and json.loads(said[0])["message"] == "OK", (found, said)
    assert ear.wait("message")[1].payload == b"by https"
    assert last_asked()["protocols"] == ["tls", "http"]
one = [f"https://{HOST}/topics/dt/https?qos={qos}" for qos in [0, 1, 0]]
found, _ = curl("-d", "again", *headers, "-H", "content-type: text/plain", *one)
assert found == [200, 200, 200] and len(Program.asked) == 1, (found, Program.asked)
Program.asked.clear()
found, _ = curl("-d", "again", "-H", f"{NAME}: open", "-H", "word: word", *one)
assert found == [200, 200, 200] and len(Program.asked) == 3, (found, Program.asked)
for arguments, topic, expected, message in [
    (headers, "secret", 403, "Forbidden"),
    (["-H", f"{NAME}: gate"], "dt/https", 401, "Unauthorized"),
    (["-H", f"{NAME}: none"], "dt/https", 401, "Unauthorized"),
    (["-H", f"{NAME}: open", "-H", "word: guess"], "dt/https", 401, "Unauthorized"),
    ([], "dt/https", 403, "Missing Authentication Token"),
]:
    found, said = post(topic, *arguments)
    assert (found, json.loads(said[0])["message"]) == ([expected], message), (arguments, found, said)
found, said = curl(f"https://{HOST}/retainedMessage/dt%2Fa", *headers)
assert found == [401], (found, said)

# The default, and the authorizer of a domain, which may or may not be exchanged for another one.
iot.set_default_authorizer(authorizerName="open")
Client("ws-default", "/mqtt", user="me", password="word").speaks()
Client("default", user="me", password="word").speaks()
assert post("dt/https", "-H", "word: word")[0] == [200]
iot.create_domain_configuration(domainConfigurationName="guests", authorizerConfig={"defaultAuthorizerName": "gate"})
domain = iot.describe_domain_configuration(domainConfigurationName="guests")["domainName"]
assert post("dt/https", "-H", "word: word", host=domain)[0] == [401]
assert post("dt/https", "-H", "word: word", "-H", f"{NAME}: open", host=domain)[0] == [401]
assert post("dt/https", *headers, host=domain)[0] == [200]
iot.update_domain_configuration(
    domainConfigurationName="guests", authorizerConfig={"defaultAuthorizerName": "gate", "allowAuthorizerOverride": True}
)
assert post("dt/https", "-H", "word: word", "-H", f"{NAME}: open", host=domain)[0] == [200]
iot.update_domain_configuration(domainConfigurationName="guests", applicationProtocol="MQTT_WSS")
assert post("dt/https", *headers, host=domain)[0] == [401]
iot.clear_default_authorizer()

# It is asked again when it was changed, as when `refreshAfterInSeconds` are over: what it says then counts from then on, and
# whom it knows no more, is disconnected.
live = Client("live", f"/mqtt?{NAME}=open", user="me", password="word", version=MQTTProtocolVersion.MQTTv5).connect()
first, Program.topics = Program.asked[-1], "other/*"
Program.arrived = queue.Queue()
iot.update_authorizer(authorizerName="open", tokenKeyName="pass")
asked = {question["protocolData"]["mqtt"]["clientId"]: question for question in [Program.arrived.get(timeout=TIMEOUT) for _ in range(2)]}
assert asked["live"] == first, (asked, first)
granted = [0x87]
while granted == [0x87]:
    live.client.subscribe("other/live", 1)
    granted = [reason.value for reason in live.wait("subscribe")[1]]
live.hears_itself("other/live")
live.client.subscribe("dt/live", 1)
assert [reason.value for reason in live.wait("subscribe")[1]] == [0x87]
Program.words = set()
iot.update_authorizer(authorizerName="open", tokenKeyName="token")
for one in [live, ear]:
    _, reason = one.wait("disconnect")
    assert reason.is_failure, reason

# Set to INACTIVE it lets nobody in, and whom it let in before is gone when that is answered.
gated = Client("gated", "/mqtt", headers=good, version=MQTTProtocolVersion.MQTTv5).connect()
iot.update_authorizer(authorizerName="gate", status="INACTIVE")
assert gated.wait("disconnect")[1].value == 0x87
Client("ws-inactive", "/mqtt", headers=good).is_refused()
assert post("dt/https", *headers)[0] == [401]

# An access key that is rotated ends what it opened.
signed = Client("signed", presigned(f"127.0.0.1:{PORT}"), version=MQTTProtocolVersion.MQTTv5).connect()
found = botocore.session.Session().get_credentials()
request = botocore.awsrequest.AWSRequest("POST", f"{os.environ['CLOUD_API']}/birthmark/keys/{found.access_key}/rotate", data=b"")
botocore.auth.SigV4Auth(found, "iot", "us-east-1").add_auth(request)
post = urllib.request.Request(request.url, b"", dict(request.headers), method="POST")
fresh = json.load(urllib.request.urlopen(post, context=ssl.create_default_context(cafile=CA), timeout=TIMEOUT))
assert fresh["keyId"] != found.access_key, fresh
assert signed.wait("disconnect")[1].value == 0x87
Client("signed-again", presigned(f"127.0.0.1:{PORT}")).connect()
print("done")
