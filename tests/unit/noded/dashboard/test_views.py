"""How API answers become what pages show, and forms become requests."""

from typing import Any

import pytest

from noded.dashboard.links import Answer
from noded.dashboard.views import as_command, new_server_body, nodes, servers, tone

BARE: dict[str, Any] = {"id": "s1", "name": "web", "status": "BUILD"}


@pytest.mark.parametrize(
    ("status", "colour"),
    [("ACTIVE", "good"), ("in-use", "good"), ("queued", "busy"), ("ERROR", "bad"), ("SHUTOFF", "calm"), ("", "calm")],
)
def test_each_status_has_its_tone(status: str, colour: str) -> None:
    assert tone(status) == colour


def test_a_server_of_which_little_is_known_is_shown_all_the_same() -> None:
    [line] = servers([BARE], [], [])
    assert (line["flavor"], line["image"], line["addresses"], line["fault"]) == ("-", "-", [], "")


def test_names_stand_for_ids_where_they_are_known() -> None:
    more = {"flavor": {"id": "1"}, "image": {"id": "i1"}, "addresses": {"net": [{"addr": "10.0.0.5"}]}}
    [line] = servers([BARE | more], [{"id": "1", "name": "small"}], [{"id": "i1", "name": "debian"}])
    assert (line["flavor"], line["image"]) == ("small", "debian")
    assert line["addresses"] == [{"network": "net", "address": "10.0.0.5"}]
    [unnamed] = servers([BARE | more], [], [{"id": "i1", "name": None}])
    assert (unnamed["flavor"], unnamed["image"]) == ("1", "i1")


def test_a_server_without_an_image_has_an_empty_text_in_its_place() -> None:
    [line] = servers(
        [BARE | {"image": "", "flavor": {"original_name": "tiny"}, "fault": {"message": "no room"}}], [], []
    )
    assert (line["image"], line["flavor"], line["fault"]) == ("-", "tiny", "no room")


def test_the_newest_server_is_first() -> None:
    found = [BARE | {"id": id, "created": created} for id, created in (("a", "2024"), ("b", "2026"), ("c", "2025"))]
    assert [line["id"] for line in servers(found, [], [])] == ["b", "c", "a"]


def test_nodes_are_up_or_down_and_none_without_a_status() -> None:
    assert nodes(None) == []
    words = [(each["word"], each["tone"]) for each in nodes({"nodes": [{"up": True}, {"up": False}]})]
    assert words == [("up", "good"), ("down", "bad")]


def test_an_empty_form_is_a_request_that_the_api_can_refuse() -> None:
    assert new_server_body({}) == {"server": {"name": "", "imageRef": "", "flavorRef": ""}}


def test_a_whole_form_is_a_whole_request() -> None:
    form = {"name": " web ", "image": "i", "flavor": "f", "network": "n", "key": "k", "count": "3"}
    assert new_server_body(form)["server"] == {
        "name": "web",
        "imageRef": "i",
        "flavorRef": "f",
        "networks": [{"uuid": "n"}],
        "key_name": "k",
        "min_count": 3,
        "max_count": 3,
    }


@pytest.mark.parametrize("count", ["", " ", "1", "01"])
def test_one_server_is_asked_for_without_a_count(count: str) -> None:
    assert "min_count" not in new_server_body({"count": count})["server"]


@pytest.mark.parametrize("count", ["x", "-3", "²", "9" * 5000])
def test_a_count_that_is_no_number_is_left_for_the_api_to_refuse(count: str) -> None:
    assert new_server_body({"count": count})["server"]["min_count"] == count


def test_the_same_in_the_shell_is_quoted() -> None:
    assert as_command({}) == "openstack server create NAME"
    form = {"name": "my web; rm", "image": "i", "flavor": "f", "network": "n", "key": "k", "count": "2"}
    assert as_command(form) == (
        "openstack server create --image i --flavor f --network n --key-name k --min 2 --max 2 'my web; rm'"
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"itemNotFound": {"code": 404, "message": "gone"}}, "gone"),
        ({"NeutronError": {"type": "x", "message": "gone", "detail": ""}}, "gone"),
        ({"message": "gone", "code": "404 Not Found"}, "gone"),
        (None, "The request failed without a reason."),
        ({"error": {"code": 1}}, "The request failed without a reason."),
    ],
)
def test_the_reason_is_found_in_every_apis_form(body: object, message: str) -> None:
    assert Answer(ok=False, body=body).fault == message
    assert Answer(ok=True, body=body).fault == ""


@pytest.mark.parametrize("answer", [Answer(ok=False, body={"x": [1]}), Answer(ok=True), Answer(ok=True, body={"x": 1})])
def test_a_list_that_is_not_there_is_empty(answer: Answer) -> None:
    assert answer.all("x") == []
