"""With which credentials do my programs sign in? One's own, in the project that one is signed in to."""

from collections.abc import Mapping
from urllib.parse import quote

from noded.core.route import Allow, Request, Response, Route
from noded.dashboard import people, session
from noded.dashboard.pages.asking import ask, go, show
from noded.dashboard.pages.paths import IDENTITY


async def list_credentials(request: Request) -> Response:
    """GET /application-credentials: what there is, and a form for a new one."""
    return await _listing(request, {}, "", None)


async def _listing(
    request: Request, form: Mapping[str, str], fault: str, made: Mapping[str, object] | None
) -> Response:
    """`made`: one that was just made, whose secret is shown this once and never again."""
    answer = await ask(request, "GET", _path(request))
    return show(
        request,
        "application_credentials.html",
        credentials=people.by_name(answer.all("application_credentials")),
        roles=sorted(request.caller.roles),
        auth_url=f"{request.base_url}{IDENTITY}",
        form=form,
        made=made,
        fault=fault or answer.fault,
    )


async def create_credential(request: Request) -> Response:
    """POST /application-credentials: the answer shows its secret, and nothing ever does again."""
    form = dict(await request.form())
    session.expect_own_form(request)
    body = {"application_credential": people.credential(form, sorted(request.caller.roles))}
    answer = await ask(request, "POST", _path(request), body)
    if not answer.ok:
        return await _listing(request, form, answer.fault, None)
    return await _listing(request, {}, "", answer.body["application_credential"])


async def delete_credential(request: Request) -> Response:
    """POST /application-credentials/{credential_id}/delete: programs that sign in with it can't any more."""
    await request.form()
    session.expect_own_form(request)
    answer = await ask(request, "DELETE", f"{_path(request)}/{quote(request.params['credential_id'], safe='')}")
    return go("/application-credentials", "The application credential is deleted." if answer.ok else answer.fault)


def _path(request: Request) -> str:
    return f"{IDENTITY}/users/{request.caller.user_id}/application_credentials"


_PAGE = "/application-credentials"

ROUTES = (
    Route(verb="GET", path=_PAGE, handler=list_credentials, allow=Allow.READER),
    Route(verb="POST", path=_PAGE, handler=create_credential, allow=Allow.READER),
    Route(verb="POST", path=f"{_PAGE}/{{credential_id}}/delete", handler=delete_credential, allow=Allow.READER),
)
