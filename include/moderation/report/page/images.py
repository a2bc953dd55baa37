"""The ways from a page to the images that it counts, and to the run that made it.

A page is a file: it cannot know where it is opened. So it only marks what has a way, and the web server that
serves it beside the console makes links of the marks. From a disk they are plain text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from urllib.parse import quote, urlencode

from moderation.reference.taxonomy import PATH_SIGN

_LONGEST = 400
"""Characters that the console takes as a label or as a text to search."""

_MARK = re.compile(
    rb'<to-images( class="back")? data-to="(jobs/[\w.%-]+(?:\?[\w.%+=&;*~-]*)?)">(.*?)</to-images>', re.DOTALL
)


TO_RUN = "<to-run></to-run>"
"""Where the way to the run stands: nothing where no server knows the run."""


def of_load(load_id: str) -> str:
    """The place of a load's images, relative to the console."""
    return f"jobs/{quote(load_id, safe='')}"


def of_label(load_id: str, path: Sequence[str]) -> str | None:
    """The place of the images with a label; None where the console has no such label.

    :param path: its names from level 1 down, as in `images_by_label`.
    """
    label = PATH_SIGN.join(path)
    # What the query calls unknown has no name in the answers.
    return None if len(label) > _LONGEST or "unknown" in path else _chosen(load_id, label=label)


def of_code(load_id: str, code: str) -> str | None:
    """The place of the images that failed with a code."""
    return None if len(code) > _LONGEST else _chosen(load_id, show="failed", code=code)


def of_failure(load_id: str, source_ref: str) -> str | None:
    """The place of one image that failed."""
    return None if len(source_ref) > _LONGEST else _chosen(load_id, show="failed", q=source_ref)


def of_type(load_id: str, kind: str) -> str:
    """The place of the images of a content type."""
    return _chosen(load_id, show="all", type=kind)


def with_links(page: bytes, console: str, *, run: str | None = None) -> bytes:
    """The page with a link in place of each mark.

    :param console: path of the console on the same server, without a slash at its end.
    :param run: address of the run's page; None when it is not known, or is no more.
    """
    base = html.escape(console).encode().replace(b"\\", rb"\\")
    way = f'<a class="back" href="{html.escape(run)}">Its run in Airflow →</a>' if run else ""
    page = page.replace(TO_RUN.encode(), way.encode())
    return _MARK.sub(rb'<a\1 href="' + base + rb'/\2">\3</a>', page)


def _chosen(load_id: str, **query: str) -> str:
    return f"{of_load(load_id)}?{urlencode(query, errors='replace')}"
