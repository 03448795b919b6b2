"""The path of a WebSocket as browsers presign it: by botocore's own signer."""

import datetime
import os
import unittest.mock
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.session


def presigned(address, path="/mqtt", secret=None, minutes_ago=0, seconds=86400):
    """`/mqtt?X-Amz-...`, signed with the first key of the credentials file."""
    found = botocore.session.Session().get_credentials()
    key = botocore.credentials.Credentials(found.access_key, secret or found.secret_key)
    host = address.removesuffix(":443").replace("127.0.0.1:", "localhost:")
    request = botocore.awsrequest.AWSRequest("GET", f"https://{host}{path}", headers={"host": host})
    at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=minutes_ago)
    signer = botocore.auth.SigV4QueryAuth(key, "iotdevicegateway", os.environ.get("AWS_DEFAULT_REGION", "us-east-1"), seconds)
    with unittest.mock.patch.object(botocore.auth, "get_current_datetime", return_value=at.replace(tzinfo=None), create=True):
        signer.add_auth(request)
    signed = urllib.parse.urlsplit(request.url)
    return f"{signed.path}?{signed.query}"
