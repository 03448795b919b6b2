"""Bulk registration: a template carried out for each line of a file, with reports of what was done and refused."""

import json
import os
import time
import urllib.request

from cloud import OPEN_POLICY, client, everything, refused

iot = client()
BUCKET = os.environ["BUCKET"]
ROLE = "arn:aws:iam::123456789012:role/any"
template = json.dumps(
    {
        "Parameters": {"Name": {"Type": "String"}, "Room": {"Type": "String", "Default": "none"}},
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": {"ThingName": {"Ref": "Name"}, "AttributePayload": {"room": {"Ref": "Room"}}, "ThingGroups": ["all"]},
            }
        },
    }
)
request = {"templateBody": template, "inputFileBucket": "fleet", "inputFileKey": "batch/1.ndjson", "roleArn": ROLE}
iot.create_thing_group(thingGroupName="all")


def write(name, lines):
    path = os.path.join(BUCKET, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")


def ended(task):
    deadline = time.monotonic() + 60
    while True:
        found = iot.describe_thing_registration_task(taskId=task)
        if found["status"] != "InProgress":
            return found
        assert time.monotonic() < deadline, found


def report(task, kind):
    links = iot.list_thing_registration_task_reports(taskId=task, reportType=kind)["resourceLinks"]
    with urllib.request.urlopen(links[0]) as file:
        return [json.loads(line) for line in file]


good = [json.dumps({"Name": f"unit-{n}", "Room": f"r{n % 7}"}) for n in range(200)]
write("batch/1.ndjson", good[:100] + ["{", json.dumps({"Name": "a b"}), json.dumps({"Room": "x"}), ""] + good[100:])
task = iot.start_thing_registration_task(**request)["taskId"]
found = ended(task)
assert (found["status"], found["successCount"], found["failureCount"], found["percentageProgress"]) == ("Completed", 200, 3, 100), found
assert found["templateBody"] == template and found["inputFileKey"] == "batch/1.ndjson"
assert iot.describe_thing(thingName="unit-150")["attributes"] == {"room": "r3"}
results, errors = report(task, "RESULTS"), report(task, "ERRORS")
assert len(results) == 200 and results[0]["response"]["resourceArns"]["thing"].endswith("thing/unit-0")
assert [line["lineNumber"] for line in errors] == [101, 102, 103], errors
assert [line["response"]["exception"] for line in errors] == ["InvalidRequestException", "ResourceRegistrationFailureException", "ResourceRegistrationFailureException"]

# The same again finds what it made.
again = iot.start_thing_registration_task(**request)["taskId"]
assert ended(again)["successCount"] == 200
assert iot.describe_thing(thingName="unit-0")["version"] == 1
assert iot.list_thing_registration_tasks()["taskIds"] == [task, again]
assert iot.list_thing_registration_tasks(status="Completed")["taskIds"] == [task, again]
assert iot.list_thing_registration_tasks(status="Cancelled")["taskIds"] == []

# One at a time, and one can be stopped.
write("long.ndjson", [json.dumps({"Name": f"long-{n}"}) for n in range(20_000)])
long = iot.start_thing_registration_task(**{**request, "inputFileKey": "long.ndjson"})["taskId"]
refused("InvalidRequestException", iot.start_thing_registration_task, "under way", **request)
iot.stop_thing_registration_task(taskId=long)
assert ended(long)["status"] == "Cancelled"

# Refused.
os.symlink("/etc/passwd", os.path.join(BUCKET, "link"))
for wrong in ({"inputFileBucket": "none"}, {"inputFileKey": "none"}, {"inputFileKey": "link"}, {"inputFileKey": "../x"}, {"inputFileKey": "/etc/passwd"}, {"inputFileKey": "batch"}, {"templateBody": "{"}, {"roleArn": "short"}):
    refused("InvalidRequestException", iot.start_thing_registration_task, **{**request, **wrong})
for call in (iot.describe_thing_registration_task, iot.stop_thing_registration_task):
    refused("ResourceNotFoundException", call, taskId="none")
refused("InvalidRequestException", iot.list_thing_registration_task_reports, taskId=task, reportType="GOSSIP")
refused("InvalidRequestException", iot.list_thing_registration_tasks, status="Sleeping")
write("wide.ndjson", ["x" * 300_000])
wide = iot.start_thing_registration_task(**{**request, "inputFileKey": "wide.ndjson"})["taskId"]
assert ended(wide)["status"] == "Failed"
