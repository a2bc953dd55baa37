from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from moderation import stages
from moderation.cli.boundary import DONE
from moderation.cli.main import main
from moderation.query.published_views import open_published
from moderation.review.state.open import open_state
from moderation.settings import Settings
from support.published_loads import publish_plain


@pytest.fixture
def reviewed(
    local_settings: Settings, s3_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Six published images with Weapon Violence, of which two are decided: one of them wrong."""
    monkeypatch.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    publish_plain(local_settings, s3_client, "plain")
    lines = tmp_path / "verdicts.csv"
    lines.write_text(
        "source_ref,label,verdict,reviewer\n"
        "s3://archive/plain/0.jpg,Weapon Violence,true_positive,eve\n"
        "s3://archive/plain/1.jpg,Weapon Violence,false_positive,eve\n"
    )
    assert main(["verdicts", "import", str(lines)], settings=local_settings) == DONE
    state = open_state()
    try:
        stages.publish_verdicts(state, settings=local_settings)
    finally:
        state.close()
    return local_settings


@pytest.mark.slow
def test_numbers_are_printed_exported_published_and_written_as_a_page(
    reviewed: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["review", "stats", "--label", "weapon violence"], settings=reviewed) == DONE
    out = capsys.readouterr().out
    assert "verified: tp 1, fp 1, fn 0, tn 0, unsure 0, not verified 4" in out
    assert "precision: not measurable: nothing of what was flagged was drawn at random" in out
    assert "Weapon Violence: false positives 1 of 20, false negatives 0 of 50" in out

    assert main(["review", "stats", "--json"], settings=reviewed) == DONE
    told = json.loads(capsys.readouterr().out)
    assert {one["reviewer"] for one in told["people"]} == {"reviewer 1"}

    parquet, page = tmp_path / "numbers.parquet", tmp_path / "numbers.html"
    words = ["review", "numbers", "--export", str(parquet), "--page", str(page), "--publish"]
    assert main(words, settings=reviewed) == DONE
    sql = "SELECT value FROM {} WHERE measure = 'fp' AND label = 'Weapon Violence' AND load_id IS NULL "
    sql += "AND week IS NULL AND content_type IS NULL"
    assert duckdb.sql(sql.format(f"'{parquet}'")).fetchall() == [(1.0,)]
    with open_published(reviewed) as connection:
        assert connection.execute(sql.format("review_numbers")).fetchall() == [(1.0,)]
    assert "Weapon Violence" in page.read_text()
    assert "eve" not in page.read_text().replace("level", "").replace("never", "").replace("every", "")
