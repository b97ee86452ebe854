"""How routes are listed, and replicas counted."""

import msgspec

from consensus.liveness.model import State
from consensus.room import LogRoom, Standing
from consensus.store import Picture
from noded.core.ids import DiskId, NodeId, ProjectId, Revision
from noded.core.route import Allow, Request, Response, Route
from noded.core.service import Endpoint, FaultStyle, Service
from noded.inspection.model import NodeStatus, Space, Vitals
from noded.inspection.views import hints, replicas_by_node, route_lines, unknown
from storage import pools, volumes
from storage.pools.model import Disk
from storage.volumes.model import Purpose, Volume
from tests.twins.cluster import SharedCluster

NODES = {"d1": "n1", "d2": "n2", "d3": "n2"}


async def show(request: Request) -> Response:
    return Response()


def test_routes_are_listed_by_their_whole_path() -> None:
    endpoint = Endpoint(name="x", types=(), prefix="/x/v1", fault_style=FaultStyle.NODED)
    routes = tuple(
        Route(verb=verb, path=path, handler=show, allow=Allow.READER)
        for verb, path in (("PUT", "/b"), ("GET", "/b"), ("GET", "/a"))
    )
    lines = route_lines([Service(name="x", endpoint=endpoint, routes=routes), Service(name="y")])
    assert [(line["verb"], line["path"]) for line in lines] == [
        ("GET", "/x/v1/a"),
        ("GET", "/x/v1/b"),
        ("PUT", "/x/v1/b"),
    ]
    assert {(line["allow"], line["handler"]) for line in lines} == {("reader", routes[0].name)}


def picture(*found: Volume) -> Picture:
    change = SharedCluster((pools.SERVICE, volumes.SERVICE)).machine.picture.begin(Revision(1))
    for name, node in NODES.items():
        change.put(
            Disk(
                id=name,
                node_id=NodeId(node),
                name=name,
                size_bytes=1,
                reserve_bytes=0,
                host="h",
                port=1,
                registered_at_ms=1,
            )
        )
    for volume in found:
        change.put(volume)
    return change.commit()


def volume(id: str, *layout: str, in_sync: tuple[str, ...] | None = None, deleting: bool = False) -> Volume:
    disks = tuple(DiskId(name) for name in layout)
    return Volume(
        id=id,
        project_id=ProjectId("p"),
        name=id,
        size_bytes=1,
        extent_bytes=1,
        layout=(disks,),
        disk_ids=disks,
        in_sync=disks if in_sync is None else tuple(DiskId(name) for name in in_sync),
        purpose=Purpose.IMAGE,
        created_at_ms=1,
        updated_at_ms=1,
        deleting=deleting,
    )


def test_replicas_are_counted_where_their_disks_are() -> None:
    there, behind = replicas_by_node(picture(volume("a", "d1", "d2"), volume("b", "d1", "d3")))
    assert (there, behind) == ({"n1": 2, "n2": 2}, {})


def test_a_replica_out_of_sync_is_behind() -> None:
    _, behind = replicas_by_node(picture(volume("a", "d1", "d2", in_sync=("d1",))))
    assert behind == {"n2": 1}


def test_what_is_being_deleted_or_on_an_unknown_disk_does_not_count() -> None:
    there, behind = replicas_by_node(picture(volume("a", "d1", "d2", deleting=True), volume("b", "d1", "gone")))
    assert (there, behind) == ({"n1": 1}, {})


def member(
    name: str,
    *,
    up: bool = True,
    voter: bool = True,
    release: str = "1",
    used: int = 1,
    log: LogRoom | None = None,
) -> NodeStatus:
    space = Space(total_bytes=100, used_bytes=used)
    vitals = Vitals(cpus=1, cpu_percent=0.0, load_1min=0.0, memory=space, disks={"/d": space}, uptime_s=1.0, log=log)
    sight = unknown(NodeId(name), 0)
    return NodeStatus(
        id=sight.node_id,
        name=name,
        addresses=(),
        up=up,
        state=State.UP if up else sight.state,
        since="",
        seen_by=(),
        missed_by=(),
        leader=False,
        voter=voter,
        release=release,
        replicas=0,
        replicas_behind=0,
        vitals=vitals if up else None,
    )


def test_a_healthy_cluster_of_three_or_of_one_needs_no_hint() -> None:
    assert hints([member("a"), member("b"), member("c")]) == []
    assert hints([member("a")]) == []
    assert hints([member("a"), member("b"), member("c"), member("d", up=False, voter=False)]) == []


def test_two_nodes_are_told_of_the_witness_before_one_fails() -> None:
    [said] = hints([member("a"), member("b", voter=False)])
    assert said.startswith("There are two nodes: while a is down nothing can be changed.")
    assert "witness" in said
    [said] = hints([member("a"), member("b")])
    assert said.startswith("a and b both must be up")


def test_the_last_voter_that_may_be_lost_is_named_when_it_is() -> None:
    [said] = hints([member("a"), member("b"), member("c", up=False)])
    assert said.startswith("c can't vote: if one more of a, b is lost")
    five = [member(name, up=name not in "de") for name in "abcde"]
    assert hints(five)[0].startswith("d, e can't vote")
    assert hints([*five[:4], member("e")]) == []


def test_a_disk_that_fills_and_releases_that_differ_are_told() -> None:
    assert hints([member("a", used=91)]) == [
        "a: /d has only 0.0 of 0.0 GiB left. Make room or add a disk before writes are refused."
    ]
    room = LogRoom(
        standing=Standing.LOW,
        free_bytes=9 << 20,
        needed_bytes=64 << 20,
        reserve_bytes=0,
        checkpoint_fault="",
        stopped_by={},
    )
    assert hints([member("a", log=msgspec.structs.replace(room, standing=Standing.ENOUGH))]) == []
    assert hints([member("a", log=room)])[0].startswith("a: the log's disk has 9 MiB left and 64 are needed.")
    [said] = hints([member("a"), member("b", release="2"), member("c")])
    assert said.startswith("Nodes run different releases: 1 on a, c; 2 on b.")
