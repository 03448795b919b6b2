"""A device with the AWS IoT Device SDK: mutual TLS with the key in a PKCS #11 token, MQTT, and a second try when the first
connection is closed while the device is provisioned.

Arguments: module, token, PIN, label of the key, certificate, port, server root, client id.
"""

import sys
import time

from awscrt import io, mqtt
from awsiot import mqtt_connection_builder

module, token, pin, key, certificate, port, root, client_id = sys.argv[1:]
connection = mqtt_connection_builder.mtls_with_pkcs11(
    pkcs11_lib=io.Pkcs11Lib(file=module, behavior=io.Pkcs11Lib.InitializeFinalizeBehavior.STRICT),
    user_pin=pin,
    token_label=token,
    private_key_label=key,
    cert_filepath=certificate,
    ca_filepath=root,
    endpoint="localhost",
    port=int(port),
    client_id=client_id,
    clean_session=True,
    keep_alive_secs=30,
)
for attempt in range(1, 11):
    try:
        connection.connect().result(20)
        break
    except Exception as refused:
        print(f"attempt {attempt}: {refused}", file=sys.stderr)
        time.sleep(0.1 * attempt)
else:
    raise SystemExit("not connected")
published, _ = connection.publish(f"dt/{client_id}/telemetry", "hello", mqtt.QoS.AT_LEAST_ONCE)
published.result(20)
connection.disconnect().result(20)
print(f"attempts: {attempt}")
