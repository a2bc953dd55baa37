"""From what was found to a plan, and its files in S3."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from moderation.plan import claims, ledger, manifests
from moderation.plan.content.sharing import Sharing, share
from moderation.plan.discovery import Discovery, leave_out
from moderation.plan.inputs import numbered
from moderation.plan.ledger import PublishedReader, Question
from moderation.plan.manifests import Manifest
from moderation.plan.plan import ManifestRef, Plan, Totals, load_id
from moderation.plan.price import estimate, saved
from moderation.plan.request import PlanRequest
from moderation.plan.store import plan_uri, write_inputs, write_known, write_left_out
from moderation.settings import Settings
from moderation.sources.listing import SCHEMA, chunked
from moderation.sources.open import open_source
from moderation.storage import lease, s3_objects, tombstones
from moderation.storage.row_file import RowFile

MAX_MANIFESTS = 1000
"""Airflow maps at most 1,024 tasks from one list (``core.max_map_length``); what is beyond waits for the next
run."""

_WRITES_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a plan is drafted from.

    :param source_uri: how the source stands in plans and loads.
    :param published: gives the rows of all published loads; None for a run that analyses again what is
        moderated.
    :param s3: a boto3 client.
    """

    settings: Settings
    request: PlanRequest
    source_uri: str
    question: Question
    published: PublishedReader | None
    s3: Any


class Writer:
    """Writes manifests, and keeps the lock alive meanwhile."""

    def __init__(self, s3: Any, held: lease.Lease) -> None:
        self._s3, self._held = s3, held

    def manifests(self, folder: str, cut: Iterator[Manifest]) -> Iterator[Manifest]:
        """Store the manifests, and give them on."""
        with ThreadPoolExecutor(_WRITES_AT_ONCE, thread_name_prefix="manifests") as pool:
            for some in chunked(cut, _WRITES_AT_ONCE):
                list(pool.map(lambda manifest: self._put(folder, manifest), some))
                self.keep_lock()
                yield from some

    def inputs(self, folder: str, tables: Iterator[pa.Table]) -> tuple[str, str]:
        """Store the inputs; see `store.write_inputs`."""
        return write_inputs(self._s3, folder, map(self._kept, tables))

    def left_out(self, folder: str, found: Discovery) -> str:
        """Store the names of what is no image; see `store.write_left_out`."""
        tables = (self._kept(table) for table in found.left_out.portions())
        return write_left_out(self._s3, folder, tables)

    def known(self, folder: str, shared: Sharing) -> dict[str, str]:
        """Store the answers of earlier loads; see `store.write_known`."""
        images, labels = (map(self._kept, rows.portions()) for rows in (shared.known, shared.known_labels))
        return write_known(self._s3, folder, images, labels)

    def _kept(self, table: pa.Table) -> pa.Table:
        self.keep_lock()
        return table

    def keep_lock(self) -> None:
        """Show that planning goes on; cheap when called often."""
        self._held.keep()

    def _put(self, folder: str, manifest: Manifest) -> None:
        s3_objects.put(self._s3, _manifest_uri(folder, manifest), manifest.content)


class Draft:
    """Turns a discovery into a plan; with a writer its files are stored, ``plan.json`` excepted."""

    def __init__(self, asked: Asked, found: Discovery, *, number: int, writer: Writer | None) -> None:
        self.asked, self.found, self.number, self.writer = asked, found, number, writer
        self.request, self.settings = asked.request, asked.settings
        self.uri = plan_uri(self.settings, self.request.run_key, number)
        self.folder = self.uri.rpartition("/")[0]
        self.load_id = load_id(self.request.run_key, number, self.request.logical_time)
        spool = found.rows.path.parent
        self.accepted = RowFile(spool / "accepted.arrow", SCHEMA)
        self.rejected = RowFile(spool / "rejected.arrow", SCHEMA)

    def finish(self) -> Plan:
        """The plan; without a writer of nothing that exists."""
        claimed = self._leave_out()
        candidates = self.accepted.rows
        shared = self._share()
        chosen = self._cut()
        lines = [manifest.lines for manifest in chosen]
        copies = shared.included(chosen, self.load_id) if shared else None
        copied, known = (copies.rows, shared.known.rows) if shared and copies else (0, 0)
        adapter = self.request.adapter
        expected = estimate(self.settings, manifest_lines=lines, adapter=adapter)
        return Plan(
            uri=self.uri,
            run_key=self.request.run_key,
            plan_number=self.number,
            load_id=self.load_id,
            dt=self.request.logical_time.astimezone(UTC).date().isoformat(),
            source=self.asked.source_uri,
            min_confidence=float(self.request.min_confidence),
            adapter=adapter,
            model_version=self.settings.model_version,
            force=self.request.force,
            backend=self.request.backend,
            created_at=datetime.now(UTC).isoformat(),
            totals=Totals(
                listed=self.found.listed,
                ignored=self.found.by_rule.total(),
                already_moderated=self.found.already_moderated,
                refused_before=dict(self.found.refused_before.most_common()),
                claimed_elsewhere=claimed,
                postponed=candidates - sum(lines) - copied,
                rejected=self.rejected.rows,
                to_analyse=sum(lines),
                copies=copied,
                contents=sum(lines) + known if shared else None,
                gone=self.found.looked.gone if self.found.looked else 0,
            ),
            expected_cost_usd=float(expected.cost_usd),
            expected_seconds={"bulk": expected.bulk_seconds, "detect": expected.detect_seconds},
            manifests=tuple(chosen),
            left_out=dict(self.found.by_rule.most_common()),
            saved=saved(self.settings, lines=lines, copies=copied, adapter=adapter),
            base_model_version=self.request.base_model_version,
            dag_id=self.request.dag_id,
            run_id=self.request.run_id,
            transcoded=self.found.transcoded,
            retries_refused=open_source(self.asked.source_uri).retry_refused,
            reached=asdict(self.found.reached) if self.found.reached else {},
            **self._written(lines, shared, copies),
        )

    def _written(self, lines: list[int], shared: Sharing | None, copies: RowFile | None) -> dict[str, Any]:
        """Store the plan's files but for the manifests; returns what the plan says of them."""
        if not self.writer:
            return {"inputs_uri": "", "inputs_sha256": ""}
        tables = numbered(self.accepted, lines, self.rejected, copies.portions() if copies else ())
        uri, digest = self.writer.inputs(self.folder, tables)
        written: dict[str, Any] = {"inputs_uri": uri, "inputs_sha256": digest}
        if self.found.left_out.rows:
            written["left_out_uri"] = self.writer.left_out(self.folder, self.found)
        if shared and shared.known.rows:
            written["known"] = self.writer.known(self.folder, shared)
        return written

    def _share(self) -> Sharing | None:
        """Leave one image of each content among the accepted; None when each is asked for by itself."""
        if not self.settings.share_answers:
            return None
        if self.writer:
            self.writer.keep_lock()
        shared = share(
            self.accepted,
            self.accepted.path.parent,
            self.settings,
            question=self.asked.question if self.asked.published else None,
            seed=self.load_id,
        )
        self.accepted = shared.sent
        return shared

    def _leave_out(self) -> int:
        """Leave out what others do or did, part what can be sent from what cannot; returns what is claimed.

        Claims first: what leaves them in between is published by then.
        """
        claimed = 0
        gone = tombstones.load(self.asked.s3, self.settings)
        with (
            claims.of_others(
                self.asked.s3, self.settings, run_key=self.request.run_key, question=self.asked.question
            ) as is_claimed,
            self._published() as published,
            self.accepted.writing(),
            self.rejected.writing(),
        ):
            for portion in self.found.rows.portions():
                if self.writer:
                    self.writer.keep_lock()
                listed = self.found.without_erased(portion, gone)
                left = leave_out(listed, is_claimed(listed))
                claimed += len(listed) - len(left)
                if published:
                    left = self.found.without_published(left, self.settings, published, self.asked.question)
                can_be_sent = pc.is_null(left["error_code"])
                self.accepted.write(left.filter(can_be_sent))
                self.rejected.write(left.filter(pc.invert(can_be_sent)))
        self.found.rows.delete()
        return claimed

    def _published(self) -> AbstractContextManager[PublishedReader | None]:
        published = self.asked.published
        return ledger.begun(published, self.settings) if published else nullcontext()

    def _cut(self) -> list[ManifestRef]:
        max_lines = min(self.request.max_lines, self.settings.manifest_images)
        most = MAX_MANIFESTS * max_lines
        total = min(self.accepted.rows, self.request.max_images or most, most)
        refs = (ref for batch in self.accepted.batches() for ref in _sent(batch).to_pylist())
        cut = manifests.cut(islice(refs, total), total=total, max_lines=max_lines)
        first = takewhile(lambda manifest: manifest.index < MAX_MANIFESTS, cut)
        written = self.writer.manifests(self.folder, first) if self.writer else first
        return [self._reference(manifest) for manifest in written]

    def _reference(self, manifest: Manifest) -> ManifestRef:
        bucket, key = s3_objects.split_uri(self.folder)
        name = self.load_id
        return ManifestRef(
            manifest_id=manifest.manifest_id,
            uri=_manifest_uri(self.folder, manifest),
            lines=manifest.lines,
            bytes=len(manifest.content),
            job_name=f"{self.request.job_name}-{name}-m{manifest.index:05d}",
            output_bucket=bucket,
            output_prefix=f"{key}/output/{manifest.manifest_id}/",
        )


def _sent(batch: pa.RecordBatch) -> pa.StringArray:
    """What the manifests name: the objects, or what stands for them."""
    return pc.coalesce(batch["sent_as"], batch["source_ref"])


def _manifest_uri(folder: str, manifest: Manifest) -> str:
    return f"{folder}/manifests/{manifest.manifest_id}.jsonl"
