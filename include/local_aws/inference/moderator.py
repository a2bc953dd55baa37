"""Moderates pictures on the CPU, from their bytes to labels."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from local_aws.inference import rules, tensors
from local_aws.inference.adapters.learned import LearnedAdapter
from local_aws.inference.adapters.views import changed_views
from local_aws.inference.decode import ImageLimits, check, decode
from local_aws.inference.jpeg_file import Jpeg
from local_aws.inference.memory import release_unused
from local_aws.inference.networks import Networks
from local_aws.inference.png_file import Png
from local_aws.inference.rules import ContentType, Label
from local_aws.inference.slots import Slots
from local_aws.inference.weight import HEAVY_BYTES

MODEL_VERSION: Final = "offline-1.1"
"""Stands in every answer as ModerationModelVersion. Change it with any weight or rule: tables rely on it."""

DEFAULT_MIN_CONFIDENCE: Final = 50.0


@dataclass(frozen=True, slots=True)
class Moderation:
    """The answer for one picture.

    `labels` are ordered child before ancestors; `width` and `height` are the picture's pixels as stored.
    """

    labels: tuple[Label, ...]
    content_types: tuple[ContentType, ...]
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Examination:
    """What a picture looks like, before anything is said of it.

    `scores` are the rules' own, 0..1 by label; `features` are float32 of one row a view: the first is the
    picture as it is.
    """

    scores: Mapping[str, float]
    features: NDArray[np.float32]
    content_types: tuple[ContentType, ...]
    width: int
    height: int

    def moderation(self, min_confidence: float, learned: LearnedAdapter | None = None) -> Moderation:
        """What there is of at least `min_confidence`, by the rules or by an adapter that corrects them."""
        scores = learned.scores(self.scores, self.features[0]) if learned else self.scores
        return Moderation(rules.labels(scores, min_confidence), self.content_types, self.width, self.height)


class Moderator:
    """Moderates pictures; share one between all threads of a process.

    Args:
        threads: how many pictures are worked on at once; more callers wait. Each takes one core.
        limits: what is refused before decoding.
        load: makes the networks, called once, when they are first needed.
    """

    def __init__(
        self,
        threads: int = 2,
        *,
        limits: ImageLimits | None = None,
        load: Callable[[], Networks] = Networks,
    ) -> None:
        if threads < 1:
            raise ValueError(f"threads must be at least 1, not {threads}")
        self._limits = limits or ImageLimits()
        self._load = load
        self._networks: Networks | None = None
        self._loading = threading.Lock()
        self._slots = Slots(threads)

    def load(self) -> Networks:
        """Check and load the networks now (0.5 s), instead of with the first picture.

        Raises:
            ModelFileError: a model file is missing or is not this release's.
        """
        with self._loading:
            if self._networks is None:
                self._networks = self._load()
                release_unused()
            return self._networks

    def moderate(self, data: bytes, *, min_confidence: float = DEFAULT_MIN_CONFIDENCE) -> Moderation:
        """Moderate one PNG or JPEG file.

        The answer depends on `data` and `min_confidence` only, not on what other threads do.

        Args:
            data: the whole file.
            min_confidence: 0..100; labels below it are left out.

        Raises:
            ImageRejected: the picture is one that Rekognition refuses; `code` is the name of AWS's exception.
            ModelFileError: a model file is missing or is not this release's.
            ValueError: `min_confidence` is outside 0..100.
        """
        if math.isnan(min_confidence) or not 0 <= min_confidence <= 100:
            raise ValueError(f"min_confidence must be 0..100, not {min_confidence}")
        return self.examine(data).moderation(min_confidence)

    def examine(self, data: bytes, *, views: int = 0) -> Examination:
        """Look at one PNG or JPEG file, as `moderate` does.

        Args:
            data: the whole file.
            views: how many changed copies of the picture are looked at too, for learning from it; each takes
                a fifth of the time of the picture itself.

        Raises:
            ImageRejected: see `moderate`.
            ModelFileError: see `moderate`.
        """
        container = check(data, self._limits)
        networks = self.load()
        with self._turn(container):
            picture = decode(container)
            signals = networks.run(tensors.normalise(tensors.resize(picture)))
            changed = [
                networks.run_features(tensors.efficientnet_input(view))
                for view in changed_views(picture, views)
            ]
        return Examination(
            scores=rules.scores(signals),
            features=np.stack([signals.features, *changed]),
            content_types=rules.content_types(signals),
            width=container.width,
            height=container.height,
        )

    def examine_copies(self, data: bytes, *, views: int, behind: int = 0) -> NDArray[np.float32]:
        """Look at the changed copies alone of a picture that was looked at before.

        Args:
            data: the whole file.
            views: see `examine`.
            behind: how many of them are left out, because they were looked at, too.

        Returns:
            Features of one row a copy, the same that `examine` gives.

        Raises:
            ImageRejected: see `moderate`.
            ModelFileError: see `moderate`.
        """
        container = check(data, self._limits)
        networks = self.load()
        with self._turn(container):
            copies = changed_views(decode(container), views, behind=behind)
            return np.stack([networks.run_features(tensors.efficientnet_input(copy)) for copy in copies])

    def _turn(self, container: Jpeg | Png) -> AbstractContextManager[None]:
        return self._all() if container.decoder_bytes > HEAVY_BYTES else self._slots.taken(1)

    @contextmanager
    def _all(self) -> Iterator[None]:
        """Take every slot, and start from as little memory as can be."""
        with self._slots.taken(self._slots.count):
            release_unused()
            try:
                yield
            finally:
                release_unused()
