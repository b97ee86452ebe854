"""Who is signed in: the token in a cookie that scripts can't read and other sites can't send. Pure."""

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

from noded.core.errors import Forbidden
from noded.core.route import Request

COOKIE = "noded_session"
_ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Strict"


def token_of(headers: Mapping[str, str]) -> str | None:
    """The token that the browser sent, or None."""
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return None
    return cookies[COOKIE].value if COOKIE in cookies else None


def signed_in(token: str) -> str:
    """The `set-cookie` value after signing in. It ends with the browser; the token in it ends sooner by itself."""
    return f"{COOKIE}={token}; {_ATTRIBUTES}"


def signed_out() -> str:
    """The `set-cookie` value that forgets the token."""
    return f"{COOKIE}=; Max-Age=0; {_ATTRIBUTES}"


def expect_own_form(request: Request) -> None:
    """Refuse a form that another site's page sent (the cookie's SameSite is the first wall, this is the second)."""
    origin = request.headers.get("origin")
    if origin is not None and origin != request.base_url:
        raise Forbidden("This form was sent by a page of another site, so it was not carried out.")
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Forbidden("This form was sent by a page of another site, so it was not carried out.")
