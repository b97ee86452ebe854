"""What a device, a drive and smartctl say, and what is made of it."""

from dataclasses import replace
from typing import Any

import pytest

from storage.devices import POOL_LABEL, Device, why_not_device
from storage.host.smart import smart_in

BLANK = Device(
    path="/dev/sdx", kind="disk", size_bytes=4 << 40, read_only=False, content="", label="", uuid="", mounted_at=(),
    parts=(),
)  # fmt: skip


def test_a_blank_device_and_an_empty_pool_disk_may_be_used() -> None:
    assert why_not_device(BLANK) == ""
    assert why_not_device(replace(BLANK, content="ext4", label=POOL_LABEL, uuid="u")) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mounted_at": ("/", "/boot")}, "it is mounted at /, /boot"),
        ({"parts": ("/dev/sdx1",)}, "/dev/sdx1 are made of it"),
        ({"content": "xfs", "label": "photos"}, "xfs is on it"),
        ({"content": "LVM2_member"}, "`wipefs --all /dev/sdx`"),
        ({"read_only": True}, "read-only"),
        ({"size_bytes": 1 << 20}, "at least 1073741824"),
    ],
)
def test_any_other_is_refused_with_the_reason(change: dict[str, Any], words: str) -> None:
    assert words in why_not_device(replace(BLANK, **change))


ATA = {
    "smart_status": {"passed": True},
    "temperature": {"current": 38},
    "power_on_time": {"hours": 20_001},
    "ata_smart_attributes": {
        "table": [
            {"id": 5, "raw": {"value": 8}},
            {"id": 9, "raw": {"value": 20_001}},
            {"id": 187, "raw": {"value": 0}},
            {"id": 198, "raw": {"value": 3}},
        ]
    },
}


def test_counters_that_announce_a_failure_are_told_and_others_are_not() -> None:
    smart = smart_in(ATA)
    assert smart.warnings == ("8 sectors were reallocated", "3 sectors can't be read")
    assert (smart.passed, smart.temperature_c, smart.power_on_hours) == (True, 38, 20_001)


def test_a_drive_that_expects_to_fail_or_is_hot_says_so_first() -> None:
    smart = smart_in(ATA | {"smart_status": {"passed": False}, "temperature": {"current": 71}})
    assert smart.warnings[0] == "the drive expects to fail soon"
    assert smart.warnings[-1] == "it has 71 °C"


def test_an_nvme_drive_tells_of_wear_spare_and_errors() -> None:
    log = {
        "critical_warning": 4, "media_errors": 7, "percentage_used": 97, "available_spare": 5,
        "available_spare_threshold": 10,
    }  # fmt: skip
    smart = smart_in({"smart_status": {"passed": True}, "nvme_smart_health_information_log": log})
    assert smart.warnings == (
        "its critical warning is 0x4",
        "7 blocks could not be read or written",
        "97 % of its endurance is used",
        "only 5 % of its spare blocks are left",
    )
    assert smart_in({"smart_status": {"passed": True}, "nvme_smart_health_information_log": {}}).warnings == ()


def test_a_drive_without_health_says_why() -> None:
    said = {"smartctl": {"messages": [{"string": "Unknown USB bridge", "severity": "error"}]}}
    with pytest.raises(LookupError, match="Unknown USB bridge"):
        smart_in(said)
