"""A registration task whose file is in a store that speaks S3, and whose reports go back there.

The store is moto's, over TLS, with its checks of signatures and rights on: what is signed wrongly is refused by it.
"""

import json
import os
import subprocess
import threading
import time
import urllib.parse

# So many calls of the set-up need no rights; whoever comes then is checked.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "5"

import boto3
import botocore.config
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

FOLDER = os.environ["FOLDER"]
CERT, KEY = os.path.join(FOLDER, "store.pem"), os.path.join(FOLDER, "store.key")
ROLE = "arn:aws:iam::123456789012:role/any"


class Quiet(WSGIRequestHandler):
    def log(self, *_):
        pass


application = DomainDispatcherApplication(create_backend_app)
store = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet, ssl_context=(CERT, KEY))
threading.Thread(target=store.serve_forever, daemon=True).start()
STORE = f"https://localhost:{store.server_port}"


def aws(service, key="set-up", secret="set-up"):
    config = botocore.config.Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=STORE,
        verify=CERT,
        config=config,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )


iam = aws("iam")
iam.create_user(UserName="fleet")
held = iam.create_access_key(UserName="fleet")["AccessKey"]
document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
iam.put_user_policy(UserName="fleet", PolicyName="s3", PolicyDocument=json.dumps(document))
s3 = aws("s3", held["AccessKeyId"], held["SecretAccessKey"])
s3.create_bucket(Bucket="fleet-files")
lines = [{"Name": f"lamp-{number}"} for number in range(50)] + [{"Name": "no spaces"}]
s3.put_object(Bucket="fleet-files", Key="spring 2026/lamps+1.ndjson", Body="\n".join(map(json.dumps, lines)))


def credentials(name, secret):
    path = os.path.join(FOLDER, name)
    with open(path, "w") as file:
        file.write(f"[default]\naws_access_key_id = {held['AccessKeyId']}\naws_secret_access_key = {secret}\n")
    return path


def bucket(name, secret, extra=""):
    return (
        f'[buckets.{name}]\nendpoint = "{STORE}"\nbucket = "fleet-files"\nregion = "us-east-1"\n'
        f'credentials = "{credentials(name, secret)}"\nca = "{CERT}"\n{extra}\n'
    )


inside = 'allow_addresses = ["127.0.0.1", "::1"]'
config = os.path.join(FOLDER, "birthmark.toml")
with open(config, "w") as file:
    file.write(bucket("fleet", held["SecretAccessKey"], inside))
    file.write(bucket("forged", "x" * 40, inside))
    file.write(bucket("inner", held["SecretAccessKey"]))
data = os.path.join(FOLDER, "cloud")
words = ["serve", "--data-dir", data, "--config", config, "--listen-mqtt", "127.0.0.1:0", "--listen-api", "127.0.0.1:0"]
with open(os.path.join(FOLDER, "stderr"), "w") as log:
    server = subprocess.Popen([os.environ["BIRTHMARK"], *words], stdout=subprocess.DEVNULL, stderr=log)
try:
    ready = os.path.join(data, "ready.json")
    deadline = time.monotonic() + 60
    while not os.path.exists(ready) and server.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    with open(ready) as file:
        where = json.load(file)
    os.environ.update(
        CLOUD_API=f"https://{where['api']}", CLOUD_CA=where["server_ca"], AWS_SHARED_CREDENTIALS_FILE=where["credentials"]
    )
    from cloud import client, refused

    iot = client()
    template = json.dumps(
        {
            "Parameters": {"Name": {"Type": "String"}},
            "Resources": {"thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Name"}}}},
        }
    )

    def task(name, key="spring 2026/lamps+1.ndjson"):
        started = iot.start_thing_registration_task(
            templateBody=template, inputFileBucket=name, inputFileKey=key, roleArn=ROLE
        )
        while True:
            found = iot.describe_thing_registration_task(taskId=started["taskId"])
            if found["status"] != "InProgress":
                return found
            time.sleep(0.05)

    done = task("fleet")
    assert (done["status"], done["successCount"], done["failureCount"]) == ("Completed", 50, 1), done
    assert len(iot.list_things(maxResults=250)["things"]) == 50
    for kind, count in [("RESULTS", 50), ("ERRORS", 1)]:
        reports = iot.list_thing_registration_task_reports(taskId=done["taskId"], reportType=kind)
        (link,) = reports["resourceLinks"]
        parts = urllib.parse.urlsplit(link)
        asked = urllib.parse.parse_qs(parts.query)
        assert link.startswith(f"{STORE}/fleet-files/birthmark-reports/") and asked["X-Amz-Expires"] == ["3600"], link
        body = s3.get_object(Bucket="fleet-files", Key=parts.path.removeprefix("/fleet-files/"))["Body"]
        report = [json.loads(line) for line in body.read().splitlines()]
        assert len(report) == count, (kind, report)
    for name, key, word in [
        ("forged", "spring 2026/lamps+1.ndjson", "403"),
        ("fleet", "none", "NoSuchKey"),
        ("inner", "spring 2026/lamps+1.ndjson", "allow_addresses"),
    ]:
        failed = task(name, key)
        assert failed["status"] == "Failed" and word in failed["message"], failed
    refused(
        "InvalidRequestException",
        iot.start_thing_registration_task,
        templateBody=template,
        inputFileBucket="other",
        inputFileKey="x",
        roleArn=ROLE,
    )
finally:
    server.terminate()
    server.wait()
