"""Label Studio's export (JSON) becomes a file for ``moderation verdicts import``.

::

    python examples/label_studio.py export.json truth.jsonl
    moderation verdicts import truth.jsonl

For a project that shows the image as ``data.image`` and asks by ``<Choices>`` with the names of the taxonomy.
What a person chose is taken for all there is in the image; a task that was skipped is left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

IMAGE = "image"
"""The key of a task's data that holds the image's address, ``s3://bucket/key``."""


def lines(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One line for each person who answered each task."""
    for task in tasks:
        for annotation in task.get("annotations", []):
            if annotation.get("was_cancelled"):
                continue
            chosen = [
                name
                for result in annotation.get("result", [])
                for name in result.get("value", {}).get("choices", [])
            ]
            person = annotation.get("completed_by")
            name = person.get("email") if isinstance(person, dict) else person
            yield {
                "source_ref": task["data"][IMAGE],
                "labels": chosen,
                "reviewer": f"label-studio:{name}",
                "decided_at": annotation.get("created_at"),
            }


def main(source: str, target: str) -> None:
    """Read the export, write JSON Lines."""
    tasks = json.loads(Path(source).read_text(encoding="utf-8"))
    with Path(target).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines(tasks))


if __name__ == "__main__":
    main(*sys.argv[1:])
