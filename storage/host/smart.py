"""What does `smartctl --json --all` say of a drive that an operator should know? ATA, SCSI and NVMe. Pure.

Which counters announce a failure: the SMART attributes 5, 187, 197 and 198 of ATA drives, the critical warning, spare
and media errors of NVMe drives (NVM Express base specification, "SMART / Health Information").
"""

from typing import Any, Final

from storage.pools.links import Smart

_ATA: Final = {
    5: "sectors were reallocated",
    187: "errors could not be corrected",
    197: "sectors wait to be reallocated",
    198: "sectors can't be read",
}
HOT_C: Final = 65
WORN_PERCENT: Final = 90


def smart_in(said: Any) -> Smart:
    """Raises `LookupError` with the reason where smartctl could not read anything of the drive."""
    status = said.get("smart_status")
    if not isinstance(status, dict) or "passed" not in status:
        words = [each.get("string", "") for each in said.get("smartctl", {}).get("messages", [])]
        raise LookupError("; ".join(words) or "it has no SMART status")
    temperature = said.get("temperature", {}).get("current")
    warnings = [*_of_ata(said), *_of_nvme(said)]
    if not status["passed"]:
        warnings.insert(0, "the drive expects to fail soon")
    if temperature is not None and temperature >= HOT_C:
        warnings.append(f"it has {temperature} °C")
    return Smart(
        passed=bool(status["passed"]),
        temperature_c=temperature,
        power_on_hours=said.get("power_on_time", {}).get("hours"),
        warnings=tuple(warnings),
    )


def _of_ata(said: Any) -> list[str]:
    table = said.get("ata_smart_attributes", {}).get("table", [])
    counts = {line["id"]: int(line.get("raw", {}).get("value", 0)) for line in table if line.get("id") in _ATA}
    return [f"{count} {_ATA[number]}" for number, count in sorted(counts.items()) if count]


def _of_nvme(said: Any) -> list[str]:
    found = said.get("nvme_smart_health_information_log")
    if not isinstance(found, dict):
        return []
    words = []
    if found.get("critical_warning"):
        words.append(f"its critical warning is {found['critical_warning']:#x}")
    if found.get("media_errors"):
        words.append(f"{found['media_errors']} blocks could not be read or written")
    if found.get("percentage_used", 0) >= WORN_PERCENT:
        words.append(f"{found['percentage_used']} % of its endurance is used")
    if found.get("available_spare", 100) <= found.get("available_spare_threshold", 0):
        words.append(f"only {found['available_spare']} % of its spare blocks are left")
    return words
