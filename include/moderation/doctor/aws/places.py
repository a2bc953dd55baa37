"""Buckets and prefixes: what may be done at each, found out by doing it with one small object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from moderation.doctor.aws import refusals
from moderation.doctor.aws.account import Account
from moderation.doctor.finding import Finding, ok, stop, warning
from moderation.errors import ModerationError
from moderation.sources.base import SourceError
from moderation.sources.listing import Tally
from moderation.sources.local_folder import LocalFolder
from moderation.sources.open import open_source
from moderation.storage import files, probe, s3_objects
from moderation.storage.s3_objects import Location, S3Error

_OURS, _IMAGES, _BUCKETS = "WriteManifestsResultsAndTables", "ReadImages", "ListBuckets"


def work(account: Account) -> Iterator[Finding]:
    """Where plans, manifests and raw answers are."""
    yield from _ours(account, account.settings.work_uri, stop)


def tables(account: Account) -> Iterator[Finding]:
    """Where the tables' files are."""
    uri = account.settings.tables_uri
    if files.is_s3(uri):
        yield from _ours(account, uri, stop)
    else:
        yield warning(f"{uri} is a folder of this machine", "set MODERATION_TABLES_URI to a prefix in S3")


def uploads(account: Account) -> Iterator[Finding]:
    """Where local folders are uploaded; who has none needs no right there."""

    def unless_wanted(found: str, remedy: str) -> Finding:
        return warning(found, f"to moderate local folders: {remedy}; without them nothing is needed here")

    yield from _ours(account, account.settings.input_uri, unless_wanted)


def sources(account: Account) -> Iterator[Finding]:
    """What is moderated: the source itself, and one image of it."""
    nightly = account.nightly.source.replace("{ds}", f"{account.now():%Y-%m-%d}")
    named = [text for text in dict.fromkeys((nightly, *account.sources)) if text]
    if not named:
        yield warning("no source is named", "set MODERATION_SOURCE, or name one: --source s3://bucket/prefix")
    for text in named:
        yield _source(account, text)


def _source(account: Account, text: str) -> Finding:
    try:
        source = open_source(text)
        if isinstance(source, LocalFolder):
            return ok(f"{source.uri} is a folder of this machine, which is uploaded first")
        batches: Any = source.batches(account.settings, account.s3, Tally(), dry_run=True)
        with closing(batches):
            first = next((batch for batch in batches if batch.num_rows), None)
    except S3Error as error:
        bucket = f"arn:aws:s3:::{error.bucket}"
        if refusals.is_denied(error):
            how = refusals.remedy(error, actions="s3:ListBucket", on=bucket, statement=_BUCKETS)
            return stop(f"{text}: cannot {error.action}: {refusals.message_of(error)}", how)
        return _trouble(error, text)
    except (SourceError, ModerationError) as error:
        return stop(
            f"{text}: {error}", "correct the source; see the section on sources of docs/operations.md"
        )
    if first is None:
        return warning(f"{text} has no image", "check bucket, prefix and filter")
    return _image(account, text, str(first["source_ref"][0]))


def _image(account: Account, text: str, uri: str) -> Finding:
    place = s3_objects.split_uri(uri)
    if (elsewhere := _region(account, place.bucket)) is not None:
        return elsewhere
    try:
        with s3_objects.named_errors("read", *place):
            account.s3.get_object(Bucket=place.bucket, Key=place.key, Range="bytes=0-0")["Body"].close()
    except S3Error as error:
        if error.code == "InvalidRange":  # an empty object; whoever may not read is told so first
            return ok(f"{text}: listed, and {uri} may be read")
        if error.code == "InvalidObjectState":
            return warning(f"{uri} is in an archive of S3 and cannot be read", "restore such images first")
        if refusals.is_denied(error):
            on = f"arn:aws:s3:::{place.bucket}/*"
            how = refusals.remedy(error, actions="s3:GetObject", on=on, statement=_IMAGES)
            return stop(f"{uri} cannot be read: {refusals.message_of(error)}", how)
        return _trouble(error, uri)
    return ok(f"{text}: listed, and an image of it read")


def _ours(account: Account, uri: str, level: Callable[[str, str], Finding]) -> Iterator[Finding]:
    """A place that is written to.

    :param level: of what is missing there.
    """
    uri = uri.rstrip("/")
    place = s3_objects.split_uri(uri)
    if (elsewhere := _region(account, place.bucket)) is not None:
        yield level(elsewhere.found, elsewhere.remedy)
        return
    found = list(_listing(account, place, level))
    found += _writing(account, uri, level)
    yield from found
    if not any(finding.remedy for finding in found):
        yield ok(f"{uri}: listed; a probe was written, read and deleted{_encrypted(account, place)}")


def _region(account: Account, bucket: str) -> Finding | None:
    """What is wrong with the bucket itself: it is missing, or in another region than Rekognition."""
    region = account.settings.region
    try:
        with s3_objects.named_errors("look at", bucket):
            headers = account.s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPHeaders"]
    except S3Error as error:
        cause = error.__cause__
        headers = getattr(cause, "response", {}).get("ResponseMetadata", {}).get("HTTPHeaders", {})
        if error.code in {"404", "NoSuchBucket"}:
            return stop(f"there is no bucket {bucket}", f"aws s3 mb s3://{bucket} --region {region}")
        if not refusals.is_denied(error) and "x-amz-bucket-region" not in headers:
            return _trouble(error, f"bucket {bucket}")
    lies = headers.get("x-amz-bucket-region", region)
    if lies == region:
        return None
    return stop(
        f"the bucket {bucket} is in {lies}, Rekognition is asked in {region}",
        f"set AWS_REGION={lies}, with all buckets there, or use a bucket in {region}",
    )


def _listing(account: Account, place: Location, level: Callable[[str, str], Finding]) -> Iterator[Finding]:
    try:
        with s3_objects.named_errors("list", *place):
            prefix = f"{place.key.rstrip('/')}/" if place.key else ""
            account.s3.list_objects_v2(Bucket=place.bucket, Prefix=prefix, MaxKeys=1)
        probe.sweep(account.s3, place.uri)
    except S3Error as error:
        yield _refused(error, place, "listed", "s3:ListBucket", level)


def _writing(account: Account, uri: str, level: Callable[[str, str], Finding]) -> Iterator[Finding]:
    """Write the probe, read it, write it once more on a condition that no longer holds, and delete it."""
    s3, name = account.s3, probe.new_uri(uri)
    place, done = s3_objects.split_uri(uri), "written"
    try:
        with probe.removed_at_the_end(s3, name):
            s3_objects.put_if_absent(s3, name, probe.BODY)
            done = "read"
            read = s3_objects.read(s3, name).body
            done = "written"
            again = s3_objects.put_if_absent(s3, name, probe.BODY)
            done = "deleted"
    except S3Error as error:
        yield _refused(error, place, done, _ACTIONS[done], level)
        if done == "written":
            yield from _reading(account, name, place, level)
        return
    if read != probe.BODY:
        yield stop(f"{uri}: what is read is not what was written", "look for a proxy between here and S3")
    if again is not None:
        yield stop(
            f"{uri}: a write on condition (If-None-Match) went over an object: two runs could hold one lock",
            "use AWS's S3, or a server that knows conditional writes",
        )


_ACTIONS = {"written": "s3:PutObject", "read": "s3:GetObject", "deleted": "s3:DeleteObject"}


def _reading(
    account: Account, missing: str, place: Location, level: Callable[[str, str], Finding]
) -> Iterator[Finding]:
    """Whether what cannot be written could be read: S3 says of what is not there so only to who may read."""
    try:
        s3_objects.read(account.s3, missing)
    except S3Error as error:
        if refusals.is_denied(error):
            yield _refused(error, place, "read", "s3:GetObject", level)


def _refused(
    error: S3Error, place: Location, done: str, action: str, level: Callable[[str, str], Finding]
) -> Finding:
    found = f"{place.uri.rstrip('/')}: nothing can be {done}: {refusals.message_of(error)}"
    if refusals.is_denied(error):
        bucket = f"arn:aws:s3:::{place.bucket}"
        lists = action == "s3:ListBucket"
        on, statement = (bucket, _BUCKETS) if lists else (_below(bucket, place.key), _OURS)
        return level(found, refusals.remedy(error, actions=action, on=on, statement=statement))
    if error.code.startswith("KMS.") or "kms" in error.cause.lower():
        return level(found, refusals.kms_remedy(error.cause))
    if error.code in {"NotImplemented", "501"}:
        return level(found, "use AWS's S3, or a server that knows conditional writes (If-None-Match)")
    return _trouble(error, place.uri)


def _below(bucket: str, key: str) -> str:
    return f"{bucket}/{key.rstrip('/')}/*" if key else f"{bucket}/*"


def _encrypted(account: Account, place: Location) -> str:
    """How the bucket encrypts, where that may be asked."""
    try:
        with s3_objects.named_errors("look at", place.bucket):
            answer: dict[str, Any] = account.s3.get_bucket_encryption(Bucket=place.bucket)
    except S3Error:
        return ""
    for rule in answer["ServerSideEncryptionConfiguration"]["Rules"]:
        default = rule.get("ApplyServerSideEncryptionByDefault", {})
        if default.get("SSEAlgorithm", "").startswith("aws:kms"):
            return f", encrypted with {default.get('KMSMasterKeyID', 'the key aws/s3')}"
    return ""


def _trouble(error: S3Error, what: str) -> Finding:
    return refusals.unanswered(error, what)
