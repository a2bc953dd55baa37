"""Whether bulk jobs are open to the account: asked once, remembered in S3 for some days.

Bulk Analysis is closed to new customers since 2026-04-30. What an account that is not eligible is answered
is not published; AccessDeniedException is likely, and so is any refusal that speaks of new customers.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from botocore.exceptions import ClientError

from moderation.reference import error_codes
from moderation.storage import s3_objects
from moderation.storage.state import SealBroken, seal, unseal

_log = logging.getLogger(__name__)

Backend = Literal["bulk", "detect"]
_BACKENDS: dict[str, Backend] = {"bulk": "bulk", "detect": "detect"}

REMEMBERED_FOR = timedelta(days=7)
_CLOSED = re.compile(
    r"new customers|no longer (available|open)|not eligible|ineligible|(not|n't) (available|supported)",
    re.IGNORECASE,
)
_DENIED = frozenset({"AccessDeniedException", "AccessDenied"})
# A region without bulk jobs may not know the operation.
_UNKNOWN = frozenset({"UnknownOperationException", "UnknownOperation", "InvalidAction"})


@dataclass(frozen=True)
class Verdict:
    """What was learnt.

    :param eligible: whether bulk jobs can be started.
    :param reason: what AWS said.
    """

    eligible: bool
    reason: str

    def text(self, region: str) -> str:
        """What to tell the operator, in one line."""
        if self.eligible:
            return f"Bulk jobs are open to this account in {region}."
        iam = " (or its IAM policy lacks the action)" if "not authorized" in self.reason else ""
        return (
            f"Bulk jobs are not open to this account in {region}{iam}: StartMediaAnalysisJob answered "
            f'"{self.reason}". Images are moderated one by one with DetectModerationLabels instead: '
            "same labels, same tables, at the quota of that call. Asked again after "
            f"{REMEMBERED_FOR.days} days; MODERATION_BACKEND=bulk or =detect settles it."
        )


def means_ineligible(code: str | None, message: str | None) -> bool:
    """Whether a refusal of StartMediaAnalysisJob says that the account may start none at all.

    "Service not available" of a service that is disturbed says nothing, whatever its words.
    """
    if error_codes.is_transient(code or ""):
        return False
    return (code or "") in _DENIED | _UNKNOWN or speaks_of_closure(message or "")


def speaks_of_closure(message: str) -> bool:
    """Whether a refusal says in words that the account is too new, rather than that a right is wanting."""
    return bool(_CLOSED.search(message))


class Memory:
    """What is known about an account and region; one small object under ``folder``.

    :param folder: ``s3://…`` shared by all tasks of the account.
    :param keep: how long a verdict counts, by the S3 server's clock.
    """

    def __init__(self, s3: Any, folder: str, region: str, *, keep: timedelta = REMEMBERED_FOR) -> None:
        self._s3, self._keep = s3, keep
        self.uri = s3_objects.join_uri(folder, "bulk-eligibility", f"{region}.json")

    def recall(self) -> Verdict | None:
        """The verdict, or None when there is none, an old one or a damaged one: asking costs nothing."""
        stored = s3_objects.find(self._s3, self.uri)
        if stored is None or stored.age_seconds > self._keep.total_seconds():
            return None
        try:
            value = unseal(stored.body)
            eligible, reason = value["eligible"], value["reason"]
        except (SealBroken, KeyError) as error:
            _log.warning(
                "%s is damaged (%s); the account is asked again, which costs nothing", self.uri, error
            )
            return None
        return Verdict(eligible, str(reason)) if isinstance(eligible, bool) else None

    def learn(self, verdict: Verdict) -> Verdict:
        """Remember a verdict, over an older one."""
        s3_objects.put(self._s3, self.uri, seal({"eligible": verdict.eligible, "reason": verdict.reason}))
        return verdict


def ask(rekognition: Any, *, bucket: str) -> Verdict:
    """Ask AWS, for nothing: a job whose manifest does not exist analyses, and so costs, no image.

    :param rekognition: a boto3 client.
    :param bucket: any bucket of the region that the caller may read.
    :raises ClientError: an answer that says nothing about eligibility, such as throttling.
    """
    name = "bulk-eligibility-check"
    try:
        rekognition.start_media_analysis_job(
            JobName=name,
            OperationsConfig={"DetectModerationLabels": {}},
            Input={"S3Object": {"Bucket": bucket, "Name": f"{name}/no-such-manifest.jsonl"}},
            OutputConfig={"S3Bucket": bucket, "S3KeyPrefix": name},
        )
    except ClientError as error:
        code, message = error.response["Error"].get("Code"), error.response["Error"].get("Message")
        if means_ineligible(code, message):
            return Verdict(eligible=False, reason=str(message))
        if code in {"InvalidS3ObjectException", "InvalidManifestException", "LimitExceededException"}:
            return Verdict(eligible=True, reason=str(code))
        raise
    return Verdict(eligible=True, reason="a job was accepted")


def choose_backend(wanted: str, memory: Memory, find_out: Callable[[], Verdict], *, region: str) -> Backend:
    """Turn ``bulk | detect | auto`` into a backend; ``auto`` asks once and says what it learnt.

    :param find_out: asks AWS, usually :func:`ask`; called only when nothing is remembered.
    :raises ValueError: ``wanted`` is none of the three.
    """
    if wanted in _BACKENDS:
        return _BACKENDS[wanted]
    if wanted != "auto":
        raise ValueError(f"backend must be bulk, detect or auto, not {wanted!r}")
    verdict = memory.recall() or memory.learn(find_out())
    _log.log(logging.INFO if verdict.eligible else logging.WARNING, "%s", verdict.text(region))
    return "bulk" if verdict.eligible else "detect"
