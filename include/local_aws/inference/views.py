"""Changed copies of a picture, which show the same thing: what is learnt of one picture holds for them too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from PIL import Image, ImageEnhance, ImageOps

_WORKING_SIDE: Final = 448
"""Copies are made of a picture no larger than this: the network looks at 224 pixels a side."""
_WHITE: Final = (255, 255, 255)


def changed_views(picture: Image.Image, count: int) -> Iterator[Image.Image]:
    """Yield the first `count` changed copies of a picture, always the same, at most `MOST_VIEWS`."""
    if count > 0:
        small = picture.copy()
        small.thumbnail((_WORKING_SIDE, _WORKING_SIDE), Image.Resampling.BILINEAR)
        for change in islice(CHANGES, count):
            yield change(small)


def _grey(picture: Image.Image) -> Image.Image:
    return ImageOps.grayscale(picture).convert("RGB")


def _turned(picture: Image.Image) -> Image.Image:
    return picture.rotate(-9, Image.Resampling.BILINEAR, expand=True, fillcolor=_WHITE)


def _smaller(picture: Image.Image) -> Image.Image:
    """On a larger white ground, off its middle."""
    width, height = int(picture.width / 0.7), int(picture.height / 0.7)
    ground = Image.new("RGB", (width, height), _WHITE)
    ground.paste(picture, ((width - picture.width) // 3, (height - picture.height) // 2))
    return ground


def _square(picture: Image.Image) -> Image.Image:
    """With its own proportions, where the network sees the whole picture squeezed into a square."""
    side = max(picture.size)
    return ImageOps.pad(picture, (side, side), color=_WHITE)


def _closer(picture: Image.Image) -> Image.Image:
    width, height = int(picture.width * 0.8), int(picture.height * 0.8)
    left, top = (picture.width - width) // 3, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def _other_colours(picture: Image.Image) -> Image.Image:
    """Red for blue, darker, stronger."""
    swapped = Image.merge("RGB", picture.split()[::-1])
    return ImageEnhance.Color(ImageEnhance.Brightness(swapped).enhance(0.85)).enhance(1.5)


CHANGES: Final[tuple[Callable[[Image.Image], Image.Image], ...]] = (
    _square,
    _turned,
    _other_colours,
    _closer,
    ImageOps.mirror,
    _grey,
    _smaller,
    ImageOps.flip,
)

MOST_VIEWS: Final = len(CHANGES)
