"""What the offline model answers to the demo images, and the tables that come of it."""

from __future__ import annotations

from pathlib import Path

import local_aws
from support import small_warehouse
from support.small_warehouse import DAYS, FIRST_LOAD, chain, image

FOLDER = Path(local_aws.__file__).parent / "demo_images"
FILES = sorted([*FOLDER.glob("illustrations/*.png"), *FOLDER.glob("photos/*.jpg")])
LABELS = {
    "rifle": ("Violence", "Weapons", 94.13),
    "handgun": ("Violence", "Weapons", 82.39),
    "longsword": ("Violence", "Weapons", 86.22),
    "wine": ("Alcohol", "Alcoholic Beverages", 74.63),
    "wine-bottle": ("Alcohol", "Alcoholic Beverages", 79.96),
}
"""L1, L2 and confidence of those that have labels."""


def is_animated(path: Path) -> bool:
    """Whether it gets the content type Animated; child.jpg is the one known mistake, see models/README.md."""
    return path.parent.name == "illustrations" or path.stem == "child"


def warehouse(path: Path) -> Path:
    """A DuckDB file as a first run over the demo images leaves it behind."""
    story = []
    for number, file in enumerate(FILES, 1):
        found = LABELS.get(file.stem)
        labels = chain(f"{found[0]} > {found[1]}", found[2]) if found else []
        kind = "animated" if is_animated(file) else "none"
        story.append((image(FIRST_LOAD, number, file.name, content_type=kind, labels=labels), labels))
    counts = {"listed": len(FILES), "images": len(FILES), "moderated": len(FILES), "billed": len(FILES)}
    load = {"load_id": FIRST_LOAD, "dt": DAYS[FIRST_LOAD], "cost_usd": 0.022, **counts}
    return small_warehouse.write(path, {**small_warehouse.tables(story), "loads": [load]})
