from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moderation.cli import main
from moderation.maintenance.place import ForeignPlaceError, prove_fit
from moderation.settings import Settings

FOREIGN = [["notes.txt"], ["images/2024/a.jpg"], ["_iceberg/images/x", "Desktop/a"], [".hidden"]]
FIT = [[], ["_iceberg/catalog.db"], ["_iceberg/images/m.json", "images/dt=2026-11-22/a.parquet", "_spool/x"]]


@pytest.fixture
def settings(tmp_path: Path, aws_env: Any) -> Settings:
    return replace(Settings.from_env({}), tables_uri=str(tmp_path / "in-use"))


@pytest.fixture(params=["folder", "prefix"])
def place(request: Any, tmp_path: Path, bucket: str, s3_client: Any, settings: Settings) -> Any:
    """Makes a place that holds files of these names."""

    def make(names: list[str]) -> Settings:
        if request.param == "prefix":
            for name in ["beside/other.txt", *(f"into/{name}" for name in names)]:
                s3_client.put_object(Bucket=bucket, Key=name, Body=b"x")
            return replace(settings, tables_uri=f"s3://{bucket}/into")
        for name in names:
            path = tmp_path / "into" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
        return replace(settings, tables_uri=str(tmp_path / "into"))

    return make


@pytest.mark.parametrize("names", FOREIGN)
def test_tables_are_not_written_among_files_of_others(
    place: Any, settings: Settings, names: list[str]
) -> None:
    with pytest.raises(ForeignPlaceError, match="is no folder of tables; name an empty one"):
        prove_fit(place(names), beside=settings)


@pytest.mark.parametrize("names", FIT)
def test_an_empty_place_and_one_of_tables_are_fit(place: Any, settings: Settings, names: list[str]) -> None:
    prove_fit(place(names), beside=settings)


@pytest.mark.parametrize("below", ["images", "again/once", ""])
def test_a_place_inside_the_tables_in_use_is_refused(settings: Settings, below: str) -> None:
    inside = replace(settings, tables_uri=f"{settings.tables_uri}/{below}".rstrip("/"))
    with pytest.raises(ForeignPlaceError, match="lies in the tables in use"):
        prove_fit(inside, beside=settings)


def test_the_command_refuses_a_folder_of_somebody_and_leaves_it_alone(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("x")
    assert main.main(["rebuild", "--into", str(tmp_path / "photos")], settings=settings) == 2
    assert "holds 'a.jpg' and is no folder of tables" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["photos", "a.jpg"]
