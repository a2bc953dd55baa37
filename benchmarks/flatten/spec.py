"""What every engine gets and gives; imported by all of them, so it needs nothing but Python."""

from __future__ import annotations

import csv
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TAXONOMY = REPOSITORY / "include" / "moderation" / "reference" / "data" / "taxonomy_v7.csv"

LOAD_ID = "20261122T020000Z-4f1c0a9b77de"
DT = "2026-11-22"
COMPLETED_AT = "2026-11-22 02:00:00"
MIN_CONFIDENCE = 50.0
ROW_GROUP_ROWS = 125_000
CONTENT_TYPES = ("none", "illustrated", "animated", "illustrated_animated")
NO_ANSWER = "the line holds no detect-moderation-labels"
NOT_JSON = "the line is not valid JSON; it may be cut off"


def job_id(manifest_id: str) -> str:
    """Id of the job that answered a manifest; the results file is named after the manifest."""
    return f"job-{manifest_id}"


def results_files(folder: str | Path) -> list[Path]:
    return sorted(Path(folder).glob("*.jsonl"))


def taxonomy() -> list[dict[str, str | int | None]]:
    """Name, level and path of each label."""
    with TAXONOMY.open(encoding="utf-8") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}

    def path(name: str) -> list[str]:
        parent = rows[name]["parent_name"]
        return [*path(parent), name] if parent else [name]

    def entry(name: str) -> dict[str, str | int | None]:
        names = [*path(name), None, None][:3]
        return {"name": name, "level": len(path(name)), "l1": names[0], "l2": names[1], "l3": names[2]}

    return [entry(name) for name in rows]
