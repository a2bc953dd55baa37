"""AWS checks patterns with Java's regular expressions; this turns such a pattern into a Python one."""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache

_DOT = r"[^\n\r\u0085\u2028\u2029]"
"""What a dot matches in Java; Python's dot would also match the last four."""


@cache
def compile_java(pattern: str) -> re.Pattern[str]:
    r"""Compile a Java pattern; match with ``fullmatch``, as Java's ``matches()`` does.

    The differences that AWS's patterns touch are covered: ``\d``, ``\w`` and ``\s`` are ASCII in Java, the
    dot leaves out more line ends, and ``\p{L}`` and its like name Unicode categories.

    :raises ValueError: the pattern uses what neither Python nor this translation knows.
    """
    out: list[str] = []
    in_class = False
    position = 0
    while position < len(pattern):
        char = pattern[position]
        if char == "\\":
            escape = pattern[position : position + 2]
            if escape == r"\p":
                end = pattern.index("}", position)
                ranges = _category(pattern[position + 3 : end])
                out.append(ranges if in_class else f"[{ranges}]")
                position = end + 1
                continue
            out.append(escape)
            position += 2
            continue
        if char == "." and not in_class:
            out.append(_DOT)
        elif char == "[" and in_class:
            raise ValueError(f"a class inside a class is not translated: {pattern}")
        else:
            in_class = char == "[" or (in_class and char != "]")
            out.append(char)
        position += 1
    try:
        return re.compile("".join(out), re.ASCII)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r} cannot be translated: {error}") from error


@cache
def _category(name: str) -> str:
    """Return the character ranges of a Unicode category ("L") or subcategory ("Lu"), for use in a class."""
    ranges: list[str] = []
    start: int | None = None
    for code in range(sys.maxunicode + 2):
        inside = code <= sys.maxunicode and unicodedata.category(chr(code)).startswith(name)
        if inside and start is None:
            start = code
        elif not inside and start is not None:
            ranges.append(f"\\U{start:08x}-\\U{code - 1:08x}")
            start = None
    if not ranges:
        raise ValueError(f"no Unicode category is called {name!r}")
    return "".join(ranges)
