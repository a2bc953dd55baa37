"""The project's own path from results files to Parquet: ``python ours.py FOLDER OUT``."""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path

from spec import COMPLETED_AT, DT, LOAD_ID, MIN_CONFIDENCE, REPOSITORY, job_id, results_files

sys.path.insert(0, str(REPOSITORY / "include"))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # nobody multiplies matrices; idle threads cost 30 ms

from moderation.analyse.record import AnalysisRecord, JobStatus
from moderation.flatten.blocks import iter_blocks
from moderation.flatten.flatten import flatten_unplanned
from moderation.flatten.rows import LoadContext
from moderation.schema import IMAGES, LABELS
from moderation.tables.writer import LoadWriter

CONTEXT = LoadContext(
    load_id=LOAD_ID,
    dt=dt.date.fromisoformat(DT),
    min_confidence=MIN_CONFIDENCE,
    adapter=None,
    model_version=None,
)


def record_of(path: Path) -> AnalysisRecord:
    return AnalysisRecord(
        manifest_id=path.stem,
        manifest_uri=f"s3://moderation-work/{path.stem}.jsonl",
        lines=0,
        backend="bulk",
        status=JobStatus.SUCCEEDED,
        job_id=job_id(path.stem),
        completed_at=dt.datetime.fromisoformat(COMPLETED_AT).replace(tzinfo=dt.UTC),
        min_confidence=MIN_CONFIDENCE,
    )


def main(folder: Path, out: Path) -> None:
    out.mkdir(parents=True)
    with LoadWriter(out, "load") as writer:
        for path in results_files(folder):
            with path.open("rb") as stream:
                for part in flatten_unplanned(CONTEXT, record_of(path), iter_blocks(stream)):
                    writer.write(IMAGES, part.images)
                    for (level, _), rows in part.labels.items():
                        writer.write(LABELS[level], rows)
        writer.finish()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
