"""Every error that AWS's model declares for an operation that is served comes through boto3 as its exception class.

`api-errors.tsv` says how each is provoked, or why it cannot be. What has no line yet is pending: it is told, and the page
docs/reference/api-errors.md lists it.
"""

import collections
import configparser
import functools
import json
import os
import socket
import sqlite3
import ssl

import boto3
import botocore.config
import botocore.exceptions

from cloud import REGION, client
from error_world import World

# Why an error is not provoked. Nothing else may be given as a reason.
REASONS = {
    "ordered": "two pending changes are put in order here, so that none of them fails",
    "idempotent": "deleting what is not there succeeds, as the API reference says",
    "invalid": "refused with InvalidRequestException, as AWS does",
    "limitless": "there is no limit that this operation could exceed",
    "nameless": "the request names nothing that could be missing",
    "unattached": "nothing is attached to it that could be in the way",
    "unchanged": "it changes nothing that this could be wrong with",
    "recordless": "the answer needs no record that could be damaged",
}
STORIES = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(os.path.dirname(STORIES))


def lines(*path):
    with open(os.path.join(*path)) as file:
        return [line.rstrip("\n").split("\t") for line in file if line.strip() and not line.startswith("#")]


def profile(file):
    profiles = configparser.ConfigParser()
    profiles.read(file)
    return dict(profiles["default"])


@functools.cache
def clients(way=None, key=None):
    """Clients of both services, with connections of their own for each way."""
    session = profile(key) if key else {}
    return {service: client(service, **session) for service in ("iot", "iot-data")}


ours = clients()
theirs = client(**profile(os.environ["OTHER_KEY"]))
models = {service: one.meta.service_model for service, one in ours.items()}
declared = {(service, name): names.split() for service, name, names in lines(ROOT, "crates/cloud/src/api/documented-errors.tsv")}
served = set()
with open(os.path.join(ROOT, "docs/reference/api-coverage.md")) as page:
    for cells in (line.split(" | ") for line in page if line.startswith("| ")):
        service = cells[1]
        if service in models and not cells[3].startswith("not"):
            served.add((service, cells[0].removeprefix("| ")))
for service, name in served:
    found = sorted(shape.name for shape in models[service].operation_model(name).error_shapes)
    assert found == declared[service, name], f"documented-errors.tsv is not what botocore says of {name}: {found}"

table = {(operation, error): how for operation, error, how in lines(STORIES, "api-errors.tsv")}
names = {name for _, name in served}
for operation, error in table:
    assert operation == "*" or error == "-" or any(error in declared[service, name] for service, name in served if name == operation) or operation not in names, f"{operation} does not declare {error}"
world = World(ours["iot"], theirs)
outcomes = collections.Counter()
wrong = []


def filled(value):
    """The value with what the world makes of each $name."""
    if isinstance(value, str) and value.startswith("$"):
        return world.get(value[1:])
    if isinstance(value, list):
        return [filled(item) for item in value]
    if isinstance(value, dict):
        return {key: filled(item) for key, item in value.items()}
    return value


def request(service, how):
    """The client and the members of a request."""
    members = filled(json.loads(how))
    region = members.pop("_region", REGION)
    return ours[service] if region == REGION else elsewhere_client(service, region), members


@functools.cache
def elsewhere_client(service, region):
    return client(service, region=region)


def minimal(service, name):
    """A request whose names mean nothing, but which is addressed as it must be."""
    shape = models[service].operation_model(name).input_shape
    values = {"integer": 1, "long": 1, "boolean": True, "list": [], "map": {}, "structure": {}}
    return {member: values.get(shape.members[member].type_name, "1") for member in shape.required_members} if shape else {}


def call(one, name, members):
    """The exception's class and its status; (None, 200) when it was done."""
    try:
        one._make_api_call(name, members)
        return None, 200
    except botocore.exceptions.ClientError as error:
        return error, error.response["ResponseMetadata"]["HTTPStatusCode"]


def demand(service, name, error, members, one, what):
    """Calls and demands this exception class of the client's model, with the status of its shape."""
    try:
        check(service, name, error, members, one)
        outcomes[what] += 1
    except AssertionError as surprise:
        wrong.append(f"{what}: {surprise}")


def check(service, name, error, members, one):
    found, status = call(one, name, members)
    shape = next(shape for shape in models[service].operation_model(name).error_shapes if shape.name == error)
    wanted = getattr(one.exceptions, error)
    assert type(found) is wanted, f"{name} {error}: {type(found).__name__} {found}, {members}"
    assert status == shape.metadata.get("error", {}).get("httpStatusCode", status), f"{name} {error}: status {status}"
    assert found.response["Error"]["Message"], f"{name} {error} has no message"


@functools.cache
def tampering(**change):
    """Clients whose requests are altered before they are signed."""
    many = clients(way=str(change))
    for one in many.values():
        one.meta.events.register("before-call.*.*", lambda params, **_: params.update(change))
    return many


def ways():
    """Which pairs each way is to provoke."""
    found = collections.defaultdict(list)
    pending = []
    for service, name in sorted(served):
        for error in declared[service, name]:
            how = table.get((name, error)) or table.get(("*", error))
            if how is None or how == "@broken" and not samples(name):
                pending.append((service, name, error))
            elif how.startswith("@"):
                found[how].append((service, name, error))
            elif how.startswith("!"):
                assert how[1:] in REASONS, f"{name} {error}: {how} is not a reason"
                found["!"].append((service, name, error))
            else:
                found["request"].append((service, name, error))
                # What every operation must bear is provoked as well.
                if ("*", error) in table:
                    found[table["*", error]].append((service, name, error))
    return found, pending


def samples(name):
    """Requests that are well made, so that they come as far as the records, the best first."""
    lines = [table.get((name, error), "") for error in ("-", "ResourceNotFoundException", "ResourceAlreadyExistsException", "VersionConflictException")]
    return [how for how in lines if how.startswith("{")]


def by_request(pairs):
    for service, name, error in pairs:
        one, members = request(service, table[name, error])
        demand(service, name, error, members, one, "by a request of its own")


def malformed(pairs):
    many = tampering(body=b'{"a": ')
    for service, name, error in pairs:
        if name not in ["Publish", "SendDirectMessage"]:
            demand(service, name, error, minimal(service, name), many[service], "by a body that is not JSON")


def another_method(pairs):
    many = tampering(method="PATCH")
    for service, name, error in pairs:
        demand(service, name, error, minimal(service, name), many[service], "by another method")


def elsewhere(pairs):
    many = clients(key=os.environ["ELSEWHERE_KEY"])
    for service, name, error in pairs:
        demand(service, name, error, minimal(service, name), many[service], "by a key of another region")


def forbidden(pairs):
    many = clients(key=os.environ["FORBIDDEN_KEY"])
    for service, name, error in pairs:
        demand(service, name, error, minimal(service, name), many[service], "by a key that may do nothing")


def throttled(pairs):
    """A second server has quotas of one call per second."""
    many = {service: quota_client(service) for service in models}
    for service, name, error in pairs:
        first, _ = call(many[service], name, minimal(service, name))
        assert type(first).__name__ != error, f"{name} has a quota of nothing"
        demand(service, name, error, minimal(service, name), many[service], "by a second call within a second")


def quota_client(service):
    config = botocore.config.Config(parameter_validation=False, retries={"total_max_attempts": 1})
    session = boto3.Session(**profile(os.environ["QUOTA_KEY"]))
    return session.client(service, region_name=REGION, endpoint_url=os.environ["QUOTA_API"], verify=os.environ["QUOTA_CA"], config=config)


def crowded(pairs):
    """Others hold every connection that is served."""
    context = ssl.create_default_context(cafile=os.environ["CLOUD_CA"])
    context.check_hostname = False
    host, port = os.environ["CLOUD_API"].removeprefix("https://").rsplit(":", 1)
    held = []
    try:
        for _ in range(448):
            held.append(context.wrap_socket(socket.create_connection((host, int(port)), timeout=20), server_hostname="localhost"))
        many = clients(way="crowd")
        for service, name, error in pairs:
            demand(service, name, error, minimal(service, name), many[service], "by a crowd of connections")
    finally:
        for one in held:
            one.close()


def broken(pairs):
    """The tables of the database are taken away while the server runs, and brought back."""
    wanted = [(pair, request(pair[0], samples(pair[1])[0])) for pair in pairs]
    database = sqlite3.connect(os.environ["RECORDS"], timeout=20, isolation_level=None)
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
    database.execute("PRAGMA legacy_alter_table = ON")
    rename = lambda old, new: database.execute(f'ALTER TABLE "{old}" RENAME TO "{new}"')
    for name in tables:
        rename(name, "gone_" + name)
    # What was looked at is seen until the server writes; this it tries, and fails.
    call(ours["iot"], "CreateThing", {"thingName": "afterwards"})
    try:
        for (service, name, error), (one, members) in wanted:
            demand(service, name, error, members, one, "by damaged records")
    finally:
        for name in tables:
            rename("gone_" + name, name)
        database.close()
    ours["iot"].list_things()


found, pending = ways()
for way, provoke in {"request": by_request, "@malformed": malformed, "@another_method": another_method, "@elsewhere": elsewhere, "@forbidden": forbidden, "@throttled": throttled, "@crowded": crowded, "@broken": broken}.items():
    provoke(found[way])
counts = {"operations": len(served), "pairs": sum(len(declared[pair]) for pair in served), "reasons": len(found["!"]), "pending": len(pending)}
print(json.dumps({**counts, "provoked": outcomes, "wrong": wrong}))
for line in pending:
    print("pending", *line)
assert not wrong, "\n".join(wrong)
