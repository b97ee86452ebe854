"""Paths find their handlers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noded.core.errors import Invalid, NotFound
from noded.core.route import Allow, Request, Response, Route
from noded.core.service import Endpoint, FaultStyle, Service
from noded.gateway.router import NoSuchVerb, Router


async def answer(request: Request) -> Response:
    return Response()


async def answer_detail(request: Request) -> Response:
    return Response()


def endpoint(prefix: str, style: FaultStyle = FaultStyle.NOVA) -> Endpoint:
    return Endpoint(name=prefix or "root", types=(), prefix=prefix, fault_style=style)


def service(prefix: str, *lines: tuple[str, str], style: FaultStyle = FaultStyle.NOVA) -> Service:
    routes = tuple(Route(verb=verb, path=path, handler=answer, allow=Allow.ANYONE) for verb, path in lines)
    return Service(name=f"test{prefix}", endpoint=endpoint(prefix, style), routes=routes)


ROUTER = Router(
    [
        service("", ("GET", "/"), ("GET", "/static/{name:path}"), style=FaultStyle.HTML),
        service(
            "/compute/v2.1",
            ("GET", "/servers"),
            ("POST", "/servers"),
            ("GET", "/servers/detail"),
            ("GET", "/servers/{server_id}"),
            ("DELETE", "/servers/{server_id}"),
            ("GET", "/servers/{server_id}/ips"),
            ("GET", "/{project_id}/limits"),
        ),
        service("/compute", ("GET", "/")),
    ]
)


def found(verb: str, path: str) -> tuple[str, dict[str, str]]:
    match = ROUTER.find(verb, path)
    return match.target.full_path, dict(match.params)


def test_a_word_beats_a_variable() -> None:
    assert found("GET", "/compute/v2.1/servers/detail") == ("/compute/v2.1/servers/detail", {})
    assert found("GET", "/compute/v2.1/servers/one") == ("/compute/v2.1/servers/{server_id}", {"server_id": "one"})


def test_a_wrong_turn_is_taken_back() -> None:
    assert found("GET", "/compute/v2.1/servers/limits")[0] == "/compute/v2.1/servers/{server_id}"
    assert found("GET", "/compute/v2.1/servers/detail/ips")[1] == {"server_id": "detail"}
    assert found("GET", "/compute/v2.1/anything/limits")[1] == {"project_id": "anything"}


@pytest.mark.parametrize("path", ["/compute", "/compute/", "/compute//"])
def test_a_trailing_slash_makes_no_difference(path: str) -> None:
    assert found("GET", path)[0] == "/compute/"


def test_the_rest_of_a_path_is_one_variable() -> None:
    assert found("GET", "/static/a/b.css") == ("/static/{name:path}", {"name": "a/b.css"})


def test_escapes_are_read_within_their_segment() -> None:
    assert found("GET", "/compute/v2.1/servers/a%2Fb%20c")[1] == {"server_id": "a/b c"}


def test_what_is_not_utf8_is_refused() -> None:
    with pytest.raises(Invalid):
        ROUTER.find("GET", "/compute/v2.1/servers/%ff")


def test_a_path_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound):
        ROUTER.find("GET", "/compute/v2.1/nothing/at/all")


def test_a_path_that_is_there_says_which_verbs_it_takes() -> None:
    with pytest.raises(NoSuchVerb) as refused:
        ROUTER.find("PUT", "/compute/v2.1/servers")
    assert refused.value.verbs == ("GET", "POST")


def test_head_is_get_without_the_body() -> None:
    assert found("HEAD", "/compute/v2.1/servers")[0] == "/compute/v2.1/servers"


def test_errors_speak_the_language_of_the_longest_prefix() -> None:
    inside = ROUTER.endpoint_at("/compute/v2.1/nothing")
    above = ROUTER.endpoint_at("/compute/nothing")
    elsewhere = ROUTER.endpoint_at("/nothing")
    assert inside is not None
    assert above is not None
    assert elsewhere is not None
    assert (inside.name, above.name, elsewhere.name) == ("/compute/v2.1", "/compute", "root")


def test_two_handlers_for_one_route_are_a_bug() -> None:
    with pytest.raises(AssertionError, match="two routes"):
        Router([service("/a", ("GET", "/b/{x}")), service("/a", ("GET", "/b/{y}"))])


def test_one_path_may_name_its_variable_differently_by_verb() -> None:
    router = Router([service("/a", ("GET", "/b/{x}"), ("PUT", "/b/{y}"))])
    assert router.find("GET", "/a/b/1").params == {"x": "1"}
    assert router.find("PUT", "/a/b/1").params == {"y": "1"}


@given(st.text(max_size=200))
def test_no_path_breaks_the_router(path: str) -> None:
    try:
        ROUTER.find("GET", path)
    except (NotFound, Invalid, NoSuchVerb):
        return
