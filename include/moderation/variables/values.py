"""What the text of a variable may be; each parser raises ValueError with a text that says what it expects."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from moderation.variables import names
from moderation.variables.row import Value

T = TypeVar("T")

_MAX_URI = 400
_MAX_TEXT = 1_000
_MAX_DIGITS = 18
_MEMORY_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
_LEAST_MEMORY, _MOST_MEMORY = 32 * 10**6, 100 * 10**12

_S3_URI = re.compile(r"s3://[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9](/\S*)?")
_WAREHOUSE = re.compile(r"duckdb|folder|postgres(ql)?://\S+|airflow:[A-Za-z0-9_.\-]{1,250}")
_WAREHOUSE_COMMA = re.compile(r",\s*(?=duckdb|folder|postgres(?:ql)?://|airflow:|,|$)|,\s+")
_MODEL = re.compile(r"([A-Za-z]+-)*\d+(\.\d+)*")
_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
_PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
_ENDPOINT = re.compile(r"https?://[^\s/]+(/\S*)?")
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_.-]{1,256}")
_ADDRESS = re.compile(r"[^@,\r\n]+@[^@,\s]+")
_MEMORY = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([KMGT]i?B)", re.IGNORECASE)


def _matching(takes: str, pattern: re.Pattern[str]) -> Value[str]:
    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"expected {takes}")
        return text

    return Value(takes=takes, parse=parse)


def _checked(takes: str, parse: Callable[[str], T]) -> Value[T]:
    return Value(takes=takes, parse=parse)


def number(*, at_most: float) -> Value[float]:
    """A number above 0."""
    takes = f"a number above 0, at most {at_most:,.0f}"

    def parse(text: str) -> float:
        try:
            found = float(text) if text.isascii() and "_" not in text else math.nan
        except ValueError:
            found = math.nan
        if not 0 < found <= at_most:
            raise ValueError(f"expected {takes}")
        return found

    return Value(takes=takes, parse=parse)


def whole(*, at_most: int, at_least: int = 1) -> Value[int]:
    """A whole number, from 1 on unless said otherwise."""
    takes = f"a whole number, {at_least} to {at_most:,}"

    def parse(text: str) -> int:
        digits = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
        if not (digits and at_least <= int(text) <= at_most):
            raise ValueError(f"expected {takes}")
        return int(text)

    return Value(takes=takes, parse=parse)


def one_of(*choices: str) -> Value[str]:
    """One of a few words."""
    takes = f"{', '.join(choices[:-1])} or {choices[-1]}"

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected {takes}")
        return text

    return Value(takes=takes, parse=parse)


def _flag(text: str) -> bool:
    if text not in {"0", "1"}:
        raise ValueError("expected 1 or 0")
    return text == "1"


def _text(text: str) -> str:
    if len(text) > _MAX_TEXT or not text.isprintable():
        raise ValueError(f"expected one line of at most {_MAX_TEXT:,} characters")
    return text


def _s3_uri(text: str) -> str:
    if len(text) > _MAX_URI:
        raise ValueError(
            f"expected at most {_MAX_URI} characters, for keys and AWS prefixes go on from there"
        )
    if not _S3_URI.fullmatch(text):
        raise ValueError("expected s3://bucket or s3://bucket/prefix without white space")
    return text.rstrip("/")


def _tables_uri(text: str) -> str:
    if text.startswith("s3://"):
        return _s3_uri(text)
    if "://" in text and not text.startswith("file://"):
        raise ValueError("expected s3://bucket/prefix, file:///folder or a local path")
    return text.rstrip("/") or "/"


def _catalog_uri(text: str) -> str:
    if text != "glue" and "://" not in text:
        raise ValueError("expected glue or a database URI such as sqlite:////data/catalog.db")
    return text


def _review_db(text: str) -> str:
    if "://" in text and not text.startswith(("sqlite:///", "postgresql://", "postgres://")):
        raise ValueError(
            "expected a path, sqlite:////folder/review.db or postgresql://user:password@host/database"
        )
    return text


def _warehouses(text: str) -> tuple[str, ...]:
    """Entries of the list; a comma inside a URI (several hosts) does not end one. Errors quote no entry."""
    entries = tuple(entry.strip() for entry in _WAREHOUSE_COMMA.split(text))
    for position, entry in enumerate(entries, start=1):
        if not _WAREHOUSE.fullmatch(entry):
            raise ValueError(
                f"entry {position} is none of duckdb, folder, postgresql://user:password@host/database, "
                "airflow:connection_id"
            )
    if len(set(entries)) < len(entries):
        raise ValueError("a warehouse is named twice")
    return entries


def _redo_command(text: str) -> str:
    if "{load_id}" not in text:
        raise ValueError("expected a command with {load_id}")
    return _text(text)


def _addresses(text: str) -> tuple[str, ...]:
    entries = tuple(entry for part in text.split(",") if (entry := part.strip()))
    if not entries or not all(_ADDRESS.fullmatch(entry) for entry in entries):
        raise ValueError("expected mail addresses, separated by commas")
    return entries


def bytes_in(text: str) -> int:
    """Bytes of an amount of memory such as 512MB; 0 for what is none."""
    found = _MEMORY.fullmatch(text)
    return int(float(found[1]) * _MEMORY_UNITS[found[2].upper()]) if found else 0


def _memory(text: str) -> str:
    if not _LEAST_MEMORY <= bytes_in(text) <= _MOST_MEMORY:
        raise ValueError("expected an amount of memory such as 512MB or 2GB, 32MB to 100TB")
    return text


def _columns(text: str) -> int | None:
    """Shells set it, so what is no width is nobody's mistake to mend."""
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text[:_MAX_DIGITS]) < 10**6 else None


def default_catalog_uri() -> str:
    """The embedded catalog: a SQLite file under ``var/`` of the working directory."""
    return f"sqlite:///{Path.cwd() / 'var' / 'catalog.db'}"


TEXT = _checked("a line of text", _text)
FLAG = _checked("1 or 0", _flag)
PATH = _checked("a path", Path)
REGION = _matching("a region such as eu-west-1", _REGION)
PREFIX = _matching("a path such as /moderation, without a slash at its end", _PREFIX)
ENDPOINT = _matching("a URL that begins with http:// or https://", _ENDPOINT)
SOURCE = _checked("`s3://bucket/prefix`, the `manifest.json` of an S3 Inventory, or a folder", str)
S3_URI = _checked("`s3://bucket` or `s3://bucket/prefix`", _s3_uri)
TABLES_URI = _checked("`s3://bucket/prefix`, `file:///folder` or a local path", _tables_uri)
CATALOG_URI = _checked("`glue`, or a database URI such as `sqlite:////data/catalog.db`", _catalog_uri)
REVIEW_DB = _checked("a path, or `postgresql://user:password@host/database`", _review_db)
WAREHOUSES = _checked(
    "a list, separated by commas, of `duckdb`, `folder`, `postgresql://user:password@host/database`, "
    "`airflow:connection_id`",
    _warehouses,
)
MODEL = _matching("a version such as 7.0 or offline-1.0", _MODEL)
REDO_COMMAND = _checked("a command with `{load_id}`, and `{permanent}` if it can be told", _redo_command)
TOPIC = _matching("the ARN of an SNS topic", _TOPIC)
ADDRESS = _matching("a mail address", _ADDRESS)
ADDRESSES = _checked("mail addresses, separated by commas", _addresses)
MEMORY = _checked("an amount of memory such as 512MB or 2GB, 32MB to 100TB", _memory)
NAMES = _checked(
    "patterns such as `*.txt`, by commas or blanks; `default` for the built-in ones, `none` for none",
    names.parse,
)
COLUMNS = _checked("a whole number; anything else counts as unset", _columns)
