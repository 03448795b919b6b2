"""What has to be there for an error to come: each name is made when a request first asks for it."""

import http.server
import json
import os
import ssl
import subprocess
import tempfile
import threading

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from cloud import ACCOUNT, OPEN_POLICY, arn, client

OTHER = "210987654321"
ROLE = "arn:aws:iam::123456789012:role/any"
FULL_REGION = "sa-east-1"


def template(name, override=None):
    thing = {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": name, "AttributePayload": {"room": "1"}}}
    if override:
        thing["OverrideSettings"] = override
    parameters = {"Name": {"Type": "String"}} if name != "taken" else {}
    return json.dumps({"Parameters": parameters, "Resources": {"thing": thing}})


FLEET = json.dumps(
    {
        "Parameters": {"AWS::IoT::Certificate::Id": {"Type": "String"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "x"}},
            "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}}},
        },
    }
)


class Authority:
    """A CA of a stranger, made by openssl."""

    def __init__(self, folder, name, subject):
        self.folder, self.name = folder, name
        self.key(name)
        self.openssl("req", "-x509", "-new", "-key", f"{name}.key", "-sha256", "-days", "30", "-subj", subject, "-out", f"{name}.pem")
        self.pem = self.read(f"{name}.pem")

    def signed(self, name, subject):
        self.key(name)
        self.openssl("req", "-new", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{self.name}.pem", "-CAkey", f"{self.name}.key", "-CAcreateserial", "-days", "7", "-sha256", "-out", f"{name}.pem")
        return self.read(f"{name}.pem")

    def key(self, name):
        self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key")

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, stdin=subprocess.DEVNULL, capture_output=True)

    def read(self, name):
        with open(os.path.join(self.folder, name)) as file:
            return file.read()


class Nonsense(http.server.BaseHTTPRequestHandler):
    """What answers every question with something else."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


class World:
    """The account in which errors are provoked. A method is a name that requests ask for."""

    def __init__(self, iot, theirs):
        self.iot, self.theirs = iot, theirs
        self.folder = tempfile.TemporaryDirectory()
        self.made = {}

    def get(self, name):
        if name not in self.made:
            self.made[name] = getattr(self, name)()
        return self.made[name]

    # Names that mean nothing.
    nobody = staticmethod(lambda: "0" * 64)
    nobody_arn = staticmethod(lambda: arn("cert", "0" * 64))
    reserved_client = staticmethod(lambda: "$aws")
    missing_arn = staticmethod(lambda: arn("policy", "none"))
    other_account = staticmethod(lambda: OTHER)
    role = staticmethod(lambda: ROLE)
    document = staticmethod(lambda: OPEN_POLICY)
    question = staticmethod(lambda: [{"actionType": "CONNECT", "resources": [arn("client", "x")]}])
    many_names = staticmethod(lambda: [f"p{n}" for n in range(101)])

    # The registry.
    def thing(self):
        return self.iot.create_thing(thingName="thing")["thingName"]

    def attached_thing(self):
        self.iot.create_thing(thingName="attached-thing")
        self.iot.attach_thing_principal(thingName="attached-thing", principal=self.get("certificate"))
        return "attached-thing"

    def type(self):
        return self.iot.create_thing_type(thingTypeName="type")["thingTypeName"]

    def deprecated_type(self):
        self.iot.create_thing_type(thingTypeName="deprecated")
        self.iot.deprecate_thing_type(thingTypeName="deprecated")
        return "deprecated"

    def group(self):
        return self.iot.create_thing_group(thingGroupName="group")["thingGroupName"]

    def parent_group(self):
        self.iot.create_thing_group(thingGroupName="parent")
        self.iot.create_thing_group(thingGroupName="child", parentGroupName="parent")
        return "parent"

    def billing_group(self):
        return self.iot.create_billing_group(billingGroupName="billing")["billingGroupName"]

    def used_billing_group(self):
        self.iot.create_billing_group(billingGroupName="used")
        self.iot.create_thing(thingName="billed", billingGroupName="used")
        return "used"

    def full_of_tags(self):
        tags = [{"Key": f"t{n}", "Value": "1"} for n in range(50)]
        return self.iot.create_thing_type(thingTypeName="tagged", tags=tags)["thingTypeArn"]

    # Domains and role aliases.
    unknown_server_certificate = staticmethod(lambda: f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/none")

    def domain(self):
        return self.iot.create_domain_configuration(domainConfigurationName="domain")["domainConfigurationName"]

    def domain_full_region(self):
        there = client(region=FULL_REGION)
        for number in range(10):
            there.create_domain_configuration(domainConfigurationName=f"d{number}")
        return FULL_REGION

    def alias(self):
        return self.iot.create_role_alias(roleAlias="alias", roleArn=ROLE)["roleAlias"]

    def alias_full_region(self):
        there = client(region=FULL_REGION)
        for number in range(100):
            there.create_role_alias(roleAlias=f"a{number}", roleArn=ROLE)
        return FULL_REGION

    # Authorizers.
    function = staticmethod(lambda: "arn:aws:lambda:us-east-1:123456789012:function:check")

    def authorizer_named(self, name, status="ACTIVE", iot=None):
        function = self.get("function")
        made = (iot or self.iot).create_authorizer(authorizerName=name, authorizerFunctionArn=function, signingDisabled=True, status=status)
        return made["authorizerName"]

    def authorizer(self):
        """One whose program answers nonsense."""
        server = http.server.HTTPServer(("127.0.0.1", int(os.environ["HOOK_PORT"])), Nonsense)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return self.authorizer_named("authorizer")

    def second_authorizer(self):
        self.iot.set_default_authorizer(authorizerName=self.get("authorizer"))
        return self.authorizer_named("second")

    def authorizer_full_region(self):
        there = client(region=FULL_REGION)
        for number in range(10):
            self.authorizer_named(f"authorizer-{number}", iot=there)
        return FULL_REGION

    # The index of things.
    def index(self, iot=None):
        fields = [{"name": "attributes.temp", "type": "Number"}]
        (iot or self.iot).update_indexing_configuration(thingIndexingConfiguration={"thingIndexingMode": "REGISTRY", "customFields": fields})

    def query(self):
        self.index()
        return "*"

    def bad_query(self):
        self.get("query")
        return "("

    def dynamic(self):
        return self.iot.create_dynamic_thing_group(thingGroupName="dynamic", queryString=self.get("query"))["thingGroupName"]

    def dynamic_full_region(self):
        there = client(region=FULL_REGION)
        self.index(there)
        for number in range(100):
            there.create_dynamic_thing_group(thingGroupName=f"dynamic-{number}", queryString="*")
        return FULL_REGION

    # Policies.
    def policy(self):
        return self.iot.create_policy(policyName="policy", policyDocument=OPEN_POLICY)["policyName"]

    def full_policy(self):
        self.iot.create_policy(policyName="full", policyDocument=OPEN_POLICY)
        for _ in range(4):
            self.iot.create_policy_version(policyName="full", policyDocument=OPEN_POLICY)
        return "full"

    def attached_policy(self):
        self.iot.create_policy(policyName="attached", policyDocument=OPEN_POLICY)
        self.iot.attach_policy(policyName="attached", target=self.get("active"))
        return "attached"

    # Certificates.
    def certificate_of(self, active=False):
        # A certificate of a request is quicker made than one with an RSA key.
        return self.iot.create_certificate_from_csr(certificateSigningRequest=self.get("request"), setAsActive=active)

    def request(self):
        authority = self.get("authority")
        authority.key("device")
        authority.openssl("req", "-new", "-key", "device.key", "-subj", "/CN=device", "-out", "device.csr")
        return authority.read("device.csr")

    def certificate(self):
        return self.certificate_of()["certificateArn"]

    def certificate_id(self):
        return self.get("certificate").rsplit("/", 1)[1]

    def active(self):
        return self.certificate_of(active=True)["certificateArn"]

    def active_id(self):
        return self.get("active").rsplit("/", 1)[1]

    def attached_id(self):
        made = self.certificate_of()
        self.iot.attach_policy(policyName=self.get("policy"), target=made["certificateArn"])
        return made["certificateId"]

    def full_certificate(self):
        target = self.certificate_of()["certificateArn"]
        for number in range(10):
            self.iot.create_policy(policyName=f"p{number}", policyDocument=OPEN_POLICY)
            self.iot.attach_policy(policyName=f"p{number}", target=target)
        return target

    def revoked_id(self):
        made = self.certificate_of()
        self.iot.update_certificate(certificateId=made["certificateId"], newStatus="REVOKED")
        return made["certificateId"]

    def accepted_id(self):
        made = self.theirs.create_certificate_from_csr(certificateSigningRequest=self.get("request"))
        known = {"certificateId": made["certificateId"]}
        self.theirs.transfer_certificate(targetAwsAccount=ACCOUNT, **known)
        self.iot.accept_certificate_transfer(**known)
        return made["certificateId"]

    # CA certificates.
    def ca(self, name, subject, registered="ACTIVE"):
        authority = Authority(self.folder.name, name, subject)
        if registered:
            self.iot.register_ca_certificate(caCertificate=authority.pem, certificateMode="SNI_ONLY", setAsActive=registered == "ACTIVE")
        return authority

    def authority(self):
        return self.ca("authority", "/CN=Authority")

    def active_ca(self):
        return self.get("authority").pem

    def active_ca_id(self):
        answer = self.iot.list_ca_certificates()["certificates"]
        return next(one["certificateId"] for one in answer if one["status"] == "ACTIVE")

    def fresh_ca(self):
        return self.get("stranger").pem

    def stranger(self):
        return self.ca("fresh", "/CN=Fresh", registered=None)

    def wrong_verification(self):
        return self.get("stranger").signed("verification", f"/CN={'0' * 64}")

    def eleventh_ca(self):
        for number in range(10):
            self.ca(f"same-{number}", "/CN=Same")
        return self.ca("same-10", "/CN=Same", registered=None).pem

    def leaf(self):
        return self.get("authority").signed("leaf", "/CN=leaf")

    def registered_leaf(self):
        pem = self.get("authority").signed("registered", "/CN=registered")
        self.iot.register_certificate(certificatePem=pem)
        return pem

    def foreign_leaf(self):
        return self.get("stranger").signed("foreign", "/CN=foreign")

    def leaf_of_inactive(self):
        return self.ca("inactive", "/CN=Inactive", registered="INACTIVE").signed("of-inactive", "/CN=of-inactive")

    def leaf_of_twins(self):
        self.ca("twin-1", "/CN=Twin")
        return self.ca("twin-2", "/CN=Twin").signed("of-twins", "/CN=of-twins")

    # Templates.
    body = staticmethod(lambda: FLEET)
    unanswered_body = staticmethod(lambda: template({"Ref": "Name"}))

    def conflicting_body(self):
        self.iot.create_thing(thingName="taken", attributePayload={"attributes": {"room": "2"}})
        return template("taken", override={"AttributePayload": "FAIL"})

    def template_named(self, name, kind="FLEET_PROVISIONING", iot=None):
        (iot or self.iot).create_provisioning_template(templateName=name, templateBody=FLEET, provisioningRoleArn=ROLE, type=kind)
        return name

    def template(self):
        return self.template_named("template")

    def full_template(self):
        self.template_named("full")
        for _ in range(4):
            self.iot.create_provisioning_template_version(templateName="full", templateBody=self.get("body"))
        return "full"

    def followed_template(self):
        name = self.template_named("followed", kind="JITP")
        pem = self.ca("follower", "/CN=Follower", registered=None).pem
        self.iot.register_ca_certificate(caCertificate=pem, certificateMode="SNI_ONLY", registrationConfig={"templateName": name})
        return name

    def long_payload(self):
        return "x" * (128 * 1024 + 1)

    def deaf_client(self):
        """A client that acknowledges nothing."""
        made = self.iot.create_keys_and_certificate(setAsActive=True)
        self.iot.create_policy(policyName="deaf", policyDocument=OPEN_POLICY)
        self.iot.attach_policy(policyName="deaf", target=made["certificateArn"])
        context = ssl.create_default_context(cafile=os.environ["CLOUD_CA"])
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(made["certificatePem"] + made["keyPair"]["PrivateKey"])
            file.flush()
            context.load_cert_chain(file.name)
        self.deaf, connected = paho.Client(CallbackAPIVersion.VERSION2, "deaf", manual_ack=True), threading.Event()
        self.deaf.tls_set_context(context)
        self.deaf.on_connect = lambda *_: connected.set()
        self.deaf.connect("localhost", int(os.environ["CLOUD_MQTT"].rsplit(":", 1)[1]))
        self.deaf.loop_start()
        assert connected.wait(20)
        return "deaf"

    def full_region(self):
        there = client(region=FULL_REGION)
        for number in range(256):
            self.template_named(f"t{number}", iot=there)
        return FULL_REGION
