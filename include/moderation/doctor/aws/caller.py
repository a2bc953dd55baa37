"""Who asks, by which endpoints, and whether the clocks agree."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import BotoCoreError, ClientError

from moderation.doctor.aws import refusals
from moderation.doctor.aws.account import Account
from moderation.doctor.finding import Finding, ok, stop, warning
from moderation.storage import s3_objects

_WARNING_SECONDS, _STOP_SECONDS = 60.0, 300.0
"""AWS refuses a signature that is five minutes off, S3 one of fifteen (general reference, "Signature V4")."""


def endpoints(account: Account) -> Iterator[Finding]:
    """Where S3 and Rekognition are."""
    places = f"{account.s3.meta.endpoint_url}, {account.rekognition.meta.endpoint_url}"
    if account.is_aws:
        yield ok(places)
    else:
        yield warning(
            f"{places}: endpoints of your own, not AWS; what only AWS has is not asked",
            "for AWS unset AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL_REKOGNITION",
        )


def credentials(account: Account) -> Iterator[Finding]:
    """Whose credentials these are, and whether S3 and Rekognition take them; see `checks.look`."""
    if s3_objects.session().get_credentials() is None:
        yield stop(
            "there are no credentials",
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role",
        )
        return
    work = s3_objects.split_uri(account.settings.work_uri)
    try:
        with s3_objects.named_errors("list", work.bucket):
            account.s3.list_objects_v2(Bucket=work.bucket, MaxKeys=1)
    except s3_objects.S3Error as error:
        if refusals.no_credentials(error) or isinstance(error, s3_objects.S3Unavailable):
            yield refusals.unanswered(error, "S3 takes none of what is asked")
            return
    sts = account.of_aws("sts")
    if sts is None:
        yield ok("S3 takes the key; who it belongs to is asked of AWS only")
        return
    try:
        who = sts.get_caller_identity()
    except (ClientError, BotoCoreError) as error:
        yield refusals.unanswered(error, "who asks")
        return
    yield ok(f"{who['Arn']}, account {who['Account']}; ask as the role of the workers, whose rights count")


def clock(account: Account) -> Iterator[Finding]:
    """This machine's clock beside S3's."""
    if not account.skews:
        yield warning("S3 told no time", "look at the lines above")
        return
    skew = account.skews[-1]
    found = f"{abs(skew):,.0f} s {'ahead of' if skew > 0 else 'behind'} S3's"
    helps = "set the clock, on Linux: timedatectl set-ntp true"
    if abs(skew) >= _STOP_SECONDS:
        yield stop(f"{found}: AWS refuses signatures that are five minutes off", helps)
    else:
        yield warning(found, helps) if abs(skew) >= _WARNING_SECONDS else ok(found)
