"""Names of files that are plainly no images, as patterns such as ``*.txt``."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from functools import cached_property

_MOST_PATTERNS = 1_000
_WILD = re.compile(r"[*?\[]")

_ENDINGS = """
    7z aac avi avro bak bat bz2 c cfg conf cpp css csv db db-shm db-wal doc docx ds_store duckdb eot
    epub exe flac flv gitattributes gitignore gitkeep go gz h html htm ini ipynb jar java js json
    jsonl jsonlines log lock m4a m4v manifest md md5 mjs mkv mov mp3 mp4 mpeg mpg ndjson odp ods odt
    ogg orc otf parquet pdf php pkl ppt pptx ps1 py pyc rar rb rs rst rtf sh sha256 sql sqlite srt
    sums tar tgz toml ts tsv ttf txt vtt wav webm wma wmv woff woff2 xls xlsx xml xz yaml yml zip
    zst
"""
_WHOLE_NAMES = "thumbs.db desktop.ini license readme makefile _success .keep ._*"


@dataclass(frozen=True)
class NamePatterns:
    """Patterns of shells (``*``, ``?``, ``[…]``) for the last part of a path, in any case of letters."""

    patterns: tuple[str, ...]

    def matching(self, path: str) -> str | None:
        """The pattern that the last part of the path has, None when it has none or is empty."""
        name = path.rpartition("/")[2].casefold()
        if name in self._whole:
            return name
        # A listing has millions of names: an ending is looked up, only odd patterns are tried one by one.
        dot = name.find(".")
        while dot >= 0:
            if name[dot:] in self._endings:
                return f"*{name[dot:]}"
            dot = name.find(".", dot + 1)
        return next((pattern for pattern, odd in self._odd if odd.match(name)), None) if name else None

    def __str__(self) -> str:
        return " ".join(self.patterns) if self is not OTHER_FILES else "default"

    @cached_property
    def _whole(self) -> frozenset[str]:
        return frozenset(pattern for pattern in self.patterns if not _WILD.search(pattern))

    @cached_property
    def _endings(self) -> frozenset[str]:
        return frozenset(pattern[1:] for pattern in self.patterns if _is_ending(pattern))

    @cached_property
    def _odd(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        left = (p for p in self.patterns if _WILD.search(p) and not _is_ending(p))
        return tuple((pattern, re.compile(fnmatch.translate(pattern))) for pattern in left)


def _is_ending(pattern: str) -> bool:
    return pattern.startswith("*.") and not _WILD.search(pattern[1:])


OTHER_FILES = NamePatterns((*(f"*.{ending}" for ending in _ENDINGS.split()), *_WHOLE_NAMES.split()))
"""Well-known kinds of files; formats of images that Rekognition refuses are not among them."""


def parse(text: str) -> NamePatterns:
    """Read patterns separated by white space or commas.

    ``default`` among them stands for `OTHER_FILES`; ``none`` alone for no pattern at all.

    :raises ValueError: one of them has a slash, or there are more than a thousand.
    """
    words = [word.casefold() for word in re.split(r"[\s,]+", text) if word]
    if words == ["default"]:
        return OTHER_FILES
    found = [] if words == ["none"] else words
    if not words or "none" in found or any("/" in word for word in found) or len(found) > _MOST_PATTERNS:
        raise ValueError(
            "expected patterns of names without a slash, such as default *.sidecar; none for no pattern"
        )
    each = (OTHER_FILES.patterns if word == "default" else (word,) for word in found)
    return NamePatterns(tuple(dict.fromkeys(pattern for patterns in each for pattern in patterns)))
