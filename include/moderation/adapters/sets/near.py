"""Which images are nearly the same: they stand on one side of a split, or a comparison flatters.

The hash is the difference hash of the package ``dhash``, 128 bits of a picture of nine by nine greys. Its
distance grows with what differs to the eye; a burst, a card of the same deck or a meme with another line stay
within some twenty bits, unrelated photos lie at about sixty-four.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping

import dhash
import numpy as np
from PIL import Image, UnidentifiedImageError

from moderation.errors import NeedsAPersonError

BITS = 128
_SIDE = 8
_FORMATS = ("JPEG", "PNG")
_MAX_PIXELS = 101_000_000
_WORDS = BITS // 64


class UnreadablePictureError(NeedsAPersonError):
    """A picture cannot be decoded, so nobody can tell what it is near to."""


def picture_hash(data: bytes) -> int:
    """The hash of a JPEG or PNG file.

    :raises UnreadablePictureError: it is damaged, or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _hash(data)
    except UnidentifiedImageError as error:
        # Pillow's text holds an address in memory; a reason is part of a set's digest.
        raise UnreadablePictureError("it cannot be decoded: it is no JPEG or PNG") from error
    except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError) as error:
        raise UnreadablePictureError(f"it cannot be decoded ({error})") from error


def clusters(hashes: Mapping[str, int], *, within: int) -> dict[str, str]:
    """The cluster of each content: whatever a chain of near-duplicates connects, named by its least content.

    Each pair is compared at most once: 10,000 images take a few seconds.

    :param within: bits by which near-duplicates differ at most.
    """
    names = sorted(hashes)
    words = np.array(
        [[hashes[name] >> 64 * word & (2**64 - 1) for word in range(_WORDS)] for name in names],
        dtype=np.uint64,
    ).reshape(len(names), _WORDS)
    cluster_of: dict[str, str] = {}
    free = np.arange(len(names))
    while free.size:
        first, free = free[0], free[1:]
        chain = [first]
        while chain:
            place = chain.pop()
            cluster_of[names[place]] = names[first]
            near_it = np.bitwise_count(words[free] ^ words[place]).sum(axis=1) <= within
            chain.extend(free[near_it])
            free = free[~near_it]
    return cluster_of


def _hash(data: bytes) -> int:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        if image.width * image.height > _MAX_PIXELS:
            raise ValueError(f"{image.width:,} × {image.height:,} pixels")
        image.draft("L", (8 * _SIDE, 8 * _SIDE))
        flat: Image.Image = image
        if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
            clear = image.convert("RGBA")
            flat = Image.new("RGB", clear.size, (255, 255, 255))
            flat.paste(clear, mask=clear.getchannel("A"))
        small = flat.convert("L").resize((_SIDE + 1, _SIDE + 1), Image.Resampling.LANCZOS)
        return int(dhash.dhash_int(list(small.tobytes()), size=_SIDE))
