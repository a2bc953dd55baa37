"""What can be set about the server; everything has a default that suits a developer's machine."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from local_aws.inference.adapters.views import MOST_VIEWS
from local_aws.rekognition.adapters import read_adapters
from local_aws.rekognition.denials import read_denials
from local_aws.rekognition.limits import Limits

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d{1,2}")


class SettingsError(ValueError):
    """A setting is unknown or has a value that makes no sense; the text names it."""


@dataclass(frozen=True)
class ServerSettings:
    """Settings of the offline server; all times in seconds.

    :param created_seconds: how long a job stays CREATED.
    :param queued_seconds: how long it then stays QUEUED, at least.
    :param seconds_per_image: least time a job takes for each image; 0 for as fast as it can.
    :param running_jobs: jobs that are analysed at the same time; the others wait QUEUED.
    :param workers: threads that look at images, for jobs and single calls together.
    :param fetch_threads: threads that read images from S3.
    :param prefetch: images of one job that are read ahead.
    :param checkpoint_images: a job notes its progress after so many images,
    :param checkpoint_seconds: or after so much time.
    :param s3_patience_seconds: how long S3 may be away before a job fails.
    :param token_memory_seconds: how long a ClientRequestToken is remembered; AWS does not publish it.
    :param retention_seconds: how long a job can be asked for; AWS keeps a year.
    :param clock_skew_seconds: how far a client's clock may be off.
    :param head_seconds: how long a client may take to send a request's head.
    :param body_idle_seconds: how long a client may pause in the middle of a body.
    :param body_seconds: how long a client may take to send a body.
    :param account_id: the account in which everything happens.
    :param constraint_error_code: the exception for a violated constraint. AWS answers ValidationException,
        which is not among the errors its model names (recorded from real answers); the model documents
        ``InvalidParameterException`` ("Input parameter violated a constraint").
    :param summary_line_key: AWS prints ``line-numer``; ``line-number`` for a corrected service.
    :param failed_image_lines: what a failed image leaves in the results file, which AWS does not publish:
        ``omit`` nothing, or ``bare`` a line with the source-ref only.
    :param bucket_regions: region by bucket, for an S3 server that knows no regions, as SeaweedFS; ``*``
        stands for all buckets that are not named. Without it S3 is asked, and a bucket whose region is not
        known is served in every region.
    :param kms_keys: the KMS keys that exist; a job that names another fails with INVALID_KMS_KEY.
    :param adapters: the Custom Moderation adapters that exist: status by ARN of the version, see
        ``adapters.AdapterBook``.
    :param training_seconds: how long a training takes at least.
    :param deleting_seconds: how long a project or version stays DELETING.
    :param training_views: changed copies of each training image that are learnt from too; at most one where
        a training has more than 2,000 images, none where it has more than 5,000.
    :param training_false_positives: what AWS asks for of at least one label: so many images on which the base
        model is wrong with it,
    :param training_false_negatives: or so many on which it misses it.
    :param training_test_images: least number of images to test with.
    :param training_invalid_share: a training goes on without the images that cannot be read, up to this share
        of a manifest; Custom Labels names 20 percent, for adapters nothing is published.
    :param kept_looks_bytes: how much disk the state folder may hold of what was seen of images, so that
        a training does not look again at what was answered before; 0 keeps nothing.
    :param denied: operations that the account may not use, with the reason, see ``denials.REASONS``.
    :param limits: changes to the published quotas, see :meth:`Limits.overridden`.
    :param faults: rules of misbehaviour from the first request on, see ``faults.FaultRule``.
    :param moderator: ``module:factory`` of what looks at an image; the offline model by default.
    """

    created_seconds: float = 0.2
    queued_seconds: float = 0.2
    seconds_per_image: float = 0.0
    running_jobs: int = 2
    workers: int = 2
    fetch_threads: int = 4
    prefetch: int = 8
    checkpoint_images: int = 100
    checkpoint_seconds: float = 0.5
    s3_patience_seconds: float = 60.0
    token_memory_seconds: float = 7 * 86_400.0
    retention_seconds: float = 365 * 86_400.0
    clock_skew_seconds: float = 300.0
    head_seconds: float = 30.0
    body_idle_seconds: float = 20.0
    body_seconds: float = 300.0
    account_id: str = "123456789012"
    constraint_error_code: str = "ValidationException"
    summary_line_key: str = "line-numer"
    failed_image_lines: str = "omit"
    bucket_regions: Mapping[str, Any] = field(default_factory=dict)
    kms_keys: tuple[str, ...] = ()
    adapters: Mapping[str, Any] = field(default_factory=dict)
    training_seconds: float = 0.0
    deleting_seconds: float = 0.2
    training_views: int = 2
    training_false_positives: int = 20
    training_false_negatives: int = 50
    training_test_images: int = 20
    training_invalid_share: float = 0.2
    kept_looks_bytes: int = 256_000_000
    denied: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Mapping[str, Any], ...] = ()
    moderator: str = "local_aws.inference.moderator:Moderator"

    def __post_init__(self) -> None:
        for name in ("running_jobs", "workers", "fetch_threads", "prefetch", "checkpoint_images"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1")
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name.endswith(("_seconds", "_bytes")) and value < 0:
                raise SettingsError(f"{item.name} must not be negative")
        for name in ("training_false_positives", "training_false_negatives", "training_test_images"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1")
        if not 0 <= self.training_views <= MOST_VIEWS:
            raise SettingsError(f"training_views must be 0 to {MOST_VIEWS}")
        if not 0 <= self.training_invalid_share <= 1:
            raise SettingsError("training_invalid_share must be 0 to 1")
        if self.failed_image_lines not in {"omit", "bare"}:
            raise SettingsError("failed_image_lines must be omit or bare")
        if self.constraint_error_code not in {"InvalidParameterException", "ValidationException"}:
            raise SettingsError(
                "constraint_error_code must be InvalidParameterException or ValidationException"
            )
        if self.summary_line_key not in {"line-numer", "line-number"}:
            raise SettingsError("summary_line_key must be line-numer or line-number")
        try:
            Limits().overridden(self.limits)
            read_adapters(self.adapters)
            read_denials(self.denied)
            _check_regions(self.bucket_regions)
        except ValueError as error:
            raise SettingsError(str(error)) from error

    def effective_limits(self) -> Limits:
        """Return the published quotas with this server's changes."""
        return Limits().overridden(self.limits)

    def to_json(self) -> str:
        """Return the settings as JSON that :meth:`from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ServerSettings:
        """Read settings from a JSON object; what it does not name keeps its default.

        :raises SettingsError: it is no object, or a setting is unknown or of the wrong type.
        """
        try:
            given = json.loads(text)
        except ValueError as error:
            raise SettingsError(f"the settings are not JSON: {error}") from error
        if not isinstance(given, dict):
            raise SettingsError("the settings must be a JSON object")
        return cls(**{name: _checked(cls, name, value) for name, value in given.items()})


def _check_regions(given: Mapping[str, Any]) -> None:
    for bucket, region in given.items():
        if not isinstance(region, str) or not _REGION.fullmatch(region):
            raise ValueError(f"bucket_regions.{bucket} cannot be {region!r}")


def _checked(cls: type[ServerSettings], name: str, value: Any) -> Any:
    wanted = {item.name: item.type for item in fields(cls)}.get(name)
    if wanted is None:
        raise SettingsError(f"there is no setting called {name!r}")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "float": number,
        "int": number and isinstance(value, int),
        "str": isinstance(value, str),
        "tuple[str, ...]": isinstance(value, list) and all(isinstance(x, str) for x in value),
        "Mapping[str, Any]": isinstance(value, dict),
        "tuple[Mapping[str, Any], ...]": isinstance(value, list) and all(isinstance(x, dict) for x in value),
    }
    if not fits[str(wanted)]:
        raise SettingsError(f"{name} cannot be {value!r}")
    return tuple(value) if isinstance(value, list) else value
