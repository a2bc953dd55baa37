"""The API operations of the endpoint.

``table`` (all of them by name), ``call`` (what each is given), ``media_analysis``, ``moderation`` and
``projects`` (what they do), ``pages`` (lists that go on).
"""
