"""How API answers become what pages show, and forms become requests."""

from typing import Any

import pytest

from consensus.liveness.model import Lost, Outlook
from noded.core.ids import NodeId
from noded.dashboard.links import Answer
from noded.dashboard.views import (
    as_command,
    cut_off,
    labels_text,
    labels_wanted,
    new_server_body,
    nodes,
    servers,
    tone,
    votes,
)

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


def test_nodes_have_a_word_and_a_tone_and_what_their_records_say() -> None:
    assert nodes(None) == []
    found = [{"id": state, "state": state} for state in ("up", "suspect", "partly", "down")]
    listing = {"nodes": [{"id": "up", "labels": {"zone": "a"}, "standing": "draining", "kind": "witness"}]}
    lines = nodes({"nodes": found}, listing)
    assert [(line["word"], line["tone"]) for line in lines] == [
        ("up", "good"),
        ("suspect", "busy"),
        ("partly reachable", "busy"),
        ("down", "bad"),
    ]
    assert (lines[0]["labels"], lines[0]["standing"], lines[0]["kind"]) == ({"zone": "a"}, "draining", "witness")
    assert (lines[1]["labels"], lines[1]["standing"], lines[1]["kind"]) == ({}, "in_use", "member")


def test_labels_are_set_and_taken_away_as_they_are_written() -> None:
    assert labels_text({"zone": "a", "rack": "7"}) == "zone=a rack=7"
    assert labels_wanted("zone=b x=y=z", "zone=a rack=7") == {"zone": "b", "x": "y=z", "rack": None}
    assert labels_wanted("", "") == {}
    for wrong in ("zone", "=a", "zone=", "a=b c"):
        assert labels_wanted(wrong, "") is None


def test_who_votes_is_told_with_the_reason() -> None:
    def line(name: str, voter: bool, standing: str = "in_use") -> dict[str, Any]:
        return {"name": name, "voter": voter, "standing": standing}

    assert votes([]) == "No voters are known here yet."
    assert votes([line("a", True)]) == "a votes: 0 of them may fail."
    said = votes([line("a", True), line("b", True), line("c", True), line("d", False), line("e", False, "draining")])
    assert said.startswith("a, b, c vote: 1 of them may fail. e must give up the vote")
    assert "d follow without a vote" in said


def test_a_node_with_a_majority_needs_no_banner() -> None:
    outlook = Outlook(has_majority=True, voters=(), voters_seen=(), lost=(), minority_since_ms=None)
    assert cut_off(outlook, 1) is None
    lost = Lost(node_id=NodeId("b"), name="b", since_ms=0)
    alone = Outlook(
        has_majority=False, voters=(NodeId("a"), NodeId("b")), voters_seen=(), lost=(lost,), minority_since_ms=0
    )
    shown = cut_off(alone, 7)
    assert shown is not None
    assert (shown["voters"], shown["seen"], shown["revision"]) == (2, 0, 7)
    assert shown["lost"] == [{"name": "b", "since": "1970-01-01T00:00:00Z"}]


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
        ({"error": {"what": "gone", "request_id": "req-1"}}, "gone"),
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
