"""Images that were erased, in what the console keeps on this machine."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from moderation.console.shared import usual_cache
from moderation.console.tiles.kept import Tiles
from moderation.settings import ConsoleSettings
from moderation.sources.decoding.decoders import Decoders


def forget_images(rows: Iterable[Mapping[str, Any]], load_ids: Collection[str]) -> int:
    """Delete small images, and what is kept of loads; returns how many files. May be repeated.

    A console that runs makes the index of a load anew when its file is gone.

    :param rows: of `images`: ``source_ref``, ``etag`` and ``size_bytes``.
    """
    folder = ConsoleSettings.from_env().cache_dir or usual_cache()
    if not folder.is_dir():
        return 0
    tiles = Tiles(None, folder / "images", Decoders(0), max_bytes=0)
    gone = sum(map(tiles.forget, rows))
    for load_id in load_ids:
        for path in sorted((folder / "loads").glob(f"{load_id}-*")):
            path.unlink(missing_ok=True)
            gone += 1
    return gone
