"""Claims: an unfinished plan keeps its pictures from other runs, for a while.

A claim is one small object beside the plans, ``{work_uri}/claims/{load_id}-{digest}.json``. Its age is told
by the server's clock, so that hosts with wrong clocks agree; after ``MODERATION_CLAIM_HOURS`` without
renewal it holds no more, so a run that died does not keep its pictures for ever. Those of runs that live are
renewed, see ``keeping``.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from moderation.plan import ledger
from moderation.plan.ledger import Question
from moderation.plan.plan import Plan, PlanError
from moderation.settings import Settings
from moderation.storage import parquet, s3_objects
from moderation.storage.state import parse_state, seal
from moderation.tables.source_ref_ranges import batches_between, range_of


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What an unfinished plan will answer.

    :param hours: how long the claim holds after it was written last.
    """

    load_id: str
    run_key: str
    plan_uri: str
    inputs_uri: str
    model_version: str
    adapter: str | None
    min_confidence: float
    hours: float

    @classmethod
    def of(cls, plan: Plan, *, hours: float) -> Claim:
        """The claim on a plan's inputs."""
        return cls(
            load_id=plan.load_id,
            run_key=plan.run_key,
            plan_uri=plan.uri,
            inputs_uri=plan.inputs_uri,
            model_version=plan.model_version,
            adapter=plan.adapter,
            min_confidence=plan.min_confidence,
            hours=hours,
        )


@dataclass(frozen=True)
class Found:
    """A claim as it lies in S3.

    :param passed: the share of its hours that has passed since it was written; from 1 on it holds no more.
    """

    uri: str
    claim: Claim
    etag: str
    body: bytes
    passed: float

    @property
    def holds(self) -> bool:
        """Whether it keeps its pictures from others."""
        return self.passed < 1


def uri_of(settings: Settings, plan: Plan) -> str:
    """Where the plan's claim is. The inputs' digest keeps two attempts at one plan apart."""
    return f"{_folder(settings)}/{plan.load_id}-{plan.inputs_sha256[:12]}.json"


def write(s3: Any, settings: Settings, plan: Plan) -> None:
    """Claim the plan's inputs, or renew the claim."""
    claim = Claim.of(plan, hours=settings.claim_hours)
    s3_objects.put(s3, uri_of(settings, plan), seal(asdict(claim)))


def renew(s3: Any, found: Found) -> None:
    """Let a claim that holds begin anew; one that was dropped since it was found stays so."""
    s3_objects.put_if_match(s3, found.uri, found.body, etag=found.etag)


def drop(s3: Any, settings: Settings, plan: Plan) -> None:
    """Give the plan's inputs free."""
    s3_objects.delete(s3, uri_of(settings, plan))


def drop_expired(s3: Any, settings: Settings) -> None:
    """Delete the claims that hold no more. Only under the planning lock, as every renewal is."""
    for uri in uris(s3, settings):
        found = find(s3, settings, uri)
        if found is None or not found.holds:
            s3_objects.delete(s3, uri)


def is_held(s3: Any, settings: Settings, plan: Plan) -> bool:
    """Whether the plan's claim is there and has not run out."""
    found = find(s3, settings, uri_of(settings, plan))
    return found is not None and found.holds


def held(s3: Any, settings: Settings) -> Iterator[Claim]:
    """The claims that hold now: plans under way."""
    for uri in uris(s3, settings):
        found = find(s3, settings, uri)
        if found and found.holds:
            yield found.claim


def uris(s3: Any, settings: Settings) -> Iterator[str]:
    """Of all claims, whether they hold or not."""
    bucket, prefix = s3_objects.split_uri(_folder(settings) + "/")
    for page in s3_objects.list_pages(s3, bucket, prefix):
        for entry in page.get("Contents", []):
            yield f"s3://{bucket}/{entry['Key']}"


def find(s3: Any, settings: Settings, uri: str) -> Found | None:
    """The claim; None when it is not there, or damaged but too old to matter.

    :raises PlanError: it is damaged.
    """
    stored = s3_objects.find(s3, uri)
    claim = _parse(stored, uri, settings) if stored else None
    if stored is None or claim is None:
        return None
    passed = stored.age_seconds / (claim.hours * 3600) if claim.hours > 0 else math.inf
    return Found(uri, claim, stored.etag, stored.body, passed)


@contextmanager
def of_others(
    s3: Any, settings: Settings, *, run_key: str, question: Question
) -> Iterator[Callable[[pa.Table], pa.BooleanArray]]:
    """Tell of each row of a listing whether another run's unfinished plan will answer the ``question``.

    Told by the claims as they were when the block began. The function takes any part of a listing, at least
    ``source_ref`` and ``etag``; of the plans' inputs it reads what lies between its names.

    :param run_key: the asking run, whose own claims do not count.
    """
    with ExitStack() as stack:
        inputs = []
        for claim in held(s3, settings):
            answers = question.is_answered_by(
                model_version=claim.model_version, adapter=claim.adapter, min_confidence=claim.min_confidence
            )
            if claim.run_key != run_key and answers:
                inputs.append(stack.enter_context(_inputs(s3, claim.inputs_uri)))
        yield lambda listing: _in_any(inputs, listing)


def _in_any(inputs: list[pq.ParquetFile], listing: pa.Table) -> pa.BooleanArray:
    claimed = pa.array([False] * len(listing), pa.bool_())
    between = range_of(listing["source_ref"])
    if not inputs or between is None:
        return claimed
    wanted = ledger.keys(listing)
    for file in inputs:
        for batch in batches_between(file, ["source_ref", "etag"], between):
            held = ledger.keys(pa.Table.from_batches([batch])).drop_null()
            claimed = pc.or_(claimed, pc.is_in(wanted, value_set=held, skip_nulls=True))
    return claimed.combine_chunks() if isinstance(claimed, pa.ChunkedArray) else claimed


def _parse(stored: s3_objects.StoredObject, uri: str, settings: Settings) -> Claim | None:
    """The claim; None when it is damaged but too old to matter."""
    remedy = "what it claims is unknown; delete it if no run is under way"
    try:
        return parse_state(stored.body, uri, parse=_claim, error=PlanError, remedy=remedy)
    except PlanError:
        if stored.age_seconds >= settings.claim_hours * 3600:
            return None
        raise


def _claim(content: dict[str, Any]) -> Claim:
    """What this release knows of a claim: workers of two releases stand side by side during an upgrade."""
    return Claim(**{field.name: content[field.name] for field in fields(Claim)})


@contextmanager
def _inputs(s3: Any, uri: str) -> Iterator[pq.ParquetFile]:
    with tempfile.TemporaryFile() as file:
        s3_objects.download(s3, uri, file)
        with parquet.open_file(file) as inputs:
            yield inputs


def _folder(settings: Settings) -> str:
    return s3_objects.join_uri(settings.work_uri, "claims")
