"""What the programs of the stories share: clients of one cloud, and refusals that must come."""

import json
import os

import boto3
import botocore.config
import botocore.exceptions

ACCOUNT = "123456789012"
REGION = "us-east-1"
OPEN_POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
)


def client(service="iot", region=REGION, validate=False, **session):
    """A client that sends what it is told to: what is wrong is for the server to say."""
    config = botocore.config.Config(parameter_validation=validate, retries={"total_max_attempts": 1})
    return boto3.Session(**session).client(
        service,
        region_name=region,
        endpoint_url=os.environ["CLOUD_API"],
        verify=os.environ["CLOUD_CA"],
        config=config,
    )


def arn(kind, name, account=ACCOUNT, region=REGION):
    return f"arn:aws:iot:{region}:{account}:{kind}/{name}"


def refused(exception, call, /, *words, **members):
    """Calls and demands this class of exception; gives its answer."""
    try:
        answer = call(**members)
    except botocore.exceptions.ClientError as error:
        found = type(error).__name__
        assert found == exception, f"{call.__name__}({members}): {found}, not {exception}: {error}"
        for word in words:
            assert word in str(error), f"{call.__name__}({members}) does not say {word}: {error}"
        return error.response
    raise AssertionError(f"{call.__name__}({members}) was not refused with {exception}: {answer}")


def everything(call, member, /, **members):
    """All items of a paginated list, one by one."""
    client = call.__self__
    pages = client.get_paginator(call.__name__).paginate(PaginationConfig={"PageSize": 1}, **members)
    return [item for page in pages for item in page[member]]
