"""The server is killed at random moments while several callers and new devices work; nothing that was answered is lost.

Every caller changes things of its own, one call after another, and keeps a model of what must be there. After a kill its
part of the account is read through lists and describes: it must equal the model as it was answered, or, where a call had no
answer when the kill came, the model with that whole call. KILLS says how often, SEED repeats the choices.
"""

import copy
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import boto3
import botocore.config
import botocore.exceptions

from cloud import OPEN_POLICY, REGION
from error_world import Authority

KILLS = int(os.environ["KILLS"])
SEED = int(os.environ["SEED"])
FOLDER = os.environ["FOLDER"]
DATA = os.path.join(FOLDER, "cloud")
CALLERS = 3
DEVICES_PER_KILL = 2
LIFE_SECONDS_MAX = 0.5
ROLE = "arn:aws:iam::123456789012:role/any"
POLICY_BODY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
dice = random.Random(SEED)


class Server:
    """`birthmark serve` on free ports."""

    def __init__(self):
        # Where it listened before it listens again, so that the client need not be made anew.
        self.start("127.0.0.1:0", "127.0.0.1:0")
        self.iot = self.client()

    def start(self, mqtt, api):
        ready = os.path.join(DATA, "ready.json")
        if os.path.exists(ready):
            os.remove(ready)
        arguments = ["serve", "--data-dir", DATA, "--listen-mqtt", mqtt, "--listen-api", api]
        self.log = open(os.path.join(FOLDER, "stderr"), "a")
        self.process = subprocess.Popen([os.environ["BIRTHMARK"], *arguments], stdout=subprocess.DEVNULL, stderr=self.log)
        deadline = time.monotonic() + 60
        while not os.path.exists(ready) and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        if os.path.exists(ready):
            with open(ready) as file:
                self.ready = json.load(file)
            self.mqtt = self.ready["mqtt"].rsplit(":", 1)
        return os.path.exists(ready)

    def start_again(self):
        if not self.start(self.ready["mqtt"], self.ready["api"]):
            # Somebody else may have taken the ports.
            assert self.start("127.0.0.1:0", "127.0.0.1:0"), f"seed {SEED}: the server does not start again"
            self.iot = self.client()

    def client(self):
        os.environ["AWS_SHARED_CREDENTIALS_FILE"] = self.ready["credentials"]
        config = botocore.config.Config(parameter_validation=False, retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=20)
        return boto3.Session().client("iot", region_name=REGION, endpoint_url=f"https://{self.ready['api']}", verify=self.ready["server_ca"], config=config)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()


def empty():
    return {"things": {}, "types": [], "groups": {}, "billing": {}, "policies": {}, "templates": {}}


class Caller:
    """Makes, changes and deletes what bears its own prefix."""

    def __init__(self, number):
        self.number, self.lives = number, 0
        self.prefix = f"c{number}"
        self.dice = random.Random(SEED * 1000 + number)
        self.model = empty()
        # What a call without an answer would have made of the model.
        self.maybe = None
        self.calls = 0

    def name(self, kind):
        return f"{self.prefix}-{kind}-{self.dice.randrange(4)}"

    def choose(self):
        """A call that the model lets succeed, and what it makes of the model."""
        model = copy.deepcopy(self.model)
        kind = self.dice.choice(["thing", "thing", "thing", "group", "billing", "policy", "policy", "member", "type", "template", "register"])
        return getattr(self, kind)(model), model

    def thing(self, model):
        name = self.name("thing")
        found = model["things"].get(name)
        attributes = {"a": str(self.calls)}
        if found is None:
            model["things"][name] = {"attributes": attributes, "version": 1, "groups": [], "principals": 0, "policies": 0}
            return "create_thing", {"thingName": name, "attributePayload": {"attributes": attributes}}
        if found["principals"] or self.dice.random() < 0.6:
            found.update(attributes=attributes, version=found["version"] + 1)
            return "update_thing", {"thingName": name, "attributePayload": {"attributes": attributes}}
        del model["things"][name]
        return "delete_thing", {"thingName": name}

    def group(self, model):
        name = self.name("group")
        found = model["groups"].get(name)
        if found is None:
            model["groups"][name] = {"version": 1, "policies": []}
            return "create_thing_group", {"thingGroupName": name}
        free = [policy for policy in model["policies"] if policy not in found["policies"]]
        if free and self.dice.random() < 0.5:
            policy = self.dice.choice(free)
            found["policies"] = sorted([*found["policies"], policy])
            return "attach_policy", {"policyName": policy, "target": f"arn:aws:iot:{REGION}:123456789012:thinggroup/{name}"}
        if found["policies"]:
            policy = found["policies"].pop()
            return "detach_policy", {"policyName": policy, "target": f"arn:aws:iot:{REGION}:123456789012:thinggroup/{name}"}
        del model["groups"][name]
        for thing in model["things"].values():
            thing["groups"] = [group for group in thing["groups"] if group != name]
        return "delete_thing_group", {"thingGroupName": name}

    def billing(self, model):
        name = self.name("billing")
        if name in model["billing"]:
            del model["billing"][name]
            return "delete_billing_group", {"billingGroupName": name}
        text = str(self.dice.randrange(1000))
        model["billing"][name] = text
        return "create_billing_group", {"billingGroupName": name, "billingGroupProperties": {"billingGroupDescription": text}}

    def policy(self, model):
        name = self.name("policy")
        found = model["policies"].get(name)
        if found is None:
            model["policies"][name] = {"versions": ["1"], "default": "1", "next": 2}
            return "create_policy", {"policyName": name, "policyDocument": OPEN_POLICY}
        if len(found["versions"]) < 5 and self.dice.random() < 0.5:
            made = str(found["next"])
            found.update(versions=[*found["versions"], made], default=made, next=found["next"] + 1)
            return "create_policy_version", {"policyName": name, "policyDocument": OPEN_POLICY, "setAsDefault": True}
        others = [version for version in found["versions"] if version != found["default"]]
        if others:
            version = self.dice.choice(others)
            found["versions"].remove(version)
            return "delete_policy_version", {"policyName": name, "policyVersionId": version}
        if any(name in group["policies"] for group in model["groups"].values()):
            return self.thing(model)
        del model["policies"][name]
        return "delete_policy", {"policyName": name}

    def member(self, model):
        if not model["things"] or not model["groups"]:
            return self.thing(model)
        thing, group = self.dice.choice(sorted(model["things"])), self.dice.choice(sorted(model["groups"]))
        groups = model["things"][thing]["groups"]
        if group in groups:
            groups.remove(group)
            return "remove_thing_from_thing_group", {"thingName": thing, "thingGroupName": group}
        model["things"][thing]["groups"] = sorted([*groups, group])
        return "add_thing_to_thing_group", {"thingName": thing, "thingGroupName": group}

    def type(self, model):
        name = f"{self.prefix}-type-{len(model['types']):05}"
        model["types"].append(name)
        return "create_thing_type", {"thingTypeName": name}

    def template(self, model):
        name = self.name("template")
        if name in model["templates"]:
            enabled = not model["templates"][name]
            model["templates"][name] = enabled
            return "update_provisioning_template", {"templateName": name, "enabled": enabled}
        model["templates"][name] = False
        return "create_provisioning_template", {"templateName": name, "templateBody": FLEET, "provisioningRoleArn": ROLE}

    def register(self, model):
        """Thing, certificate and policy at once."""
        name = f"{self.prefix}-registered-{self.dice.randrange(10**9)}"
        model["things"][name] = {"attributes": {"a": "b"}, "version": 1, "groups": [], "principals": 1, "policies": 1}
        return "register_thing", {"templateBody": REGISTER, "parameters": {"Name": name, "Csr": CSR}}

    def work(self, iot, stop):
        """Calls until the server is gone."""
        while not stop.is_set():
            (operation, members), after = self.choose()
            self.maybe = after
            try:
                getattr(iot, operation)(**members)
            except botocore.exceptions.ClientError as error:
                raise AssertionError(f"seed {SEED}: {operation}({members}): {error}; the model {self.model}") from error
            except (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError, ConnectionError):
                return
            self.model, self.maybe = after, None
            self.calls += 1

    def verify(self, iot):
        seen = self.observe(iot)
        wanted = [self.model] + ([self.maybe] if self.maybe is not None else [])
        shown = [shape(model) for model in wanted]
        assert seen in shown, f"seed {SEED}: {self.prefix} sees\n{json.dumps(seen)}\nand should see\n" + "\nor\n".join(json.dumps(one) for one in shown)
        self.model, kept = wanted[shown.index(seen)], shown.index(seen)
        half, self.maybe = self.maybe is not None, None
        # What has grown too much is left behind.
        if len(self.model["things"]) > 8:
            for name in [name for name in self.model["things"] if "registered" in name]:
                del self.model["things"][name]
            # Of these an account has few.
            for name in self.model["templates"]:
                iot.delete_provisioning_template(templateName=name)
            self.lives += 1
            self.prefix = f"c{self.number}x{self.lives}"
            self.model = empty()
        return half and kept

    def observe(self, iot):
        mine = lambda items: sorted(item for item in items if item.startswith(self.prefix + "-"))
        listed = lambda call, key, name: mine(item[name] for item in everything(iot, call, key))
        found = empty()
        for name in listed("list_things", "things", "thingName"):
            thing = iot.describe_thing(thingName=name)
            principals = iot.list_thing_principals(thingName=name)["principals"]
            groups = [group["groupName"] for group in iot.list_thing_groups_for_thing(thingName=name)["thingGroups"]]
            policies = [policy for one in principals for policy in iot.list_attached_policies(target=one)["policies"]]
            assert all(iot.describe_certificate(certificateId=one.rsplit("/", 1)[1])["certificateDescription"]["status"] == "ACTIVE" for one in principals)
            found["things"][name] = {"attributes": thing["attributes"], "version": thing["version"], "groups": sorted(groups), "principals": len(principals), "policies": len(policies)}
        for name in listed("list_thing_groups", "thingGroups", "groupName"):
            policies = iot.list_attached_policies(target=f"arn:aws:iot:{REGION}:123456789012:thinggroup/{name}")["policies"]
            found["groups"][name] = {"version": iot.describe_thing_group(thingGroupName=name)["version"], "policies": sorted(policy["policyName"] for policy in policies)}
        for name in listed("list_billing_groups", "billingGroups", "groupName"):
            found["billing"][name] = iot.describe_billing_group(billingGroupName=name)["billingGroupProperties"]["billingGroupDescription"]
        for name in listed("list_policies", "policies", "policyName"):
            versions = iot.list_policy_versions(policyName=name)["policyVersions"]
            found["policies"][name] = {"versions": sorted(version["versionId"] for version in versions), "default": iot.get_policy(policyName=name)["defaultVersionId"]}
        for name in listed("list_provisioning_templates", "templates", "templateName"):
            found["templates"][name] = iot.describe_provisioning_template(templateName=name)["enabled"]
        found["types"] = listed("list_thing_types", "thingTypes", "thingTypeName")
        return found


def everything(iot, call, key, **members):
    for page in iot.get_paginator(call).paginate(PaginationConfig={"PageSize": 250}, **members):
        yield from page[key]


def shape(model):
    """The model as it is observed."""
    shown = copy.deepcopy(model)
    for policy in shown["policies"].values():
        policy.pop("next", None)
        policy["versions"].sort()
    return {**shown, **{kind: dict(sorted(shown[kind].items())) for kind in shown if isinstance(shown[kind], dict)}}


class Fleet:
    """Devices of a CA that provisions them when they first connect."""

    def __init__(self):
        self.authority = Authority(FOLDER, "authority", "/CN=Authority")
        self.welcome, self.names = set(), []

    def register(self, iot):
        config = {"templateBody": JITP, "roleArn": ROLE}
        self.id = iot.register_ca_certificate(caCertificate=self.authority.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True, registrationConfig=config)["certificateId"]

    def born(self, number):
        name = f"device-{number}"
        self.authority.signed(name, f"/CN={name}")
        self.names.append(name)
        return name

    def connect(self, server, name):
        """Connects until it is welcome or the server is gone."""
        context = ssl.create_default_context(cafile=server.ready["server_ca"])
        context.load_cert_chain(os.path.join(FOLDER, f"{name}.pem"), os.path.join(FOLDER, f"{name}.key"))
        for _ in range(3):
            try:
                with socket.create_connection((server.mqtt[0], int(server.mqtt[1])), timeout=10) as plain:
                    with context.wrap_socket(plain, server_hostname="localhost") as stream:
                        client = name.encode()
                        stream.sendall(bytes([0x10, 12 + len(client)]) + bytes.fromhex("00044d5154540402003c") + len(client).to_bytes(2, "big") + client)
                        answer = stream.recv(4)
                        if len(answer) == 4 and answer[3] == 0:
                            return self.welcome.add(name)
            except (OSError, ssl.SSLError):
                pass

    def verify(self, iot):
        """A device is there with everything or not at all, and it is there if it was told so."""
        things = {item["thingName"] for item in everything(iot, "list_things", "things")}
        for name in self.names:
            if name not in things:
                assert name not in self.welcome, f"seed {SEED}: {name} was welcome and is gone"
                continue
            principals = iot.list_thing_principals(thingName=name)["principals"]
            assert len(principals) == 1, f"seed {SEED}: {name} has {principals}"
            found = iot.describe_certificate(certificateId=principals[0].rsplit("/", 1)[1])["certificateDescription"]
            assert found["status"] == "ACTIVE", f"seed {SEED}: {name} is half there: {found}"
            assert len(iot.list_attached_policies(target=principals[0])["policies"]) == 1, f"seed {SEED}: {name} has no policy"
        there = sum(name.startswith("device-") for name in things)
        issued = len(list(everything(iot, "list_certificates_by_ca", "certificates", caCertificateId=self.id)))
        assert issued == there, f"seed {SEED}: {issued} certificates for {there} devices"
        # Those that were seen once need not be looked at again.
        self.names = [name for name in self.names if name not in things]


def resource(kind, **properties):
    return {"Type": f"AWS::IoT::{kind}", "Properties": properties}


POLICY = resource("Policy", PolicyDocument=json.dumps(POLICY_BODY))
OWN_ID = {"Ref": "AWS::IoT::Certificate::Id"}
FLEET = json.dumps({"Parameters": {"AWS::IoT::Certificate::Id": {"Type": "String"}}, "Resources": {"certificate": resource("Certificate", CertificateId=OWN_ID, Status="ACTIVE")}})
JITP = json.dumps({"Parameters": {"AWS::IoT::Certificate::Id": {"Type": "String"}, "AWS::IoT::Certificate::CommonName": {"Type": "String"}}, "Resources": {"thing": resource("Thing", ThingName={"Ref": "AWS::IoT::Certificate::CommonName"}), "certificate": resource("Certificate", CertificateId=OWN_ID, Status="ACTIVE"), "policy": POLICY}})
REGISTER = json.dumps({"Parameters": {"Name": {"Type": "String"}, "Csr": {"Type": "String"}}, "Resources": {"thing": resource("Thing", ThingName={"Ref": "Name"}, AttributePayload={"a": "b"}), "certificate": resource("Certificate", CertificateSigningRequest={"Ref": "Csr"}, Status="ACTIVE"), "policy": POLICY}})

fleet = Fleet()
fleet.authority.key("bulk")
fleet.authority.openssl("req", "-new", "-key", "bulk.key", "-subj", "/CN=bulk", "-out", "bulk.csr")
CSR = fleet.authority.read("bulk.csr")
callers = [Caller(number) for number in range(CALLERS)]
server = Server()
fleet.register(server.iot)
kept = 0
for kill in range(KILLS):
    stop, failures = threading.Event(), []

    def guarded(work, *arguments):
        try:
            work(*arguments)
        except Exception as failure:
            failures.append(failure)

    newborn = [fleet.born(f"{kill}-{number}") for number in range(DEVICES_PER_KILL)]
    workers = [threading.Thread(target=guarded, args=(caller.work, server.iot, stop)) for caller in callers]
    workers += [threading.Thread(target=guarded, args=(fleet.connect, server, name)) for name in newborn]
    for worker in workers:
        worker.start()
    time.sleep(dice.random() * LIFE_SECONDS_MAX)
    server.kill()
    stop.set()
    for worker in workers:
        worker.join()
    assert not failures, failures[0]
    server.start_again()
    kept += sum(bool(caller.verify(server.iot)) for caller in callers)
    fleet.verify(server.iot)
    if kill % 20 == 19 or kill + 1 == KILLS:
        subprocess.run([os.environ["BIRTHMARK"], "check", "--audit", "--data-dir", DATA], check=True, capture_output=True)
server.kill()
with open(os.path.join(FOLDER, "stderr")) as file:
    assert "panicked" not in file.read()
print(json.dumps({"seed": SEED, "kills": KILLS, "calls": sum(caller.calls for caller in callers), "unanswered but whole": kept, "welcome": len(fleet.welcome)}))
sys.stdout.flush()
