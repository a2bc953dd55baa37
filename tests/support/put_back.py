"""An install that a module's tests share: what took long to make is kept, and put back before each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from moderation.settings import Settings
from moderation.storage import s3_objects
from support import planned_runs


@dataclass
class Install:
    """A bucket and a folder, and settings for them."""

    settings: Settings
    s3: Any
    bucket: str
    folder: Path

    def names(self) -> dict[str, str]:
        """Every key and file by its name, ``s3:work/…`` or ``disk:…``, with its MD5."""
        found = {
            f"s3:{entry['Key']}": entry["ETag"].strip('"')
            for page in s3_objects.list_pages(self.s3, self.bucket, "")
            for entry in page.get("Contents", [])
        }
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                found[f"disk:{path.relative_to(self.folder)}"] = _md5(path.read_bytes())
        return found

    def read(self, name: str) -> bytes | None:
        """None where there is none."""
        if name.startswith("s3:"):
            stored = s3_objects.find(self.s3, f"s3://{self.bucket}/{name[3:]}")
            return stored.body if stored else None
        path = self.folder / name.removeprefix("disk:")
        return path.read_bytes() if path.is_file() else None

    def write(self, name: str, body: bytes | None) -> None:
        """None deletes."""
        if name.startswith("s3:"):
            if body is None:
                self.s3.delete_object(Bucket=self.bucket, Key=name[3:])
            else:
                self.s3.put_object(Bucket=self.bucket, Key=name[3:], Body=body)
            return
        path = self.folder / name.removeprefix("disk:")
        if body is None:
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)

    def files(self) -> dict[str, bytes]:
        """Everything as it lies now."""
        return {name: self.read(name) or b"" for name in self.names()}

    def put_back(self, wanted: Mapping[str, bytes]) -> None:
        """Bring everything back as it lay then."""
        now = self.names()
        for name in now.keys() - wanted.keys():
            self.write(name, None)
        for name, body in wanted.items():
            if now.get(name) != _md5(body):
                self.write(name, body)


@dataclass
class MadeOnce:
    """Of module scope: the first test that asks makes the install, each later one finds it as it was then."""

    folder: Path
    install: Install | None = None
    made: Any = None
    _files: Mapping[str, bytes] | None = None

    def get(self, s3: Any, bucket: str, make: Callable[[Settings], Any]) -> Install:
        """
        The install; `made` is what made it returned.

        :param bucket: of the test, an empty one; later tests leave theirs alone.
        :param make: fills the install.
        """
        if self.install is None or self._files is None:
            settings = planned_runs.make_settings(self.folder, bucket, tables="local")
            settings = replace(settings, parquet_mirror=self.folder / "mirror")
            self.install = Install(settings, s3, bucket, self.folder)
            self.made = make(settings)
            self._files = self.install.files()
        self.install.s3 = s3
        self.install.put_back(self._files)
        return self.install


def _md5(body: bytes) -> str:
    """As S3 tells it of an object that was put in one part."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
