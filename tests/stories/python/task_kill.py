"""A registration task whose server is killed in the middle: what its report says was done is there, and done once.

The lines are prepared by several threads. After the restart the task has failed; started again, it ends, and finds what the
first one had made.
"""

import json
import os
import signal
import subprocess
import time

import boto3

FOLDER = os.environ["FOLDER"]
DATA, BUCKET = os.path.join(FOLDER, "cloud"), os.path.join(FOLDER, "bucket")
LINES = 2500
template = json.dumps(
    {
        "Parameters": {"Name": {"Type": "String"}, "Request": {"Type": "String"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Name"}}},
            "cert": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateSigningRequest": {"Ref": "Request"}, "Status": "ACTIVE"}},
        },
    }
)
request = {"templateBody": template, "inputFileBucket": "fleet", "inputFileKey": "lines.ndjson", "roleArn": "arn:aws:iam::123456789012:role/any"}


def start():
    ready = os.path.join(DATA, "ready.json")
    if os.path.exists(ready):
        os.remove(ready)
    arguments = ["serve", "--data-dir", DATA, "--config", os.path.join(FOLDER, "serve.toml"), "--listen-mqtt", "127.0.0.1:0", "--listen-api", "127.0.0.1:0"]
    process = subprocess.Popen([os.environ["BIRTHMARK"], *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not os.path.exists(ready):
        assert process.poll() is None
        time.sleep(0.01)
    with open(ready) as file:
        found = json.load(file)
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = found["credentials"]
    return process, boto3.Session().client("iot", region_name="us-east-1", endpoint_url=f"https://{found['api']}", verify=found["server_ca"])


def reported(task, kind="results"):
    """The whole lines of a report."""
    with open(os.path.join(DATA, "registration-tasks", f"{task}-{kind}.ndjson")) as file:
        lines = file.read().split("\n")[:-1]
    return [json.loads(line) for line in lines]


os.makedirs(BUCKET)
with open(os.path.join(FOLDER, "serve.toml"), "w") as file:
    file.write(f'[buckets]\nfleet = "{BUCKET}"\n')
key = os.path.join(FOLDER, "key.pem")
csr = subprocess.run(
    ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-subj", "/CN=any"],
    check=True,
    capture_output=True,
    text=True,
).stdout
with open(os.path.join(BUCKET, "lines.ndjson"), "w") as file:
    for number in range(LINES):
        file.write(json.dumps({"Name": f"unit-{number}", "Request": csr}) + "\n")

process, iot = start()
task = iot.start_thing_registration_task(**request)["taskId"]
path = os.path.join(DATA, "registration-tasks", f"{task}-results.ndjson")
while not os.path.exists(path) or os.path.getsize(path) < 400_000:
    pass
process.send_signal(signal.SIGKILL)
process.wait()
done = reported(task)
assert 0 < len(done) < LINES, len(done)
numbers = [line["lineNumber"] for line in done]
assert numbers == list(range(1, len(done) + 1)), numbers

process, iot = start()
assert iot.describe_thing_registration_task(taskId=task)["status"] == "Failed"
for line in done[:: len(done) // 20]:
    name, certificate = (line["response"]["resourceArns"][kind].rsplit("/", 1)[1] for kind in ("thing", "cert"))
    assert iot.list_thing_principals(thingName=name)["principals"] == [line["response"]["resourceArns"]["cert"]]
    assert iot.describe_certificate(certificateId=certificate)["certificateDescription"]["certificatePem"] == line["response"]["certificatePem"]
again = iot.start_thing_registration_task(**request)["taskId"]
while iot.describe_thing_registration_task(taskId=again)["status"] == "InProgress":
    time.sleep(0.05)
found = iot.describe_thing_registration_task(taskId=again)
assert (found["status"], found["successCount"], found["failureCount"]) == ("Completed", LINES, 0), found
assert iot.describe_thing(thingName="unit-0")["version"] == 1
# Each run brought a request, so the thing of a line that was done twice has two certificates, and none has more.
assert len(iot.list_thing_principals(thingName="unit-0")["principals"]) == 2
assert len(iot.list_thing_principals(thingName=f"unit-{LINES - 1}")["principals"]) == 1
process.terminate()
process.wait()
print(f"killed after {len(done)} lines")
