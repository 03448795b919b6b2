"""What the stories of the listeners begin with: a device that the cloud made a key for, with a narrow policy, and a policy for
whoever comes in without TLS.

Arguments: the folder for device.pem and device.key.
"""

import json
import pathlib
import sys

from cloud import client

folder = pathlib.Path(sys.argv[1])
iot = client("iot")


def allow(action, resource):
    return {"Effect": "Allow", "Action": f"iot:{action}", "Resource": f"arn:aws:iot:us-east-1:123456789012:{resource}"}


def policy(name, *statements):
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iot.create_policy(policyName=name, policyDocument=document)


NARROW = [
    allow("Connect", "client/*"),
    allow("Publish", "topic/dt/*"),
    allow("RetainPublish", "topic/dt/kept/*"),
    allow("Subscribe", "topicfilter/dt/*"),
    allow("Receive", "topic/dt/*"),
    allow("GetRetainedMessage", "topic/dt/kept/*"),
]
policy("narrow", *NARROW)
policy("local", *NARROW)
made = iot.create_keys_and_certificate(setAsActive=True)
iot.attach_policy(policyName="narrow", target=made["certificateArn"])
folder.joinpath("device.pem").write_text(made["certificatePem"])
folder.joinpath("device.key").write_text(made["keyPair"]["PrivateKey"])
