"""A device of the AWS IoT Device SDK for Python."""

import concurrent.futures
import os

from awscrt import mqtt
from awsiot import mqtt_connection_builder

TIMEOUT = 20


class Device:
    """One connection."""

    def __init__(self, client_id, connection):
        self.client_id = client_id
        self.connection = connection

    def subscribe(self, topic, heard):
        """Calls `heard` with topic and payload of each message."""
        future, _ = self.connection.subscribe(topic, mqtt.QoS.AT_LEAST_ONCE, lambda topic, payload, **_: heard(topic, payload))
        future.result(TIMEOUT)

    def publish(self, topic, payload):
        """Publishes and waits for the acknowledgement."""
        future, _ = self.connection.publish(topic, payload, mqtt.QoS.AT_LEAST_ONCE)
        future.result(TIMEOUT)

    def close(self):
        self.connection.disconnect().result(TIMEOUT)


def connect(client_id, made, attempts=1):
    """Connects with what CreateKeysAndCertificate (or the like) answered."""
    key = made.get("privateKey") or made["keyPair"]["PrivateKey"]
    return connect_with(client_id, made["certificatePem"], key, attempts)


def connect_with(client_id, certificate, key, attempts=1):
    """Connects with a certificate and its key in PEM."""
    host, port = os.environ["CLOUD_MQTT"].rsplit(":", 1)
    with open(os.environ["CLOUD_CA"], "rb") as file:
        authority = file.read()
    for attempt in range(attempts):
        connection = mqtt_connection_builder.mtls_from_bytes(
            cert_bytes=certificate.encode(),
            pri_key_bytes=key.encode(),
            ca_bytes=authority,
            endpoint=host,
            port=int(port),
            client_id=client_id,
            clean_session=True,
            keep_alive_secs=30,
        )
        try:
            connection.connect().result(TIMEOUT)
            return Device(client_id, connection)
        except (Exception, concurrent.futures.TimeoutError):
            if attempt + 1 == attempts:
                raise
