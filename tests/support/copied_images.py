"""Images of few contents under many keys, planned and published with the answers that each content gets."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from moderation.analyse.record import AnalysisRecord, JobStatus
from moderation.plan.plan import Plan, run_key
from moderation.plan.planner import make_plan
from moderation.plan.request import PlanRequest
from moderation.plan.store import read_inputs, read_manifest
from moderation.publish.commit import PublishedLoad, publish
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.tables.ledger.known import stream_known
from moderation.tables.published import stream_images
from support import pictures
from support.planned_runs import COMPLETED, answer, content_types, line, weapon_violence

NIGHT = datetime(2026, 5, 4, 2, 0, tzinfo=UTC)


def picture(content: int) -> bytes:
    """The bytes of a content, unlike those of any other."""
    return pictures.jpeg(80, 80) + str(content).encode()


def body_of(content: int) -> dict[str, Any]:
    """What is answered for a content: labels of all levels, of several content types."""
    labels = weapon_violence(60.0 + content / 3) if content % 4 else []
    kinds = [{}, {"Illustrated": 60.5}, {"Animated": 72.7257}]
    return answer(labels, ContentTypes=content_types(**kinds[content % 3]))


@dataclass
class Gallery:
    """A bucket whose images are planned, answered and published as a run does it.

    :param fails: source refs whose error the summary tells, instead of an answer.
    :ivar paid: how often each content was answered.
    """

    settings: Settings
    s3: Any
    bucket: str
    fails: Mapping[str, str] = field(default_factory=dict)
    paid: Counter[int] = field(default_factory=Counter)
    contents: dict[str, int] = field(default_factory=dict)

    def put(self, **contents: int) -> None:
        """Put an image of this content under each name."""
        for name, content in contents.items():
            self.s3.put_object(Bucket=self.bucket, Key=f"photos/{name}.jpg", Body=picture(content))
            self.contents[self.ref(name)] = content

    def ref(self, name: str) -> str:
        """The image's source ref."""
        return f"s3://{self.bucket}/photos/{name}.jpg"

    def plan(self, name: str, *, dry_run: bool = False, **changes: Any) -> Plan:
        """The plan of a run over all images."""
        asked = {"source": f"s3://{self.bucket}/photos/", "logical_time": NIGHT, "max_lines": 2} | changes
        request = PlanRequest(run_key=run_key("gallery", name), **asked)
        return make_plan(self.settings, request, published=stream_known, dry_run=dry_run)

    def answer(self, plan: Plan, **record: Any) -> list[AnalysisRecord]:
        """What the jobs of the plan leave."""
        return [
            self._answer(plan, manifest.manifest_id, manifest.uri, **record) for manifest in plan.manifests
        ]

    def _answer(self, plan: Plan, manifest_id: str, uri: str, **record: Any) -> AnalysisRecord:
        refs = read_manifest(plan, manifest_id, s3=self.s3)
        good = [ref for ref in refs if ref not in self.fails]
        self.paid.update(self.contents[ref] for ref in good)
        errors = [
            {"source-ref": ref, "code": self.fails[ref], "message": "so"} for ref in refs if ref in self.fails
        ]
        folder = f"{plan.folder_uri}/output/{manifest_id}"
        of_adapter = {"ProjectVersion": plan.adapter} if plan.adapter else {}
        results = b"\n".join(line(ref, body_of(self.contents[ref]) | of_adapter) for ref in good)
        s3_objects.put(self.s3, f"{folder}/results.jsonl", results)
        s3_objects.put(self.s3, f"{folder}/summary.json", _json({"errors": errors}))
        made = AnalysisRecord(
            manifest_id=manifest_id,
            manifest_uri=uri,
            lines=len(refs),
            backend="bulk",
            status=JobStatus.SUCCEEDED,
            job_id=f"job-{manifest_id}",
            results_uri=f"{folder}/results.jsonl",
            summary_uri=f"{folder}/summary.json",
            model_version=plan.model_version,
            adapter=plan.adapter,
            min_confidence=plan.min_confidence,
            started_at=COMPLETED,
            completed_at=COMPLETED,
        )
        made = replace(made, **record)
        s3_objects.put(self.s3, plan.analysis_record_uri(manifest_id), made.to_json())
        return made

    def publish(self, plan: Plan, **record: Any) -> PublishedLoad:
        """Answer the plan and publish it."""
        return publish(self.settings, plan, self.answer(plan, **record))

    def run(self, name: str, **changes: Any) -> PublishedLoad:
        """Plan, answer, publish."""
        return self.publish(self.plan(name, **changes))

    def images(self, load_id: str | None = None) -> dict[str, dict[str, Any]]:
        """The published rows of `images` by the image's name; of one load where it is named."""
        from moderation.schema import IMAGES  # noqa: PLC0415

        rows = [
            row for batch in stream_images(self.settings, IMAGES.schema.names) for row in batch.to_pylist()
        ]
        return {
            row["key"].removeprefix("photos/").removesuffix(".jpg"): row
            for row in rows
            if load_id in {None, row["load_id"]}
        }

    def inputs(self, plan: Plan) -> list[dict[str, Any]]:
        """The rows of the plan's inputs."""
        rows: list[dict[str, Any]] = read_inputs(plan, s3=self.s3).to_pylist()
        return rows


def _json(value: Any) -> bytes:
    import json  # noqa: PLC0415

    return json.dumps(value).encode()


def digest(rows: Any) -> str:
    """Of rows in any order."""
    return hashlib.sha256(repr(sorted(map(repr, rows))).encode()).hexdigest()


Make = Callable[..., Gallery]
