"""What was seen of images, kept by content: used again, bounded, private, and not believed when damaged."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from local_aws.inference.moderator import Examination
from local_aws.rekognition.images.analysis import Analyzer
from local_aws.rekognition.images.kept import KeptLooks, Look, kept_looks
from local_aws.rekognition.images.parcels import Parcel
from local_aws.rekognition.limits import Limits
from support import pictures
from support.hash_moderator import HashModerator

SCORES = {"Gambling": 0.1 + 0.2, "Weapons": 1e-9}
MADE = {"model": "m"}


def name_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def look(copies: int = 0) -> Look:
    return Look(SCORES, np.arange(8 * (1 + copies), dtype=np.float16).reshape(1 + copies, 8))


def keeper(folder: Path, **changed: object) -> KeptLooks:
    return KeptLooks(folder / "looks", MADE | changed, max_bytes=1_000_000)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


class CountingModerator(HashModerator):
    """Counts what it looks at: images, and copies of them."""

    def __init__(self) -> None:
        super().__init__()
        self.looked: list[int] = []

    def examine(self, data: bytes, *, views: int = 0) -> Examination:
        self.looked += range(1 + views)
        seen = super().examine(data)
        rows = np.concatenate([seen.features, *(seen.features + n for n in range(1, 1 + views))])
        return dataclasses.replace(seen, features=rows)

    def examine_copies(self, data: bytes, *, views: int, behind: int = 0) -> NDArray[np.float32]:
        self.looked += range(1 + behind, 1 + views)
        plain = super().examine(data).features
        return np.concatenate([plain + n for n in range(1 + behind, 1 + views)])


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Parcel]:
    with Parcel.of(pictures.jpeg(90, 90), tmp_path) as parcel:
        yield parcel


def analyzer(folder: Path, limits: Limits | None = None, version: str = "v") -> Analyzer:
    limits = limits or Limits()
    return Analyzer(
        CountingModerator(),
        limits,
        version,
        kept=kept_looks(folder / "looks", version, limits, max_bytes=10**6),
    )


def looked(one: Analyzer) -> list[int]:
    assert isinstance(one.moderator, CountingModerator)
    return one.moderator.looked


def learn_from(one: Analyzer, image: Parcel, views: int) -> Look:
    return one.look(image, views=views, known=one.known(image))


def same(one: Look, other: Look) -> bool:
    return dict(one.scores) == dict(other.scores) and one.features.tobytes() == other.features.tobytes()


def test_a_training_looks_at_the_copies_alone_of_an_image_that_was_answered_before(
    tmp_path: Path, image: Parcel
) -> None:
    fresh = learn_from(analyzer(tmp_path / "other"), image, 2)
    one = analyzer(tmp_path)
    one.analyse(image, None)
    again = analyzer(tmp_path)
    assert same(learn_from(again, image, 2), fresh)
    assert (looked(one), looked(again)) == ([0], [1, 2])


def test_a_second_training_looks_at_nothing(tmp_path: Path, image: Parcel) -> None:
    first = learn_from(analyzer(tmp_path), image, 2)
    again = analyzer(tmp_path)
    assert same(learn_from(again, image, 2), first)
    assert same(learn_from(again, image, 1), first.first(1))
    again.analyse(image, None)
    assert same(learn_from(again, image, 2), first)
    assert looked(again) == [0]  # the answer's own


def test_an_answer_is_always_a_new_look(tmp_path: Path, image: Parcel) -> None:
    one = analyzer(tmp_path)
    assert one.analyse(image, None) == one.analyse(image, None)
    assert looked(one) == [0, 0]


@pytest.mark.parametrize(
    ("limits", "version"),
    [(Limits(), "another"), (Limits(min_side=81), "v"), (Limits(image_bytes=10**6), "v")],
)
def test_another_model_or_other_limits_look_anew(
    tmp_path: Path, image: Parcel, limits: Limits, version: str
) -> None:
    learn_from(analyzer(tmp_path), image, 1)
    other = analyzer(tmp_path, limits, version)
    learn_from(other, image, 1)
    assert looked(other) == [0, 1]
    assert len(files(tmp_path / "looks")) == 1


@pytest.mark.parametrize("content", [b"", b"\0" * 7])
def test_what_was_damaged_or_cut_off_is_looked_at_again(
    tmp_path: Path, image: Parcel, content: bytes
) -> None:
    first = learn_from(analyzer(tmp_path), image, 1)
    (file,) = files(tmp_path / "looks")
    file.write_bytes(content)
    again = analyzer(tmp_path)
    assert same(learn_from(again, image, 1), first)
    assert looked(again) == [0, 1]
    assert again.known(image) is not None


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage", [lambda one: one[:-1], lambda one: one + b"x", lambda _: b"", lambda one: one[:20]]
)
def test_what_is_not_whole_is_none(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    kept = keeper(tmp_path)
    kept.keep(name_of(1), look())
    (file,) = files(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    assert kept.find(name_of(1)) is None
    assert not files(tmp_path)


def test_every_bit_counts(tmp_path: Path) -> None:
    kept = keeper(tmp_path)
    kept.keep(name_of(1), look())
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(flipped(whole, place))
        assert kept.find(name_of(1)) is None
    file.write_bytes(whole)
    found = kept.find(name_of(1))
    assert found is not None
    assert same(found, look())


def test_the_look_of_one_image_is_not_taken_for_anothers(tmp_path: Path) -> None:
    kept = keeper(tmp_path)
    kept.keep(name_of(1), look())
    (file,) = files(tmp_path)
    other = file.parent.parent / name_of(2)[:2] / name_of(2)
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(file.read_bytes())
    assert kept.find(name_of(2)) is None


def test_the_least_lately_used_give_way(tmp_path: Path) -> None:
    room = 20 * 4096
    kept = KeptLooks(tmp_path / "looks", MADE, max_bytes=room)
    for number in range(20):
        kept.keep(name_of(number), look())
        (file,) = [one for one in files(tmp_path) if one.name == name_of(number)]
        os.utime(file, (number, number))
    assert kept.find(name_of(0)) is not None  # used now
    kept.keep(name_of(20), look())
    assert sum(4096 for _ in files(tmp_path)) <= room
    assert kept.find(name_of(0)) is not None
    assert kept.find(name_of(1)) is None
    assert kept.find(name_of(20)) is not None


def test_a_smaller_bound_holds_from_the_start_on(tmp_path: Path) -> None:
    kept = keeper(tmp_path)
    for number in range(20):
        kept.keep(name_of(number), look())
    unfinished = files(tmp_path)[0].with_suffix(".tmp")
    unfinished.write_bytes(b"killed")
    KeptLooks(tmp_path / "looks", MADE, max_bytes=4 * 4096)
    assert 0 < len(files(tmp_path)) <= 4
    assert not unfinished.exists()


def test_nothing_is_kept_where_nothing_may_be(tmp_path: Path) -> None:
    keeper(tmp_path).keep(name_of(1), look())
    assert kept_looks(tmp_path / "looks", "v", Limits(), max_bytes=0) is None
    assert not files(tmp_path)


def test_only_the_user_can_read_it(tmp_path: Path) -> None:
    keeper(tmp_path).keep(name_of(1), look())
    assert not (tmp_path / "looks").stat().st_mode & 0o077
    assert all(not file.stat().st_mode & 0o077 for file in files(tmp_path))


def test_a_folder_that_cannot_be_written_to_costs_time_and_nothing_else(
    tmp_path: Path, image: Parcel
) -> None:
    one = analyzer(tmp_path)
    (tmp_path / "looks").write_bytes(b"a file in its place")
    assert learn_from(one, image, 1).copies == 1
    assert one.known(image) is None
