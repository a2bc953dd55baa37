"""What AWS's words for a denial mean: the texts are those of its user guide."""

from __future__ import annotations

import pytest

from moderation.doctor.aws import refusals
from moderation.storage.s3_objects import s3_error

WHO = (
    "User: arn:aws:sts::1:assumed-role/workers/i-1 is not authorized to perform: s3:PutObject on resource: x"
)


@pytest.mark.parametrize(
    ("ending", "helps"),
    [
        (
            "because no identity-based policy allows the s3:PutObject action",
            "allow the role s3:PutObject on x/*",
        ),
        ("with an explicit deny in an identity-based policy", "a Deny in a policy of the role"),
        ("with an explicit deny in a resource-based policy", "a Deny in the policy of the bucket"),
        ("with an explicit deny in a service control policy", "who administers it"),
        ("because no permissions boundary allows the s3:PutObject action", "permissions boundary"),
        ("because no session policy allows the s3:PutObject action", "session"),
        ("because no VPC endpoint policy allows the s3:PutObject action", "VPC endpoint"),
    ],
)
def test_who_can_help_against_a_denial_is_who_denies(ending, helps):
    error = s3_error("AccessDenied", bucket="b", action="write", cause=f"{WHO} {ending}", status=403)
    assert refusals.is_denied(error)
    assert helps in refusals.remedy(error, actions="s3:PutObject", on="x/*", statement="S")


def test_a_denied_key_is_told_as_such_with_its_arn():
    key = "arn:aws:kms:us-east-1:1:key/1234"
    cause = f"User: u is not authorized to perform: kms:GenerateDataKey on resource: {key} because no"
    error = s3_error("AccessDenied", bucket="b", action="write", cause=cause, status=403)
    helps = refusals.remedy(error, actions="s3:PutObject", on="x/*", statement="S")
    assert key in helps
    assert "kms:Decrypt" in helps
    assert "s3:PutObject" not in helps
