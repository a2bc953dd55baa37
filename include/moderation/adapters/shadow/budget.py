"""What a shadow may still ask, so that its budget holds whoever is killed whenever.

A call that is under way when a process is killed may be paid and is asked again. So every try at a manifest
is written down before its first call, and each counts as having lost as many calls as can be under way.
"""

from __future__ import annotations

import hashlib
from typing import Any

from moderation.adapters.shadow.sample import Shadow, ShadowError, lines, load, manifest_uri
from moderation.analyse.detect import output
from moderation.analyse.detect.output import Place
from moderation.analyse.detect.request import DetectRequest
from moderation.errors import TransientError
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.state import parse_state, seal

IN_FLIGHT = 4
"""Calls under way at once."""
_TRIES = 20


class ShadowBusyError(TransientError):
    """Other processes write down what they ask all the time."""


def may_ask(settings: Settings, shadow_id: str, number: int) -> bool:
    """Write down that a manifest is asked about now; False where the budget does not bear the worst case.

    One that is finished is asked nothing and costs nothing.

    :raises ShadowError: there is no such shadow, or what was written down is damaged.
    """
    shadow = load(settings, shadow_id)
    if number >= len(shadow.chunks):
        return False  # an erasure has ended it
    with s3_objects.open_client(settings) as s3:
        mend_manifest(s3, settings, shadow, number)
        if outcome(s3, settings, shadow, number) is not None:
            return True
        for _ in range(_TRIES):
            tries, etag = _tries(s3, settings, shadow)
            tries[number] = tries.get(number, 0) + 1
            if _worst(shadow, tries) > shadow.affordable:
                return False
            told = {str(place): tried for place, tried in sorted(tries.items())}
            body = seal({"place": shadow.folder(settings), "tries": told})
            uri = _uri(settings, shadow)
            if etag is None:
                done = s3_objects.put_if_absent(s3, uri, body)
            else:
                done = s3_objects.put_if_match(s3, uri, body, etag=etag)
            if done is not None:
                return True
    raise ShadowBusyError(f"{_uri(settings, shadow)} is being changed by other processes; try again")


def may_ask_manifest(settings: Settings, uri: str) -> bool:
    """As :func:`may_ask`, of a manifest by its place."""
    shadow_id, name = uri.split("/")[-2:]
    return may_ask(settings, shadow_id, int(name.removeprefix("m").removesuffix(".jsonl")))


def bears(s3: Any, settings: Settings, shadow: Shadow, number: int) -> bool:
    """Whether a manifest could be asked about once more."""
    tries, _ = _tries(s3, settings, shadow)
    return _worst(shadow, {**tries, number: tries.get(number, 0) + 1}) <= shadow.affordable


def request(settings: Settings, shadow: Shadow, number: int) -> DetectRequest:
    """What is asked about a manifest."""
    return DetectRequest(
        manifest_uri=manifest_uri(settings, shadow.shadow_id, number),
        output_uri=f"{shadow.folder(settings)}/output",
        min_confidence=shadow.min_confidence,
        project_version=shadow.challenger,
    )


def outcome(s3: Any, settings: Settings, shadow: Shadow, number: int) -> Any:
    """What came of a manifest; None where it is not finished."""
    asked = request(settings, shadow, number)
    job = asked.job_id(hashlib.sha256(lines(shadow, number)).hexdigest())
    return output.read_outcome(s3, Place(s3_objects.join_uri(asked.output_uri, job)))


def _worst(shadow: Shadow, tries: dict[int, int]) -> int:
    chunks = shadow.chunks
    return sum(len(chunks[number]) + (tried - 1) * IN_FLIGHT for number, tried in tries.items())


def _tries(s3: Any, settings: Settings, shadow: Shadow) -> tuple[dict[int, int], str | None]:
    uri, folder = _uri(settings, shadow), shadow.folder(settings)
    stored = s3_objects.find(s3, uri)
    remedy = "restore it from a version of the bucket, or begin another shadow (--name); without it nobody "
    remedy += "knows what was paid"
    if stored is None:
        if next(iter(s3_objects.list_objects(s3, f"{folder}/output/")), None) is not None:
            raise ShadowError(f"{uri} is gone, and calls were made; {remedy}")
        return {}, None

    def parse(state: dict[str, Any]) -> dict[int, int]:
        if (place := state.get("place", folder)) != folder:
            raise ValueError(f"it is of the shadow {place}")
        return {int(number): int(tried) for number, tried in state["tries"].items()}

    return parse_state(stored.body, uri, parse=parse, error=ShadowError, remedy=remedy), stored.etag


def mend_manifest(s3: Any, settings: Settings, shadow: Shadow, number: int) -> None:
    """Write a manifest again that is not the sample's: another one would be asked about, and paid."""
    uri, wanted = manifest_uri(settings, shadow.shadow_id, number), lines(shadow, number)
    there = s3_objects.find(s3, uri)
    if there is None or there.body != wanted:
        s3_objects.put(s3, uri, wanted)


def _uri(settings: Settings, shadow: Shadow) -> str:
    return f"{shadow.folder(settings)}/asked.json"
