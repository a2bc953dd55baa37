"""Every image that was asked for gets exactly one outcome; everything that fits no image is reported.

inputs = moderated + failed + not attempted, by source-ref and multiplicity. Position is never used: AWS
promises no order of the result lines, and the base of the summary's line numbers is published nowhere.

How one image (asked for *n* times) is decided, in this order:

1. Answered lines settle as many inputs as there are; surplus ones are ``DuplicateResult``.
2. What is left fails: each unreadable or answerless line and each error of the summary settles one input, and
   a line and an error about the same input settle it together (the error says why).
3. Errors without source-ref settle an input by line number if exactly one of the bases 0 and 1 puts all of
   them on inputs that are still open.
4. The rest is not attempted.

Lines and errors about images that nobody asked for are ``UnexpectedResult`` and ``UnexpectedError``.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from moderation.flatten import arrays
from moderation.flatten.answers import Answers
from moderation.flatten.parsed_block import Outcome
from moderation.flatten.summary import SummaryError

MALFORMED_LINE = "MalformedLine"
UNEXPECTED_RESULT = "UnexpectedResult"
DUPLICATE_RESULT = "DuplicateResult"
UNEXPECTED_ERROR = "UnexpectedError"
MALFORMED_SUMMARY = "MalformedSummary"
ADAPTER_IGNORED = "AdapterIgnored"
OTHER_ADAPTER = "OtherAdapter"
DEEPER_LEVEL = "DeeperLevel"

_MISMATCHES = frozenset({UNEXPECTED_RESULT, DUPLICATE_RESULT, UNEXPECTED_ERROR, OTHER_ADAPTER})

OUTCOME_TEXT = {
    Outcome.NO_ANSWER: "the line holds no detect-moderation-labels",
    Outcome.NOT_JSON: "the line is not valid JSON; it may be cut off",
    Outcome.NOT_AN_OBJECT: "the line is no JSON object",
    Outcome.NO_SOURCE_REF: "the line has no source-ref",
    Outcome.BAD_ANSWER: "the answer does not have the form of DetectModerationLabels",
}


@dataclass(frozen=True, kw_only=True)
class Anomaly:
    """Something in a job's files that fits no input, or that could not be read.

    :param in_summary: it stands in the manifest summary, not in the results file.
    :param repeats: it says once more what the line that settled the input says.
    """

    kind: str
    message: str
    line_number: int | None = None
    source_ref: str | None = None
    raw: str | None = None
    in_summary: bool = False
    repeats: bool = False

    @property
    def place(self) -> str:
        """Line and image that it is about, to go on after the file's name; "" for the whole file."""
        line = "" if self.line_number is None else f" line {self.line_number}"
        return f"{line} ({self.source_ref})" if self.source_ref else line

    @property
    def is_mismatch(self) -> bool:
        """Whether the answers are not those to the question: then no row of the manifest can be trusted.

        A line that cannot be read is none: its image is accounted for, as failed or not attempted. Nor is a
        line delivered twice that says the same, nor an error that names no image: that one stays owed. Nor
        are answers of the base model in an adapter's place: their rows say that they are the base model's.
        """
        nameless = self.kind == UNEXPECTED_ERROR and self.source_ref is None
        return self.kind in _MISMATCHES and not self.repeats and not nameless


@dataclass(slots=True)
class Reconciliation:
    """The outcome of each input of one manifest.

    :param answer: row of the answered line of each input, -1 without one.
    :param bad_line: row of the line that failed, -1 without one.
    :param error: index into the summary's errors, -1 without one.
    :param anomalies: in the order lines, then errors.
    """

    answer: np.ndarray
    bad_line: np.ndarray
    error: np.ndarray
    anomalies: list[Anomaly] = field(default_factory=list)

    @property
    def moderated(self) -> np.ndarray:
        """Mask of the inputs with an answer."""
        return self.answer >= 0

    @property
    def failed(self) -> np.ndarray:
        """Mask of the inputs with an error or an unreadable line and no answer."""
        return ~self.moderated & ((self.bad_line >= 0) | (self.error >= 0))


def reconcile(
    source_refs: pa.Array, line_numbers: pa.Array, answers: Answers, errors: Sequence[SummaryError]
) -> Reconciliation:
    """Decide every input of a manifest.

    :param source_refs: the inputs in manifest order; repetitions are allowed and each counts.
    :param line_numbers: their lines in the manifest, 1-based.
    :param answers: the results file.
    :param errors: the summary's errors, in their order.
    """
    size = len(source_refs)
    nothing = np.full(size, -1, dtype=np.int64)
    state = Reconciliation(answer=nothing.copy(), bad_line=nothing.copy(), error=nothing.copy())
    lines = answers.lines
    outcome = arrays.to_numpy(lines.column("outcome"))
    refs = arrays.joined(lines.column("source_ref"))
    everybody = np.arange(size)

    answered = np.flatnonzero(outcome == Outcome.ANSWERED)
    found = _match(source_refs, everybody, _taken(refs, answered))
    state.answer[found[found >= 0]] = answered[found >= 0]
    surplus = answered[found < 0]

    still_open = np.flatnonzero(state.answer < 0)
    bad = np.flatnonzero(outcome != Outcome.ANSWERED)
    found_bad = _match(source_refs, still_open, _taken(refs, bad))
    state.bad_line[found_bad[found_bad >= 0]] = bad[found_bad >= 0]

    named = [index for index, error in enumerate(errors) if error.source_ref is not None]
    error_refs = arrays.texts([errors[index].source_ref for index in named])
    found_errors = _match(source_refs, still_open, error_refs)
    state.error[found_errors[found_errors >= 0]] = np.array(named, dtype=np.int64)[found_errors >= 0]
    unsettled = [named[row] for row in np.flatnonzero(found_errors < 0)]
    unsettled += _settle_by_line_number(state, line_numbers, errors)

    # A failed image may leave a line without answer beside its error: known, and no anomaly.
    expected = (outcome[bad] == Outcome.NO_ANSWER) & (found_bad >= 0)
    reported = np.sort(np.concatenate([surplus, bad[~expected]]))
    report_lines(state, lines, reported, source_refs)
    _mark_repetitions(state, answers, reported)
    state.anomalies += [_unexpected_error(errors[index]) for index in sorted(unsettled)]
    return state


def _match(source_refs: pa.Array, candidates: np.ndarray, refs: pa.Array) -> np.ndarray:
    """For each ref the input it settles, -1 for none; an input is settled once, equal refs in order.

    :param candidates: rows of ``source_refs`` that may be settled, ascending.
    """
    result = np.full(len(refs), -1, dtype=np.int64)
    if len(refs) == 0 or len(candidates) == 0:
        return result
    pool = _taken(source_refs, candidates)
    options = arrays.kernels.SetLookupOptions(value_set=pool, skip_nulls=True)
    rows = arrays.codes(arrays.kernels.call_function("index_in", [refs], options))
    taken = rows[rows >= 0]
    distinct_inputs = arrays.kernels.call_function("count_distinct", [pool]).as_py() == len(pool)
    if distinct_inputs and np.bincount(taken, minlength=1).max() <= 1:
        result[rows >= 0] = candidates[taken]
        return result
    queues: dict[str, deque[int]] = defaultdict(deque)
    for ref, row in zip(pool.to_pylist(), candidates.tolist(), strict=True):
        queues[ref].append(row)
    for index, ref in enumerate(refs.to_pylist()):
        queue = queues.get(ref)
        if queue:
            result[index] = queue.popleft()
    return result


def _settle_by_line_number(
    state: Reconciliation, line_numbers: pa.Array, errors: Sequence[SummaryError]
) -> list[int]:
    """Settle the errors that name no image; returns the indices of those that cannot be settled."""
    nameless = [index for index, error in enumerate(errors) if error.source_ref is None]
    numbers = [errors[index].line_number for index in nameless]
    if not nameless or None in numbers or len(set(numbers)) < len(numbers):
        return nameless
    numbered = arrays.to_numpy(line_numbers)
    still_open = {
        int(numbered[row]): int(row)
        for row in np.flatnonzero((state.answer < 0) & (state.bad_line < 0) & (state.error < 0))
    }
    fits = [
        base
        for base in (0, 1)
        if all(number + 1 - base in still_open for number in numbers if number is not None)
    ]
    if len(fits) != 1:
        return nameless
    for index, number in zip(nameless, numbers, strict=True):
        assert number is not None  # noqa: S101 - checked above; mypy cannot see it
        state.error[still_open[number + 1 - fits[0]]] = index
    return []


def report_lines(
    state: Reconciliation, lines: pa.Table, rows: np.ndarray, source_refs: pa.Array | None
) -> None:
    """Add an anomaly for each of these lines.

    :param rows: rows of ``lines``, ascending.
    :param source_refs: what was asked for; None for every image that a line names.
    """
    if len(rows):
        reported = arrays.take(lines, rows)
        refs = arrays.joined(reported.column("source_ref"))
        was_asked = arrays.is_valid(refs) if source_refs is None else _is_in(refs, source_refs)
        state.anomalies += [
            _line_anomaly(line, asked=bool(asked))
            for line, asked in zip(reported.to_pylist(), was_asked, strict=True)
        ]


def _mark_repetitions(state: Reconciliation, answers: Answers, rows: np.ndarray) -> None:
    """Mark the anomalies about lines that only repeat the line that settled their input.

    :param rows: the line of each anomaly, in their order.
    """
    doubles = [number for number, found in enumerate(state.anomalies) if found.kind == DUPLICATE_RESULT]
    if not doubles:
        return
    wanted = {state.anomalies[number].source_ref for number in doubles}
    settled = state.answer[state.answer >= 0]
    refs = _taken(arrays.joined(answers.lines.column("source_ref")), settled).to_pylist()
    used = {ref: line for ref, line in zip(refs, settled.tolist(), strict=True) if ref in wanted}
    for number in doubles:
        found = state.anomalies[number]
        if _says(answers, used.get(found.source_ref or "", -1)) == _says(answers, int(rows[number])):
            state.anomalies[number] = replace(found, repeats=True)


def _says(answers: Answers, line: int) -> Any:
    """Everything that an answered line says, its place in the file apart."""
    if line < 0:
        return None
    first, last = answers.label_start[line : line + 2].tolist()
    (row,) = answers.lines.slice(line, 1).drop_columns(["line_number", "top_label"]).to_pylist()
    labels = (answers.label_place, answers.label_ambiguous, answers.confidence)
    return row, [column[first:last].tolist() for column in labels]


def _is_in(refs: pa.Array, value_set: pa.Array) -> np.ndarray:
    options = arrays.kernels.SetLookupOptions(value_set=value_set, skip_nulls=True)
    return arrays.to_numpy(arrays.kernels.call_function("is_in", [refs], options))


def _taken(refs: pa.Array, rows: np.ndarray) -> pa.Array:
    return refs if len(rows) == len(refs) else arrays.take(refs, rows)


def _line_anomaly(line: dict[str, Any], *, asked: bool) -> Anomaly:
    outcome, source_ref = Outcome(line["outcome"]), line["source_ref"]
    if outcome is Outcome.ANSWERED:
        kind = DUPLICATE_RESULT if asked else UNEXPECTED_RESULT
        message = "answered more often than asked for" if asked else "the image was not asked for"
    elif source_ref is not None and not asked:
        kind, message = UNEXPECTED_RESULT, f"the image was not asked for, and {OUTCOME_TEXT[outcome]}"
    else:
        kind, message = MALFORMED_LINE, OUTCOME_TEXT[outcome]
    return Anomaly(
        kind=kind, message=message, line_number=line["line_number"], source_ref=source_ref, raw=line["raw"]
    )


def _unexpected_error(error: SummaryError) -> Anomaly:
    return Anomaly(
        kind=UNEXPECTED_ERROR,
        message=f"{error.code}: {error.message or 'no message'} (fits no image that is still open)",
        line_number=error.line_number,
        source_ref=error.source_ref,
        in_summary=True,
    )
