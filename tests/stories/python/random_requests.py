"""Random requests of every operation that AWS's model knows: whatever comes, the server answers, and never with a 500.

Names and ids of what was made come back in later requests, so that most of them mean something. REQUESTS says how many,
SEED which.
"""

import collections
import json
import os
import random
import string

import botocore.exceptions

from cloud import ACCOUNT, OPEN_POLICY, REGION, arn, client, refused

SEED = int(os.environ.get("SEED", "1"))
COUNT = int(os.environ.get("REQUESTS", "2000"))
dice = random.Random(SEED)
iot = client()
data = client("iot-data")
# Making an RSA key takes long; and these two have no end of their own.
RARE = {"CreateKeysAndCertificate", "CreateProvisioningClaim"}
TEMPLATE = json.dumps(
    {
        "Parameters": {"P": {"Type": "String", "Default": "d"}},
        "Resources": {
            "t": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "P"}}},
            "c": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}}},
        },
    }
)
seen = collections.deque(["a", "b", "lamp"], maxlen=40)
MEMBERS = {"status": ["ACTIVE", "INACTIVE", "REVOKED"], "newStatus": ["ACTIVE", "INACTIVE", "REVOKED"], "qos": [0, 1, 2]}


def text(name, shape):
    lower = name.lower()
    if dice.random() < 0.05:
        return dice.choice(["", " ", "\0", "ü" * 3, "a" * 3000, "../..", "%2F", "{", "[]", "null", "-1", "$aws/x", "*", "\u202e", "' OR 1=1--"])
    if getattr(shape, "enum", None) and dice.random() < 0.9:
        return dice.choice(shape.enum)
    if name in MEMBERS and dice.random() < 0.9:
        return str(dice.choice(MEMBERS[name]))
    if lower.endswith("document"):
        return dice.choice([OPEN_POLICY, "{}", "[" * 2000, json.dumps({"Version": "2012-10-17", "Statement": []})])
    if lower.endswith("templatebody"):
        return dice.choice([TEMPLATE, "{}", TEMPLATE.replace("Ref", "Fn::Join"), "[" * 2000])
    if lower.endswith("rolearn"):
        return "arn:aws:iam::123456789012:role/any"
    if lower.endswith("arn") or lower in ("target", "principal"):
        kind = dice.choice(["cert", "thing", "thinggroup", "policy", "thingtype", "billinggroup", "cacert", "rule"])
        return arn(kind, dice.choice(seen), account=dice.choice([ACCOUNT] * 9 + ["999999999999"]))
    if lower.endswith("pem") or lower.endswith("request"):
        return dice.choice(seen)
    if "token" in lower or lower == "marker":
        return dice.choice(["", "x", "m1-1-5b", "m1-ffffffffffffffff-00"])
    return dice.choice(seen) if dice.random() < 0.8 else "".join(dice.choices(string.ascii_letters, k=dice.randint(1, 9)))


def value(name, shape, depth=0):
    kind = shape.type_name
    if kind == "string":
        return text(name, shape)
    if kind in ("integer", "long", "double", "float"):
        return dice.choice([0, 1, 2, 5, 250, 251, -1, 2**31, 2**62])
    if kind == "boolean":
        return dice.random() < 0.5
    if kind == "blob":
        return os.urandom(0) + dice.randbytes(dice.choice([0, 5, 300]))
    if kind == "timestamp":
        return dice.choice([0, 1_800_000_000])
    if depth > 6:
        return [] if kind == "list" else {}
    if kind == "list":
        return [value(name, shape.member, depth + 1) for _ in range(dice.choice([0, 1, 1, 2, 12]))]
    if kind == "map":
        return {str(text(name, shape.key)): value(name, shape.value, depth + 1) for _ in range(dice.choice([0, 1, 4]))}
    return structure(shape, depth + 1)


def structure(shape, depth=0):
    required = set(shape.required_members)
    return {
        name: value(name, member, depth)
        for name, member in shape.members.items()
        if dice.random() < (0.97 if name in required else 0.45)
    }


def remember(answer):
    for name, found in answer.items():
        if isinstance(found, str) and len(found) < 3000 and name not in ("nextToken", "nextMarker"):
            seen.append(found)


def resident_kilobytes():
    with open(f"/proc/{os.environ['CLOUD_PID']}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


# The principal stands in a header, in which this character cannot be.
refused("InvalidRequestException", iot.list_principal_policies, principal="\0")
operations = [(service, name) for service in (iot, data) for name in service.meta.service_model.operation_names]
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../docs/reference/api-coverage.md")) as page:
    served = {line.split(" | ")[0][2:] for line in page if line.startswith("| ") and " | not |" not in line}
likely = [(service, name) for service, name in operations if name in served]
# What is answered whatever an operation is: those that are not served have no errors of their own.
ALWAYS = {"InvalidRequestException", "RequestEntityTooLargeException"}
undeclared = collections.Counter()
outcomes = collections.Counter()
halfway = 0
for number in range(COUNT):
    service, name = dice.choice(likely if dice.random() < 0.85 else operations)
    if name in RARE and dice.random() < 0.97:
        continue
    model = service.meta.service_model.operation_model(name)
    members = structure(model.input_shape) if model.input_shape else {}
    try:
        answer = service._make_api_call(name, members)
        remember(answer)
        outcomes["done"] += 1
    except botocore.exceptions.ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert status < 500, f"seed {SEED}, request {number}: {name} {members}: {error}"
        code = error.response["Error"]["Code"]
        assert not code.isdigit(), f"seed {SEED}, request {number}: {name} {members}: {error} has no name"
        outcomes[code] += 1
        if name in served and code not in ALWAYS and all(shape.name != code for shape in model.error_shapes):
            undeclared[f"{name} {code}"] += 1
    except botocore.exceptions.HTTPClientError as error:
        assert "Invalid header value" in str(error), f"seed {SEED}, request {number}: {name} {members}: {error}"
        outcomes["never sent"] += 1
    except (botocore.exceptions.ParamValidationError, LookupError, TypeError, ValueError, AttributeError):
        outcomes["never sent"] += 1
    if number == COUNT // 2:
        halfway = resident_kilobytes()
iot.get_registration_code()
end = resident_kilobytes()
print(json.dumps({"seed": SEED, "requests": COUNT, "resident": [halfway, end], "outcomes": outcomes, "undeclared": undeclared}))
assert outcomes["done"] > COUNT // 20, outcomes
assert end < halfway + 65_536, f"memory grew from {halfway} to {end} KiB"
