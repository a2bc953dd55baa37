"""The detect backend: paced DetectModerationLabels calls that leave the files of a bulk job.

``run_manifest`` is the whole of it, ``records`` its side of publishing. The parts: ``manifest`` (what to
ask), ``pacing`` and ``budget`` (when), ``calls`` (one image), ``analysis`` (all of them), ``checkpoint``
(what is already paid for), ``output`` (the two files), ``eligibility`` (whether bulk jobs are open at all).
"""

from moderation.detect.budget import FixedBudget, SharedBudget
from moderation.detect.errors import (
    CheckpointDamaged,
    DetectDenied,
    DetectError,
    DetectRequestRefused,
    DetectUnavailable,
    ManifestInvalid,
    OwnedElsewhere,
    ResultsConflict,
)
from moderation.detect.request import DetectOptions, DetectOutcome, DetectRequest
from moderation.detect.run import moderate, run_manifest, settle_manifest

__all__ = [
    "CheckpointDamaged",
    "DetectDenied",
    "DetectError",
    "DetectOptions",
    "DetectOutcome",
    "DetectRequest",
    "DetectRequestRefused",
    "DetectUnavailable",
    "FixedBudget",
    "ManifestInvalid",
    "OwnedElsewhere",
    "ResultsConflict",
    "SharedBudget",
    "moderate",
    "run_manifest",
    "settle_manifest",
]
