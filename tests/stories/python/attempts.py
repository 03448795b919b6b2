"""Why a device was refused, asked over the API: by those who hold a key of its account, and by nobody else."""

import json
import os
import urllib.error
import urllib.request
import ssl

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from cloud import REGION, client
from device import connect

iot = client()
tls = ssl.create_default_context(cafile=os.environ["CLOUD_CA"])


def ask(query, region=REGION, signed=True):
    request = AWSRequest("GET", os.environ["CLOUD_API"] + "/birthmark/attempts?" + query)
    if signed:
        SigV4Auth(boto3.Session().get_credentials(), "iot", region).add_auth(request)
    prepared = request.prepare()
    try:
        with urllib.request.urlopen(urllib.request.Request(prepared.url, headers=dict(prepared.headers)), context=tls) as answer:
            return json.load(answer)["attempts"]
    except urllib.error.HTTPError as error:
        return error.code


device = iot.create_keys_and_certificate(setAsActive=False)
try:
    connect("lamp", device)
    raise SystemExit("a device with an INACTIVE certificate came in")
except Exception as refused:
    assert "came in" not in str(refused)
found = ask("what=" + device["certificateId"])
assert len(found) == 1, found
assert found[0]["verdict"] == "refused" and "INACTIVE" in found[0]["reason"] and found[0]["hint"], found
assert found[0]["fingerprint"] == device["certificateId"] and found[0]["steps"]
assert len(ask("refused=true&count=250")) >= 1
assert ask("what=127.0.0.1&count=5")
# Those of another region are another tenant's.
assert ask("what=" + device["certificateId"], region="eu-west-1") == []
assert ask("count=0") == 400 and ask("count=251") == 400
assert ask("", signed=False) == 403
