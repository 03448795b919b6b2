"""Amazon's own clients at every listener: awsiotsdk's builders as their samples use them, and awscrt with ALPN.

Arguments: the folder with device.pem and device.key, then HOST:PORT of MQTT and of the port for everything.
"""

import concurrent.futures
import queue
import sys

from awscrt import auth, io, mqtt, mqtt5
from awsiot import mqtt5_client_builder, mqtt_connection_builder

folder, server_ca, mqtt_address, mux_address = sys.argv[1:]
TIMEOUT = 20
CERTIFICATE, KEY = f"{folder}/device.pem", f"{folder}/device.key"


def split(address):
    host, port = address.rsplit(":", 1)
    return ("localhost" if host == "127.0.0.1" else host), int(port)


(MQTT_HOST, MQTT_PORT), (MUX_HOST, MUX_PORT) = split(mqtt_address), split(mux_address)


def speaks(name, connection, prefix="dt"):
    """MQTT 3.1.1: connects, hears itself at QoS 0 and 1, and is refused what its policy does not say."""
    connection.connect().result(TIMEOUT)
    heard = queue.Queue()
    subscribed, _ = connection.subscribe(
        f"{prefix}/{name}/#", mqtt.QoS.AT_LEAST_ONCE, lambda topic, payload, **_: heard.put((topic, payload))
    )
    subscribed.result(TIMEOUT)
    for qos in [mqtt.QoS.AT_MOST_ONCE, mqtt.QoS.AT_LEAST_ONCE]:
        published, _ = connection.publish(f"{prefix}/{name}/{int(qos)}", f"at {int(qos)}", qos)
        published.result(TIMEOUT)
        assert heard.get(timeout=TIMEOUT) == (f"{prefix}/{name}/{int(qos)}", f"at {int(qos)}".encode())
    if prefix == "dt":
        refused, _ = connection.subscribe("secret/#", mqtt.QoS.AT_LEAST_ONCE)
        try:
            granted = refused.result(TIMEOUT)
            assert granted["qos"] is None, granted
        except mqtt.SubscribeError as error:
            assert "secret/#" in str(error), error
    connection.disconnect().result(TIMEOUT)


def speaks_v5(name, build, prefix="dt"):
    """The same with MQTT 5.0."""
    begun, ended, heard = concurrent.futures.Future(), concurrent.futures.Future(), queue.Queue()
    client = build(
        client_id=name,
        on_lifecycle_connection_success=lambda what: begun.set_result(what.negotiated_settings),
        on_lifecycle_connection_failure=lambda what: begun.done() or begun.set_exception(what.exception),
        on_lifecycle_stopped=lambda what: ended.set_result(what),
        on_publish_received=lambda what: heard.put(what.publish_packet),
    )
    client.start()
    negotiated = begun.result(TIMEOUT)
    assert negotiated.receive_maximum_from_server == 100 and negotiated.maximum_packet_size_to_server == 149504
    subscriptions = [mqtt5.Subscription(f"{prefix}/{name}/#", mqtt5.QoS.AT_LEAST_ONCE)]
    client.subscribe(mqtt5.SubscribePacket(subscriptions)).result(TIMEOUT)
    properties = [mqtt5.UserProperty("from", name)]
    packet = mqtt5.PublishPacket(
        topic=f"{prefix}/{name}/1", qos=mqtt5.QoS.AT_LEAST_ONCE, payload="five", user_properties=properties
    )
    client.publish(packet).result(TIMEOUT)
    message = heard.get(timeout=TIMEOUT)
    assert (message.payload, message.user_properties[0].value) == (b"five", name)
    if prefix == "dt":
        refused = [mqtt5.Subscription("secret/#", mqtt5.QoS.AT_LEAST_ONCE)]
        answer = client.subscribe(mqtt5.SubscribePacket(refused)).result(TIMEOUT)
        assert answer.reason_codes == [mqtt5.SubackReasonCode.NOT_AUTHORIZED], answer.reason_codes
        forbidden = mqtt5.PublishPacket(topic="secret/x", qos=mqtt5.QoS.AT_LEAST_ONCE, payload="no")
        answer = client.publish(forbidden).result(TIMEOUT)
        assert answer.puback.reason_code == mqtt5.PubackReasonCode.NOT_AUTHORIZED, answer.puback
    client.stop()
    ended.result(TIMEOUT)


certified = {"cert_filepath": CERTIFICATE, "pri_key_filepath": KEY, "ca_filepath": server_ca, "clean_session": True}
signed = {"region": "us-east-1", "credentials_provider": auth.AwsCredentialsProvider.new_profile(), "ca_filepath": server_ca}

# The device SDK with a certificate, at the port of MQTT.
speaks(
    "sdk-8883",
    mqtt_connection_builder.mtls_from_path(endpoint=MQTT_HOST, port=MQTT_PORT, client_id="sdk-8883", **certified),
)
speaks_v5(
    "sdk5-8883",
    lambda **more: mqtt5_client_builder.mtls_from_path(
        endpoint=MQTT_HOST, port=MQTT_PORT, cert_filepath=CERTIFICATE, pri_key_filepath=KEY, ca_filepath=server_ca, **more
    ),
)

# awscrt at the port for everything: ALPN chooses MQTT.
options = io.TlsContextOptions.create_client_with_mtls_from_path(CERTIFICATE, KEY)
options.override_default_trust_store_from_path(None, server_ca)
options.alpn_list = ["x-amzn-mqtt-ca"]
client = mqtt.Client(tls_ctx=io.ClientTlsContext(options))
speaks("crt-443", mqtt.Connection(client, MUX_HOST, MUX_PORT, "crt-443", keep_alive_secs=30))
if MUX_PORT == 443:
    # The SDK as it is, without a port: it takes 443 and offers the protocol by itself.
    speaks("sdk-443", mqtt_connection_builder.mtls_from_path(endpoint=MUX_HOST, client_id="sdk-443", **certified))

# WebSocket, signed.
speaks(
    "sdk-signed",
    mqtt_connection_builder.websockets_with_default_aws_signing(
        endpoint=MUX_HOST, port=MUX_PORT, client_id="sdk-signed", clean_session=True, **signed
    ),
    prefix="any",
)
speaks_v5(
    "sdk5-signed",
    lambda **more: mqtt5_client_builder.websockets_with_default_aws_signing(
        endpoint=MUX_HOST, port=MUX_PORT, **signed, **more
    ),
    prefix="any",
)

# A signature that is not ours is refused before MQTT is spoken.
stranger = auth.AwsCredentialsProvider.new_static("AKIDEXAMPLE", "nobody's")
refused = mqtt_connection_builder.websockets_with_default_aws_signing(
    endpoint=MUX_HOST, port=MUX_PORT, client_id="sdk-stranger", **{**signed, "credentials_provider": stranger}
)
try:
    refused.connect().result(TIMEOUT)
    taken = True
except Exception as error:
    taken = "WEBSOCKET" not in str(error).upper()
assert not taken, "a stranger's signature was taken"
print("done" if MUX_PORT == 443 else "done, but not at port 443")
