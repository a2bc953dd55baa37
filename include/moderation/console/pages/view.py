"""From values to HTML: autoescaped templates, and the words in which figures are shown."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from markupsafe import Markup

from moderation.reference import error_codes
from moderation.report.page import wording
from moderation.sources.local_folder import as_known

LOOK_COOKIE = "moderation_look"
_LOOKS = {"blur", "grey"}
_PLACES = {
    "archives": "archives",
    "verify": "verify",
    "queues": "verify",
    "numbers": "numbers",
    "adapters": "adapters",
}


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """A page of the console, or a part of one.

    Links are made by ``link(route, **parameters)``, below whatever prefix the application is served under.
    """
    looks = [look for look in request.cookies.get(LOOK_COOKIE, "").split(".") if look in _LOOKS]
    told = {
        "link": links(request),
        "person": getattr(request.state, "person", None),
        "looks": looks,
        "status": status,
        "remedy_of": _remedy,
        "place": _PLACES.get(
            getattr(request.scope.get("endpoint"), "__module__", "").rpartition(".")[2], "jobs"
        ),
        "content_types": wording.CONTENT_TYPES,
        **values,
    }
    return HTMLResponse(_environment().get_template(template).render(told), status_code=status)


def links(request: Request) -> Any:
    """What makes addresses: ``link(route, **parameters)``."""
    prefix = request.scope.get("root_path", "").rstrip("/")

    def link(name: str, /, **parts: Any) -> str:
        return prefix + str(request.app.url_path_for(name, **parts))

    return link


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("moderation.console.pages.view"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        count=wording.count,
        percent=wording.percent,
        dollars=wording.dollars,
        size=wording.size,
        foreign=wording.foreign,
        place=as_known,
        at_slashes=_at_slashes,
        moment=_moment,
        plain_moment=wording.moment,
        share=lambda part: wording.percent(part, 1),
        confidence=confidence,
        content_type=wording.content_type,
    )
    return made


def _at_slashes(text: str) -> Markup:
    """A long path, which a browser breaks nowhere but in the middle of a name, breaks behind a slash."""
    return Markup("/<wbr>").join(text.split("/"))


def _remedy(code: str | None) -> str:
    return error_codes.remedy(code) if code else ""


def confidence(value: float | None) -> str:
    """A confidence with one digit; a dash for none. 99.96 is not shown as 100."""
    if value is None:
        return "–"
    return ">99.9" if 99.95 <= value < 100 else f"{value:.1f}"


def _moment(value: Any) -> Markup:
    """A time in UTC, which a script turns into that of the person who looks."""
    if value is None:
        return Markup("–")
    return Markup('<time datetime="{}">{}</time>').format(value.isoformat(), wording.moment(value))
