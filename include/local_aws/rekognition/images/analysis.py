"""Looking at one image: the same answer for a single call and inside a job."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from local_aws.inference.adapters.learned import LearnedAdapter
from local_aws.inference.decode import ImageLimits
from local_aws.inference.errors import ImageRejected
from local_aws.inference.moderator import Examination, Moderation
from local_aws.rekognition.images.kept import KeptLooks, Look
from local_aws.rekognition.images.objects import (
    Caller,
    ObjectForbidden,
    ObjectMissing,
    ObjectStore,
    ObjectTooLarge,
    Source,
    StorageRefused,
)
from local_aws.rekognition.images.parcels import Parcel
from local_aws.rekognition.limits import Limits
from local_aws.rekognition.wire.errors import S3_OBJECT_MESSAGE, ApiError

DEFAULT_MIN_CONFIDENCE = 50.0
"""What applies when a request names none (developer guide, DetectModerationLabels)."""


class Moderates(Protocol):
    """What looks at pixels, as ``local_aws.inference.moderator.Moderator`` does."""

    def moderate(self, data: bytes, *, min_confidence: float = 50.0) -> Moderation:
        """Return labels and content types, or raise ``ImageRejected``."""


@runtime_checkable
class Examines(Moderates, Protocol):
    """What adapters can be trained on, too."""

    def examine(self, data: bytes, *, views: int = 0) -> Examination:
        """Return scores and features, or raise ``ImageRejected``."""


@runtime_checkable
class Remembers(Examines, Protocol):
    """What can be spared a second look: ``moderate`` says what ``examine(…).moderation(…)`` says."""

    def examine_copies(self, data: bytes, *, views: int, behind: int = 0) -> NDArray[np.float32]:
        """Return features of changed copies alone, or raise ``ImageRejected``."""


@dataclass(frozen=True)
class Analyzer:
    """A moderator, the limits on its images and the version its answers carry.

    :param model_version: becomes ``ModerationModelVersion``; never one of Rekognition's own.
    :param learned: returns what the adapter of an ARN has learnt; None for one that is only said to exist.
    :param kept: what was seen of images before; for trainings alone, since an answer is always a new look.
    """

    moderator: Moderates
    limits: Limits
    model_version: str
    learned: Callable[[str], LearnedAdapter | None] = lambda _: None
    kept: KeptLooks | None = None

    def fetch(self, store: ObjectStore, caller: Caller, source: Source) -> Parcel:
        """Read an image from S3; the caller closes it.

        :raises ApiError: it is missing, forbidden or too large.
        :raises StorageUnavailable: S3 is away.
        """
        limit = self.limits.image_bytes
        try:
            return store.read(caller, source, limit=limit)
        except ObjectTooLarge as error:
            reason = f"{error.size} bytes, the limit is {limit}"
            raise ApiError("ImageTooLargeException", reason=reason) from error
        except (ObjectMissing, ObjectForbidden, StorageRefused) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ApiError("InvalidS3ObjectException", S3_OBJECT_MESSAGE, reason=reason) from error

    def examine(self, data: bytes, *, views: int = 0) -> Examination:
        """Look at an image without saying anything of it yet; errors as :meth:`analyse`.

        :param views: changed copies that are looked at too.
        :raises RuntimeError: the moderator that is set cannot; with it no adapter can be trained.
        """
        if not isinstance(self.moderator, Examines):
            raise RuntimeError(f"{type(self.moderator).__name__} has no examine(), which adapters need")
        with _refusals():
            return self.moderator.examine(data, views=views)

    def known(self, image: Parcel) -> Look | None:
        """What an earlier look at the same content saw."""
        return self.kept.find(image.sha256) if self.kept and isinstance(self.moderator, Remembers) else None

    def look(self, image: Parcel, *, views: int, known: Look | None = None) -> Look:
        """Look at an image to learn from it; errors as :meth:`examine`.

        :param views: changed copies that are looked at too.
        :param known: what :meth:`known` returned, which is not looked at again.
        """
        if known is None:
            look = _look_of(self.examine(image.read(), views=views))
        elif known.copies < views and isinstance(self.moderator, Remembers):
            with _refusals():
                more = self.moderator.examine_copies(image.read(), views=views, behind=known.copies)
            look = Look(known.scores, np.concatenate([known.features, more.astype(np.float16)]))
        else:
            return known.first(views)
        self._keep(image, look)
        return look

    def analyse(
        self, image: Parcel, min_confidence: float | None, *, adapter: str | None = None
    ) -> dict[str, Any]:
        """Return a DetectModerationLabels answer for an image.

        :param image: the encoded image.
        :param min_confidence: 0..100; 50 when None.
        :param adapter: ARN of the adapter version that is to have answered.
        :raises ApiError: InvalidImageFormatException, ImageTooLargeException or InvalidParameterException.
        """
        threshold = DEFAULT_MIN_CONFIDENCE if min_confidence is None else min_confidence
        learned = self.learned(adapter) if adapter else None
        if learned is None and not isinstance(self.moderator, Remembers):
            with _refusals():
                found = self.moderator.moderate(image.read(), min_confidence=threshold)
        else:
            seen = self.examine(image.read())
            self._keep(image, _look_of(seen))
            found = seen.moderation(threshold, learned)
        by_adapter = {"ProjectVersion": adapter} if adapter else {}
        return {
            **by_adapter,
            "ModerationLabels": [
                {
                    "Confidence": label.confidence,
                    "Name": label.name,
                    "ParentName": label.parent_name,
                    "TaxonomyLevel": label.taxonomy_level,
                }
                for label in found.labels
            ],
            "ModerationModelVersion": self.model_version,
            "ContentTypes": [
                {"Confidence": kind.confidence, "Name": kind.name} for kind in found.content_types
            ],
        }

    def _keep(self, image: Parcel, look: Look) -> None:
        if self.kept and isinstance(self.moderator, Remembers):
            self.kept.keep(image.sha256, look)


def _look_of(seen: Examination) -> Look:
    return Look(seen.scores, seen.features.astype(np.float16))


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except ImageRejected as rejected:
        raise ApiError(rejected.code, rejected.message, reason=rejected.reason) from rejected


def load_moderator(path: str, *, threads: int, limits: Limits) -> tuple[Moderates, str]:
    """Make the moderator that a setting names.

    :param path: ``module:factory``; the factory takes ``threads`` and ``limits``. The module's
        ``MODEL_VERSION`` is the version that answers carry.
    :raises ValueError: there is no such factory.
    """
    module_name, _, factory = path.partition(":")
    allowed = ImageLimits(max_bytes=limits.image_bytes, min_side=limits.min_side, max_side=limits.max_side)
    try:
        module = importlib.import_module(module_name)
        make, version = getattr(module, factory), str(module.MODEL_VERSION)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"the moderator {path!r} cannot be loaded: {error}") from error
    moderator: Moderates = make(threads=threads, limits=allowed)
    return moderator, version
