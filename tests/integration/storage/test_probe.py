from __future__ import annotations

import signal
from datetime import timedelta

import pytest

from moderation.settings import Settings
from moderation.sources.listing import Tally
from moderation.sources.s3_prefix import S3Prefix
from moderation.storage import probe, s3_objects


@pytest.fixture
def heard():
    """Ctrl-C is heard, as at a terminal; what a shell puts into the background does not hear it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_who_is_told_to_end_in_the_middle_leaves_nothing(s3_client, bucket, number):
    before, uri = signal.getsignal(number), probe.new_uri(f"s3://{bucket}/work")

    def told_to_end():
        with probe.removed_at_the_end(s3_client, uri):
            s3_objects.put(s3_client, uri, probe.BODY)
            signal.raise_signal(number)

    with pytest.raises(KeyboardInterrupt):
        told_to_end()
    assert not s3_objects.exists(s3_client, uri)
    assert signal.getsignal(number) is before


def test_what_is_left_behind_is_found_when_it_is_old_and_taken_for_no_image(s3_client, bucket):
    uri = probe.new_uri(f"s3://{bucket}/photos")
    s3_objects.put(s3_client, uri, probe.BODY)
    tally, settings = Tally(unread=True), Settings.from_env({})
    rows = list(S3Prefix(f"s3://{bucket}/photos").batches(settings, s3_client, tally, dry_run=True))
    assert (sum(batch.num_rows for batch in rows), tally.listed) == (0, 1)

    assert probe.sweep(s3_client, f"s3://{bucket}/photos") == 0
    assert probe.sweep(s3_client, f"s3://{bucket}/photos", age=timedelta(days=-1)) == 1
    assert not s3_objects.exists(s3_client, uri)
