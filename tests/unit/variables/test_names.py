from __future__ import annotations

import pytest

from moderation.variables.names import OTHER_FILES, NamePatterns, parse
from support.airflow_home import REPOSITORY


@pytest.mark.parametrize(
    "key",
    [
        "a.jpg",
        "a.JPEG",
        "a/b.webp",
        "a.gif",
        "a.tiff",
        "a.heic",
        "a.avif",
        "no-extension",
        "photo.jpg:large",
        "a.jpg!thumb",
        "notes.txt.jpg",
        "2024.01/scan",
        "archive.zip/inner",
        "archive.zip/",
        ".jpg",
        "jpg",
        "json",
        "txt.",
        "new\nline.jpg",
        "",
    ],
)
def test_no_pattern_speaks_against_what_may_be_an_image(key):
    assert OTHER_FILES.matching(key) is None


@pytest.mark.parametrize(
    ("key", "pattern"),
    [
        ("notes.txt", "*.txt"),
        ("README", "readme"),
        ("readme.MD", "*.md"),
        (".DS_Store", "*.ds_store"),
        ("a/Thumbs.db", "thumbs.db"),
        ("._photo.jpg", "._*"),
        ("a/_SUCCESS", "_success"),
        ("x.tar.gz", "*.gz"),
        ("IMG_16.jpg.bak", "*.bak"),
        ("new\nline.c", "*.c"),
    ],
)
def test_what_is_named_like_another_kind_is_told_with_the_pattern(key, pattern):
    assert OTHER_FILES.matching(key) == pattern


@pytest.mark.parametrize(
    ("text", "name", "pattern"),
    [
        ("default *.sidecar", "a.SIDECAR", "*.sidecar"),
        ("default *.sidecar", "a.txt", "*.txt"),
        ("*.Sidecar", "a.txt", None),
        ("thumb_*,  cover.jpg", "x/thumb_1.jpg", "thumb_*"),
        ("thumb_*,  cover.jpg", "x/Cover.JPG", "cover.jpg"),
        ("*.tar.gz", "x.tar.gz", "*.tar.gz"),
        ("*.tar.gz", "x.gz", None),
        ("*.[0-9]", "log.7", "*.[0-9]"),
        ("none", "a.txt", None),
        ("DEFAULT", "a.txt", "*.txt"),
    ],
)
def test_people_set_the_patterns(text, name, pattern):
    assert parse(text).matching(name) == pattern


@pytest.mark.parametrize("text", [",", "none *.txt", "a/*.txt", " ".join(f"*.{n}" for n in range(1_001))])
def test_what_is_no_list_of_patterns_is_refused(text):
    with pytest.raises(ValueError, match="expected patterns of names"):
        parse(text)


def test_the_guide_lists_the_built_in_patterns():
    guide = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    assert all(f"`{pattern}`" in guide for pattern in OTHER_FILES.patterns)
    assert NamePatterns(OTHER_FILES.patterns) == OTHER_FILES
