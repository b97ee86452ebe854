"""How a page is made from values: Jinja2 templates, everything escaped. No I/O once the templates are loaded."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache

import jinja2
from markupsafe import Markup

from noded.core.route import Response
from noded.core.units import GIB, MIB
from noded.dashboard.menu import MENU

SECURITY_HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; img-src 'self' data:"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("noded.dashboard"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(size=size, ago=ago, percent=percent)
    environment.globals.update(menu=MENU)
    return environment


def page(template: str, **values: object) -> Response:
    """The page as a response."""
    text = _templates().get_template(template).render(**values)
    return Response(content=text.encode(), content_type="text/html; charset=utf-8", headers=dict(SECURITY_HEADERS))


def disabled(why: str) -> Markup:
    """What a control that can't work now says: that it is off, and why. Nothing if there is no reason."""
    return Markup(' disabled title="{}"').format(why) if why else Markup("")


def size(size_bytes: int | None) -> str:
    """`1.5 GiB`, `12 MiB`, `300 B`."""
    if size_bytes is None:
        return "-"
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (1024, "KiB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.1f} {name}".replace(".0 ", " ")
    return f"{size_bytes} B"


def percent(used: float, total: float) -> int:
    """How much of a whole is used, 0 to 100."""
    return min(100, round(100 * used / total)) if total else 0


def ago(stamp: str | None, now: datetime | None = None) -> str:
    """`3 min ago` for an API's timestamp; the timestamp itself if it can't be read."""
    if not stamp:
        return "-"
    try:
        then = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    seconds = int(((now or datetime.now(UTC)) - then).total_seconds())
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit} {name} ago"
    return "just now"
