"""Eclipse Paho at every listener: TLS, port 443 with ALPN, WebSocket with a signature and with a certificate, and no TLS.

Arguments: the folder with device.pem and device.key, then HOST:PORT of MQTT, of the port for everything, of the API and of MQTT
without TLS.
"""

import queue
import ssl
import sys
import warnings

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from presigned import presigned

folder, server_ca, mqtt, mux, api, plain = sys.argv[1:]
TIMEOUT = 20
V3, V5 = MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5
warnings.simplefilter("ignore")


class Client:
    """One client, with all that happens to it in a queue."""

    def __init__(self, name, address, version, websocket=None, certificate=True, alpn=None, tls=True):
        self.name, (self.host, port) = name, address.rsplit(":", 1)
        self.port, self.happened = int(port), queue.Queue()
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2,
            name,
            protocol=version,
            transport="websockets" if websocket else "tcp",
            reconnect_on_failure=False,
        )
        if websocket:
            self.client.ws_set_options(path=websocket)
        if tls:
            context = ssl.create_default_context(cafile=server_ca)
            if certificate:
                context.load_cert_chain(f"{folder}/device.pem", f"{folder}/device.key")
            if alpn:
                context.set_alpn_protocols([alpn])
            self.client.tls_set_context(context)
        put = self.happened.put
        self.client.on_connect = lambda *event: put(("connect", event[3]))
        self.client.on_subscribe = lambda *event: put(("subscribe", event[3]))
        self.client.on_publish = lambda *event: put(("publish", event[3]))
        self.client.on_message = lambda _c, _u, message: put(("message", message))
        self.client.on_disconnect = lambda *event: put(("disconnect", event[3]))

    def wait(self, *kinds):
        """What happens next of these kinds."""
        while True:
            kind, what = self.happened.get(timeout=TIMEOUT)
            if kind in kinds:
                return kind, what

    def connect(self):
        self.client.connect("localhost" if self.host == "127.0.0.1" else self.host, self.port, keepalive=30)
        self.client.loop_start()
        kind, reason = self.wait("connect", "disconnect")
        assert kind == "connect" and not reason.is_failure, f"{self.name}: {kind} {reason}"
        return self

    def close(self):
        self.client.disconnect()
        self.wait("disconnect")


def speaks(client):
    """Connects, hears itself at QoS 0 and 1, and is refused what its policy does not say."""
    client.connect()
    topic = f"dt/{client.name}"
    client.client.subscribe(f"{topic}/#", 1)
    _, granted = client.wait("subscribe")
    assert [reason.value for reason in granted] == [1], granted
    long = "x" * 70_000
    for qos, said in [(0, "soon"), (1, "surely"), (1, long)]:
        client.client.publish(f"{topic}/{qos}", said, qos)
        _, message = client.wait("message")
        assert (message.topic, message.qos, message.payload.decode()) == (f"{topic}/{qos}", qos, said), message
    client.client.subscribe("secret/#", 1)
    kind, refused = client.wait("subscribe", "disconnect")
    assert kind == "disconnect" or all(reason.is_failure for reason in refused), refused


def refused(client, *words):
    """The server does not let it in."""
    try:
        client.client.connect(client.host, client.port, keepalive=30)
    except (OSError, paho.WebsocketConnectionError, ValueError) as error:
        assert all(word in str(error) for word in words), error
        return
    client.client.loop_start()
    kind, reason = client.wait("connect", "disconnect")
    assert kind == "disconnect" or reason.is_failure, (client.name, kind, reason)


for version in [V3, V5]:
    suffix = "v3" if version == V3 else "v5"
    speaks(Client(f"paho-tls-{suffix}", mqtt, version))
    speaks(Client(f"paho-443-{suffix}", mux, version, alpn="x-amzn-mqtt-ca"))
    speaks(Client(f"paho-wss-{suffix}", mux, version, websocket="/mqtt", alpn="http/1.1"))
speaks(Client("paho-plain", plain, V3, tls=False))
speaks(Client("paho-api", api, V5, websocket="/mqtt"))

# A signature: an administrator may do everything, so only what all are refused is refused.
client = Client("paho-signed", mux, V3, websocket=presigned(mux), certificate=False)
client.connect()
client.client.subscribe("any/signed", 1)
client.wait("subscribe")
client.client.publish("any/signed", "signed", 1)
_, message = client.wait("message")
assert message.payload == b"signed"
client.close()

wrong = {
    "paho-wrong-secret": presigned(mux, secret="wrong"),
    "paho-expired": presigned(mux, minutes_ago=20, seconds=300),
    "paho-unsigned": "/mqtt",
    "paho-other-path": presigned(mux, path="/elsewhere"),
}
for name, path in wrong.items():
    refused(Client(name, mux, V3, websocket=path, certificate=False))
refused(Client("paho-authorizer", mux, V3, alpn="mqtt", certificate=False))
refused(Client("paho-authorizer-v5", mux, V5, alpn="mqtt", certificate=False))
print("done")
