"""Custom Moderation adapters.

``status`` (whether a version can answer at all).
"""
