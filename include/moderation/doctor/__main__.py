"""``python -m moderation.doctor [--json]``: the doctor where nothing is installed yet."""

from __future__ import annotations

import argparse
import sys

from moderation.doctor import report


def main() -> int:
    """Look at everything and print it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return report.run(as_json=parser.parse_args().json)


if __name__ == "__main__":
    sys.exit(main())
