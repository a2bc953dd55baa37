"""Images taken out of plans that are closed: inputs, known answers, lists, manifests, answers, records.

The order makes a killed erasure go on: first what copies still need of an answer is kept with the plan, then
the files go, and the list of inputs, by which all of it is found, goes last.
"""

from __future__ import annotations

import logging
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from moderation.analyse.record import AnalysisRecord, read_record
from moderation.errors import NeedsAPersonError
from moderation.flatten.blocks import iter_blocks
from moderation.flatten.flatten import Counts, Flattened, flatten_manifest
from moderation.flatten.summary import parse_summary
from moderation.maintenance.erasure import steps
from moderation.maintenance.erasure.answers import erase_in_files
from moderation.maintenance.erasure.search import names_in
from moderation.maintenance.erasure.wanted import Wanted, names_one, needles
from moderation.plan import claims, store
from moderation.plan.content.answers import IMAGE_ANSWERS, LABEL_ANSWERS
from moderation.plan.plan import INPUTS_SCHEMA, ManifestRef, Plan
from moderation.publish.build import complete_records, context_of
from moderation.publish.copies import image_answers, label_answers
from moderation.publish.raw_answers import RawAnswers, read_raw_answers
from moderation.settings import Settings
from moderation.storage import parquet, s3_objects
from moderation.storage.files import Storage
from moderation.tables.ledger.layout import ANSWER_OF

_BATCH = 32_768
_PLACE = ("source_ref", "manifest", "line_number")
_LISTS = re.compile(r"(inputs|left-out|known|known-labels)-[0-9a-f]+\.parquet")
_PLAN_FOLDER = re.compile(r"(.*/runs/[^/]+/plan-\d+)/.*")
_NO_MANIFEST = ""
_log = logging.getLogger(__name__)


class OpenRunError(NeedsAPersonError):
    """A run that is under way, or waits to go on, holds images that are to be erased."""


@dataclass(frozen=True)
class Held:
    """What a plan holds of what is asked for.

    :param gone: rows of its inputs.
    :param kept: how many others it has.
    :param answers_needed: load, manifest and line of answers that its other copies get.
    :param left_out: rows of its list of what is no image.
    """

    gone: pa.Table
    kept: int
    answers_needed: frozenset[tuple[str, str, int]] = frozenset()
    left_out: int = 0

    def __bool__(self) -> bool:
        return bool(self.gone.num_rows or self.left_out)


@dataclass
class Told:
    """What a published plan tells of its load after an erasure, for `jobs` and `loads`.

    :ivar inputs: rows of its inputs.
    :ivar lines: by manifest of which lines were erased, how many are left.
    :ivar counts: what is in their files.
    """

    inputs: int
    lines: dict[str, int] = field(default_factory=dict)
    counts: dict[str, Counts] = field(default_factory=dict)


@dataclass
class Plans:
    """The plans below ``work_uri``.

    :param wanted: what is asked for, further names of it among the keys.
    :param renew: proves and renews the locks.
    """

    settings: Settings
    s3: Any
    storage: Storage
    wanted: Wanted
    renew: Callable[[], None]

    def holding(self) -> Iterator[tuple[Plan, Held]]:
        """Every plan that holds an image that is asked for, or has lost one before.

        :raises moderation.plan.plan.PlanError: a plan is damaged; nobody can tell what it holds.
        """
        for plan in store.iter_plans(self.settings, s3=self.s3):
            self.renew()
            held = self._held(plan)
            if held or plan.erased:
                yield plan, held

    def prove_closed(self, plan: Plan, *, abandon: bool, only_look: bool = False) -> None:
        """Refuse to take anything out of a plan that a run goes by.

        :param abandon: close it, if its run holds its images no more: what it has paid for and not published
            is lost.
        :param only_look: close nothing.
        :raises OpenRunError: it is open.
        """
        if plan.is_empty:
            return
        # One that is closed may be claimed still: another run is about to publish what was paid for.
        if claims.is_fresh(self.s3, self.settings, plan):
            raise OpenRunError(
                f"the run {plan.run_key} is under way with images that are to be erased ({plan.uri}); erase "
                f"when it has ended, or stop it and give its images free: `{self.settings.command} release "
                f"{plan.uri}`"
            )
        if store.is_closed(plan, s3=self.s3) and not claims.is_held(self.s3, self.settings, plan):
            return
        if not abandon:
            raise OpenRunError(
                f"the run {plan.run_key} waits to go on with images that are to be erased ({plan.uri}): "
                "clear its failed tasks and let it end, or erase with --abandon: the answers that it has "
                "not published are lost then, and its other images paid again"
            )
        if not only_look:
            store.close(plan, "abandoned", s3=self.s3)
            claims.drop(self.s3, self.settings, plan)

    def erase(self, plan: Plan, held: Held) -> Plan:
        """Take images out of all in the plan's folder but its reports; returns the plan as it is now."""
        self.renew()
        for uri in held.gone.column("sent_as").drop_null().to_pylist():
            s3_objects.delete(self.s3, uri)
        plan = self._keep_answers(plan, held) if held.gone.num_rows else plan
        steps.reached("known")
        counts = Counter[int | None](held.gone.column("manifest").to_pylist())
        for number, manifest in enumerate(plan.manifests):
            if counts[number] or plan.erased.get(manifest.manifest_id):
                self.renew()
                self._erase_manifest(plan, manifest, held, number)
        steps.reached("answers")
        plan = self._without_inputs(plan, held, counts)
        steps.reached("inputs")
        self._tidy(plan)
        return plan

    def told(self, plan: Plan) -> Told:
        """What the plan says of its load, of which images were erased."""
        with store.open_inputs(plan, s3=self.s3) as file:
            told = Told(inputs=file.metadata.num_rows)
        for number, manifest in enumerate(plan.manifests):
            if plan.erased.get(manifest.manifest_id):
                told.lines[manifest.manifest_id] = manifest.lines
                told.counts[manifest.manifest_id] = self._flattened(plan, number).counts
        return told

    def leftovers(self) -> int:
        """Delete files of plans that were never finished, if they name an image; returns how many.

        Whoever plans now leaves these images out already, so such a file is of a try that was killed.
        """
        runs = s3_objects.join_uri(self.settings.work_uri, "runs") + "/"
        bucket = s3_objects.split_uri(runs).bucket
        uris = [f"s3://{bucket}/{entry['Key']}" for entry in s3_objects.list_objects(self.s3, runs)]
        whole = {_plan_folder(uri) for uri in uris if uri.endswith("/plan.json")}
        gone = 0
        for uri in uris:
            folder = _plan_folder(uri)
            if folder and folder not in whole and names_in(s3_objects.read(self.s3, uri).body, self.wanted):
                s3_objects.delete(self.s3, uri)
                gone += 1
        return gone

    # -- one plan

    def _held(self, plan: Plan) -> Held:
        parts, kept, needed = [INPUTS_SCHEMA.empty_table()], 0, set[tuple[str, str, int]]()
        if plan.inputs_uri:
            with store.open_inputs(plan, s3=self.s3) as file:
                for batch in file.iter_batches(_BATCH):
                    rows = _as_inputs(batch)
                    asked = self.wanted.mask(rows)
                    parts.append(rows.filter(asked))
                    others = rows.filter(pc.invert(asked))
                    kept += others.num_rows
                    copies = (
                        others.filter(pc.is_valid(others.column(ANSWER_OF[0])))
                        .select(list(ANSWER_OF))
                        .to_pylist()
                    )
                    needed |= {(row[ANSWER_OF[0]], row[ANSWER_OF[1]], row[ANSWER_OF[2]]) for row in copies}
        left_out = 0
        if self.wanted.keys and plan.left_out_uri:
            with store.open_left_out(plan, s3=self.s3) as batches:
                left_out = sum(pc.sum(self.wanted.mask(batch)).as_py() or 0 for batch in batches)
        return Held(pa.concat_tables(parts), kept, frozenset(needed), left_out)

    def _keep_answers(self, plan: Plan, held: Held) -> Plan:
        """Store with the plan the answers that its other copies get of images that go."""
        images, labels = self._known(plan)
        there = set(zip(*(images.column(name).to_pylist() for name in ANSWER_OF), strict=True))
        own = {
            (plan.load_id, plan.manifests[row["manifest"]].manifest_id, row["line_number"]): row["manifest"]
            for row in held.gone.select(["manifest", "line_number"]).to_pylist()
            if row["manifest"] is not None
        }
        wanted = {place: number for place, number in own.items() if place in held.answers_needed - there}
        images, labels = _of(images, held.answers_needed), _of(labels, held.answers_needed)
        for number in sorted(set(wanted.values())):
            copied = self._flattened(plan, number).copied
            if copied is not None:
                images = pa.concat_tables([images, _of(image_answers(copied.images), wanted.keys())])
                first = labels.num_rows
                more = label_answers(copied.labels, first=first)
                labels = pa.concat_tables([labels, *(_of(rows, wanted.keys()) for rows in more)])
        if not wanted and images.num_rows == len(there):
            return plan
        uris = store.write_known(self.s3, plan.folder_uri, [images], [labels]) if images.num_rows else {}
        return self._replaced(plan, known=uris)

    def _known(self, plan: Plan) -> tuple[pa.Table, pa.Table]:
        tables = []
        with tempfile.TemporaryDirectory() as folder:
            for schema, (uri, digest) in zip(
                (IMAGE_ANSWERS, LABEL_ANSWERS), plan.known.items(), strict=False
            ):
                path = Path(folder) / uri.rpartition("/")[2]
                self.storage.copy_to(uri, path)
                store.check_file(path, digest, uri)
                with parquet.open_file(path) as file:
                    tables.append(_widened(file.read(), schema))
        if not tables:
            return IMAGE_ANSWERS.empty_table(), LABEL_ANSWERS.empty_table()
        return tables[0], tables[1]

    def _flattened(self, plan: Plan, number: int) -> Flattened:
        record = self._record(plan, number)
        inputs = self._inputs_of(plan, number)
        summary = parse_summary(self.storage.read(record.summary_uri)) if record.summary_uri else None
        if not record.results_uri:
            return flatten_manifest(context_of(plan), record, inputs, summary=summary)
        with self.storage.open(record.results_uri) as stream:
            _check(read_raw_answers(self.s3, plan), record, stream.etag)
            blocks = iter_blocks(stream)
            return flatten_manifest(context_of(plan), record, inputs, blocks=blocks, summary=summary)

    def _record(self, plan: Plan, number: int) -> AnalysisRecord:
        manifest = plan.manifests[number]
        found = read_record(self.s3, plan.analysis_record_uri(manifest.manifest_id))
        if found is not None:
            return found
        return complete_records(replace(plan, manifests=(manifest,)), [])[0]

    def _inputs_of(self, plan: Plan, number: int) -> pa.Table:
        with store.open_inputs(plan, s3=self.s3) as file:
            parts = [INPUTS_SCHEMA.empty_table()]
            for batch in file.iter_batches(_BATCH):
                rows = _as_inputs(batch)
                parts.append(rows.filter(pc.equal(rows.column("manifest"), number)))
        return pa.concat_tables(parts)

    def _erase_manifest(self, plan: Plan, manifest: ManifestRef, held: Held, number: int) -> None:
        mine = held.gone.filter(pc.equal(held.gone.column("manifest"), number))
        sent = mine.column("sent_as").drop_null().to_pylist()
        names = {*mine.column("source_ref").to_pylist(), *sent, *self.wanted.keys}
        uri = plan.analysis_record_uri(manifest.manifest_id)
        record = read_record(self.s3, uri)
        if record is not None:
            changed = replace(record, lines=manifest.lines - mine.num_rows)
            if changed.billed is None and record.results_uri:
                changed = replace(changed, billed=self._flattened(plan, number).counts.billed)
            if names_one((record.failure_message or "").encode(), needles(names)):
                changed = replace(changed, failure_message="erased on request")
            if changed != record:
                s3_objects.put(self.s3, uri, changed.to_json())
        more = [one for one in (record.results_uri, record.summary_uri) if one] if record else []
        raw = read_raw_answers(self.s3, plan)
        if record is not None and record.results_uri:
            self._check_results(raw, record)
            raw.forget(record.results_uri)
        erase_in_files(self.s3, manifest, more, names)
        steps.reached("answers of a manifest")
        if record is not None and record.results_uri:
            self._check_results(raw, record)
            raw.keep()

    def _check_results(self, raw: RawAnswers, record: AnalysisRecord) -> None:
        """Hold a results file against what it was when it was first read; as it is, if nobody read it."""
        with self.storage.open(str(record.results_uri)) as stream:
            _check(raw, record, stream.etag)

    def _without_inputs(self, plan: Plan, held: Held, counts: Counter[int | None]) -> Plan:
        changed: dict[str, Any] = {}
        if held.left_out:
            changed["left_out_uri"] = self._without_left_out(plan)
        if held.gone.num_rows:
            gone = set(held.gone.column("source_ref").to_pylist())
            places = {
                (row["source_ref"], row["manifest"], row["line_number"])
                for row in held.gone.select(["source_ref", "manifest", "line_number"]).to_pylist()
            }
            uri, digest = store.write_inputs(self.s3, plan.folder_uri, self._others(plan, gone, places))
            erased = Counter(plan.erased)
            for number, lines in counts.items():
                erased[_NO_MANIFEST if number is None else plan.manifests[number].manifest_id] += lines
            manifests = tuple(
                replace(manifest, lines=manifest.lines - counts[number])
                for number, manifest in enumerate(plan.manifests)
            )
            changed |= {"inputs_uri": uri, "inputs_sha256": digest, "manifests": manifests}
            changed["erased"] = dict(erased)
        return self._replaced(plan, **changed) if changed else plan

    def _others(
        self, plan: Plan, refs: set[str], places: set[tuple[str, int | None, int | None]]
    ) -> Iterator[pa.Table]:
        names = pa.array(sorted(refs), pa.string())
        with store.open_inputs(plan, s3=self.s3) as file:
            for batch in file.iter_batches(_BATCH):
                rows = _as_inputs(batch)
                likely = pc.is_in(rows.column("source_ref"), value_set=names)
                keep = [True] * rows.num_rows
                for index in pc.indices_nonzero(likely).to_pylist():
                    place = tuple(
                        rows.column(name)[index].as_py() for name in ("source_ref", "manifest", "line_number")
                    )
                    keep[index] = place not in places
                yield rows.filter(pa.array(keep, pa.bool_()))

    def _without_left_out(self, plan: Plan) -> str:
        with store.open_left_out(plan, s3=self.s3) as batches:
            kept = (pa.Table.from_batches([batch]) for batch in batches)
            others = (rows.filter(pc.invert(self.wanted.mask(rows))) for rows in kept)
            return store.write_left_out(self.s3, plan.folder_uri, others)

    def _tidy(self, plan: Plan) -> None:
        """Delete what the plan does not name any more."""
        home = s3_objects.split_uri(f"{plan.folder_uri}/")
        named = {plan.inputs_uri, plan.left_out_uri, *plan.known}
        for entry in list(s3_objects.list_objects(self.s3, f"{plan.folder_uri}/")):
            uri = f"s3://{home.bucket}/{entry['Key']}"
            if _LISTS.fullmatch(entry["Key"].removeprefix(home.key)) and uri not in named:
                s3_objects.delete(self.s3, uri)

    def _replaced(self, plan: Plan, **changes: Any) -> Plan:
        """The plan with other files, as it stands in S3 from here on."""
        changed = replace(plan, **changes)
        s3_objects.put(self.s3, plan.uri, changed.to_json())
        return changed


def _check(raw: RawAnswers, record: AnalysisRecord, etag: str | None) -> None:
    if etag is not None:
        raw.check(record, etag)


def _plan_folder(uri: str) -> str:
    found = _PLAN_FOLDER.fullmatch(uri)
    return found[1] if found else ""


def _as_inputs(batch: pa.RecordBatch) -> pa.Table:
    return _widened(pa.Table.from_batches([batch]), INPUTS_SCHEMA)


def _widened(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows in these columns; those that an earlier release did not write are null."""
    there = set(rows.schema.names)
    columns = [
        rows.column(entry.name) if entry.name in there else pa.nulls(rows.num_rows, entry.type)
        for entry in schema
    ]
    return pa.table(columns, names=schema.names).cast(schema)


def _of(rows: pa.Table, places: Collection[tuple[str, str, int]]) -> pa.Table:
    """The answers, or labels of answers, of these places."""
    there = zip(*(rows.column(name).to_pylist() for name in ANSWER_OF), strict=True)
    return rows.filter(pa.array([place in places for place in there], pa.bool_()))
