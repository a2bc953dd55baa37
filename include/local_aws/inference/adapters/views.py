"""Changed copies of a picture that show the same thing: what is learnt of the picture holds for them too.

The order is by use: of playing cards, trained on one design and judged on another, a part of each card and
the card small on its ground helped by far the most, turned and in other colours next
(``benchmarks/unseen_designs.py`` measures it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from PIL import Image, ImageEnhance, ImageOps

_WORKING_SIDE: Final = 448
"""Copies are made of a picture no larger than this: the network looks at 224 pixels a side. To let it look at
160 takes three fifths of the time, and finds 0.56 of `white` and `ornamental` instead of 0.72."""
_WHITE: Final = (255, 255, 255)


def changed_views(picture: Image.Image, count: int, *, behind: int = 0) -> Iterator[Image.Image]:
    """Yield the first `count` changed copies of a picture, always the same, at most `MOST_VIEWS`.

    Those before place `behind` are left out.
    """
    if count > behind:
        small = picture.copy()
        small.thumbnail((_WORKING_SIDE, _WORKING_SIDE), Image.Resampling.BILINEAR)
        for change in islice(CHANGES, behind, count):
            yield change(small)


def _corner(picture: Image.Image) -> Image.Image:
    """What stands in the upper left, half of the picture, larger."""
    return picture.crop((0, 0, max(1, int(picture.width * 0.7)), max(1, int(picture.height * 0.7))))


def _grey_and_closer(picture: Image.Image) -> Image.Image:
    width, height = max(1, int(picture.width * 0.85)), max(1, int(picture.height * 0.85))
    left, top = (picture.width - width) // 3, (picture.height - height) * 2 // 3
    return ImageOps.grayscale(picture.crop((left, top, left + width, top + height))).convert("RGB")


def _smaller(picture: Image.Image) -> Image.Image:
    """With as much ground again around it."""
    width, height = picture.size
    ground = Image.new("RGB", (width * 3 // 2, height * 3 // 2), _WHITE)
    ground.paste(picture, (width // 4, height // 4))
    return ground


def _turned(picture: Image.Image) -> Image.Image:
    return picture.rotate(-9, Image.Resampling.BILINEAR, expand=True, fillcolor=_WHITE)


def _other_colours(picture: Image.Image) -> Image.Image:
    """Red for blue, darker, stronger."""
    swapped = Image.merge("RGB", picture.split()[::-1])
    return ImageEnhance.Color(ImageEnhance.Brightness(swapped).enhance(0.85)).enhance(1.5)


def _turned_in_other_colours(picture: Image.Image) -> Image.Image:
    return _other_colours(_turned(picture))


def _square(picture: Image.Image) -> Image.Image:
    """With its own proportions, where the network sees the whole picture squeezed into a square."""
    side = max(picture.size)
    return ImageOps.pad(picture, (side, side), color=_WHITE)


# One that changes takes another name: what was seen of copies is kept under the names.
CHANGES: Final[tuple[Callable[[Image.Image], Image.Image], ...]] = (
    _corner,
    _smaller,
    _turned_in_other_colours,
    _grey_and_closer,
    _turned,
    _other_colours,
    _square,
    ImageOps.mirror,
)

MOST_VIEWS: Final = len(CHANGES)
