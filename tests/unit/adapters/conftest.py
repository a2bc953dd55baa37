from __future__ import annotations

from support.fake_rekognition import fake_rekognition  # noqa: F401 - a fixture
