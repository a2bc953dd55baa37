"""Results lines for tests of the parsers: usual, odd and broken ones, and mutations of them."""

from __future__ import annotations

import random
from typing import Any

import orjson

NAMES = [
    "Explicit Nudity", "explicit nudity", "Explicit", "Weapons", "Violence", "Gambling", "", "Größe", "猫",
    "a\u0000b", 'with "quotes"', "back\\slash", "\U0001f600",
]  # fmt: skip

NUMBERS = [
    "0", "-0", "-0.0", "1", "2", "3", "4", "100", "99.86129760742188", "72.7257", "1e2", "1E-2", "1e22",
    "1e23", "9007199254740992", "9007199254740993", "9007199254740993.0", "18446744073709551615",
    "18446744073709551616", "-9223372036854775808", "-9223372036854775809", "1e308", "1e309", "-1e400",
    "1e-400", "-1e-400", "5e-324", "2.4e-324", "2.5e-324", "1.7976931348623158e308", "1.7976931348623159e308",
    "0.1", "0.30000000000000004", "123456789012345678901234567890", "0e9999999999999", "1e-9999999999999",
    "0." + "0" * 400 + "1", "1" * 310, "1" * 310 + "e-300", "0." + "1" * 800, "01", "1.", ".5", "+1", "-",
    "1e", "1e+", "NaN", "Infinity", "0x1", "1_0", "00", "-01", "3.0", "2e0",
    "8.5", "2.2250738585072011e-308", "2.2250738585072014e-308", "9.5367431640625e-7",
]  # fmt: skip

SCALARS = [
    *NUMBERS, "null", "true", "false", "nul", '"x"', '""', '"\\u0041"', '"\\ud83d\\ude00"',
    '"\\ud800"', '"\\udc00"', '"\\ud800\\ud800"', '"\\u12g4"', '"\\x"', '"\\/\\b\\f\\n\\r\\t\\""', "[]", "{}",
    "[[]]",
    "[1,]", '{"a":1,}', "{,}", '{"a"}', '{"Name":"x"}', '["a",{"b":[null]}]',
]  # fmt: skip


def _is_valid(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


_VALID_SCALARS = [text for text in SCALARS if _is_valid(text)]
_KEYS = ("Name", "ParentName", "Confidence", "TaxonomyLevel", "N\\u0061me", "Other")


def usual_line(random_: random.Random) -> bytes:
    """A line as Rekognition writes it, with up to eight labels."""
    labels = [
        {
            "Name": random_.choice(NAMES[:6]),
            "ParentName": random_.choice(["", *NAMES[:6]]),
            "TaxonomyLevel": random_.randint(1, 5),
            "Confidence": random_.choice([99.86129760742188, 72.7257, random_.random() * 100, 90]),
        }
        for _ in range(random_.randint(0, 8))
    ]
    types = [
        {"Name": random_.choice(["Animated", "Illustrated", "ILLUSTRATED", "Photo"]), "Confidence": 61.5}
        for _ in range(random_.randint(0, 3))
    ]
    answer: dict[str, Any] = {
        "ModerationLabels": labels,
        "ModerationModelVersion": "7.0",
        "ContentTypes": types,
    }
    if random_.random() < 0.2:
        answer["ProjectVersion"] = random_.choice(["arn:aws:rekognition:1", "", "arn:ü"])
    return orjson.dumps(
        {"source-ref": f"s3://b/{random_.randrange(99)}.jpg", "detect-moderation-labels": answer}
    )


def odd_line(random_: random.Random) -> bytes:
    """A line put together from pieces that may be missing, doubled, of the wrong type or no JSON at all."""

    def scalar() -> str:
        return random_.choice(_VALID_SCALARS if random_.random() < 0.9 else SCALARS)

    def members(keys: tuple[str, ...], value: Any) -> str:
        chosen = random_.choices(keys, k=random_.randint(0, len(keys) + 1))
        return "{" + ",".join(f'"{key}"{space()}:{space()}{value(key)}' for key in chosen) + "}"

    def space() -> str:
        return random_.choice(["", "", "", " ", "\t", "\r", "  "])

    def text() -> str:
        return orjson.dumps(random_.choice(NAMES)).decode()

    def field(key: str) -> str:
        if random_.random() < 0.04:
            return scalar()
        if key == "Confidence":
            return (
                random_.choice(NUMBERS)
                if random_.random() < 0.3
                else random_.choice(["1", "2.5", "99", "-0.0"])
            )
        levels = ["1", "2", "3", "7", "127", "128", "null"]
        return random_.choice(levels) if key == "TaxonomyLevel" else text()

    def item() -> str:
        if random_.random() < 0.7:
            return f'{{"Name":{text()},"ParentName":{text()},"Confidence":{random_.random() * 100}}}'
        return members(_KEYS, field) if random_.random() < 0.9 else scalar()

    def items(_: str = "") -> str:
        if random_.random() < 0.1:
            return scalar()
        return f"[{space()}{','.join(item() for _ in range(random_.randint(0, 4)))}{space()}]"

    def answer(_: str = "") -> str:
        if random_.random() < 0.1:
            return scalar()
        keys = ("ModerationLabels", "ContentTypes", "ModerationModelVersion", "ProjectVersion", "Else")
        extra = members(keys, lambda key: items() if key in keys[:2] else random_.choice([text(), scalar()]))
        return '{"ModerationLabels":' + items() + ("," + extra[1:] if len(extra) > 2 else "}")

    def entry(key: str) -> str:
        return answer() if key.startswith("detect") else random_.choice([text(), text(), scalar()])

    keys = ("source-ref", "detect-moderation-labels", "source\\u002dref", "more")
    if random_.random() < 0.2:
        return members(keys, entry).encode()
    return f'{space()}{{"source-ref":{text()},"detect-moderation-labels":{answer()}}}{space()}'.encode()


def mutated(random_: random.Random, line: bytes) -> bytes:
    """The line with a few bytes cut, doubled, moved or overwritten."""
    data = bytearray(line)
    for _ in range(random_.choice([0, 0, 0, 0, 0, 0, 1, 1, 2, 5])):
        at = random_.randrange(len(data) + 1)
        match random_.randrange(5):
            case 0:
                del data[at : at + random_.choice([1, 1, 3, 20])]
            case 1:
                data[at:at] = bytes([random_.choice(b'"\\{}[],:0e-.\x00\x1f\x7f\x80\xc0\xed\xf4\xff u\n\r')])
            case 2 if at < len(data):
                data[at] = random_.randrange(256)
            case 3:
                data[at:at] = data[random_.randrange(len(data) + 1) :][:30]
            case _:
                data[at:] = b""
    return bytes(data)


def fuzzed_block(seed: int, *, lines: int = 40) -> bytes:
    """A block of lines, every kind of them; the same for the same seed."""
    random_ = random.Random(seed)
    made = (usual_line if random_.random() < 0.4 else odd_line for _ in range(lines))
    block = b"\n".join(mutated(random_, make(random_)) for make in made)
    return block + random_.choice([b"", b"\n", b"\n\n", b" \r\n\t"])
