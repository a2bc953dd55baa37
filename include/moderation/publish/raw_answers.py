"""Which raw answers a load was first built of: what lies there later is held against it.

::

    {plan}/raw-answers.json    sealed: the ETag of each results file, and when its job had ended

Rekognition gives no checksum of a results file. What is read first is taken as it is; a file that was changed
after that would give other labels under the name of the same job, and no count would tell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from moderation.analyse.record import AnalysisRecord
from moderation.errors import NeedsAPersonError
from moderation.plan.plan import Plan
from moderation.storage import s3_objects
from moderation.storage.state import read_state, seal


class AnswersChangedError(NeedsAPersonError):
    """Raw answers are not those that the load was first built of; the text names both."""


@dataclass
class RawAnswers:
    """What is known of a plan's results files.

    :param known: ETag and end of the job by their URI.
    """

    s3: Any
    uri: str
    known: dict[str, tuple[str, str]]
    new: dict[str, tuple[str, str]] = field(default_factory=dict)

    def check(self, record: AnalysisRecord, etag: str) -> None:
        """Hold a results file that is about to be read against what it was.

        :raises AnswersChangedError: it was changed since; a job that ended later has other answers.
        """
        uri = str(record.results_uri)
        found = (etag, record.completed_at.isoformat() if record.completed_at else "")
        known = self.known.get(uri)
        if known is None or known[1] != found[1]:
            self.new[uri] = found
        elif known[0] != etag:
            raise AnswersChangedError(
                f"{uri} was changed since it was first read ({known[0]}, now {etag}); bring back its earlier "
                f"version. If it is right, as after a restore in parts, delete {self.uri} and run again"
            )

    def forget(self, uri: str) -> None:
        """A results file is about to be changed by us: what it is then is noted afterwards.

        :raises S3Error: it cannot be written.
        """
        if self.known.pop(uri, None) is not None:
            self._write(self.known)

    def keep(self) -> None:
        """Remember what was read for the first time.

        :raises S3Error: it cannot be written.
        """
        if self.new:
            self._write(self.known | self.new)

    def _write(self, files: dict[str, tuple[str, str]]) -> None:
        told = {uri: list(entry) for uri, entry in sorted(files.items())}
        s3_objects.put(self.s3, self.uri, seal({"files": told}))


def read_raw_answers(s3: Any, plan: Plan) -> RawAnswers:
    """What is known of the plan's results files; nothing before they were read.

    :raises AnswersChangedError: the note is damaged.
    :raises S3Error: it cannot be read.
    """
    uri = uri_of(plan)
    known = read_state(
        s3,
        uri,
        parse=lambda told: {str(name): (str(etag), str(end)) for name, (etag, end) in told["files"].items()},
        error=AnswersChangedError,
        remedy="look whether the raw answers are whole, then delete this file: it is made anew",
    )
    return RawAnswers(s3, uri, known or {})


def uri_of(plan: Plan) -> str:
    """Where it is noted."""
    return f"{plan.folder_uri}/raw-answers.json"
