"""``moderation``: what people type.

``main`` (the commands), ``maintenance`` and ``query`` (some of them).
"""
