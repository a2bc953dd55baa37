"""`moderation verify` names each published file that is not as it was written, and its remedy helps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moderation.cli import main
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.files import local_path
from support.planned_runs import Run, answer, line, weapon_violence


@pytest.fixture
def published(local_settings: Settings, s3_client: Any) -> Settings:
    """Two loads, with the job records that the task publish keeps."""
    # Publishing is slow to import.
    from moderation.publish.commit import publish  # noqa: PLC0415

    for name in ("first", "second"):
        run = Run(local_settings, s3_client, name=name)
        refs = [f"s3://archive/{name}/{number}.jpg" for number in range(3)]
        run.manifest(refs, b"\n".join(line(ref, answer(weapon_violence(60.0))) for ref in refs))
        plan = run.store()
        for record in run.records:
            s3_objects.put(s3_client, plan.analysis_record_uri(record.manifest_id), record.to_json())
        publish(local_settings, plan, run.records)
    return local_settings


@pytest.fixture
def verify(published: Settings, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def call(*options: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main.main(["verify", *options], settings=published)
        return code, capsys.readouterr().out

    return call


def files(settings: Settings) -> list[Path]:
    tables = local_path(settings.tables_uri)
    return sorted(path for path in tables.rglob("*.parquet") if "_iceberg" not in path.parts)


def records(settings: Settings, s3_client: Any) -> list[str]:
    prefix = s3_objects.join_uri(settings.work_uri, "checksums") + "/"
    bucket = s3_objects.split_uri(prefix).bucket
    return [f"s3://{bucket}/{entry['Key']}" for entry in s3_objects.list_objects(s3_client, prefix)]


def flip(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


@pytest.mark.slow
def test_what_is_whole_is_counted_also_after_a_compaction_and_by_load(published, verify, s3_client):
    found = files(published)
    size = sum(path.stat().st_size for path in found)
    code, told = verify()
    assert (code, told.split(" have")[0]) == (0, f"{len(found)} files ({size:,} bytes)")
    load_id = min(found).name.rpartition("-")[0].rpartition("-")[0]
    code, told = verify("--load", load_id)
    assert (code, told.split(" files")[0]) == (0, str(len([path for path in found if load_id in path.name])))

    assert main.main(["compact"], settings=published) == 0
    code, told = verify()
    assert code == 0
    assert "have none on record" not in told
    assert len(records(published, s3_client)) > 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "recorded"),
    [
        pytest.param(flip, True, id="flipped"),
        pytest.param(flip, False, id="flipped, of an earlier release", marks=pytest.mark.long),
        pytest.param(Path.unlink, True, id="deleted", marks=pytest.mark.long),
        pytest.param(
            lambda path: path.write_bytes(b""),
            False,
            id="emptied, of an earlier release",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_damaged_file_is_named_and_made_anew_by_the_remedy(published, verify, s3_client, damage, recorded):
    if not recorded:
        for uri in records(published, s3_client):
            s3_objects.delete(s3_client, uri)
    path = next(path for path in files(published) if "labels_l2" in path.parts)
    damage(path)

    code, told = verify()

    assert code == 1
    assert "1 files or verdicts are damaged or missing" in told
    assert str(path) in told
    assert "`moderation rebuild` makes it anew" in told
    assert main.main(["rebuild"], settings=published) == 0
    code, told = verify()
    assert code == 0
    assert "on record" not in told, "a rebuild records what an earlier release did not"


@pytest.mark.slow
def test_a_page_of_the_mirror_that_is_damaged_is_named_and_made_anew_by_the_remedy(published, verify):
    assert main.main(["load", "--all"], settings=published) == 0
    assert verify()[0] == 0
    file = min(published.parquet_mirror.glob("images/2*.parquet"))
    whole = file.read_bytes()
    file.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    code, told = verify()
    assert code == 1
    assert f"{file} is damaged, or not this install's; run `moderation load --all`" in told
    assert main.main(["load", "--all"], settings=published) == 0
    assert file.read_bytes() == whole


@pytest.mark.slow
def test_a_record_that_is_damaged_is_named_and_written_anew_by_a_rebuild(published, verify, s3_client):
    uri = records(published, s3_client)[0]
    s3_objects.put(s3_client, uri, b"{}")
    code, told = verify()
    assert code == 1
    assert uri in told
    assert main.main(["rebuild"], settings=published) == 0
    assert verify()[0] == 0
