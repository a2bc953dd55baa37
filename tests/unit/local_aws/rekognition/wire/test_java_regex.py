from __future__ import annotations

import pytest

from local_aws.rekognition.wire.java_regex import compile_java
from local_aws.rekognition.wire.model import service_model

PATTERNS = {
    shape.metadata["pattern"]
    for shape in map(service_model().shape_for, service_model().shape_names)
    if "pattern" in shape.metadata
}


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_every_pattern_of_the_service_model_can_be_used(pattern: str) -> None:
    assert compile_java(pattern).fullmatch("\x00") is None or pattern in {".{1,}", r"\S*", r".*\S.*"}


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"\d+", "123", True),
        (r"\d+", "١٢٣", False),  # Arabic digits: Python's \d takes them, Java's does not
        (r"\w+", "é", False),
        (r"\S*", "a\u00a0b", True),  # a no-break space is no white space to Java
        (r"\S*", "a\tb", False),
        (r".+", "a\u2028b", False),
        (r".+", "a\rb", False),
        (r"[.]+", "a", False),
        (r"^[a-z]+$", "abc\n", False),
        (r"[\p{L}]+", "éßж", True),
        (r"[\p{L}]+", "é1", False),
        (r"\p{Lu}", "É", True),
        (r"\p{Lu}", "é", False),
    ],
)
def test_patterns_mean_what_java_means(pattern: str, text: str, matches: bool) -> None:
    assert bool(compile_java(pattern).fullmatch(text)) is matches


@pytest.mark.parametrize("pattern", ["[a-z&&[^b]]", r"\p{Nonsense}", "(", "a{2,1}"])
def test_a_pattern_that_cannot_be_translated_is_named(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"translated|category"):
        compile_java(pattern)
