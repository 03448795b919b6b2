"""The data plane over HTTPS: by a device with its certificate at the API and at the port for everything, and by boto3.

Arguments: the folder with device.pem and device.key, the server's root, HOST:PORT of MQTT, of the port for everything and of the API.
"""

import base64
import functools
import http.client
import json
import queue
import ssl
import sys

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cloud import client, refused

folder, server_ca, mqtt, mux, api = sys.argv[1:]
TIMEOUT = 20


def context(protocol=None):
    made = ssl.create_default_context(cafile=server_ca)
    made.load_cert_chain(f"{folder}/device.pem", f"{folder}/device.key")
    if protocol:
        made.set_alpn_protocols([protocol])
    return made


def split(address):
    host, port = address.rsplit(":", 1)
    return ("localhost" if host == "127.0.0.1" else host), int(port)


class Listener:
    """An MQTT 5.0 client that hears what is published by HTTPS."""

    def __init__(self, client_id, topic, expiry=0, acknowledges=True):
        self.heard, ready = queue.Queue(), queue.Queue()
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False, manual_ack=not acknowledges
        )
        self.client.tls_set_context(context())
        self.client.on_connect = lambda *_: ready.put("connected")
        self.client.on_subscribe = lambda *_: ready.put("subscribed")
        self.client.on_message = lambda _c, _u, message: self.heard.put(message)
        self.client.on_disconnect = lambda *event: self.heard.put(event[3])
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = expiry
        self.client.will_set(f"{topic}/will", "gone", 1)
        self.client.connect(*split(mqtt), keepalive=60, properties=properties)
        self.client.loop_start()
        assert ready.get(timeout=TIMEOUT) == "connected"
        self.client.subscribe(f"{topic}/#", 1)
        assert ready.get(timeout=TIMEOUT) == "subscribed"

    def next(self):
        return self.heard.get(timeout=TIMEOUT)


def ask(address, protocol, method, path, body=None, headers={}):
    connection = http.client.HTTPSConnection(*split(address), context=context(protocol), timeout=TIMEOUT)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    found = answer.status, answer.getheader("x-amzn-errortype"), json.loads(answer.read())
    connection.close()
    return found


ear = Listener("https-ear", "dt/https")
for address, protocol in [(api, None), (mux, "x-amzn-http-ca"), (mux, "http/1.1"), (mux, None)]:
    status, _, said = ask(address, protocol, "POST", "/topics/dt/https/a?qos=1", f"by {protocol}")
    assert (status, said["message"]) == (200, "OK") and said["traceId"], said
    message = ear.next()
    assert (message.topic, message.payload.decode()) == ("dt/https/a", f"by {protocol}")

for method, path in [
    ("POST", "/topics/secret?qos=1"),
    ("POST", "/topics/dt%2Fhttps%2Fa?qos=1&retain=true"),
    ("GET", "/retainedMessage/dt%2Fhttps%2Fa"),
    ("GET", "/retainedMessage"),
]:
    status, exception, said = ask(api, None, method, path, "no" if method == "POST" else None)
    assert (status, exception, said["message"]) == (403, "ForbiddenException", "Forbidden"), (path, status, said)
status, exception, _ = ask(api, None, "GET", "/things")
assert (status, exception) == (401, "UnauthorizedException"), (status, exception)
status, exception, _ = ask(api, None, "POST", "/topics/dt%2Fhttps?qos=2", "no")
assert (status, exception) == (400, "InvalidRequestException"), (status, exception)

# By an access key, with everything that MQTT 5.0 says about a message.
data = client("iot-data")
data.publish(
    topic="dt/https/five",
    qos=1,
    payload=b"five",
    contentType="text/plain",
    responseTopic="dt/answer",
    correlationData=base64.b64encode(b"\x00\x01").decode(),
    payloadFormatIndicator="UTF8_DATA",
    userProperties=[{"a": "1"}, {"a": "2"}],
    messageExpiry=60,
)
found = ear.next().properties
assert found.ContentType == "text/plain" and found.ResponseTopic == "dt/answer", found
assert found.CorrelationData == b"\x00\x01" and found.PayloadFormatIndicator == 1, found
assert found.UserProperty == [("a", "1"), ("a", "2")] and 0 < found.MessageExpiryInterval <= 60, found
refused("InvalidRequestException", data.publish, "userProperties", topic="dt/x", userProperties="{}")
refused("InvalidRequestException", data.publish, "payloadFormatIndicator", topic="dt/x", payloadFormatIndicator="X")

# What stays on topics.
headers = {"x-amz-mqtt5-user-properties": base64.b64encode(b'[{"from": "https"}]').decode()}
for name in ["a", "b", "c"]:
    status, _, said = ask(api, None, "POST", f"/topics/dt%2Fkept%2F{name}?qos=1&retain=true", f"kept {name}", headers)
    assert status == 200, said
status, _, said = ask(api, None, "GET", "/retainedMessage/dt%2Fkept%2Fa")
assert status == 200 and base64.b64decode(said["payload"]) == b"kept a", said
found = data.get_retained_message(topic="dt/kept/a")
assert (found["payload"], found["qos"], json.loads(found["userProperties"])) == (b"kept a", 1, [{"from": "https"}]), found
assert found["lastModifiedTime"] > 1_700_000_000_000, found
pages = data.get_paginator("list_retained_messages").paginate(PaginationConfig={"PageSize": 2})
listed = [(item["topic"], item["payloadSize"]) for page in pages for item in page["retainedTopics"]]
assert listed == [("dt/kept/a", 6), ("dt/kept/b", 6), ("dt/kept/c", 6)], listed
refused("ResourceNotFoundException", data.get_retained_message, topic="dt/kept/none")
refused("InvalidRequestException", data.list_retained_messages, nextToken="?")

# To one client, which has subscribed to something else.
status, exception, _ = ask(api, None, "POST", "/connections/https-ear/messages?topic=dt%2Fx", "no")
assert (status, exception) == (401, "UnauthorizedException"), (status, exception)
for confirmation in [False, True]:
    members = {"contentType": "text/plain", "responseTopic": "dt/answer", "userProperties": [{"a": "1"}], "payloadFormatIndicator": "UTF8_DATA"}
    sent = data.send_direct_message(clientId="https-ear", topic="dt/direct", payload=b"you", confirmation=confirmation, **members)
    assert sent["message"] == "OK" and sent["traceId"], sent
    message = ear.next()
    assert (message.topic, message.payload, message.qos, message.retain) == ("dt/direct", b"you", int(confirmation), False), message
    assert message.properties.ContentType == "text/plain" and message.properties.UserProperty == [("a", "1")], message.properties
direct = functools.partial(data.send_direct_message, clientId="https-ear", topic="dt/direct", payload=b"no")
direct.__name__ = "send_direct_message"
refused("ResourceNotFoundException", direct, clientId="nobody")
refused("ForbiddenException", direct, "Forbidden", topic="secret/x")
refused("InvalidRequestException", direct, "timeout", confirmation=True, timeout=16)
refused("InvalidRequestException", direct, "topic", topic="dt/#")
refused("InvalidRequestException", direct, "client id", clientId="$aws")
refused("RequestEntityTooLargeException", direct, payload=b"x" * (128 * 1024 + 1))
deaf = Listener("https-deaf", "dt/deaf", acknowledges=False)
refused("GatewayTimeoutException", direct, clientId="https-deaf", confirmation=True, timeout=1)
data.delete_connection(clientId="https-deaf")

# Connections.
watched = Listener("https-watched", "dt/watched", expiry=600)
found = data.get_connection(clientId="https-watched", includeSocketInformation=True)
assert found["connected"] and not found["cleanSession"] and found["keepAliveDuration"] == 60, found
assert found["sourceIp"] == "127.0.0.1" and found["sourcePort"] > 0 and found["sessionExpiry"] == 600, found
assert (found["targetIp"], found["targetPort"]) == ("127.0.0.1", split(mqtt)[1]), found
assert "targetIp" not in data.get_connection(clientId="https-watched")
listed = data.list_subscriptions(clientId="https-watched")["subscriptions"]
assert [(item["topicFilter"], item["qos"]) for item in listed] == [("dt/watched/#", 1)], listed
witness = Listener("https-witness", "dt/watched")
data.delete_connection(clientId="https-watched")
assert witness.next().payload == b"gone"
kinds = [watched.next() for _ in range(1)]
assert kinds[0].value == 0x98, kinds
found = data.get_connection(clientId="https-watched")
assert not found["connected"] and found["disconnectedSince"] > 0, found
assert found["disconnectReason"] == "API_INITIATED_DISCONNECT", found
data.delete_connection(clientId="https-watched", cleanSession=True)
refused("ResourceNotFoundException", data.get_connection, clientId="https-watched")
refused("ResourceNotFoundException", data.delete_connection, clientId="https-watched")
refused("InvalidRequestException", data.delete_connection, clientId="$aws")
silent = Listener("https-silent", "dt/watched")
data.delete_connection(clientId="https-silent", preventWillMessage=True)
data.publish(topic="dt/watched/next", qos=1, payload=b"next")
assert witness.next().payload == b"next"
print("done")
