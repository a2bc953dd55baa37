"""Images of an archive over time as the coordinates of a plot."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from moderation.archive.backfill.progress import Progress
from moderation.archive.backfill.state import Archive, moment

WIDTH, HEIGHT = 560, 220
_TICKS = 4
_MOST_DOTS = 60


@dataclass(frozen=True)
class Plot:
    """Time to the right, images up.

    :ivar line: of what is done, as SVG points; ``ahead`` from there to the end as expected, or "".
    :ivar dots: place and words of single points; none where they would touch.
    :ivar ticks: place and words of a few times.
    :ivar told: the same in a sentence.
    """

    line: str
    ahead: str
    dots: list[tuple[float, float, str]]
    ticks: list[tuple[float, str]]
    told: str


def plot(archive: Archive, far: Progress) -> Plot | None:
    """The plot of an archive; None before a chunk of it has ended."""
    begin = moment(archive.created_at)
    ended = [(moment(at), images) for at, images in far.points]
    known = [(at, images) for at, images in ended if at]
    if begin is None or not known or not far.images:
        return None
    ends = moment(far.ends)
    last, done = known[-1]
    until = max(last, ends or last)
    seconds = max((until - begin).total_seconds(), 1.0)

    def place(at: datetime, images: int) -> tuple[float, float]:
        right = min(max((at - begin).total_seconds() / seconds, 0.0), 1.0)
        return round(right * WIDTH, 1), round((1 - images / far.images) * HEIGHT, 1)

    places = [place(begin, 0), *(place(at, images) for at, images in known)]
    ahead = [places[-1], place(ends, far.images)] if ends and ends > last else []
    step = (until - begin) / _TICKS
    zone = archive.options.zone()
    style = "%d %b %H:%M" if seconds < _TICKS * 86_400 else "%d %b %Y"
    ticks = [begin + step * number for number in range(_TICKS + 1)]
    told = f"{done:,} of {far.images:,} images by {last.astimezone(zone):{style}}"
    expected = f", all expected by {ends.astimezone(zone):{style}}" if ends else ""
    named = known if len(known) <= _MOST_DOTS else []
    return Plot(
        line=_points(places),
        ahead=_points(ahead),
        dots=[
            (*place(at, images), f"{images:,} images by {at.astimezone(zone):{style}}")
            for at, images in named
        ],
        ticks=[(place(at, 0)[0], f"{at.astimezone(zone):{style}}") for at in ticks],
        told=told + expected,
    )


def _points(places: list[tuple[float, float]]) -> str:
    return " ".join(f"{right},{up}" for right, up in places)
