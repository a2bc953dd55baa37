"""What AWS's refusals mean, and who can help: one place for the words of every service."""

from __future__ import annotations

import re

from botocore.exceptions import BotoCoreError, ClientError

from moderation.doctor.finding import Finding, stop, warning
from moderation.errors import NeedsAPersonError
from moderation.reference.library_errors import named
from moderation.storage.s3_objects import S3Error, S3Unavailable

_POLICY = "docs/iam-policy.json"
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "403", "UnauthorizedOperation"})
_NO_CREDENTIALS = {
    "InvalidAccessKeyId": "no such key: set AWS_ACCESS_KEY_ID, a profile, or a role",
    "UnrecognizedClientException": "no such key: set AWS_ACCESS_KEY_ID, a profile, or a role",
    "InvalidClientTokenId": "no such key: set AWS_ACCESS_KEY_ID, a profile, or a role",
    "SignatureDoesNotMatch": "set AWS_SECRET_ACCESS_KEY to the secret of this key",
    "InvalidSignatureException": "set AWS_SECRET_ACCESS_KEY to the secret of this key; look at the clock too",
    "ExpiredToken": "log in again: the session's credentials are over",
    "ExpiredTokenException": "log in again: the session's credentials are over",
    "InvalidToken": "set AWS_SESSION_TOKEN to the one that came with this key, or unset it",
    "RequestTimeTooSkewed": "set the clock, on Linux: timedatectl set-ntp true",
    "RequestExpired": "set the clock, on Linux: timedatectl set-ntp true",
    "NoCredentials": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role",
}

# IAM user guide, "Troubleshoot access denied error messages".
_OF_ORGANIZATION = "of the organization: who administers it can change that"
_DENIED_BY = (
    ("service control policy", f"a service control policy {_OF_ORGANIZATION}"),
    ("resource control policy", f"a resource control policy {_OF_ORGANIZATION}"),
    ("permissions boundary", "the permissions boundary of the role: it must allow it as well"),
    ("session policy", "the policy of the session: whoever takes on the role must allow it as well"),
    ("VPC endpoint policy", "the policy of the VPC endpoint: it must allow it as well"),
    ("explicit deny in a resource-based policy", "a Deny in the policy of the bucket or key: take it out"),
    ("explicit deny in an identity-based policy", "a Deny in a policy of the role: take it out"),
)
_KMS = re.compile(r"kms:\w+")
_KMS_KEY = re.compile(r"arn:[\w-]+:kms:[^\s\"]+")


def code_of(error: Exception) -> str:
    """AWS's name of an error; "" of one that is not AWS's."""
    if isinstance(error, S3Error):
        return error.code
    return str(error.response["Error"].get("Code", "")) if isinstance(error, ClientError) else ""


def message_of(error: Exception) -> str:
    """What AWS, or a library, said."""
    if isinstance(error, S3Error):
        return f"{error.cause} ({error.code})"
    if isinstance(error, ClientError):
        told = error.response["Error"]
        return f"{told.get('Message') or 'no message'} ({told.get('Code')})"
    return f"{type(error).__name__}: {error}"


def is_denied(error: Exception) -> bool:
    """Whether it was refused for want of a right."""
    return code_of(error) in DENIED


def no_credentials(error: Exception) -> str | None:
    """What helps when nothing can be asked with these credentials; None of any other error."""
    return _NO_CREDENTIALS.get(code_of(error))


def remedy(error: Exception, *, actions: str, on: str, statement: str) -> str:
    """What helps against a denial.

    :param actions: what the role must be allowed, such as ``s3:GetObject``.
    :param on: the resource, an ARN or ``*``.
    :param statement: the statement of the policy in docs that has it.
    """
    message = message_of(error)
    if key_action := _KMS.search(message):
        return kms_remedy(message, action=key_action[0])
    for words, who in _DENIED_BY:
        if words in message:
            return f"it is denied by {who}"
    return f"allow the role {actions} on {on}: statement {statement} of {_POLICY}"


def kms_remedy(message: str, *, action: str = "kms:GenerateDataKey") -> str:
    """What helps when a key of KMS is in the way."""
    key = found[0] if (found := _KMS_KEY.search(message)) else "the bucket's key"
    return (
        f"allow the role {action}, as kms:GenerateDataKey and kms:Decrypt, on {key}, in the role's policy "
        "and in the key's own; a key that is disabled or gone must be enabled, or another one be set"
    )


def unanswered(error: Exception, what: str) -> Finding:
    """The finding about a question that got no answer.

    :param what: was asked, to begin the line.
    """
    if helps := no_credentials(error):
        return stop(f"{what}: {message_of(error)}", helps)
    if isinstance(error, S3Unavailable | BotoCoreError):
        known = named(error)
        return stop(f"{what}: {known or message_of(error)}", "check AWS_ENDPOINT_URL, proxy and network")
    if is_denied(error):
        return warning(
            f"{what} may not be asked: {message_of(error)}", f"compare the role's policies with {_POLICY}"
        )
    if isinstance(error, NeedsAPersonError):
        return stop(f"{what}: {error}", "mend what the line names, and run again")
    return warning(f"{what} could not be found out: {message_of(error)}", "run again later")
