"""Make what an Amazon MWAA environment is given: Dags, plugins.zip, requirements.txt, startup.sh.

``.venv/bin/python deploy/mwaa/bundle.py SETTINGS FOLDER`` reads the settings (lines ``NAME=value``), checks
each by the table in ``moderation.settings``, and writes the files into FOLDER, which ``aws s3 sync`` brings
into the environment's bucket. Equal inputs give equal bytes.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "include")]

from moderation import settings  # noqa: E402 - the repository's own, whatever is installed
from moderation.errors import ModerationError, NeedsAPersonError  # noqa: E402
from moderation.variables import hosts  # noqa: E402

NEEDED = ("AWS_REGION", "MODERATION_WORK_URI", "MODERATION_TABLES_URI", "MODERATION_CATALOG_URI")
OTHERS = re.compile(r"AIRFLOW_CONN_[A-Z0-9_]+")
IGNORED = "moderation/"
_LONG_AGO = (2026, 1, 1, 0, 0, 0)
_LEFT_OUT = {"__pycache__", "build", ".gitignore"}


class BundleError(NeedsAPersonError):
    """The bundle cannot be made; the text names the file and what to do."""


def read(path: Path) -> dict[str, str]:
    """The settings of a file of lines ``NAME=value``; empty lines and those with ``#`` in front count not.

    :raises BundleError: a line is none, a name is no setting, a needed one is missing or a value is refused.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or name in found:
            raise BundleError(f"{path}:{number}: expected NAME=value, each name once")
        if name not in settings.known() and not OTHERS.fullmatch(name):
            raise BundleError(f"{path}:{number}: {name} is no setting; docs/settings.md lists them")
        found[name] = value
    if missing := [name for name in NEEDED if not found.get(name, "").strip()]:
        raise BundleError(f"{path}: {', '.join(missing)} must be set: a worker's disk does not last")
    for table in settings.TABLES:
        table.from_env(found)
    chosen = settings.Settings.from_env(found)
    told = hosts.of_one_machine(
        catalog_uri=chosen.catalog_uri, tables_uri=chosen.tables_uri, warehouses=chosen.warehouses
    )
    if told:
        raise BundleError(f"{path}: a disk is each worker's own: {'; '.join(told)}")
    return found


def startup(chosen: dict[str, str]) -> str:
    """The startup script, which every container of the environment sources before Airflow starts."""
    exports = [f"export {name}={shlex.quote(value)}" for name, value in sorted(chosen.items())]
    return "\n".join(
        [
            "#!/usr/bin/env bash",
            "# Made by deploy/mwaa/bundle.py. OpenBLAS would start a thread a core in each process.",
            "export OPENBLAS_NUM_THREADS=1",
            "export ARROW_DEFAULT_MEMORY_POOL=system",
            *exports,
            "",
        ]
    )


def plugins() -> Iterator[tuple[str, bytes]]:
    """Name and content of each file of plugins.zip: the plugins, and beside them the package they import."""
    for top, folder in (
        (ROOT / "plugins", ROOT / "plugins"),
        (ROOT / "include", ROOT / "include/moderation"),
    ):
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(top)
            if path.is_file() and not _LEFT_OUT & set(inside.parts):
                content = path.read_bytes()
                yield (
                    str(inside),
                    content + (f"{IGNORED}\n".encode() if path.name == ".airflowignore" else b""),
                )


def write(chosen: dict[str, str], folder: Path) -> None:
    """Write all of the bundle into a folder, which may exist."""
    (folder / "dags").mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "plugins.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in plugins():
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    for dag in sorted((ROOT / "dags").glob("*.py")):
        shutil.copyfile(dag, folder / "dags" / dag.name)
    shutil.copyfile(ROOT / "deploy/mwaa/requirements-mwaa.txt", folder / "requirements.txt")
    (folder / "startup.sh").write_text(startup(chosen), encoding="utf-8")
    (folder / "startup.sh").chmod(0o600)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the bundle, or say in one line why not."""
    parser = argparse.ArgumentParser(description="Make what an Amazon MWAA environment is given.")
    parser.add_argument("settings", type=Path, help="lines NAME=value; deploy/mwaa/example.env shows them")
    parser.add_argument("folder", type=Path, help="where the files are written")
    chosen = parser.parse_args(arguments)
    try:
        write(read(chosen.settings), chosen.folder)
    except (ModerationError, OSError) as error:
        sys.stderr.write(f"bundle: {error}\n")
        return 2
    sys.stdout.write(f"{chosen.folder}: dags/, plugins.zip, requirements.txt, startup.sh\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
