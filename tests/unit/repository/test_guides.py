"""The guides are true: links lead to files and headings, and messages to look up are printed somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GUIDES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINKS = [
    (guide, link)
    for guide in GUIDES
    for link in re.findall(r"\]\(([^)\s]+)\)", guide.read_text(encoding="utf-8"))
    if not re.match(r"[a-z]+:", link)
]
MESSAGES = [
    message
    for message in re.findall(
        r"^\| `([^`]+)`", (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    if message != "Unable to locate credentials"  # botocore's
]


def anchors(guide: Path) -> set[str]:
    """The addresses of a guide's headings, as the usual pages of repositories make them."""
    headings = re.findall(r"^#+ (.+)$", guide.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("guide", "link"), LINKS, ids=[f"{g.name}:{link}" for g, link in LINKS])
def test_a_link_leads_to_a_file_and_a_heading_that_are_there(guide: Path, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = guide.parent / path if path else guide
    assert target.exists()
    assert not anchor or anchor in anchors(target)


@pytest.fixture(scope="module")
def code() -> str:
    """All texts of the code, those in several pieces joined."""
    files = [path for part in ("include", "plugins") for path in (ROOT / part).rglob("*.py")]
    files.append(ROOT / "Makefile")
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return re.sub(r"\"\s*\n\s*f?\"", "", text)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_of_the_troubleshooting_is_one_that_the_program_prints(message: str, code: str) -> None:
    pieces = [piece.strip() for piece in message.split("…") if len(piece.strip()) > 3]
    assert pieces
    assert all(piece in code for piece in pieces), [piece for piece in pieces if piece not in code]
