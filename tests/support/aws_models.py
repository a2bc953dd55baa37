"""What botocore does anew for each client, though it never changes: some 0.2 s, thousands of times.

botocore keeps models for a session only, and whoever builds clients as the product does builds
sessions; there is no cache to turn on. Only what is read from the package's own files is kept: where a
new release has other names, the whole suite fails at its start.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

from botocore import hooks, useragent
from botocore.loaders import JSONFileLoader, Loader

_list = Loader.list_available_services
_listed: dict[tuple[str, ...], list[str]] = {}
_load_file = JSONFileLoader.load_file
_alias = cache(hooks.EventAliaser(None)._alias_event_name)
_sanitized = lru_cache(maxsize=1024)(useragent.sanitize_user_agent_string_component)
_accepts_kwargs = lru_cache(maxsize=1024)(hooks.accepts_kwargs)


@cache
def _read(path: str) -> Any:
    return _load_file(JSONFileLoader(), path)


def read_once() -> None:
    """Let this process read AWS's models and look at botocore's handlers once; clients stay as they are."""
    JSONFileLoader.load_file = lambda _, path: copy.copy(_read(path))
    Loader.list_available_services = _list_available_services
    hooks.accepts_kwargs = _accepts_kwargs_of_function
    useragent.sanitize_user_agent_string_component = _sanitized
    hooks.EventAliaser._alias_event_name = lambda _, name: _alias(name)


def _list_available_services(loader: Loader, type_name: str) -> list[str]:
    """What lies in the folders of some 400 services: each session looks again, for its first client."""
    place = (type_name, *loader.search_paths)
    if place not in _listed:
        _listed[place] = _list(loader, type_name)
    return _listed[place]


def _accepts_kwargs_of_function(handler: Callable[..., Any]) -> bool:
    return bool(_accepts_kwargs(getattr(handler, "__func__", handler)))
