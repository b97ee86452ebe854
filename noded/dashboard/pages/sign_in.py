"""Who comes in, and who goes: the page to sign in, and the session that it starts."""

from noded.core.route import Allow, Request, Response, Route
from noded.dashboard import session
from noded.dashboard.links import LocalApi
from noded.dashboard.pages.asking import go
from noded.dashboard.render import page

# Said by its sign, and never by its words: whoever makes up an address must not write on this page.
_LASTS = (
    "You are signed out of this browser. This node is cut off from the majority, so the token itself could not be"
    " ended: it lapses by itself within hours. To end it now, sign in and out on another node."
)


async def sign_in_page(request: Request) -> Response:
    """GET /sign-in."""
    following = _own_path(request.query.get("next", "/"))
    return page("sign_in.html", fault=_LASTS if "lasts" in request.query else "", user="", following=following)


async def sign_in(request: Request) -> Response:
    """POST /sign-in: name and password become a token, scoped to the named project or the user's first."""
    form = await request.form()
    session.expect_own_form(request)
    api = request.driver(LocalApi)
    user, following = form.get("user", ""), _own_path(form.get("next", "/"))
    person = {"name": user, "password": form.get("password", ""), "domain": {"id": "default"}}
    identity = {"methods": ["password"], "password": {"user": person}}
    unscoped = await api.call("POST", "/identity/v3/auth/tokens", body={"auth": {"identity": identity}})
    if not unscoped.ok:
        return page("sign_in.html", fault="Name or password is wrong.", user=user, following=following)
    token = unscoped.headers["x-subject-token"]
    projects = (await api.call("GET", "/identity/v3/auth/projects", token=token)).all("projects")
    if not projects:
        return page("sign_in.html", fault="You have no role on any project.", user=user, following=following)
    wanted = form.get("project", "").strip()
    project = next((each for each in projects if wanted in {each["name"], each["id"]}), None if wanted else projects[0])
    if project is None:
        return page("sign_in.html", fault=f"You have no role on project {wanted}.", user=user, following=following)
    again = {"methods": ["token"], "token": {"id": token}}
    scope = {"project": {"id": project["id"]}}
    scoped = await api.call("POST", "/identity/v3/auth/tokens", body={"auth": {"identity": again, "scope": scope}})
    if not scoped.ok:
        return page("sign_in.html", fault=scoped.fault, user=user, following=following)
    answer = go(following)
    answer.headers["set-cookie"] = session.signed_in(scoped.headers["x-subject-token"])
    return answer


def _own_path(path: str) -> str:
    """A path of this site; anything that could lead elsewhere becomes the overview."""
    plain = path.isascii() and path.isprintable() and path.startswith("/")
    return path if plain and not path.startswith(("//", "/\\")) else "/"


async def sign_out(request: Request) -> Response:
    """POST /sign-out: the token is revoked, and forgotten by the browser in any case."""
    session.expect_own_form(request)
    token, lasts = session.token_of(request.headers), False
    if token is not None:
        revoked = {"x-subject-token": token}
        done = await request.driver(LocalApi).call("DELETE", "/identity/v3/auth/tokens", token=token, headers=revoked)
        lasts = not done.ok and not request.cluster.has_majority
    answer = go("/sign-in?lasts" if lasts else "/sign-in")
    answer.headers["set-cookie"] = session.signed_out()
    return answer


ROUTES = (
    Route(verb="GET", path="/sign-in", handler=sign_in_page, allow=Allow.ANYONE),
    Route(verb="POST", path="/sign-in", handler=sign_in, allow=Allow.ANYONE),
    Route(verb="POST", path="/sign-out", handler=sign_out, allow=Allow.ANYONE),
)
