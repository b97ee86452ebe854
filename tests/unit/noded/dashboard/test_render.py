"""Every template, with and without each thing that it shows: whatever a template asks for must be there."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from itertools import product
from typing import Any

import jinja2
import pytest

from noded.core.ids import DomainId, ProjectId, UserId
from noded.core.route import Caller
from noded.dashboard import storage_views, views
from noded.dashboard.render import ago, disabled, page, percent, size
from tests.unit.noded.dashboard.nasty_people import pages

NASTY = "<script>alert('x')</script>"
SERVER: dict[str, Any] = {"id": "s1", "name": NASTY, "status": "ACTIVE"}
FULL_SERVER = SERVER | {
    "OS-EXT-STS:task_state": "spawning",
    "addresses": {"net": [{"addr": "10.0.0.5"}]},
    "flavor": {"original_name": "tiny"},
    "image": {"id": "i1"},
    "key_name": "k",
    "OS-EXT-SRV-ATTR:host": "blue",
    "created": "2026-01-01T00:00:00Z",
    "fault": {"message": NASTY},
}
SERVERS = views.servers([SERVER, SERVER | {"status": "SHUTOFF"}, FULL_SERVER], [], [])
SPACE = {"total_bytes": 8, "used_bytes": 2}
NODE: dict[str, Any] = {
    "id": "n1",
    "name": NASTY,
    "up": True,
    "state": "up",
    "since": "2026-01-01T00:00:00Z",
    "seen_by": [NASTY],
    "missed_by": [],
    "voter": True,
    "leader": True,
    "addresses": ["10.0.0.1"],
    "release": "1",
    "replicas": 1,
    "replicas_behind": 1,
    "vitals": {"cpus": 4, "cpu_percent": 1.5, "memory": SPACE, "disks": {"/d": SPACE}},
}
DOWN = {"id": "n2", "up": False, "state": "down", "leader": False, "vitals": None, "replicas_behind": 0}
PARTLY = {"id": "n3", "state": "partly", "missed_by": [NASTY], "voter": False, "leader": False}
STATUS = {"leader": "n1", "hints": [NASTY], "nodes": [NODE, NODE | DOWN, NODE | PARTLY]}
RECORD = {
    "id": "n1",
    "name": NASTY,
    "fingerprint": "ff",
    "addresses": [NASTY],
    "release": NASTY,
    "admitted_at": "2026-01-01T00:00:00Z",
    "standing": "in_use",
    "labels": {NASTY: NASTY},
    "kind": "witness",
}
LISTING = {"nodes": [RECORD, RECORD | {"id": "n2", "standing": "draining"}], "hints": [NASTY]}
LINES = views.nodes(STATUS, LISTING)
FORMER = {"id": "n9", "name": NASTY, "how": "left", "gone_at": "2026-01-01T00:00:00Z"}
HOLD = {"noun": "server", "id": "s1", "name": NASTY, "fate": NASTY}
FLAPPING = {"times it was lost lately": 2.5, "seconds it must be heard before it is up again": 4.0}
PLAN = {"verb": "leave", "node": {"id": "n1", "name": NASTY}, "steps": [NASTY], "losses": [], "refused": []}
ROOM = {"standing": "enough", "free_bytes": 5}
END = {"node_id": "n1", "answers": True, "applied": 7, "life": {"count": 1, "id": NASTY}, "disk": ROOM, "advice": NASTY}
LEVELS = {"cluster": 1, "nodes": [{"id": "n1", "level": 1}], "held_back_by": [NASTY]}
LIFE = {"number": 2, "beginning": NASTY, "began_at": "2026-01-01T00:00:00Z", "revision": 3}
TOKEN = {"id": "t1", "state": "valid", "uses": 2, "used": 1, "used_by": [{"id": "n1", "name": NASTY}]}
TOKEN |= {"created_at": "2026-01-01T00:00:00Z", "created_by": NASTY, "expires_at": "2026-01-01T00:00:00Z"}
WAITING = {"id": "w1", "name": NASTY, "words": NASTY, "addresses": [NASTY], "release": NASTY, "fingerprint": NASTY}
WAITING |= {"since": "2026-01-01T00:00:00Z", "approved": False, "agreed": False, "misfit": NASTY}
UNCLAIMED = {"id": "u1", "name": NASTY, "addresses": [NASTY], "release": NASTY, "fingerprint": NASTY, "cluster": NASTY}
REFUSAL = {"node": "n1", "node_name": NASTY, "port": 1, "kind": "no_tls", "address": NASTY, "count": 3}
REFUSAL |= {"last_at": "2026-01-01T00:00:00Z", "detail": NASTY}
ROTATION = {"number": 1, "stage": NASTY, "waits_for": [{"name": NASTY}], "changed_at": "2026-01-01T00:00:00Z"}
AUTHORITY = {"fingerprint": NASTY, "rotation": ROTATION}
CUT_OFF = {"voters": 3, "seen": 1, "lost": [{"name": NASTY, "since": "2026-01-01T00:00:00Z"}], "revision": 7}
CUT_OFF |= {"since": "2026-01-01T00:00:00Z", "why": NASTY}
IMAGE = {"id": "i1", "name": NASTY, "status": "active", "disk_format": "raw", "size": 5, "virtual_size": 9}
IMAGE |= {"visibility": "public", "created_at": "2026-01-01T00:00:00Z"}
EMPTY_IMAGE = IMAGE | {"name": None, "disk_format": None, "size": None, "virtual_size": None, "status": "queued"}
WHOLE_IMAGE = IMAGE | {"visibility": "shared", "protected": True, "os_hidden": True, "container_format": NASTY}
WHOLE_IMAGE |= {"min_disk": 1, "min_ram": 2, "owner": NASTY, "os_hash_value": None, "tags": [NASTY]}
FLAVOR = {"id": "1", "name": "tiny", "vcpus": 1, "ram": 128, "disk": 1}
NETWORK = {"id": "w1", "name": NASTY, "status": "ACTIVE", "mtu": 1450}
SUBNET = {"network_id": "w1", "cidr": "10.0.0.0/24", "name": NASTY}
VOLUME = {"id": "v1", "name": "", "status": "in-use", "size": 1, "volume_type": None, "created_at": "2026-01-01"}
VOLUME |= {
    "attachments": [{"server_id": NASTY, "device": NASTY}, {"server_id": None, "host_name": NASTY, "device": None}]
}
BACKUP = {"id": "b1", "name": NASTY, "status": "error", "fail_reason": NASTY, "volume_id": "v1", "size": 1}
BACKUP |= {"is_incremental": False, "created_at": "2026-01-01T00:00:00Z"}
DONE = {"kind": "line", "revision": 7, "at": "2026-01-01T00:00:00Z", "who": "console:n1", "name": NASTY}
DONE |= {"address": NASTY, "told": [NASTY], "outcome": "refused", "reason": NASTY}
DONE |= {"objects": [{"noun": "server", "id": NASTY, "name": name} for name in ("", NASTY)] * 5}
HISTORY = [DONE, {"kind": "gap", "after": 3, "until": 6}, DONE | {"name": "", "who": "", "outcome": "applied"}]
FORM = {"name": NASTY, "image": "i1", "flavor": "1", "network": "w1", "key": "k", "count": "2"}

DISK = {
    "id": "d" * 32, "node": NASTY, "name": NASTY, "state": "failed", "fault": NASTY, "used_bytes": 1, "size_bytes": 2,
    "reserve_bytes": 1, "replicas": 3, "behind": 1, "coming": 1, "going": 1, "to_remove": 1, "draining": True,
}  # fmt: skip
DRIVE = {
    "device": NASTY, "model": NASTY, "serial": NASTY, "lacks": [NASTY],
    "smart": {"temperature_c": 40, "warnings": [NASTY]},
}  # fmt: skip
POOL = {
    "used_bytes": 1, "size_bytes": 2, "promised_bytes": 9, "volumes": 1, "overcommit": 4.5, "degraded_volumes": 1,
    "moves": 1,
}  # fmt: skip
MOVING = {
    "id": "v1", "name": NASTY, "purpose": "data", "behind": [DISK["id"]], "coming": [f"1/{DISK['id']}"],
    "to_remove": 2, "resyncs": {DISK["id"]: 0.5}, "joins": {f"1/{DISK['id']}": 7},
}  # fmt: skip
EXPLAINED = {
    "desired": {
        "size_bytes": 1, "replicas": 3, "type": NASTY, "purpose": NASTY, "deleting": True, "server": "s1",
        "used_on": None,
    },
    "observed": {"owner": NASTY, "epoch": 3},
    "served": {"phase": NASTY, "requests_under_way": 1, "replicas": {DISK["id"]: NASTY}, "resyncs": {DISK["id"]: 0.5}},
    "replicas": [{"disk": DISK["id"], "in_sync": False, "node_up": False}],
    "extents": {"0-3": DISK["id"]},
    "layers": [{"volume": "v2", "purpose": NASTY, "deleted": True}],
    "steps": [NASTY],
}  # fmt: skip
FINDING = {"kind": NASTY, "what": NASTY, "why": NASTY, "mend": NASTY, "node_id": "n" * 32}

# Every value that a page may have, by template: each combination is rendered.
PAGES: Mapping[str, Mapping[str, list[Any]]] = {
    **pages(NASTY),
    "overview.html": {
        "status": [None, STATUS, STATUS | {"leader": None}],
        "nodes": [[], views.nodes(STATUS)],
        "servers": [[], SERVERS],
        "images": [[], [IMAGE]],
        "networks": [[], [NETWORK]],
        "volumes": [[], [VOLUME]],
    },
    "storage.html": {
        "disks": [[], storage_views.disks([DISK, DISK | {"draining": False}], {DISK["id"]: DRIVE})],
        "pool": [{}, POOL],
        "overcommit": [0, 2.0],
        "volumes": [[], storage_views.unsettled([MOVING], [DISK])],
        "more": [0, 3],
        "forecast": [NASTY],
        "fault": ["", NASTY],
    },
    "volume_explained.html": {
        "volume_id": ["v1"],
        "explained": [EXPLAINED, EXPLAINED | {"served": NASTY, "layers": [], "steps": []}],
        "replicas": [storage_views.replicas(EXPLAINED, [DISK])],
        "extents": [storage_views.extents(EXPLAINED, [])],
    },
    "doctor.html": {
        "examination": [None, {"nodes": [NASTY], "revision": 3, "findings": [FINDING, FINDING | {"node_id": None}]}],
        "fault": ["", NASTY],
    },
    "servers.html": {"servers": [[], SERVERS], "fault": ["", NASTY]},
    "server.html": {
        "server": SERVERS,
        "console": ["", NASTY],
        "spare": [[], [VOLUME]],
        "volumes": [[], views.attached([{"volumeId": VOLUME["id"], "device": NASTY}], [VOLUME])],
    },
    "new_server.html": {
        "images": [[], [IMAGE, EMPTY_IMAGE]],
        "flavors": [[], [FLAVOR]],
        "networks": [[], [NETWORK, NETWORK | {"name": ""}]],
        "keys": [[], [{"name": "k"}], [{"name": "k"}, {"name": "l"}]],
        "form": [{}, {"count": "1"}, FORM],
        "fault": ["", NASTY],
        "command": ["openstack"],
    },
    "images.html": {
        "images": [[], [IMAGE, EMPTY_IMAGE]],
        "offered": [[], [IMAGE | {"owner": NASTY}]],
        "fault": ["", NASTY],
        "tone": [views.tone],
    },
    "new_image.html": {
        "form": [{}, {"name": NASTY, "disk_format": "raw", "visibility": "public", "uri": NASTY}],
        "formats": [["raw", NASTY]],
        "visibilities": [["private", "public"]],
        "fault": ["", NASTY],
    },
    "image.html": {
        "image": [WHOLE_IMAGE, WHOLE_IMAGE | {"status": "queued", "name": None, "visibility": "private", "tags": []}],
        "properties": [{}, {NASTY: NASTY}],
        "members": [[], [{"member_id": NASTY, "status": NASTY}]],
        "tasks": [[], [{"message": NASTY}]],
        "progress": [None, {"offset": 5, "length": 10}, {"offset": 5, "length": None}],
        "is_own": [True, False],
        "visibilities": [["private", "public"]],
        "tone": [views.tone],
    },
    "networks.html": {
        "networks": [[], [NETWORK, NETWORK | {"name": "", "id": "w2"}]],
        "subnets": [[], [SUBNET]],
        "ports": [[], [{"network_id": "w1"}]],
        "fault": ["", NASTY],
        "tone": [views.tone],
    },
    "volumes.html": {
        "volumes": [[], [VOLUME]],
        "backups": [[], [BACKUP, BACKUP | {"name": None, "fail_reason": None, "is_incremental": True}]],
        "names": [{"v1": NASTY}],
        "fault": ["", NASTY],
        "tone": [views.tone],
    },
    "history.html": {
        "filters": [dict.fromkeys(("object", "user", "since", "until"), text) for text in ("", NASTY)],
        "lines": [[], HISTORY],
        "head": ["", "7:ab"],
        "kept_after": [0],
        "older": [None, "/history?before=3"],
        "fault": ["", NASTY],
    },
    "nodes.html": {"nodes": [[], LINES], "former": [[], [FORMER]], "hints": [[], [NASTY]], "fault": ["", NASTY]},
    "node.html": {
        "node": [RECORD, RECORD | {"standing": "leaving"}],
        "holds": [[], [HOLD, HOLD | {"name": ""}]],
        "line": [None, *LINES],
        "changes": [[], [NASTY]],
        "flapping": [{}, FLAPPING],
        "labels": [NASTY],
        "fault": ["", NASTY],
    },
    "removal.html": {
        "verb": ["leave", "forget"],
        "node_id": [NASTY],
        "plan": [None, PLAN, PLAN | {"losses": [NASTY], "refused": [NASTY]}],
        "fault": ["", NASTY],
    },
    "cluster.html": {
        "name": [NASTY],
        "nodes": [LINES],
        "votes": [NASTY],
        "hints": [[NASTY]],
        "levels": [{}, LEVELS],
        "log": [[], [END, {"node_id": "n2", "answers": False}]],
        "lives": [[LIFE]],
        "tokens": [[], [TOKEN, TOKEN | {"state": "used_up", "used_by": []}]],
        "waiting": [[], [WAITING, WAITING | {"approved": True, "misfit": ""}]],
        "unclaimed": [[], [UNCLAIMED, UNCLAIMED | {"cluster": ""}]],
        "refusals": [[REFUSAL, REFUSAL | {"detail": "", "node_name": ""}]],
        "authority": [{}, AUTHORITY],
        "token": [None, NASTY],
        "fault": [""],
    },
}


def caller(*roles: str) -> Caller:
    return Caller(
        user_id=UserId("u"),
        user_name=NASTY,
        user_domain_id=DomainId("default"),
        project_id=ProjectId("p"),
        project_name=NASTY,
        roles=frozenset(roles),
    )


def combinations(values: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for chosen in product(*values.values()):
        yield dict(zip(values, chosen, strict=True))


def rendered(template: str, **values: Any) -> str:
    content = page(template, **{"cut_off": None, "off": disabled("")} | values).content
    assert isinstance(content, bytes)
    return content.decode()


@pytest.mark.parametrize("template", PAGES)
def test_a_page_is_made_whatever_is_there_and_nothing_in_it_becomes_markup(template: str) -> None:
    for values in combinations(PAGES[template]):
        for roles, notice in product([(), ("admin",)], ["", NASTY]):
            text = rendered(
                template, layout="layout.html", caller=caller(*roles), path="/servers", notice=notice, **values
            )
            assert NASTY not in text, values
            assert ('href="/nodes"' in text.split("</nav>")[0]) == bool(roles)
        off = rendered(
            template, layout="layout.html", caller=caller(), path="/", notice="", cut_off=CUT_OFF,
            off=disabled(NASTY), **values,
        )  # fmt: skip
        assert NASTY not in off
        assert 'id="cut-off"' in off
        assert all("disabled" in button or "Sign out" in button for button in off.split("<button")[1:]), values
        part = rendered(template, layout="part.html", caller=caller(), path="/", notice="", **values)
        assert "<html" not in part


@pytest.mark.parametrize("fault", ["", NASTY])
def test_the_door_is_shown(fault: str) -> None:
    text = rendered("sign_in.html", fault=fault, user=NASTY, following=NASTY)
    assert ("alert" in text.split("<label>")[0]) or not fault
    assert NASTY not in text


def test_no_template_is_left_out() -> None:
    built_of = {"layout.html", "part.html", "macros.html", "cut_off.html", "sign_in.html"}
    found = {each.name for each in (files("noded.dashboard") / "templates").iterdir()}
    assert found == set(PAGES) | built_of


def test_what_a_page_was_not_given_is_a_fault() -> None:
    with pytest.raises(jinja2.UndefinedError):
        page("servers.html", layout="part.html", fault="", cut_off=None, off="")


def test_the_only_key_is_chosen_unless_the_form_says_otherwise() -> None:
    values = {name: options[-1] for name, options in PAGES["new_server.html"].items()}
    values |= {"layout": "part.html", "caller": caller(), "path": "/", "notice": "", "keys": [{"name": "k"}]}
    assert "selected>k<" in rendered("new_server.html", **values | {"form": {"count": "1"}})
    two = values | {"keys": [{"name": "k"}, {"name": "l"}]}
    assert "selected>k<" not in rendered("new_server.html", **two | {"form": {}})
    assert "selected>l<" in rendered("new_server.html", **two | {"form": {"key": "l"}})


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (12 << 20, "12 MiB"), (3 << 30, "3 GiB")],
)
def test_sizes_are_short(size_bytes: int | None, words: str) -> None:
    assert size(size_bytes) == words


def test_a_share_of_nothing_is_nothing() -> None:
    assert [percent(1, 0), percent(1, 4), percent(9, 4)] == [0, 25, 100]


@pytest.mark.parametrize(
    ("stamp", "words"),
    [
        (None, "-"),
        ("", "-"),
        ("yesterday", "yesterday"),
        ("2026-01-02T12:00:00Z", "just now"),
        ("2026-01-02T13:00:00", "just now"),
        ("2026-01-02T11:57:00", "3 min ago"),
        ("2026-01-02T10:00:00+00:00", "2 h ago"),
        ("2025-12-31T12:00:00Z", "2 d ago"),
    ],
)
def test_times_are_told_as_people_do(stamp: str | None, words: str) -> None:
    assert ago(stamp, datetime(2026, 1, 2, 12, tzinfo=UTC)) == words
