"""What can stop a detect run as a whole. What concerns one image is an entry of the summary instead."""

from __future__ import annotations

from moderation.errors import ModerationError, NeedsAPersonError, TransientError


class DetectError(ModerationError):
    """The manifest could not be finished; answers received so far are kept in the checkpoint. A group."""


class DetectDenied(DetectError, NeedsAPersonError):
    """Every call is refused: the caller's rights or credentials are at fault. A retry cannot help."""


class DetectRequestRefused(DetectError, NeedsAPersonError):
    """AWS refuses what all calls have in common: MinConfidence or the adapter. A retry cannot help."""


class DetectUnavailable(DetectError, TransientError):
    """Rekognition or S3 answered nothing useful for too long. A later retry goes on from the checkpoint."""


class DetectArgumentError(DetectError, NeedsAPersonError, ValueError):
    """An argument is out of its range; the text names it."""


class ManifestInvalid(DetectError, NeedsAPersonError):
    """The manifest is empty, too large, or names no image at all."""


class CheckpointDamaged(DetectError, NeedsAPersonError):
    """A checkpoint or marker is not what was written; nothing of it is used. The text names the remedy."""


class ResultsConflict(DetectError, NeedsAPersonError):
    """The output place holds files that are not those of this run."""


class OwnedElsewhere(DetectError, TransientError):
    """Another live process works on the same manifest; or took it over from this one."""
