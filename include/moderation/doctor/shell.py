"""Checks of the shell and the home: proxies, AWS's settings, and our own."""

from __future__ import annotations

import configparser
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from moderation.doctor.finding import Finding, Place, ok, stop, warning
from moderation.settings import TABLES, known
from moderation.variables import local_stack, misspelt, reading

_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_DEFAULT_PORTS = {"https": 443, "socks5": 1080, "socks5h": 1080, "socks4": 1080}
_LEADS_ELSEWHERE = {
    "ignore_configured_endpoint_urls", "use_accelerate_endpoint", "use_dualstack_endpoint", "endpoint_url",
    "use_fips_endpoint", "ca_bundle", "credential_process", "addressing_style", "services",
}  # fmt: skip
_CONNECT_SECONDS = 3.0


def proxies(place: Place) -> Iterator[Finding]:
    """Proxies, through which packages come; the local services are reached past them."""
    found = {
        name: value.strip()
        for name in _PROXIES
        for value in [place.variables.get(name) or place.variables.get(name.lower()) or ""]
        if value.strip()
    }
    if not found:
        yield ok("none in the environment")
    for name, value in found.items():
        shown = f"{name} names {_without_password(value)}"
        if place.is_installed:
            yield ok(f"{shown}; the local services are reached past it")
        elif _answers(value):
            yield ok(f"{shown}; packages come through it, the local services are reached past it")
        else:
            yield stop(
                f"{shown}, which does not answer: nothing can be installed through it",
                f"correct it, or: unset {name} {name.lower()}",
            )


def aws_variables(place: Place) -> Iterator[Finding]:
    """What in the environment sends `moderation` elsewhere than to this checkout's services."""
    telling = local_stack.told_where(place.variables)
    try:
        stack = local_stack.LocalStack.of(place.checkout)
    except local_stack.LocalStackError as error:
        what, _, remedy = str(error).partition(": ")
        yield warning(what, remedy)
        stack = None
    if not telling:
        yield ok("neither places nor credentials of AWS in the environment")
    elif stack is not None and all(place.variables[name] == stack.environment.get(name) for name in telling):
        yield ok("this shell has read .env: every call is to the local services")
    else:
        yield warning(
            f"set: {', '.join(telling)}; make is not touched by it, but moderation asks what they name",
            "moderation --local, or in this shell: unset " + " ".join(telling),
        )


def aws_files(place: Place) -> Iterator[Finding]:
    """AWS's configuration files in the home."""
    config = Path(place.variables.get("AWS_CONFIG_FILE") or place.home / ".aws" / "config")
    credentials = Path(
        place.variables.get("AWS_SHARED_CREDENTIALS_FILE") or place.home / ".aws" / "credentials"
    )
    own = place.checkout / "var" / "aws"
    files = [path for path in (config, credentials) if path.exists() and path.parent != own]
    if not files:
        yield ok("none")
        return
    for path in files:
        parsed = configparser.RawConfigParser(strict=False)
        try:
            parsed.read(path, encoding="utf-8")
        except (configparser.Error, OSError, ValueError):
            yield warning(f"{path} cannot be read, the AWS CLI and SDKs stop at it", f"correct it: {path}")
            continue
        inside = {option for section in parsed.sections() for option in _options(parsed, section)}
        elsewhere = sorted(_LEADS_ELSEWHERE & inside)
        if elsewhere:
            yield warning(
                f"{path} has {', '.join(elsewhere)}; make, .env and moderation --local are not touched by it",
                "in a shell for the AWS CLI: set -a; . ./.env; set +a",
            )
        else:
            yield ok(f"{path}, which the local services do not read")


def settings(place: Place) -> Iterator[Finding]:
    """Our own variables."""
    wrong = [line for table in TABLES for line in reading.read(place.variables, table).wrong]
    for line in wrong:
        yield stop(line, "correct or unset the variable; docs/settings.md has what each takes")
    strangers = misspelt.strangers(place.variables, known=known(), prefix="MODERATION_")
    for name, meant in strangers.items():
        yield warning(
            f"{name} is set, and there is no such setting",
            f"did you mean {meant}?" if meant else "unset it; docs/settings.md has all",
        )
    if not wrong and not strangers:
        yield ok("every variable that is set can be used")


def _options(parsed: configparser.RawConfigParser, section: str) -> Iterator[str]:
    """The names of a section's options, those of nested ones (`s3 =` and indented lines) among them."""
    for name, value in parsed.items(section):
        yield name
        for line in (value or "").splitlines():
            yield line.partition("=")[0].strip()


def _without_password(address: str) -> str:
    before, at, after = address.rpartition("@")
    return f"{before.partition('://')[0]}://…@{after}" if at and "://" in before else after if at else address


def _answers(address: str) -> bool:
    """Whether something listens at a proxy's address."""
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 80)
        with socket.create_connection((parts.hostname or "", port), timeout=_CONNECT_SECONDS):
            return True
    except (OSError, ValueError):
        return False
