from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moderation import stages
from moderation.cli.boundary import DONE
from moderation.cli.main import main
from moderation.errors import NeedsAPersonError
from moderation.maintenance.rebuild import other_tables, rebuild
from moderation.publish import standing, verdicts
from moderation.review.state.open import State, open_state
from moderation.review.verdict import Verdict
from moderation.settings import Settings
from moderation.storage.files import local_path
from support.killed import killed_at
from support.verdict_rows import verdict_row


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = open_state(str(tmp_path / "review.db"))
    yield opened
    opened.close()


def say(state: State, *numbers: int, **given: Any) -> None:
    state.log.append([Verdict.from_row(verdict_row(number, **given)) for number in numbers])


def published(settings: Settings) -> dict[str, Verdict]:
    parts = verdicts.published_verdicts(settings)
    found = [verdict for part in parts for verdict in part]
    assert len({verdict.verdict_id for verdict in found}) == len(found)
    return {verdict.verdict_id: verdict for verdict in found}


@pytest.mark.parametrize("step", ["uploaded", "listed", "shown"])
def test_a_publish_that_is_killed_and_run_again_gives_each_verdict_once(
    local_settings: Settings, state: State, step: str
) -> None:
    say(state, 1, 2)
    with killed_at(step, standing):
        stages.publish_verdicts(state, settings=local_settings)
    say(state, 3)
    stages.publish_verdicts(state, settings=local_settings)
    assert sorted(published(local_settings)) == ["v1", "v2", "v3"]
    assert stages.publish_verdicts(state, settings=local_settings).rows == 0


def test_what_a_reviewer_said_comes_back_whole_into_a_state_that_was_lost(
    local_settings: Settings, state: State, tmp_path: Path
) -> None:
    say(state, 1, note="toy gun", inclusion_probability=0.25, design="simple", confidence=71.5, seed=7)
    say(state, 2, etag="0" * 32, size_bytes=9)
    stages.publish_verdicts(state, settings=local_settings)
    lost = open_state(str(tmp_path / "new.db"))
    try:
        assert verdicts.restore(local_settings, lost.log) == (2, 0)
        assert verdicts.restore(local_settings, lost.log) == (0, 2)
        assert lost.log.of_contents(["c1", "c2"]) == state.log.of_contents(["c1", "c2"])
        assert lost.log.waiting()[0] == 0
    finally:
        lost.close()


def test_of_an_erased_verdict_no_file_tells_the_image_any_more(
    local_settings: Settings, state: State
) -> None:
    say(state, 1, 2, note="about a person", load_id="20261122T020000Z-4f1c0a9b77de", line_number=4)
    stages.publish_verdicts(state, settings=local_settings)
    say(state, 3)
    state.log.erase(contents=["c1", "c3"])  # of which one is not published yet
    stages.publish_verdicts(state, settings=local_settings)
    found = published(local_settings)
    assert [found[name].erased for name in ("v1", "v2", "v3")] == [True, False, True]
    one = found["v1"]
    assert {one.content, one.source_ref, one.note, one.load_id, one.line_number} == {None}
    assert (one.label, one.verdict, one.reviewer) == ("Weapons", "present", "ana")
    root = local_path(local_settings.tables_uri)
    for path in (path for path in root.rglob("*") if path.is_file() and "catalog" not in path.name):
        assert b"archive/1.jpg" not in path.read_bytes(), path


@pytest.mark.slow
def test_verdicts_outlive_a_rebuild_and_the_catalog(
    local_settings: Settings, state: State, tmp_path: Path
) -> None:
    say(state, 1, 2)
    stages.publish_verdicts(state, settings=local_settings)
    Path(local_settings.catalog_uri.removeprefix("sqlite:///")).unlink()
    rebuild(local_settings)
    assert sorted(published(local_settings)) == ["v1", "v2"]
    elsewhere = other_tables(local_settings, str(tmp_path / "other"), None)
    rebuild(local_settings, into=elsewhere)
    assert sorted(published(elsewhere)) == ["v1", "v2"]
    assert list((tmp_path / "other" / "verdicts" / "dt=2026-11-22").glob("*.parquet"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    ["one bit", *(pytest.param(damage, marks=pytest.mark.long) for damage in ("deleted", "emptied"))],
)
def test_a_damaged_file_of_verdicts_is_named_and_what_its_text_says_mends_it(
    local_settings: Settings, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    say(state, 1, 2)
    stages.publish_verdicts(state, settings=local_settings)
    (file,) = local_path(local_settings.tables_uri).glob("verdicts/dt=*/*.parquet")
    body = file.read_bytes()
    if damage == "deleted":
        file.unlink()
    else:
        file.write_bytes(b"" if damage == "emptied" else body[:50] + bytes([body[50] ^ 4]) + body[51:])
    for use in (stages.load_verdicts, verdicts.restore):
        with pytest.raises(NeedsAPersonError, match=rf"{file.name}.*moderation verdicts publish --anew"):
            use(settings=local_settings) if use is stages.load_verdicts else use(local_settings, state.log)
    words = ["verdicts", "publish", "--anew"]
    with killed_at("listed", standing):
        main(words, settings=local_settings)
    assert main(words, settings=local_settings) == DONE
    assert sorted(published(local_settings)) == ["v1", "v2"]
    assert stages.load_verdicts(settings=local_settings)["verdicts"] == 2
