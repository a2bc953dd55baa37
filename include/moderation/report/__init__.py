"""What a run says of itself.

``run_report`` (how a run ends), ``counts`` and ``text`` (a load in numbers), ``completion`` and
``completion_page`` (every image that failed, and why), ``spent`` (what was paid),
``earlier`` (what was published before), ``page`` (the charts).
"""
