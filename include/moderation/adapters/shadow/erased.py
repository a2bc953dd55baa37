"""Contents taken out of shadows: one that asked about such a content ends.

What it has answered about others stays in the table. Its folder keeps what it was and what it was paid for,
and no image.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from moderation.adapters.shadow.sample import Shadow, ShadowError, find, ids, sealed
from moderation.settings import Settings
from moderation.storage import s3_objects

_KEPT = {"shadow.json", "asked.json"}


def concerned(s3: Any, settings: Settings, contents: Collection[str]) -> tuple[list[Shadow], list[str]]:
    """The shadows that asked about one of the contents, and why others cannot be told."""
    found, left = [], []
    for shadow_id in ids(s3, settings):
        try:
            shadow = find(s3, settings, shadow_id)
        except ShadowError as error:
            left.append(str(error))
            continue
        if shadow is not None and any(one.content in contents for one in shadow.images):
            found.append(shadow)
    return found, left


def from_shadows(s3: Any, settings: Settings, contents: Collection[str]) -> list[str]:
    """End the shadows that asked about one of the contents; may be repeated, also after a kill.

    :returns: sentences about what could not be erased.
    """
    ended, left = concerned(s3, settings, contents)
    for shadow in ended:
        s3_objects.put(
            s3, f"{shadow.folder(settings)}/shadow.json", sealed(settings, replace(shadow, images=()))
        )
    for shadow_id in ids(s3, settings):
        try:
            shadow_now = find(s3, settings, shadow_id)
        except ShadowError:
            continue
        if shadow_now is not None and not shadow_now.images:
            _empty(s3, shadow_now.folder(settings))
    return left


def _empty(s3: Any, folder: str) -> None:
    home = s3_objects.split_uri(folder)
    for entry in list(s3_objects.list_objects(s3, f"{folder}/")):
        if entry["Key"].removeprefix(f"{home.key}/") not in _KEPT:
            s3_objects.delete(s3, f"s3://{home.bucket}/{entry['Key']}")
