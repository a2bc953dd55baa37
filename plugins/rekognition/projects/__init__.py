"""Projects and versions of Custom Moderation adapters: made, trained once, waited for, deleted.

``training`` (the request and its name), ``calls`` (part of the hook), ``triggers``, ``sensors``,
``operators``.
"""
