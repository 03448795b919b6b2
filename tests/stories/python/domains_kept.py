"""After a kill the domains are there, with their certificates."""

import os
import socket
import ssl

from cloud import client

iot = client()
address, port = os.environ["CLOUD_MQTT"].rsplit(":", 1)
made_up = iot.describe_domain_configuration(domainConfigurationName="second")["domainName"]
for host, authority in (("iot.factory.test", "FACTORY_CA"), (made_up, "CLOUD_CA")):
    context = ssl.create_default_context(cafile=os.environ[authority])
    with socket.create_connection((address, int(port)), timeout=20) as plain:
        context.wrap_socket(plain, server_hostname=host).close()
