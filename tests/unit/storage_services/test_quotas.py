"""What is charged is given back, whatever happens in between; and a QoS says only what a hypervisor takes."""

import random

import pytest

from noded.core.errors import Invalid, NotFound, OverQuota
from noded.core.ids import ProjectId
from storage.qos.commands import AssociateQos, CreateQos, SetQosKeys
from storage.qos.model import guest_limits
from storage.quotas.commands import ResetQuota, SetQuota, charge, discharge
from storage.quotas.model import Charge, used_by
from storage.types.commands import ChangeType, CreateType, DeleteType, SetProjectType, SetTypeSpecs
from storage.types.model import DEFAULT_TYPE_ID, DEFAULT_TYPE_NAME, default_type, get_type
from tests.unit.storage_services.builders import PROJECT, Bench

OTHER = ProjectId("b" * 32)


def put(bench: Bench, owner: str, gib: int, project: ProjectId = PROJECT, type_id: str = "t") -> None:
    change = bench.begin()
    charge(change, owner, project, {"volumes": 1, "gigabytes": gib}, type_id=type_id, type_name="fast")
    bench.view = change.commit()


def take(bench: Bench, owner: str) -> None:
    change = bench.begin()
    discharge(change, owner)
    bench.view = change.commit()


def test_sums_are_those_of_the_charges_after_any_history() -> None:
    dice = random.Random(7)  # a test's own
    bench = Bench()
    for _ in range(400):
        owner = f"v{dice.randrange(12)}"
        if dice.random() < 0.3:
            take(bench, owner)
        else:
            put(bench, owner, dice.randrange(1, 9), dice.choice([PROJECT, OTHER]), dice.choice(["", "t", "u"]))
        for project in (PROJECT, OTHER):
            sums: dict[str, int] = {}
            for each in bench.view.all(Charge):
                if each.project_id == project:
                    for resource, amount in each.amounts.items():
                        for key in (resource, *([f"{resource}:{each.type_id}"] if each.type_id else [])):
                            sums[key] = sums.get(key, 0) + amount
            assert used_by(bench.view, project) == sums


def test_only_what_grows_is_refused() -> None:
    bench = Bench()
    put(bench, "v1", 5)
    bench.apply(SetQuota(owner=PROJECT, limits={"gigabytes": 4, "volumes_fast": 1}))
    put(bench, "v1", 3)  # it shrinks, though the project was over its limit
    put(bench, "v1", 4)
    with pytest.raises(OverQuota, match="Requested 1G, quota is 4G and 4G"):
        put(bench, "v1", 5)
    with pytest.raises(OverQuota, match="volumes_fast"):
        put(bench, "v2", 0)
    put(bench, "v2", 0, type_id="")
    bench.apply(ResetQuota(project_id=PROJECT))
    put(bench, "v1", 50)


def test_a_limit_goes_with_its_type_to_another_name() -> None:
    bench = Bench(CreateType(type_id="t", name="fast", now_ms=1))
    bench.apply(SetQuota(owner=PROJECT, limits={"volumes_fast": 0}), ChangeType(type_id="t", name="slow", now_ms=2))
    change = bench.begin()
    with pytest.raises(OverQuota, match="volumes_slow"):
        charge(change, "v", PROJECT, {"volumes": 1}, type_id="t", type_name="slow")


def test_the_default_type_is_there_can_be_changed_and_stays() -> None:
    bench = Bench()
    assert default_type(bench.view, PROJECT).name == DEFAULT_TYPE_NAME
    bench.apply(SetTypeSpecs(type_id=DEFAULT_TYPE_ID, changed={"replicas": "2"}, now_ms=1))
    kind = get_type(bench.view, "")
    assert kind is not None
    assert (kind.id, kind.replicas) == (DEFAULT_TYPE_ID, 2)
    assert isinstance(bench.refusal(DeleteType(type_id=DEFAULT_TYPE_ID)), Invalid)
    assert isinstance(bench.refusal(SetProjectType(project_id=PROJECT, type_id="none")), NotFound)
    bench.apply(CreateType(type_id="t", name="own", now_ms=1), SetProjectType(project_id=PROJECT, type_id="t"))
    assert default_type(bench.view, PROJECT).name == "own"
    assert isinstance(bench.refusal(DeleteType(type_id="t")), Invalid)


@pytest.mark.parametrize(
    ("specs", "limits"),
    [
        ({"total_iops_sec": "100"}, {"total_iops_sec": 100}),
        ({"read_bytes_sec": "0", "made_up": "x"}, {}),
        ({"total_iops_sec_per_gb": "10"}, {"total_iops_sec": 50}),
        ({"total_iops_sec_per_gb": "10", "total_iops_sec": "30"}, {"total_iops_sec": 30}),
        ({"total_iops_sec_max": "100"}, {}),
        ({"total_iops_sec_max": "100", "total_iops_sec": "200"}, {"total_iops_sec": 200}),
        (
            {"read_iops_sec_max": "100", "read_iops_sec": "50", "size_iops_sec": "4096"},
            {"read_iops_sec": 50, "read_iops_sec_max": 100, "size_iops_sec": 4096},
        ),
        ({"size_iops_sec": "4096", "total_bytes_sec": "9"}, {"total_bytes_sec": 9}),
    ],
)
def test_a_guest_gets_the_limits_that_a_hypervisor_takes(specs: dict[str, str], limits: dict[str, int]) -> None:
    bench = Bench(CreateType(type_id="t", name="fast", now_ms=1))
    bench.apply(CreateQos(qos_id="q", name="q", consumer="both", specs=specs, now_ms=1))
    bench.apply(AssociateQos(qos_id="q", type_id="t"))
    assert guest_limits(bench.view, "t", 5) == limits


def test_limits_that_no_hypervisor_takes_together_are_refused() -> None:
    bench = Bench(CreateQos(qos_id="q", name="q", consumer="both", specs={"total_iops_sec": "1"}, now_ms=1))
    both = bench.refusal(SetQosKeys(qos_id="q", changed={"read_iops_sec": "1"}))
    assert "not both" in both.message
    bench.apply(SetQosKeys(qos_id="q", changed={"read_bytes_sec": "1"}))
