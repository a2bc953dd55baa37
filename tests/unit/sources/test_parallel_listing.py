from __future__ import annotations

import threading

import pytest

from moderation.sources.parallel_listing import list_in_parallel
from moderation.storage.s3_objects import S3Error


def put(s3, *keys):
    for key in keys:
        s3.put_object(Bucket="photos", Key=key, Body=b"-")


TREES = {
    "thin folders after many objects": [
        *(f"x/{n:02d}.jpg" for n in range(33)),
        *(f"x/z{n:02d}/a.jpg" for n in range(15)),
    ],
    "flat": [f"x/{number:03d}.jpg" for number in range(37)],
    "few wide folders": [f"x/{folder}/{number:03d}.jpg" for folder in "abc" for number in range(25)],
    "many thin folders": [f"x/{folder:03d}/one.jpg" for folder in range(45)],
    "deep": [f"x/a/b/c/{folder}/{number}.jpg" for folder in "de" for number in range(21)],
    "objects beside folders": [
        *(f"x/{n:02d}.jpg" for n in range(24)),
        *(f"x/z/{n:02d}.jpg" for n in range(24)),
    ],
    "slashes that follow each other": [f"x//{folder}//{n}.jpg" for folder in ("", "a") for n in range(12)],
    "nothing": [],
}


@pytest.fixture
def small_pages(aws, monkeypatch):
    """Ten keys a page, and what was asked."""
    asked = []
    listing = aws.list_objects_v2

    def list_objects_v2(**request):
        asked.append(request)
        return listing(**request, MaxKeys=10)

    monkeypatch.setattr(aws, "list_objects_v2", list_objects_v2)
    return asked


@pytest.mark.parametrize("tree", TREES)
def test_every_object_is_listed_once_however_the_folders_lie(aws, small_pages, tree):
    put(aws, *TREES[tree], "xy.jpg")

    pages = list(list_in_parallel(aws, "photos", "x/", threads=4))

    assert sorted(entry["Key"] for page in pages for entry in page) == sorted(TREES[tree])


def test_folders_too_thin_for_listings_of_their_own_are_listed_page_after_page(aws, small_pages):
    put(aws, *TREES["many thin folders"])
    list(list_in_parallel(aws, "photos", "x/", threads=4))
    assert {request["Prefix"] for request in small_pages} == {"x/"}
    assert len(small_pages) == 2 * -(-len(TREES["many thin folders"]) // 10)


def test_a_folder_without_folders_costs_no_page_more_than_it_has(aws, small_pages):
    put(aws, *TREES["flat"])
    list(list_in_parallel(aws, "photos", "x/", threads=4))
    assert len(small_pages) == -(-len(TREES["flat"]) // 10)


def test_a_reader_that_has_seen_enough_stops_the_listing(aws, small_pages):
    put(aws, *TREES["few wide folders"])
    pages = list_in_parallel(aws, "photos", "x/", threads=2)
    next(pages)
    pages.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("list")]


def test_a_fault_in_one_folder_is_the_listings(aws, small_pages, monkeypatch):
    put(aws, *TREES["few wide folders"])
    listing = aws.list_objects_v2

    def refused(**request):
        bucket = "no-such-bucket-here" if request["Prefix"] == "x/b/" else "photos"
        return listing(**request | {"Bucket": bucket})

    monkeypatch.setattr(aws, "list_objects_v2", refused)
    with pytest.raises(S3Error, match="NoSuchBucket"):
        list(list_in_parallel(aws, "photos", "x/", threads=2))
