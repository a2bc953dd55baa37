"""The server's environment variables, for ``launch`` and for people who start it by hand."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_aws.rekognition.settings import ServerSettings, SettingsError

CREDENTIALS = "LOCAL_REKOGNITION_CREDENTIALS"
ADMIN_TOKEN = "LOCAL_REKOGNITION_ADMIN_TOKEN"  # noqa: S105 - the name of a variable, not a token
SETTINGS = "LOCAL_REKOGNITION_SETTINGS"
S3_ENDPOINT = "AWS_ENDPOINT_URL_S3"


@dataclass(frozen=True)
class Configuration:
    """What a server process needs to know.

    :param secrets: secret keys by access key.
    """

    secrets: Mapping[str, str]
    admin_token: str
    s3_endpoint_url: str
    settings: ServerSettings


def from_environment(environ: Mapping[str, str], state_dir: Path) -> Configuration:
    """Read the configuration.

    ``LOCAL_REKOGNITION_CREDENTIALS`` is a JSON object of secret keys by access key; without it the usual
    ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY`` are the only pair. ``LOCAL_REKOGNITION_SETTINGS`` is
    JSON, or ``@file``. Without ``LOCAL_REKOGNITION_ADMIN_TOKEN`` a token is made. The token in force always
    stands in the file ``admin-token`` of the state folder, readable by its owner alone.

    :raises SettingsError: a variable is missing or malformed; the text names it and holds no secret.
    """
    endpoint = environ.get(S3_ENDPOINT)
    if not endpoint:
        raise SettingsError(f"{S3_ENDPOINT} is not set; it names the S3 that holds manifests and images")
    token = environ.get(ADMIN_TOKEN) or secrets.token_urlsafe(32)
    _write_private(state_dir / "admin-token", token)
    return Configuration(_keys(environ), token, endpoint, _settings(environ.get(SETTINGS, "{}")))


def _keys(environ: Mapping[str, str]) -> dict[str, str]:
    text = environ.get(CREDENTIALS)
    if text is None:
        access_key, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
        if not access_key or not secret:
            raise SettingsError(f"set {CREDENTIALS}, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        return {access_key: secret}
    try:
        keys = json.loads(text)
    except ValueError:
        keys = None
    if not isinstance(keys, dict) or not keys or not all(isinstance(v, str) and v for v in keys.values()):
        raise SettingsError(f"{CREDENTIALS} must be a JSON object of secret keys by access key")
    return keys


def _settings(text: str) -> ServerSettings:
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text()
        except OSError as error:
            raise SettingsError(f"{SETTINGS} names a file that cannot be read: {error}") from error
    return ServerSettings.from_json(text)


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
