from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import moderation
from moderation.flatten import parse
from moderation.flatten.native import library
from moderation.flatten.native.compiler import find_compiler

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")


@pytest.fixture(scope="module")
def built() -> Path:
    """The library as this machine's compiler makes it."""
    return library.build()


class TestChoice:
    @pytest.fixture(autouse=True)
    def _decides_anew(self) -> Iterator[None]:
        library.load.cache_clear()
        yield
        library.load.cache_clear()

    @pytest.fixture
    def elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The sources in a folder without a library."""
        folder = tmp_path / "native"
        shutil.copytree(
            Path(library.__file__).parent, folder, ignore=shutil.ignore_patterns("build", "__py*")
        )
        monkeypatch.setattr(library, "_HERE", folder)
        quickly = ["-O0" if flag.startswith("-O") else flag for flag in library._FLAGS]
        monkeypatch.setattr(library, "_FLAGS", quickly)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        return folder

    @pytest.fixture
    def copying(self, elsewhere: Path, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Stands for the compiler, which takes seconds: gives what that gave once so many ask as told."""
        compiler = tmp_path / "c++"
        compiler.write_text(
            "#!/bin/sh\n"
            f"touch {tmp_path}/asking-$$\n"
            f"while [ $(ls {tmp_path}/asking-* | wc -l) -lt ${{ASKING:-1}} ]; do sleep 0.05; done\n"
            'while [ "$1" != -o ]; do shift; done\n'
            f'exec cp {built} "$2"\n'
        )
        compiler.chmod(0o755)
        monkeypatch.setenv("CXX", str(compiler))
        return elsewhere

    def test_python_when_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MODERATION_NATIVE", "0")
        assert library.load() is None
        assert parse.parse_block(b"[]", 3).lines.column("line_number").to_pylist() == [3]

    @pytest.mark.usefixtures("elsewhere")
    def test_python_without_a_compiler(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nonexistent")
        monkeypatch.delenv("CXX", raising=False)
        with pytest.raises(library.BuildError, match="apt install"):
            library.build()
        assert library.load() is None
        assert parse.parse_block(b"[]", 3).lines.num_rows == 1

    @pytest.mark.usefixtures("elsewhere")
    def test_a_failing_compiler_is_quoted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        compiler = tmp_path / "c++"
        compiler.write_text("#!/bin/sh\necho 'no such standard' >&2\nexit 3\n")
        compiler.chmod(0o755)
        monkeypatch.setenv("CXX", str(compiler))
        with pytest.raises(library.BuildError, match=r"failed \(3\): no such standard"):
            library.build()

    def test_a_library_that_does_not_load_is_no_error(
        self, elsewhere: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = library.library_paths()[0]
        path.parent.mkdir(parents=True)
        path.write_bytes(b"not a library")
        with caplog.at_level("INFO"):
            assert library.load() is None
        assert "in Python" in caplog.text

    @needs_compiler
    def test_built_by_two_processes_at_once(self, copying: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ASKING", "2")  # each compiles while the other does
        with ThreadPoolExecutor(2) as pool:
            paths = list(pool.map(lambda _: library.build(), range(2)))
        assert paths[0] == paths[1]
        assert [path.name for path in paths[0].parent.iterdir()] == [paths[0].name]
        assert copying in paths[0].parents

    @needs_compiler
    def test_a_read_only_installation_uses_the_cache(self, copying: Path, tmp_path: Path) -> None:
        (copying / "build").write_text("in the way: nobody can make a folder here")
        path = library.build()
        assert tmp_path / "cache" in path.parents
        assert library.build() == path

    @pytest.mark.parametrize(
        "environment",
        [{"PATH": "/nonexistent"}, {"MODERATION_NATIVE": "0"}, pytest.param({}, marks=needs_compiler)],
    )
    def test_the_install_step_never_fails(
        self, environment: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
    ) -> None:
        if not environment:
            request.getfixturevalue("copying")  # its compiler, which CXX names
        package = tmp_path / "moderation"
        source = Path(moderation.__file__).parent
        shutil.copytree(source, package, ignore=shutil.ignore_patterns("build", "__py*", "ready"))
        result = subprocess.run(
            [sys.executable, "-m", "moderation.flatten.native"],
            env={**os.environ, "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stderr == ""
        assert result.stdout.count("\n") == 1
        assert "parse" in result.stdout
