"""What is paid for is never lost in silence: torn ends are cut off, damage anywhere else has a name."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from moderation.analyse.detect.checkpoint import Spool, decode, delete_parts, encode, load_parts, store_part
from moderation.analyse.detect.errors import CheckpointDamaged, OwnedElsewhere
from support.fake_s3 import FakeS3

JOB = "detect-0123"
IMAGES = {n: f"s3://b/{n}.jpg" for n in (1, 2, 4)}
ANSWER = {"ModerationLabels": [{"Name": "ünïcode\n", "Confidence": 99.86129760742188}]}
FOLDER = "s3://b/out/checkpoint"


def spool_with(path: Path, *numbers: int) -> Path:
    with Spool(path, JOB, IMAGES) as spool:
        for number in numbers:
            spool.add(number, answer=ANSWER)
    return path


def record(number: int, **outcome: object) -> bytes:
    return encode({"line": number, "source-ref": IMAGES[number], **(outcome or {"answer": ANSWER})})


def test_what_was_added_is_there_again(tmp_path: Path) -> None:
    with Spool(spool_with(tmp_path / "s", 1, 4), JOB, IMAGES) as spool:
        assert [number in spool for number in IMAGES] == [True, False, True]
        assert spool.read(4) == {"line": 4, "source-ref": IMAGES[4], "answer": ANSWER}
        assert spool.read(2) is None
        assert spool.unsent() == [1, 4]


def test_the_file_is_nobody_elses_to_read(tmp_path: Path) -> None:
    path = spool_with(tmp_path / "folder" / "s", 1)
    assert (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_torn_end_costs_its_own_record_only_wherever_it_tore(tmp_path: Path) -> None:
    whole = spool_with(tmp_path / "whole", 1, 2).read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for length in range(start, len(whole)):
        path = tmp_path / "torn"
        path.write_bytes(whole[:length])
        with Spool(path, JOB, IMAGES) as spool:
            assert (1 in spool, 2 in spool) == (True, False)
            spool.add(2, answer=ANSWER)
        assert path.read_bytes() == whole


def test_a_first_record_torn_by_a_kill_starts_afresh(tmp_path: Path) -> None:
    whole = spool_with(tmp_path / "whole").read_bytes()
    (tmp_path / "torn").write_bytes(whole[:-3])
    assert spool_with(tmp_path / "torn", 1).read_bytes() == spool_with(tmp_path / "new", 1).read_bytes()


def test_every_single_byte_of_damage_to_a_part_has_a_name() -> None:
    s3 = FakeS3()
    store_part(s3, FOLDER, JOB, [record(1), record(2, error={"code": "X", "message": "y"})])
    ((key, (body, modified)),) = s3.objects.items()
    for position in range(len(body)):
        for mask in (0x01, 0x20, 0x80, 0xFF):
            damaged = bytearray(body)
            damaged[position] ^= mask
            s3.objects[key] = (bytes(damaged), modified)
            with pytest.raises(CheckpointDamaged, match=key):
                list(load_parts(s3, FOLDER, JOB, IMAGES))


def test_every_single_byte_of_damage_to_a_spool_has_a_name_or_costs_the_last_record(tmp_path: Path) -> None:
    whole = spool_with(tmp_path / "whole", 1, 2).read_bytes()
    path = tmp_path / "damaged"
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x20
        path.write_bytes(damaged)
        if position == len(whole) - 1:  # without its line end the last record looks torn
            with Spool(path, JOB, IMAGES) as spool:
                assert (1 in spool, 2 in spool) == (True, False)
        else:
            with pytest.raises(CheckpointDamaged, match="damaged"):
                Spool(path, JOB, IMAGES)


@pytest.mark.parametrize("cut", ["record", "byte", "all"])
def test_a_shortened_part_has_a_name(cut: str) -> None:
    s3 = FakeS3()
    store_part(s3, FOLDER, JOB, [record(1), record(2)])
    ((key, (body, modified)),) = s3.objects.items()
    short = {"record": body[: body.rindex(b"\n", 0, -1) + 1], "byte": body[:-1], "all": b""}[cut]
    s3.objects[key] = (short, modified)
    with pytest.raises(CheckpointDamaged, match=key):
        list(load_parts(s3, FOLDER, JOB, IMAGES))


@pytest.mark.parametrize(
    "value",
    [
        {"line": 3, "source-ref": "s3://b/3.jpg", "answer": {}},
        {"line": 1, "source-ref": "s3://b/other.jpg", "answer": {}},
        {"line": 1, "source-ref": IMAGES[1]},
        {"line": 1, "source-ref": IMAGES[1], "answer": {}, "error": {}},
    ],
)
def test_a_record_of_other_work_is_refused(tmp_path: Path, value: dict[str, object]) -> None:
    path = spool_with(tmp_path / "s")
    with path.open("ab") as file:
        file.write(encode(value))
    with pytest.raises(CheckpointDamaged, match="line 2"):
        Spool(path, JOB, IMAGES)


def test_a_file_of_another_run_is_refused(tmp_path: Path) -> None:
    path = spool_with(tmp_path / "s", 1)
    with pytest.raises(CheckpointDamaged, match="belongs to"):
        Spool(path, "detect-other", IMAGES)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        Spool(tmp_path / "s", JOB, IMAGES),
        pytest.raises(OwnedElsewhere, match="locked"),
    ):
        Spool(tmp_path / "s", JOB, IMAGES)


def test_a_full_disk_leaves_whole_records_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s"
    with Spool(path, JOB, IMAGES) as spool:
        spool.add(1, answer=ANSWER)
        write = os.write
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
            with pytest.raises(OSError, match="7 of"):
                spool.add(2, answer=ANSWER)
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", _no_space)
            with pytest.raises(OSError, match="No space"):
                spool.add(2, answer=ANSWER)
        spool.add(4, answer=ANSWER)
    with Spool(path, JOB, IMAGES) as spool:
        assert [number in spool for number in IMAGES] == [True, False, True]


def _no_space(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_was_sent_is_not_sent_again_and_another_machine_has_it_all(tmp_path: Path) -> None:
    s3 = FakeS3()
    with Spool(tmp_path / "here", JOB, IMAGES) as spool:
        spool.add(1, answer=ANSWER)
        spool.send(s3, FOLDER, spool.unsent())
        spool.add(2, error={"code": "X", "message": "y"})
        assert spool.unsent() == [2]
        spool.send(s3, FOLDER, spool.unsent())
        assert spool.unsent() == []
    with Spool(tmp_path / "there", JOB, IMAGES) as spool:
        for number, data in load_parts(s3, FOLDER, JOB, IMAGES):
            spool.merge(number, data)
        assert [number in spool for number in IMAGES] == [True, True, False]
        assert spool.unsent() == []
    delete_parts(s3, FOLDER)
    assert not s3.objects


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_records_of_a_line_all_machines_choose_the_same_and_answers_win(
    tmp_path: Path, order: tuple[int, int]
) -> None:
    both = [record(1), record(1, error={"code": "Throttling", "message": "m"})]
    with Spool(tmp_path / "s", JOB, IMAGES) as spool:
        for index in order:
            spool.merge(1, both[index])
        found = spool.read(1)
    assert found is not None
    assert "answer" in found


def test_numbers_come_back_bit_for_bit() -> None:
    value = {"a": 99.86129760742188, "b": 100, "c": 1e-7, "d": 5e-324}
    assert repr(decode(encode(value), "x")) == repr(value)
