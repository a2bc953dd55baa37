"""Roles of the tests' S3 server, and clients with credentials of a role, which end."""

from __future__ import annotations

from typing import Any, Final

import boto3
from botocore.config import Config

from local_aws import roles
from local_aws.roles import Role
from local_aws.seaweedfs import Credentials

SECONDS: Final = 6
"""How long sessions last when nobody says."""

RENEWED_BEFORE: Final = 4
"""How long before its end a test lets botocore renew a session; it is fifteen minutes of an hour."""

READER: Final = Role(
    "reader",
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["*"]}],
    },
)
WORKER: Final = Role(
    "worker",
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:ListAllMyBuckets"], "Resource": ["*"]}],
    },
)
"""May do nothing in a bucket: who has it must have assumed another role to get anything done."""
ROLES: Final = (*roles.DEFAULT, READER, WORKER)


def client(service: str, endpoint_url: str, key: Credentials | dict[str, Any], **config: Any) -> Any:
    """A boto3 client that does not repeat, with a lasting key or what AssumeRole has answered."""
    made = boto3.session.Session()
    if isinstance(key, Credentials):
        names = {"aws_access_key_id": key.access_key, "aws_secret_access_key": key.secret_key}
    else:
        names = {
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
            "aws_session_token": key["SessionToken"],
        }
    options = Config(**{"retries": {"total_max_attempts": 1}, **config})
    return made.client(service, endpoint_url=endpoint_url, region_name="us-east-1", config=options, **names)
