"""A plan: what it says, and the names of a run."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pyarrow as pa

from moderation.errors import NeedsAPersonError
from moderation.storage.state import parse_state, seal

INPUTS_SCHEMA = pa.schema(
    [
        ("source_ref", pa.string()),
        ("bucket", pa.string()),
        ("key", pa.string()),
        ("etag", pa.string()),
        ("size", pa.int64()),
        ("last_modified", pa.timestamp("us", tz="UTC")),
        ("manifest", pa.int32()),
        ("line_number", pa.int64()),
        ("error_code", pa.string()),
        ("error_message", pa.string()),
        ("origin", pa.string()),
        ("copies", pa.int64()),
        ("answer_of_load_id", pa.string()),
        ("answer_of_manifest_id", pa.string()),
        ("answer_of_line", pa.int64()),
        ("sent_as", pa.string()),
        ("transcoded_from", pa.string()),
    ]
)
"""A plan's ``inputs.parquet``, a row per input. ``manifest`` is the manifest's index and ``line_number`` its
line there, from 1; both are null when the input was rejected (then ``error_code`` is set). A copy has no
manifest: ``answer_of_…`` name the load, manifest and line whose answer it gets, and ``line_number`` is its
own among the plan's copies. ``copies`` is how many get the answer of this one. ``sent_as`` stands in the
manifest in place of ``source_ref`` where the object was transcoded. Plans of earlier releases have no
``origin`` and nothing of copies and transcoding."""

COPIES = "copies"
"""Stands as ``manifest_id`` in the rows of copies, whose lines no job was given."""


class PlanError(NeedsAPersonError):
    """A plan cannot be made or used; the text says what is wrong and what to do."""


class Before(NamedTuple):
    """Images that earlier loads have settled in one way.

    :param note: more to be said of them; "" for nothing.
    """

    name: str
    images: int
    note: str = ""

    @property
    def text(self) -> str:
        """How many, and what is to be said of them."""
        return f"{self.images:,}, {self.note}" if self.images and self.note else f"{self.images:,}"


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What became of everything listed; ``listed`` is the sum of the others.

    :param ignored: no images, or further mentions of the same object.
    :param already_moderated: published before, with an answer that covers this question.
    :param refused_before: refused before for their own sake and unchanged, by code; never moderated. None in
        plans of earlier releases, which count them among the moderated.
    :param copies: not sent, for they get the answer of another image of the same content.
    :param contents: different contents among the images to analyse and the copies; what nothing proves counts
        as its own. None in plans of earlier releases.
    :param claimed_elsewhere: in another unfinished plan.
    :param postponed: beyond the plan's size; left to the next run.
    :param rejected: cannot be sent; each has a row with a code.
    :param to_analyse: lines in the manifests.
    :param gone: not of what is listed: published before, and no longer there.
    """

    listed: int
    ignored: int
    already_moderated: int
    claimed_elsewhere: int
    postponed: int
    rejected: int
    to_analyse: int
    refused_before: dict[str, int] | None = None
    copies: int = 0
    contents: int | None = None
    gone: int = 0

    @property
    def inputs(self) -> int:
        """How many images get a row."""
        return self.to_analyse + self.rejected + self.copies

    @property
    def refused(self) -> int | None:
        """How many were refused before; None where that was not told apart."""
        return None if self.refused_before is None else sum(self.refused_before.values())

    @property
    def done_before(self) -> tuple[Before, ...]:
        """What earlier loads have settled."""
        if self.refused_before is None:
            return (Before("moderated or refused", self.already_moderated),)
        codes = ", ".join(f"{code} {images:,}" for code, images in self.refused_before.items())
        return (
            Before("already moderated", self.already_moderated),
            Before("refused before", sum(self.refused_before.values()), f"unchanged ({codes})"),
        )


@dataclass(frozen=True, kw_only=True)
class ManifestRef:
    """One manifest of a plan.

    :param job_name: name for the job that analyses it; obeys AWS's pattern.
    :param output_prefix: key prefix for the job's output, in ``output_bucket``; obeys AWS's pattern.
    """

    manifest_id: str
    uri: str
    lines: int
    bytes: int
    job_name: str
    output_bucket: str
    output_prefix: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that the later stages need to know of a run.

    :param uri: of ``plan.json``; of nothing that exists for a dry run.
    :param load_id: names everything the run publishes; chosen before any effect.
    :param dt: date of the run's logical time, the partition of its rows.
    :param model_version: the least model whose answers counted as moderated.
    :param backend: ``bulk``, ``detect`` or ``auto``.
    :param expected_cost_usd: if every image is analysed.
    :param expected_seconds: by backend; null for a backend that the region lacks.
    :param left_out: how many objects each rule of `sources.listing` left out; together ``totals.ignored``.
        Empty in plans of earlier releases.
    :param left_out_uri: the list of them; "" when there is none.
    :param known: answers of earlier loads that copies get: the SHA-256 of each file of them, by URI.
    :param saved: what the copies would cost (``usd``), and how much longer it would take by each backend, in
        seconds; empty without copies.
    :param base_model_version: of the base model behind the adapter when the run was planned; "" without an
        adapter, where nobody could tell, and in plans of earlier releases.
    :param erased: lines that were erased on request since, by manifest, and those of no manifest under "".
    :param dag_id: of the run, as its orchestrator calls it; ``run_id`` likewise. "" where there is none, and
        in plans of earlier releases.
    :param reached: how far a source that tells of changes was read, `sources.positions`; empty for others.
    :param transcoded: images of other formats that were staged as JPEG; those that are postponed among them.
    :param retries_refused: asks again about images that were refused for their own sake, so that no earlier
        refusal stands for its own. False in plans of earlier releases, whose publishes let it stand.
    """

    uri: str
    run_key: str
    plan_number: int
    load_id: str
    dt: str
    source: str
    min_confidence: float
    adapter: str | None
    model_version: str
    force: bool
    backend: str
    created_at: str
    inputs_uri: str
    inputs_sha256: str
    totals: Totals
    expected_cost_usd: float
    expected_seconds: dict[str, float | None]
    manifests: tuple[ManifestRef, ...]
    left_out: dict[str, int] = field(default_factory=dict)
    left_out_uri: str = ""
    known: dict[str, str] = field(default_factory=dict)
    saved: dict[str, float | None] = field(default_factory=dict)
    base_model_version: str = ""
    erased: dict[str, int] = field(default_factory=dict)
    dag_id: str = ""
    run_id: str = ""
    reached: dict[str, Any] = field(default_factory=dict)
    transcoded: int = 0
    retries_refused: bool = False

    @property
    def folder_uri(self) -> str:
        """Folder of the plan's files."""
        return self.uri.rpartition("/")[0]

    @property
    def job_name(self) -> str:
        """What the names of its jobs begin with, as the run was asked; "" without a job."""
        whole = self.manifests[0].job_name if self.manifests else ""
        return whole.partition(f"-{self.load_id}-")[0]

    @property
    def is_empty(self) -> bool:
        """True when nothing is to be analysed, answered as a copy, or reported as rejected."""
        return self.totals.inputs == 0

    def analysis_record_uri(self, manifest_id: str) -> str:
        """Where the record of a manifest's analysis is kept."""
        return f"{self.folder_uri}/jobs/{manifest_id}.json"

    @property
    def completion_uri(self) -> str:
        """Where the completion report of the run is: counts, every failure, checksums, cost."""
        return f"{self.folder_uri}/report.json"

    @property
    def report_uri(self) -> str:
        """Where the report of the run is."""
        return f"{self.folder_uri}/report.txt"

    def to_json(self) -> bytes:
        """The content of ``plan.json``, sealed with its own checksum."""
        content = asdict(self)
        del content["uri"]
        if self.totals.refused_before is None:  # as an earlier release wrote it: its digest is known
            del content["totals"]["refused_before"]
        for name, without in (("copies", 0), ("contents", None), ("gone", 0)):
            if getattr(self.totals, name) == without:
                del content["totals"][name]
        for name in _NOT_OF_OLD:
            # What a publish builds is named after these bytes: an earlier release's plan keeps its own.
            if not content[name]:
                del content[name]
        return seal(content)

    @classmethod
    def from_json(cls, body: bytes, uri: str) -> Plan:
        """Read ``plan.json``.

        :raises PlanError: it is damaged, or of a later release.
        """

        def parse(content: dict[str, Any]) -> Plan:
            known = {field.name: content[field.name] for field in fields(cls) if field.name in content}
            _refuse_of_later_release(known, uri)
            known["totals"] = Totals(**known["totals"])
            known["manifests"] = tuple(ManifestRef(**entry) for entry in known["manifests"])
            plan = cls(uri=uri, **known)
            if plan.inputs_uri and not plan.inputs_uri.startswith(f"{plan.folder_uri}/"):
                raise ValueError(f"it is the plan of another place, with its inputs in {plan.inputs_uri}")
            return plan

        return parse_state(body, uri, parse=parse, error=PlanError, remedy="delete it and plan the run again")


_NOT_OF_OLD = (
    "left_out", "left_out_uri", "known", "saved", "base_model_version", "erased", "dag_id", "run_id",
    "reached", "transcoded", "retries_refused",
)  # fmt: skip


def _refuse_of_later_release(content: dict[str, Any], uri: str) -> None:
    """Workers of two releases stand side by side during an upgrade: what the later one plans is its own."""
    ours = {field.name for kind in (Totals, ManifestRef) for field in fields(kind)}
    theirs = {name for entry in (content["totals"], *content["manifests"]) for name in entry}
    if later := sorted(theirs - ours):
        raise PlanError(
            f"{uri} was made by a later release, which tells {', '.join(later)}; keep it, bring this worker "
            "to that release, then clear the task"
        )


def run_key(dag_id: str, run_id: str) -> str:
    """A name for a run that is safe in keys and AWS names; run ids hold ``:`` and ``+``, which are not."""
    digest = hashlib.sha256(f"{dag_id}\n{run_id}".encode()).hexdigest()[:12]
    slug = re.sub(r"[^a-z0-9]+", "-", f"{dag_id}-{run_id}".lower()).strip("-")[:60].strip("-")
    return f"{slug}-{digest}" if slug else digest


def load_id(run_key: str, plan_number: int, logical_time: datetime) -> str:
    """``YYYYMMDDTHHMMSSZ-<12 hex digits>``: the run's time, and a digest that no other plan has."""
    digest = hashlib.sha256(f"{run_key}\n{plan_number}".encode()).hexdigest()[:12]
    return f"{logical_time.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest}"
