"""Domain configurations: a name of one's own leads to its tenant and shows its certificate; disabled, it is refused."""

import os
import socket
import ssl
import tempfile

from cloud import ACCOUNT, OPEN_POLICY, REGION, arn, client, everything, refused

iot = client()
CERTIFICATE = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/factory"


def connack(host, made, authority, meanwhile=None):
    """The return code of a CONNECT sent under this name to a server that this authority certified; None if it was closed. What
    is done meanwhile, must end the connection."""
    address, port = os.environ["CLOUD_MQTT"].rsplit(":", 1)
    context = ssl.create_default_context(cafile=authority)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(made["certificatePem"] + made["keyPair"]["PrivateKey"])
        file.flush()
        context.load_cert_chain(file.name)
    with socket.create_connection((address, int(port)), timeout=20) as plain:
        with context.wrap_socket(plain, server_hostname=host) as stream:
            try:
                stream.sendall(bytes.fromhex("101000044d5154540402003c0004") + b"lamp")
                answer = stream.recv(4)
            except (ssl.SSLError, ConnectionError):
                return None
            if meanwhile:
                meanwhile()
                assert stream.recv(4) == b"", "the connection goes on"
            return answer[3] if len(answer) == 4 else None


iot.create_policy(policyName="open", policyDocument=OPEN_POLICY)
device = iot.create_keys_and_certificate(setAsActive=True)
iot.attach_policy(policyName="open", target=device["certificateArn"])
factory_ca, cloud_ca = os.environ["FACTORY_CA"], os.environ["CLOUD_CA"]

# A name of one's own.
own = {"domainConfigurationName": "factory", "domainName": "IoT.factory.test", "serverCertificateArns": [CERTIFICATE]}
made = iot.create_domain_configuration(**own, tags=[{"Key": "site", "Value": "Ulm"}])
assert made["domainConfigurationArn"].startswith(arn("domainconfiguration", "factory") + "/"), made
found = iot.describe_domain_configuration(domainConfigurationName="factory")
assert found.pop("lastStatusChangeDate") and found.pop("ResponseMetadata")
assert found == {
    "domainConfigurationName": "factory",
    "domainConfigurationArn": made["domainConfigurationArn"],
    "domainName": "iot.factory.test",
    "serverCertificates": [{"serverCertificateArn": CERTIFICATE, "serverCertificateStatus": "VALID"}],
    "domainConfigurationStatus": "ENABLED",
    "serviceType": "DATA",
    "domainType": "CUSTOMER_MANAGED",
    "tlsConfig": {"securityPolicy": "IoTSecurityPolicy_TLS13_1_2_2022_10"},
    "serverCertificateConfig": {"enableOCSPCheck": False},
    "authenticationType": "DEFAULT",
    "applicationProtocol": "DEFAULT",
}, found
assert connack("iot.factory.test", device, factory_ca) == 0
assert connack("IOT.FACTORY.test", device, factory_ca) == 0
assert connack("localhost", device, cloud_ca) == 0
tags = iot.list_tags_for_resource(resourceArn=made["domainConfigurationArn"])["tags"]
assert tags == [{"Key": "site", "Value": "Ulm"}]

# A name that the server makes up, of its own root.
iot.create_domain_configuration(domainConfigurationName="second")
second = iot.describe_domain_configuration(domainConfigurationName="second")
assert second["domainType"] == "AWS_MANAGED" and second["serverCertificates"] == []
assert connack(second["domainName"], device, cloud_ca) == 0

# Refused.
refused("ResourceAlreadyExistsException", iot.create_domain_configuration, **own)
again = own | {"domainConfigurationName": "third"}
refused("ResourceAlreadyExistsException", iot.create_domain_configuration, "in use", **again)
refused("ResourceAlreadyExistsException", iot.create_domain_configuration, "in use", **(again | {"domainName": "iot.cloud.test"}))
other = again | {"domainName": "two.factory.test"}
for members in (
    {"domainName": "two.elsewhere.test"},
    {"domainName": "a.two.factory.test"},
    {"serverCertificateArns": [CERTIFICATE + "x"]},
    {"serverCertificateArns": [CERTIFICATE.replace("factory", "expired")]},
    {"serverCertificateArns": [CERTIFICATE.replace(REGION, "eu-west-1")]},
    {"serverCertificateArns": [CERTIFICATE.replace(ACCOUNT, "210987654321")]},
):
    refused("CertificateValidationException", iot.create_domain_configuration, **(other | members))
for members in (
    {"domainConfigurationName": "a:b"},
    {"domainName": "two.factory.test:8883"},
    {"serverCertificateArns": []},
    {"serverCertificateArns": [CERTIFICATE, CERTIFICATE]},
    {"serviceType": "JOBS"},
    {"serviceType": "NONE"},
    {"tlsConfig": {"securityPolicy": "IoTSecurityPolicy_SSL3"}},
    {"authenticationType": "PASSWORD"},
    {"authenticationType": "CUSTOM_AUTH_X509"},
    {"applicationProtocol": "COAP"},
    {"applicationProtocol": "MQTT_WSS", "authenticationType": "AWS_X509"},
    {"serverCertificateConfig": {"enableOCSPCheck": True}},
    {"clientCertificateConfig": {"clientCertificateCallbackArn": "arn:aws:lambda:us-east-1:123456789012:function:f"}},
    {"authorizerConfig": {"defaultAuthorizerName": "a b"}},
    {"tags": [{"Key": "", "Value": "v"}]},
):
    refused("InvalidRequestException", iot.create_domain_configuration, **(other | members))
refused("ResourceNotFoundException", iot.describe_domain_configuration, domainConfigurationName="none")
refused("ResourceNotFoundException", iot.update_domain_configuration, domainConfigurationName="none")
refused("ResourceNotFoundException", iot.delete_domain_configuration, domainConfigurationName="none")
refused("InvalidRequestException", iot.update_domain_configuration, domainConfigurationName="iot:Data-ATS", domainConfigurationStatus="DISABLED")
refused("InvalidRequestException", iot.update_domain_configuration, domainConfigurationName="factory", domainConfigurationStatus="OFF")
refused("InvalidRequestException", iot.delete_domain_configuration, "ENABLED", domainConfigurationName="factory")

# Listed, the default endpoints among them.
names = lambda found: [one["domainConfigurationName"] for one in found]
assert names(everything(iot.list_domain_configurations, "domainConfigurations")) == ["factory", "iot:CredentialProvider", "iot:Data-ATS", "second"]
assert names(iot.list_domain_configurations(serviceType="CREDENTIAL_PROVIDER")["domainConfigurations"]) == ["iot:CredentialProvider"]
endpoint = iot.describe_domain_configuration(domainConfigurationName="iot:Data-ATS")
assert endpoint["domainType"] == "ENDPOINT" and endpoint["domainName"] == iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]

# Changed: at once, and what is not named stays.
change = lambda **members: iot.update_domain_configuration(domainConfigurationName="factory", **members)
state = lambda: iot.describe_domain_configuration(domainConfigurationName="factory")
change(authorizerConfig={"defaultAuthorizerName": "gate", "allowAuthorizerOverride": True})
assert state()["authorizerConfig"] == {"defaultAuthorizerName": "gate", "allowAuthorizerOverride": True}
change(removeAuthorizerConfig=True)
assert "authorizerConfig" not in state()
change(applicationProtocol="HTTPS")
assert connack("iot.factory.test", device, factory_ca) is None
change(applicationProtocol="SECURE_MQTT", authenticationType="AWS_X509")
assert connack("iot.factory.test", device, factory_ca) == 0
change(authenticationType="CUSTOM_AUTH")
assert connack("iot.factory.test", device, factory_ca) is None
change(authenticationType="DEFAULT")
disable = lambda: change(domainConfigurationStatus="DISABLED")
assert connack("iot.factory.test", device, factory_ca, disable) == 0, "whoever is connected by it is disconnected"
assert state()["domainConfigurationStatus"] == "DISABLED" and state()["applicationProtocol"] == "SECURE_MQTT"
assert connack("iot.factory.test", device, factory_ca) is None
change(domainConfigurationStatus="ENABLED")
assert connack("iot.factory.test", device, factory_ca) == 0

# Deleted: the name means nobody's domain again, and may be taken anew.
change(domainConfigurationStatus="DISABLED")
iot.delete_domain_configuration(domainConfigurationName="factory")
refused("ResourceNotFoundException", iot.describe_domain_configuration, domainConfigurationName="factory")
try:
    connack("iot.factory.test", device, factory_ca)
    raise AssertionError("the certificate of a domain that is no more was shown")
except ssl.SSLCertVerificationError:
    pass
iot.create_domain_configuration(**own)
assert connack("iot.factory.test", device, factory_ca) == 0

# No more than ten.
for number in range(8):
    iot.create_domain_configuration(domainConfigurationName=f"n{number}")
refused("LimitExceededException", iot.create_domain_configuration, domainConfigurationName="n8")
