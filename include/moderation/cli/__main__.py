"""``python -m moderation.cli``: the command ``moderation``."""

from __future__ import annotations

import sys

from moderation.cli.main import main

sys.exit(main())
