from __future__ import annotations

import errno
import re
from urllib.error import URLError

import pytest

from local_aws.process import ServiceError
from local_aws.stack import trouble
from local_aws.stack.layout import StackError


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "is full .* make room"),
        (OSError(errno.ENOSPC, "No space left on device", "/srv/var/x"), "is full .* make room"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "is full .* make room"),
        (PermissionError(errno.EACCES, "Permission denied", "/srv/var/x"), "chown it, or delete"),
        (OSError(errno.EROFS, "Read-only file system", "/srv/var"), "can be written"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit"),
        (TimeoutError("timed out"), "did not answer .* run this again"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "did not answer"),
        (URLError(ConnectionRefusedError("refused")), "make up"),
        (StackError("as it is"), "as it is"),
        (ServiceError("S3 ended"), "S3 ended"),
        (OSError(errno.EIO, "Input/output error", "/srv/var/x"), "see .*logs"),
    ],
)
def test_what_a_machine_does_to_the_stack_is_one_line_with_what_helps(tmp_path, error, remedy):
    text = trouble.explain(error, var=tmp_path)

    assert re.search(remedy, text)
    assert "\n" not in text


def test_a_service_that_ended_on_a_full_disk_is_told_with_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(trouble, "_free", lambda _: 1_000_000)

    assert "is full (1 MB free)" in trouble.explain(ServiceError("S3 ended"), var=tmp_path)


def test_a_fault_of_the_program_is_not_explained_away(tmp_path):
    assert trouble.explain(KeyError("x"), var=tmp_path) is None
