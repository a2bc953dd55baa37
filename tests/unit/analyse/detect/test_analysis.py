"""Every loop of a run ends within its bound, on a clock of the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from moderation.analyse.detect.analysis import Analysis, raise_unless_useful
from moderation.analyse.detect.calls import Answered, Counters, Disturbed, Refused
from moderation.analyse.detect.checkpoint import Spool
from moderation.analyse.detect.errors import DetectDenied, DetectUnavailable, OwnedElsewhere
from moderation.analyse.detect.manifest import Line
from moderation.analyse.detect.request import DetectOptions

LINES = [Line(n, f"s3://bucket/{n}.jpg") for n in range(1, 21)]
IMAGES = {line.number: line.source_ref or "" for line in LINES}
BUSY = Disturbed("ThrottlingException", "slow down")
SEEN = Answered({"ModerationLabels": []})

Outcome = Answered | Refused | Disturbed


class Time:
    """Virtual time: everybody sleeps until the earliest of them is due."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        due = self.now + seconds
        while self.now < due:
            await asyncio.sleep(0)
            self.now += 0.01


class Asked:
    """Answers as the test says, after a little virtual time; notes who was asked when."""

    def __init__(self, time: Time, answer: Callable[[str, int], Outcome]) -> None:
        self.time, self.answer = time, answer
        self.under_way = self.most = 0
        self.asked: dict[str, list[float]] = {}

    async def ask(self, image: dict[str, object]) -> Outcome:
        name = str(image["S3Object"]["Name"])  # type: ignore[index]
        self.asked.setdefault(name, []).append(self.time.now)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.time.sleep(0.05)
        self.under_way -= 1
        return self.answer(name, len(self.asked[name]))


def run(
    tmp_path: Path,
    answer: Callable[[str, int], Outcome],
    *,
    keep_safe: Callable[[], None] = lambda: None,
    in_flight: int = 4,
    seen: Callable[[Asked], None] = lambda _: None,
    **bounds: float,
) -> tuple[Analysis, Asked, Spool, BaseException | None]:
    time = Time()
    asked = Asked(time, answer)
    seen(asked)

    async def keep() -> None:
        keep_safe()

    async def main() -> tuple[Analysis, BaseException | None]:
        options = DetectOptions(part_seconds=1.0, **bounds)  # type: ignore[arg-type]
        analysis = Analysis(asked, spool, options, in_flight, Counters(), keep, clock=time, sleep=time.sleep)
        try:
            await asyncio.wait_for(analysis.run(LINES), 30)
        except TimeoutError:
            raise
        except Exception as error:
            return analysis, error
        return analysis, None

    with Spool(tmp_path / "s", "job", IMAGES) as spool:
        analysis, error = asyncio.run(main())
    return analysis, asked, spool, error


def test_no_more_than_the_calls_allowed_are_under_way(tmp_path: Path) -> None:
    _, asked, spool, error = run(tmp_path, lambda *_: SEEN, in_flight=3)
    assert error is None
    assert asked.most == 3
    assert len(spool) == len(LINES)


def test_a_transient_error_is_retried_until_it_passes(tmp_path: Path) -> None:
    analysis, asked, spool, error = run(tmp_path, lambda _, n: SEEN if n == 3 else BUSY)
    assert error is None
    assert len(spool) == len(LINES)
    assert {len(times) for times in asked.asked.values()} == {3}
    assert analysis.counters.retries == 2 * len(LINES)


def test_an_image_is_given_up_within_its_time_and_keeps_its_code(tmp_path: Path) -> None:
    analysis, asked, spool, error = run(
        tmp_path, lambda name, _: BUSY if name == "7.jpg" else SEEN, image_seconds=5.0, outage_seconds=60.0
    )
    assert error is None
    assert analysis.given_up == {7: BUSY}
    assert len(spool) == len(LINES) - 1
    times = asked.asked["7.jpg"]
    assert times[-1] - times[0] <= 5.0
    assert len(times) > 2


def test_an_outage_of_the_whole_service_uses_up_no_images_time(tmp_path: Path) -> None:
    time: Time | None = None

    def answer(name: str, _: int) -> Outcome:
        assert time is not None
        return BUSY if 0.1 < time.now < 150.0 else SEEN

    def remember(asked: Asked) -> None:
        nonlocal time
        time = asked.time

    analysis, _, spool, error = run(
        tmp_path, answer, seen=remember, in_flight=8, image_seconds=60.0, outage_seconds=300.0
    )
    assert error is None
    assert analysis.given_up == {}
    assert len(spool) == len(LINES)


def test_a_few_images_without_an_outcome_are_no_outage(tmp_path: Path) -> None:
    bad = {"5.jpg", "6.jpg", "7.jpg"}
    analysis, asked, _, error = run(
        tmp_path,
        lambda name, _: BUSY if name in bad else SEEN,
        in_flight=8,
        image_seconds=30.0,
        outage_seconds=200.0,
    )
    assert error is None
    assert analysis.given_up == {5: BUSY, 6: BUSY, 7: BUSY}
    assert asked.time.now <= 31.0


def test_the_whole_ends_when_its_time_is_up(tmp_path: Path) -> None:
    analysis, asked, spool, error = run(
        tmp_path, lambda name, _: SEEN if name == "1.jpg" else BUSY, total_seconds=4.0, outage_seconds=60.0
    )
    assert error is None
    assert asked.time.now <= 4.0 + 2.0
    assert len(spool) == 1
    assert set(analysis.given_up) < set(IMAGES)


def test_an_outage_fails_the_run_and_leaves_no_record(tmp_path: Path) -> None:
    _, asked, spool, error = run(tmp_path, lambda *_: BUSY, outage_seconds=6.0, image_seconds=3.0)
    assert isinstance(error, DetectUnavailable)
    assert "slow down" in str(error)
    assert asked.time.now <= 6.0 + 3.0
    assert len(spool) == 0


def test_a_fatal_error_stops_new_calls_and_keeps_the_answers_under_way(tmp_path: Path) -> None:
    def answer(name: str, _: int) -> Outcome:
        if name == "6.jpg":
            raise DetectDenied("no rights")
        return SEEN

    _, asked, spool, error = run(tmp_path, answer, in_flight=4)
    assert isinstance(error, DetectDenied)
    assert len(asked.asked) <= 6 + 4
    assert len(spool) == len(asked.asked) - 1


def test_losing_the_manifest_to_another_process_ends_the_run(tmp_path: Path) -> None:
    def lost() -> None:
        raise OwnedElsewhere("taken over")

    _, _, _, error = run(tmp_path, lambda *_: BUSY, keep_safe=lost, outage_seconds=60.0)
    assert isinstance(error, OwnedElsewhere)


def test_a_copy_that_fails_as_nobody_thought_of_ends_the_run(tmp_path: Path) -> None:
    """Going on would leave the manifest to another process after a while, unnoticed."""

    def broken() -> None:
        raise OSError("the disk is broken")

    _, asked, _, error = run(tmp_path, lambda *_: BUSY, keep_safe=broken, outage_seconds=60.0)
    assert isinstance(error, OSError)
    assert asked.time.now <= 1.0 + 30.0


def test_an_unreachable_s3_does_not_end_the_run(tmp_path: Path) -> None:
    def down() -> None:
        raise DetectUnavailable("S3 is down")

    _, _, spool, error = run(tmp_path, lambda _, n: SEEN if n > 2 else BUSY, keep_safe=down)
    assert error is None
    assert len(spool) == len(LINES)


def test_a_run_in_which_nothing_had_an_outcome_is_no_success(tmp_path: Path) -> None:
    analysis, _, spool, error = run(tmp_path, lambda *_: BUSY, total_seconds=3.0, outage_seconds=60.0)
    assert error is None
    with pytest.raises(DetectUnavailable, match="slow down"):
        raise_unless_useful(analysis, len(spool))
