"""The environment of the local services: what a person's shell and home hold about AWS stays outside.

A variable passes only if it is on a list. A list of what is kept out would always lack the next one: the SDKs
of AWS alone read more than sixty variables and two files, and each may send a call elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import certifi

from local_aws import private_files

_LOOPBACK = ("127.0.0.1", "localhost", "::1")

LOCAL_ONLY = {
    # Also keeps a program from asking the desktop for its proxies, as Python does on macOS.
    "NO_PROXY": ",".join(_LOOPBACK),
    "no_proxy": ",".join(_LOOPBACK),
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What a process of the local services has set in any case."""

_SYSTEM = {
    "PATH", "USER", "LOGNAME", "SHELL", "TERM", "COLUMNS", "TMPDIR", "TZ", "LANG", "LANGUAGE",
    "LD_LIBRARY_PATH",  # where a Python that was built by hand finds its own libraries
    "SSL_CERT_FILE", "SSL_CERT_DIR",  # whom mail and PostgreSQL connections trust
}  # fmt: skip
_SYSTEM_PREFIXES = ("LC_",)

AWS_SETTINGS = {
    "AWS_PROFILE": "default",
    "AWS_DEFAULT_PROFILE": "default",
    "AWS_SESSION_TOKEN": "",
    "AWS_SECURITY_TOKEN": "",
    "AWS_CREDENTIAL_EXPIRATION": "",
    "AWS_ROLE_ARN": "",
    "AWS_ROLE_SESSION_NAME": "",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
    "AWS_USE_DUALSTACK_ENDPOINT": "false",
    "AWS_USE_FIPS_ENDPOINT": "false",
    "AWS_DEFAULTS_MODE": "legacy",
    "AWS_AUTH_SCHEME_PREFERENCE": "sigv4",
    "AWS_RETRY_MODE": "standard",
    "AWS_MAX_ATTEMPTS": "5",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_supported",
    "AWS_CA_BUNDLE": certifi.where(),  # the AWS CLI refuses an empty one
    "AWS_DATA_PATH": "",
}
"""Values under which any AWS SDK reaches the endpoints and uses the key that the environment names.

An empty value, and not a missing one, also undoes what a shell has exported when these are sourced into it.
"""


def system_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what any program needs of ``environ``, and nothing that leads it elsewhere."""
    return selected(environ, names=_SYSTEM, prefixes=_SYSTEM_PREFIXES)


def selected(
    environ: Mapping[str, str], *, names: Iterable[str] = (), prefixes: tuple[str, ...] = ()
) -> dict[str, str]:
    """Return the variables with one of the ``names`` or one of the ``prefixes``."""
    wanted = set(names)
    return {name: value for name, value in environ.items() if name in wanted or name.startswith(prefixes)}


def aws_files(folder: Path) -> dict[str, str]:
    """Return the variables that lead an SDK to the files of :func:`write_aws_files` instead of ``~/.aws``.

    Those of pyiceberg and fsspec are among them: their files in a home can name another S3, too.
    """
    return {
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "PYICEBERG_HOME": str(folder),
        "FSSPEC_CONFIG_DIR": str(folder),
    }


def write_aws_files(folder: Path, *, access_key: str, secret_key: str, region: str) -> None:
    """Write AWS's configuration and credentials files for the local services.

    :param folder: made when missing; only its owner can read it.
    :raises OSError: it cannot be written.
    """
    private_files.folder(folder)
    private_files.write(folder / "config", f"[default]\nregion = {region}\n")
    private_files.write(
        folder / "credentials",
        f"[default]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n",
    )
    # It must say something, or pyiceberg cannot read it: this is the default.
    private_files.write(folder / ".pyiceberg.yaml", "legacy-current-snapshot-id: False\n")


def home(folder: Path) -> dict[str, str]:
    """Return the variables that let a program take ``folder`` for its user's home."""
    return {
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / ".config"),
        "XDG_CACHE_HOME": str(folder / ".cache"),
    }


def with_loopback(hosts: str) -> str:
    """Return a value of ``NO_PROXY`` to which this machine is added."""
    named = [host for host in hosts.split(",") if host]
    return ",".join([*named, *(host for host in _LOOPBACK if host not in named)])


def replace(environment: Mapping[str, str]) -> None:
    """Make ``environment`` the whole environment of this process."""
    os.environ.clear()
    os.environ.update(environment)
