from __future__ import annotations

import io
from collections.abc import Iterator

import psutil
import pytest
from PIL import Image

from moderation.sources.decoding import decoders as module
from moderation.sources.decoding.decoders import CannotShowError, Decoders
from support import pictures


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    made = Decoders(number=1)
    yield made
    made.close()


def process_of(decoders: Decoders) -> psutil.Process:
    (child,) = [child for child in psutil.Process().children() if "decode.py" in " ".join(child.cmdline())]
    return child


def test_images_are_made_small_by_another_process(decoders):
    with Image.open(io.BytesIO(decoders.shrink([pictures.jpeg()], 100))) as made:
        assert max(made.size) == 100
    assert process_of(decoders).is_running()


def test_a_process_can_be_started_before_there_is_an_image_and_makes_the_first_one(decoders):
    decoders.start()
    process = process_of(decoders)
    decoders.start()
    assert decoders.shrink([pictures.jpeg()], 100)
    assert process_of(decoders) == process


def test_what_cannot_be_started_before_is_tried_again_for_an_image(decoders, monkeypatch):
    def refuses(*_args, **_options):
        raise BlockingIOError("too many processes")

    monkeypatch.setattr(module.subprocess, "Popen", refuses)
    decoders.start()
    monkeypatch.undo()
    assert decoders.shrink([pictures.jpeg()], 100)


def test_a_reason_comes_back_and_the_process_goes_on(decoders):
    with pytest.raises(CannotShowError, match="no image"):
        decoders.shrink([b"text"], 100)
    process = process_of(decoders)
    assert decoders.shrink([pictures.png()], 100)
    assert process_of(decoders) == process


def test_a_file_that_stops_arriving_tells_why_and_the_next_one_is_made(decoders):
    def cut_off():
        yield pictures.jpeg()[:500]
        raise ConnectionError("S3 is gone")

    with pytest.raises(ConnectionError, match="gone"):
        decoders.shrink(cut_off(), 100)
    assert decoders.shrink([pictures.jpeg()], 100)


def test_a_file_that_never_arrives_costs_no_process(decoders):
    def gone():
        raise CannotShowError("it is no longer in its bucket")
        yield b""

    decoders.start()
    process = process_of(decoders)
    with pytest.raises(CannotShowError, match="no longer"):
        decoders.shrink(gone(), 100)
    assert process_of(decoders) == process


def test_what_is_not_read_of_one_file_is_not_taken_for_the_next(decoders):
    large = [pictures.jpeg(20_000, 100), *[b"x" * 300_000] * 3]
    with pytest.raises(CannotShowError, match="too many to show"):
        decoders.shrink(large, 100)
    with pytest.raises(CannotShowError, match="empty"):
        decoders.shrink([], 100)
    assert decoders.shrink([b"", pictures.jpeg(), b""], 100)


def test_a_process_that_dies_is_replaced(decoders):
    decoders.shrink([pictures.jpeg()], 100)
    process = process_of(decoders)
    process.kill()
    process.wait()
    assert decoders.shrink([pictures.jpeg()], 100)


def test_an_image_that_takes_too_long_is_given_up_and_the_next_one_is_made(decoders, monkeypatch):
    decoders.shrink([pictures.jpeg()], 100)
    process = process_of(decoders)
    process.suspend()
    monkeypatch.setattr(module, "SECONDS", 0.2)
    with pytest.raises(CannotShowError, match="more time or memory"):
        decoders.shrink([pictures.jpeg()], 100)
    monkeypatch.undo()
    assert decoders.shrink([pictures.jpeg()], 100)


def test_an_image_that_takes_too_much_of_a_core_ends_its_process_and_the_next_one_is_made(
    decoders, monkeypatch, tmp_path
):
    program = tmp_path / "endless.py"
    program.write_text(
        f"import sys; sys.path.insert(0, {str(module._PROGRAM.parent)!r}); import decode\n"
        "decode.CPU_SECONDS, decode.shrink = 0, lambda *given: sum(iter(int, 1))\n"
        "decode.serve(sys.stdin.buffer, sys.stdout.buffer)\n"
    )
    monkeypatch.setattr(module, "_PROGRAM", program)
    with pytest.raises(CannotShowError, match="more time or memory"):
        decoders.shrink([pictures.jpeg()], 100)
    monkeypatch.undo()
    assert decoders.shrink([pictures.jpeg()], 100)


def test_the_process_reaches_neither_credentials_nor_the_working_directory(decoders, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "PIL.py").write_text("raise SystemExit(3)")
    assert decoders.shrink([pictures.jpeg()], 100)
    process = process_of(decoders)
    assert "AWS_SECRET_ACCESS_KEY" not in process.environ()
    assert process.cwd() == "/"
