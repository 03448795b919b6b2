"""A session is taken up again by TLS, and the certificate in it is looked up all the same."""

import os
import socket
import ssl
import tempfile

from cloud import OPEN_POLICY, client

iot = client()
iot.create_policy(policyName="resumed", policyDocument=OPEN_POLICY)
CONNECT = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04lamp"
ACCEPTED = b"\x20\x02\x00\x00"


def context(made, version):
    tls = ssl.create_default_context(cafile=os.environ["CLOUD_CA"])
    tls.minimum_version = tls.maximum_version = version
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(made["keyPair"]["PrivateKey"] + made["certificatePem"])
        file.flush()
        tls.load_cert_chain(file.name)
    return tls


def connect(tls, session=None):
    """The answer to CONNECT, the session, and whether it was taken up again."""
    host, port = os.environ["CLOUD_MQTT"].rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        with tls.wrap_socket(raw, server_hostname="localhost", session=session) as connection:
            connection.sendall(CONNECT)
            try:
                answer = connection.recv(4)
            except ConnectionResetError:
                answer = b""
            return answer, connection.session, connection.session_reused


for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    made = iot.create_keys_and_certificate(setAsActive=True)
    iot.attach_policy(policyName="resumed", target=made["certificateArn"])
    tls = context(made, version)
    answer, session, reused = connect(tls)
    assert answer == ACCEPTED and not reused, (version, answer)
    answer, session, reused = connect(tls, session)
    assert answer == ACCEPTED and reused, (version, answer, reused)
    iot.update_certificate(certificateId=made["certificateId"], newStatus="REVOKED")
    answer, _, reused = connect(tls, session)
    assert answer == b"" and reused, (version, answer, reused)
    print(made["certificateId"])
