from __future__ import annotations

import errno
import inspect
import os
import sys
from pathlib import Path

import pytest

from moderation.sources.base import SourceError
from moderation.sources.listing import Tally
from moderation.sources.local_folder import LocalFolder, _Walk, as_known
from moderation.sources.open import open_source
from moderation.storage import s3_objects
from support import pictures

GOOD = pictures.picture()


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "my photos"
    root.mkdir()
    return root


def fill(root: Path, *names: str, body: bytes = GOOD) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def verdicts(table):
    """Last part of each row's name, and its code."""
    return {row["source_ref"].rpartition("/")[2]: row["error_code"] for row in table.to_pylist()}


def keys_in(s3_client, bucket):
    pages = s3_client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {entry["Key"] for page in pages for entry in page.get("Contents", [])}


ODD = [
    "a b.jpg",
    "#1 50%.jpg",
    "%20.jpg",
    "plus+.jpg",
    "\"q'.jpg",
    "new\nline.jpg",
    "\U0001f600.jpg",
    "e\u0301.jpg",
    "\u00e9.jpg",
    "-rf.jpg",
    " lead and trail .jpg",
    "deep/er/x.jpg",
    "d" * 200 + "/" + "n" * 200 + "/" + "m" * 240 + "/" + "o" * 200 + ".jpg",
]


def test_files_of_any_name_are_uploaded_listed_and_read_back(folder, scan, s3_client, bucket, settings):
    fill(folder, *ODD)
    source = LocalFolder(str(folder))

    table, tally = scan(source)

    prefix = source.target(settings).removeprefix(f"s3://{bucket}/")
    assert prefix.startswith("in/uploads/my-photos-")
    assert set(table["key"].to_pylist()) == {f"{prefix}/{name}" for name in ODD}
    assert keys_in(s3_client, bucket) == {f"{prefix}/{name}" for name in ODD}
    assert set(table["error_code"].to_pylist()) == {None}
    assert (tally.listed, source.count.uploaded) == (len(ODD), len(ODD))
    for key in table["key"].to_pylist():
        answer = s3_client.get_object(Bucket=bucket, Key=key)
        assert answer["Body"].read() == GOOD
        assert answer["ContentType"] == "image/jpeg"


def test_a_second_upload_sends_nothing_and_gives_the_same_rows(folder, scan):
    fill(folder, *ODD, "back\\slash.jpg")
    first, _ = scan(LocalFolder(str(folder)))
    again = LocalFolder(str(folder))

    second, _ = scan(again)

    assert again.count.uploaded == 0
    columns = ["source_ref", "etag", "size", "error_code"]
    assert second.select(columns).equals(first.select(columns))


def test_only_what_changed_is_sent(folder, scan, s3_client, bucket):
    fill(folder, "same.jpg", "touched.jpg", "other size.jpg", "other content.jpg")
    scan(LocalFolder(str(folder)))
    later = os.stat(folder / "same.jpg").st_mtime + 3600
    os.utime(folder / "touched.jpg", (later, later))
    fill(folder, "other size.jpg", body=GOOD + b"more")
    fill(folder, "other content.jpg", body=GOOD[:-3] + b"xyz")
    os.utime(folder / "other content.jpg", (later, later))
    fill(folder, "new.jpg")
    source = LocalFolder(str(folder))

    table, _ = scan(source)

    assert source.count.uploaded == 3
    etags = {row["key"].rpartition("/")[2]: row["etag"] for row in table.to_pylist()}
    for name in ("other size.jpg", "other content.jpg"):
        (key,) = (key for key in keys_in(s3_client, bucket) if key.endswith(name))
        answer = s3_client.get_object(Bucket=bucket, Key=key)
        assert answer["Body"].read() == (folder / name).read_bytes()
        assert answer["ETag"].strip('"') == etags[name]


def test_only_this_folders_files_count(folder, scan, s3_client, bucket, settings):
    fill(folder, "a.jpg", "gone.jpg")
    scan(LocalFolder(str(folder)))
    (folder / "gone.jpg").unlink()

    table, _ = scan(LocalFolder(str(folder)))

    assert [key.rpartition("/")[2] for key in table["key"].to_pylist()] == ["a.jpg"]
    assert len(keys_in(s3_client, bucket)) == 2


def test_folders_of_the_same_name_do_not_mix(tmp_path, settings):
    one, two = LocalFolder(str(tmp_path / "1" / "photos")), LocalFolder(str(tmp_path / "2" / "photos"))

    assert one.target(settings) != two.target(settings)
    assert one.target(settings) == LocalFolder(f"{tmp_path}/1/../1/photos/").target(settings)


def test_what_cannot_be_sent_stays_here_and_has_a_row(folder, scan, s3_client, bucket):
    fill(folder, "text.jpg", body=b"just text")
    fill(folder, "empty.jpg", body=b"")
    fill(folder, "cut.png", body=pictures.picture("PNG")[:20])
    fill(folder, "16mb.jpg", body=GOOD + bytes(16 * 2**20))
    fill(folder, "40px.png", body=pictures.picture("PNG", (40, 40)))
    fill(folder, "600mp.png", body=pictures.png_header(24_000, 25_000))
    fill(folder, "web.webp", body=pictures.picture("WEBP"))
    fill(folder, "cmyk.jpg", body=pictures.picture(mode="CMYK"))
    fill(folder, "sixteen.png", body=pictures.picture("PNG", mode="I;16"))
    fill(folder, "animated.png", body=pictures.animated_png())
    fill(folder, "notes.txt", ".DS_Store", body=b"x")

    table, tally = scan(LocalFolder(str(folder)))

    assert verdicts(table) == {
        "text.jpg": "InvalidImageFormat",
        "empty.jpg": "EmptyFile",
        "cut.png": "InvalidImageFormat",
        "16mb.jpg": "ImageTooLarge",
        "40px.png": "InvalidParameter",
        "600mp.png": "InvalidParameter",
        "web.webp": "InvalidImageFormat",
        "cmyk.jpg": None,
        "sixteen.png": None,
        "animated.png": None,
    }
    assert (tally.listed, tally.ignored) == (12, 2)
    assert len(keys_in(s3_client, bucket)) == 3
    rejected = [row for row in table.to_pylist() if row["error_code"]]
    assert all(row["source_ref"].startswith("file:///") and row["key"] is None for row in rejected)


def test_the_bytes_of_a_file_decide_whatever_its_name_says(folder, scan, s3_client, bucket):
    fill(folder, "anna.c", "peter.sh", "IMG_16.jpg.bak", "._b.jpg", "Makefile")
    fill(folder, "huge.zip", body=GOOD + bytes(16 * 2**20))
    fill(folder, "gif.db", body=b"GIF89a" + bytes(20))
    fill(folder, "notes.txt", body=b"BM is how these notes begin")
    fill(folder, "book.pdf", body=b"%PDF-1.7")
    fill(folder, ".gitkeep", "sub_$folder$", body=b"")
    (folder / "gone.log").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.log")

    table, tally = scan(LocalFolder(str(folder)))

    assert verdicts(table) == {
        "anna.c": None,
        "peter.sh": None,
        "IMG_16.jpg.bak": None,
        "._b.jpg": None,
        "Makefile": None,
        "huge.zip": "ImageTooLarge",
        "gif.db": "InvalidImageFormat",
    }
    assert tally.by_rule == {"*.txt": 1, "*.pdf": 1, "*.gitkeep": 1, "*.log": 2, "folder marker": 1}
    assert (tally.listed, len(keys_in(s3_client, bucket))) == (13, 5)


@pytest.mark.parametrize("code", ["InvalidArgument", "AccessDenied", "ServiceUnavailable"])
def test_a_file_that_s3_does_not_take_is_its_row_and_a_refusal_of_all_stops_the_run(
    folder, scan, monkeypatch, code
):
    fill(folder, "a.jpg", "b.jpg", "odd.jpg")
    real = s3_objects.put

    def put(s3, uri, body, **more):
        if uri.endswith(ending):
            raise s3_objects.s3_error(code, bucket="b", key=uri, action="write", cause="no")
        return real(s3, uri, body, **more)

    monkeypatch.setattr(s3_objects, "put", put)
    ending = "odd.jpg"
    table, _ = scan(LocalFolder(str(folder)))
    assert verdicts(table) == {"a.jpg": None, "b.jpg": None, "odd.jpg": "InvalidS3Object"}
    assert len(scan(LocalFolder(str(folder)))[0]) == 3, "also where it alone is left to be uploaded"
    ending = ".jpg"
    fill(folder.parent / "new", "c.jpg", "d.jpg", "e.jpg")
    with pytest.raises(s3_objects.S3Error, match=rf"nor can any of the 2 others here \({code}\)"):
        scan(LocalFolder(str(folder.parent / "new")))


@pytest.mark.parametrize("away", [True, False])
def test_an_upload_while_s3_is_away_is_no_fault_of_the_file(folder, scan, monkeypatch, away):
    fill(folder, "a.jpg", "b.jpg")
    real, failed = s3_objects.put, []

    def unavailable(*_, **__):
        raise s3_objects.s3_error("Unreachable", bucket="b", action="write", cause="no")

    def put(s3, uri, body, **more):
        if uri.endswith("b.jpg") and not failed:
            failed.append(uri)
            if away:
                monkeypatch.setattr(s3_objects, "list_pages", unavailable)
            unavailable()
        return real(s3, uri, body, **more)

    monkeypatch.setattr(s3_objects, "put", put)
    if away:
        with pytest.raises(s3_objects.S3Unavailable):
            scan(LocalFolder(str(folder)))
    else:
        assert verdicts(scan(LocalFolder(str(folder)))[0]) == {"a.jpg": None, "b.jpg": None}


def test_names_and_paths_that_s3_cannot_take_have_a_row(folder, scan):
    fill(folder, "ok.jpg", "/".join(["p" * 200] * 5) + "/long.jpg")
    raw = os.fsencode(folder)
    os.mkdir(raw + b"/dir\xff")
    for name in (b"/bad\xff.jpg", b"/dir\xff/inside.jpg"):
        Path(os.fsdecode(raw + name)).write_bytes(GOOD)

    table, tally = scan(LocalFolder(str(folder)))

    assert verdicts(table) == {
        "ok.jpg": None,
        "long.jpg": "KeyTooLong",
        "bad%FF.jpg": "InvalidKey",
        "inside.jpg": "InvalidKey",
    }
    assert tally.listed == 4


def test_a_tree_deeper_than_the_interpreters_stack_is_no_problem(folder, monkeypatch):
    # Frames are made scarce rather than folders many: pytest itself cannot delete a thousand nested folders.
    fill(folder, "top.jpg", "/".join("d" * 120) + "/bottom.jpg")
    deep = len(inspect.stack(0))
    limit = sys.getrecursionlimit()
    walk = _Walk(None, "bucket", Tally(), None)
    monkeypatch.setattr(walk, "_stored", lambda prefix: {})
    sys.setrecursionlimit(deep + 60)
    try:
        names = [file.path.rpartition("/")[2] for file in walk.files(str(folder), "prefix")]
    finally:
        sys.setrecursionlimit(limit)

    assert names == ["top.jpg", "bottom.jpg"]


def test_loops_and_aliases_of_symbolic_links_end_and_each_folder_counts_once(folder, scan):
    fill(folder, "a/x.jpg", "b/y.jpg")
    (folder / "a" / "loop").symlink_to(folder)
    (folder / "b" / "alias").symlink_to(folder / "a")
    (folder / "file link.jpg").symlink_to(folder / "a" / "x.jpg")

    table, _ = scan(LocalFolder(str(folder)))

    assert sorted(
        key.partition("/")[2].partition("/")[2].partition("/")[2] for key in table["key"].to_pylist()
    ) == [
        "a/x.jpg",
        "b/y.jpg",
        "file link.jpg",
    ]


def test_broken_links_pipes_and_unreadable_files_have_a_row(folder, scan, monkeypatch):
    fill(folder, "ok.jpg", "locked.jpg", "sub/inside.jpg", "secret/x.jpg")
    (folder / "broken.jpg").symlink_to("nowhere")
    (folder / "self.jpg").symlink_to("self.jpg")
    os.mkfifo(folder / "pipe.jpg")
    real_open, real_scan = open, os.scandir

    def refuse(real):
        def opened(path, *arguments, **options):
            if str(path).endswith(("locked.jpg", "secret")):
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return real(path, *arguments, **options)

        return opened

    monkeypatch.setattr("builtins.open", refuse(real_open))
    monkeypatch.setattr("os.scandir", refuse(real_scan))

    table, _ = scan(LocalFolder(str(folder)))

    assert verdicts(table) == {
        "ok.jpg": None,
        "inside.jpg": None,
        "locked.jpg": "UnreadableFile",
        "secret": "UnreadableFile",
        "broken.jpg": "UnreadableFile",
        "self.jpg": "UnreadableFile",
        "pipe.jpg": "UnreadableFile",
    }


def test_backslashes_become_a_code_and_what_would_clash_is_refused(folder, scan):
    fill(folder, "a\\b.jpg", "a%5Cb.jpg", "a/b.jpg")

    table, _ = scan(LocalFolder(str(folder)))

    codes = sorted(
        (row["error_code"] or "", row["source_ref"].rpartition("/")[2]) for row in table.to_pylist()
    )
    assert codes == [("", "a%5Cb.jpg"), ("", "b.jpg"), ("InvalidKey", "a%5Cb.jpg")]


def test_a_dry_run_sends_nothing_and_gives_the_rows_that_would_be(folder, scan, s3_client, bucket):
    fill(folder, "a.jpg", "b.jpg")

    dry, _ = scan(LocalFolder(str(folder)), dry_run=True)

    assert keys_in(s3_client, bucket) == set()
    real, _ = scan(LocalFolder(str(folder)))
    columns = ["source_ref", "etag", "size"]
    assert dry.select(columns).equals(real.select(columns))


def test_an_empty_folder_has_no_rows_and_a_missing_one_is_an_error(folder, scan):
    table, tally = scan(LocalFolder(str(folder)))

    assert (len(table), tally.listed) == (0, 0)
    with pytest.raises(SourceError, match="is no folder"):
        scan(LocalFolder(str(folder / "missing")))
    fill(folder, "a.jpg")
    with pytest.raises(SourceError, match="is no folder"):
        scan(LocalFolder(str(folder / "a.jpg")))


def test_a_path_and_a_file_uri_name_a_local_folder(folder):
    assert open_source(str(folder)) == LocalFolder(str(folder))
    assert open_source(f"file://{folder}") == LocalFolder(str(folder))


def test_a_local_folder_is_shown_by_its_path_and_a_bucket_by_its_uri(tmp_path):
    folder = tmp_path / "my ph\u00f6tos #1"
    assert as_known(LocalFolder(str(folder)).uri) == str(folder)
    assert as_known("s3://archive/a%20b/") == "s3://archive/a%20b/"
