"""What a scraper gets from each node, and that nobody else gets anything."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec

import consensus.members
import noded.inspection
import noded.metrics
from consensus.members.model import Node, NodeRole
from noded.core.ids import NodeId
from noded.core.metric import Metric, MetricKind
from noded.core.service import PeerContext
from noded.inspection.links import Registry, VitalsReader
from noded.inspection.model import Space, Vitals
from noded.metrics.authority import LOCAL_CALLS
from noded.metrics.views import text_of
from storage.pools.links import DiskHardware, Smart
from tests.scenarios.compute.stage import Stage, open_stage
from tests.scenarios.test_doctor import StageRegistry, disk_of, put
from tests.twins.storage import SimulatedHardware

SPACE = Space(total_bytes=8, used_bytes=2)


class Figures:
    """Implements `VitalsReader`."""

    def read(self) -> Vitals:
        return Vitals(cpus=4, cpu_percent=50.0, load_1min=1.5, memory=SPACE, disks={}, uptime_s=1.0)


@asynccontextmanager
async def measured() -> AsyncIterator[tuple[Stage, dict[str, str]]]:
    """A cloud with a server, and the headers of who has the key."""
    async with open_stage(more=(consensus.members.SERVICE, noded.inspection.SERVICE, noded.metrics.SERVICE)) as stage:
        for drivers in stage.cloud.shared.drivers.values():
            drivers.add(Registry, StageRegistry(stage))
            drivers.add(VitalsReader, Figures())
        await stage.create()
        await stage.settle()
        yield stage, {"Authorization": f"Bearer {await key_of(stage)}"}


async def key_of(stage: Stage, call: str = "metrics.make_key") -> str:
    shared = stage.cloud.shared
    context = PeerContext(cluster=shared.cluster("node2"), drivers=shared.drivers["node2"])
    return str(msgspec.msgpack.decode(await LOCAL_CALLS[call](context, b""))["key"])


async def scraped(stage: Stage, headers: dict[str, str], node: str = "node1") -> httpx.Response:
    async with stage.cloud.client(node) as client:
        return await client.get("/metrics", headers=headers)


def values(text: str, name: str) -> list[float]:
    lines = [line for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name]
    return [float(line.rsplit(" ", 1)[1]) for line in lines]


async def test_a_scraper_with_the_key_reads_every_node_and_sums_are_right() -> None:
    async with measured() as (stage, headers):
        answers = {node: await scraped(stage, headers, node) for node in stage.machines}
        assert {answer.status_code for answer in answers.values()} == {200}
        assert answers["node1"].headers["content-type"].startswith("text/plain; version=0.0.4")
        texts = [answer.text for answer in answers.values()]
        together = "".join(texts)
        assert len(values(together, "noded_disk_size_bytes")) == 3
        assert sum(values(together, "noded_servers")) == 1
        assert len(values(together, "noded_volume_size_bytes")) == len(stage.volume_ids()), "each is told of once"
        assert values(together, "noded_volume_replica_latency_seconds") == [0.0005] * 3
        assert (values(together, "noded_volume_reads_total"), values(together, "noded_volume_writes_total")) == (
            [3],
            [],
        )
        assert len(values(together, "noded_pool_size_bytes")) == 1, "by the leader alone"
        assert values(texts[0], "noded_node_cpu_ratio") == [0.5]
        assert values(texts[0], "noded_log_leader") == [1.0]


async def test_drives_that_warn_are_counted() -> None:
    async with measured() as (stage, headers):
        hardware = stage.cloud.shared.drivers["node2"].get(DiskHardware)
        assert isinstance(hardware, SimulatedHardware)
        hardware.smart["one"] = Smart(passed=True, temperature_c=41, warnings=("a", "b"))
        text = (await scraped(stage, headers, "node2")).text
        labels = f'{{disk="{disk_of(stage, "node2").id}",name="one"}}'
        assert f"noded_drive_warnings{labels} 2\n" in text
        assert f"noded_drive_temperature_celsius{labels} 41\n" in text


async def test_nobody_reads_without_the_key_or_with_one_that_was_taken_back() -> None:
    async with measured() as (stage, headers):
        admin = stage.headers
        for wrong in ({}, admin, {"Authorization": "Bearer "}, {"Authorization": headers["Authorization"] + "x"}):
            answer = await scraped(stage, wrong)
            assert answer.status_code == 401, wrong
            assert "noded metrics key" in answer.text
        newer = {"Authorization": f"Bearer {await key_of(stage)}"}
        assert (await scraped(stage, headers)).status_code == 401
        assert (await scraped(stage, newer)).status_code == 200
        await key_of(stage, "metrics.drop_key")
        assert (await scraped(stage, newer)).status_code == 401


async def test_a_witness_tells_of_its_log_alone() -> None:
    async with measured() as (stage, headers):
        put(
            stage,
            Node(
                id=NodeId("node3"), name="w", addresses=(), fingerprint="f", admitted_at_ms=1, release="1",
                role=NodeRole.WITNESS,
            ),
        )  # fmt: skip
        text = (await scraped(stage, headers, "node3")).text
        assert values(text, "noded_log_majority") == [1.0]
        assert "noded_disk" not in text


def test_text_is_escaped_ordered_and_merged() -> None:
    first = Metric(name="b_total", help='what\n"it" \\ is', kind=MetricKind.COUNTER)
    first.set(1.5, {"name": 'a"\\\n', "disk": "d"})
    again = Metric(name="b_total", help="")
    again.set(2, {})
    other = Metric(name="a", help="h")
    other.set(1 << 53, {})
    empty = Metric(name="c", help="h")
    assert text_of([first, again, other, empty]) == (
        "# HELP a h\n# TYPE a gauge\na 9007199254740992\n"
        '# HELP b_total what\\n"it" \\\\ is\n# TYPE b_total counter\nb_total 2\n'
        'b_total{disk="d",name="a\\"\\\\\\n"} 1.5\n'
    )
