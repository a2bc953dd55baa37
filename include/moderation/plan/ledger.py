"""The ledger: which pictures of a listing are already moderated, as the published ``images`` rows tell, and
when an answer that exists makes another analysis needless."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import pyarrow as pa
import pyarrow.compute as pc

from moderation.reference import error_codes
from moderation.schema import MODERATED
from moderation.settings import Settings
from moderation.storage import parquet
from moderation.tables.ledger.layout import COLUMNS
from moderation.tables.source_ref_ranges import batches_between, range_of

_ROWS_AT_ONCE = 100_000


@dataclass(frozen=True)
class Model:
    """A moderation model: its family and its version within the family.

    Rekognition's own versions are bare numbers ("7.0", family ""); the offline model says what it is
    ("offline-1.0", family "offline"). Answers of two families are never compared.
    """

    family: str
    version: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Model:
        """Read ``7.0`` or ``offline-1.0``; any other text is a family of its own, equal to itself only."""
        match = re.fullmatch(r"(?:(.+)-)?(\d{1,9}(?:\.\d{1,9})*)", text.strip())
        if match is None:
            return cls(text.strip(), ())
        return cls(match[1] or "", tuple(int(number) for number in match[2].split(".")))

    @property
    def is_offline(self) -> bool:
        """Whether it is the offline endpoint's, which bills nothing."""
        return self.family.partition("-")[0] == "offline"

    def at_least(self, other: Model) -> bool:
        """Whether this is the other's family and no older; 7 and 7.0 are the same."""
        return self.family == other.family and _trimmed(self.version) >= _trimmed(other.version)


def _trimmed(version: tuple[int, ...]) -> tuple[int, ...]:
    while version and version[-1] == 0:
        version = version[:-1]
    return version


@dataclass(frozen=True)
class Question:
    """What is asked about pictures.

    :param model_version: the least model whose answer will do.
    :param adapter: ARN of the adapter version, or None for the base model.
    :param min_confidence: labels below this percentage are not reported.
    :param any_confidence: nobody asked for this ``min_confidence``: it is the installation's default, so that
        another default never makes an answer that was paid for be paid for again.
    :param retry_refused: ask again about pictures that were refused for their own sake.
    :param older_share: None: an answer counts if it is the adapter's. A share from 0 to 1: one of any
        adapter, or of the base model, counts too, but for this share of the pictures, which chance picks by
        their names, the same ones at each time and more of them with a larger share.
    """

    model_version: str
    adapter: str | None
    min_confidence: float
    retry_refused: bool = False
    older_share: float | None = None
    any_confidence: bool = False

    def is_answered_by(self, *, model_version: str, adapter: str | None, min_confidence: float) -> bool:
        """Whether an answer got with these values holds everything that is asked now.

        A run that is still open counts by its own adapter, whatever counts of older answers.

        A lower threshold reported more labels, so it covers a higher one; the reverse does not hold.
        """
        return (
            Model.parse(model_version).at_least(Model.parse(self.model_version))
            and (adapter or "") == (self.adapter or "")
            and (self.any_confidence or min_confidence <= self.min_confidence)
        )


class PublishedReader(Protocol):
    """Gives the rows of all published loads."""

    def __call__(
        self,
        settings: Settings,
        columns: Sequence[str],
        *,
        between: tuple[str, str] | None = None,
        names: pa.ChunkedArray | None = None,
    ) -> pa.Table | Iterable[pa.RecordBatch]:
        """These columns, as a table or a stream of batches.

        :param between: rows whose ``source_ref`` is not from the one to the other are not needed.
        :param names: nor are rows of other ``source_ref``.
        """
        ...


@runtime_checkable
class _Beginning(Protocol):
    def begin(self, settings: Settings) -> AbstractContextManager[PublishedReader]: ...


def begun(published: PublishedReader, settings: Settings) -> AbstractContextManager[PublishedReader]:
    """The reader for many questions one after another, about what is published when the block begins.

    :param published: opens what it reads with each question unless it has a ``begin``.
    """
    return published.begin(settings) if isinstance(published, _Beginning) else nullcontext(published)


def already_moderated(
    listing: pa.Table, published: pa.Table | Iterable[pa.RecordBatch], *, question: Question
) -> pa.BooleanArray:
    """For each row of ``listing`` whether its answer is already published.

    It is when a row of the same ``source_ref`` and ``etag`` was moderated with an answer that covers the
    ``question``, or failed for a reason that lies in the picture itself
    (:func:`error_codes.is_permanent`), by the same family of models. A failure that may pass and a picture
    that was not attempted are not done.

    :param listing: at least ``source_ref`` and ``etag``; without etag a row is never done.
    :param published: rows of :data:`COLUMNS`.
    """
    return pc.is_valid(settled(listing, published, question=question))


def settled(
    listing: pa.Table, published: pa.Table | Iterable[pa.RecordBatch], *, question: Question
) -> pa.StringArray:
    """As `already_moderated`, with the reason: ``moderated``, the code of the refusal, or null.

    A picture that one load refused and another moderated is moderated. Memory holds the listing and a hundred
    thousand published rows at a time.
    """
    wanted = None
    found = pa.nulls(len(listing), pa.string())
    for table in _portions(published):
        moderated, refused = settles(table, question)
        if not pc.any(pc.or_(moderated, refused), min_count=0).as_py():
            continue
        wanted = keys(listing) if wanted is None else wanted
        answered = keys(table.filter(moderated)).drop_null()
        found = pc.if_else(pc.is_in(wanted, value_set=answered, skip_nulls=True), MODERATED, found)
        rejected = table.filter(refused)
        place = pc.index_in(wanted, value_set=keys(rejected), skip_nulls=True)
        found = pc.coalesce(found, pc.take(rejected["error_code"].cast(pa.string()), place))
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def about_inputs(published: Iterable[pa.RecordBatch], inputs: Path) -> pa.Table | None:
    """The published rows about pictures that are among a plan's inputs; None for none.

    :param published: rows of :data:`COLUMNS`.
    :param inputs: a local copy of the plan's inputs.
    """
    found = []
    with parquet.open_file(inputs) as file:
        for batch in published:
            rows = pa.Table.from_batches([batch])
            theirs = keys(rows)
            asked = pa.array([False] * len(rows), pa.bool_())
            if between := range_of(rows["source_ref"]):
                for some in batches_between(file, ["source_ref", "etag"], between):
                    ours = keys(pa.Table.from_batches([some])).drop_null()
                    asked = pc.or_(asked, pc.is_in(theirs, value_set=ours, skip_nulls=True))
            found.append(rows.filter(asked))
    table = pa.concat_tables(found) if found else None
    return table if table is not None and len(table) else None


def keys(table: pa.Table) -> pa.ChunkedArray:
    """One string for etag and source_ref, null without etag; the etag's length keeps all pairs apart."""
    etag = table["etag"].cast(pa.large_string())
    return pc.binary_join_element_wise(
        pc.binary_length(etag).cast(pa.large_string()),
        etag,
        table["source_ref"].cast(pa.large_string()),
        pa.scalar(" ", pa.large_string()),
    )


def settles(table: pa.Table, question: Question) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """The rows that need no repetition: those with an answer, and those refused for good."""
    models = table["model_version"].cast(pa.string())
    wanted = Model.parse(question.model_version)
    versions = [text for text in pc.unique(models).to_pylist() if text is not None]
    good = [text for text in versions if Model.parse(text).at_least(wanted)]
    fits = pc.is_in(models, value_set=pa.array(good, pa.string()))
    adapter = pc.fill_null(table["adapter"].cast(pa.string()), "")
    confidence = pc.fill_null(pc.less_equal(table["min_confidence"], question.min_confidence), False)
    if question.any_confidence:
        confidence = pc.or_(confidence, True)
    moderated = pc.and_(
        pc.and_(pc.equal(table["status"], MODERATED), fits),
        pc.and_(pc.or_(pc.equal(adapter, question.adapter or ""), _older(table, question)), confidence),
    )
    moderated = pc.fill_null(moderated, False)
    if question.retry_refused:
        return moderated, pc.and_(moderated, False)
    # A picture that is refused for its own sake is refused by every adapter and at every threshold, and
    # when the plan itself refused it, no model was asked at all.
    permanent = pc.is_in(
        table["error_code"].cast(pa.string()), value_set=pa.array(sorted(error_codes.PERMANENT_CODES))
    )
    refused = pc.and_(
        pc.and_(pc.equal(table["status"], "failed"), permanent), pc.or_(fits, pc.is_null(models))
    )
    return moderated, pc.fill_null(refused, False)


def _older(table: pa.Table, question: Question) -> pa.Scalar | pa.Array:
    """Whether the answer of another model is good enough for the picture."""
    share = question.older_share
    if share is None or share <= 0:
        return pa.scalar(share is not None)
    names = table["source_ref"].to_pylist()
    limit = share * 2**32
    return pa.array([zlib.crc32(name.encode()) >= limit for name in names], pa.bool_())


def _portions(published: pa.Table | Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Tables of about a hundred thousand rows: each costs one look at the whole listing."""
    batches = published.to_batches() if isinstance(published, pa.Table) else published
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch.select(list(COLUMNS)))
        rows += batch.num_rows
        if rows >= _ROWS_AT_ONCE:
            yield pa.Table.from_batches(held)
            held, rows = [], 0
    if held:
        yield pa.Table.from_batches(held)
