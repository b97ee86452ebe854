"""How disks, drives, replicas and the pool's forecast become what the storage page shows. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from noded.dashboard.render import size

Thing = dict[str, Any]

TONES = {"in use": "good", "full": "busy", "draining": "busy", "away": "bad", "failed": "bad"}


def disks(found: Iterable[Thing], drives: Mapping[str, Thing]) -> list[Thing]:
    """A line a disk, by node and directory, with what its drive says."""
    lines = []
    for disk in sorted(found, key=lambda disk: (disk["node"], disk["name"])):
        drive = drives.get(disk["id"], {})
        smart = drive.get("smart") or {}
        lines.append(
            disk
            | {
                "tone": TONES.get(disk["state"], "calm"),
                "drive": ", ".join(word for word in (drive.get("device"), drive.get("model")) if word),
                "serial": drive.get("serial", ""),
                "warnings": list(smart.get("warnings", ())),
                "temperature_c": smart.get("temperature_c"),
                "lacks": list(drive.get("lacks", ())),
            }
        )
    return lines


def unsettled(found: Iterable[Thing], all_disks: Sequence[Thing]) -> list[Thing]:
    """Volumes whose replicas are behind or on their way, and how far each has come."""
    names = _names(all_disks)
    lines = []
    for volume in found:
        behind = [
            {"disk": names.get(disk, disk[:12]), "share": volume["resyncs"].get(disk)} for disk in volume["behind"]
        ]
        coming = []
        for place in volume["coming"]:
            extent, _, disk = place.partition("/")
            blocks = volume["joins"].get(place)
            coming.append({"extent": extent, "disk": names.get(disk, disk[:12]), "blocks": blocks})
        lines.append(volume | {"behind": behind, "coming": coming})
    return lines


def forecast_words(found: Thing) -> str:
    """When the pool will be full, in a sentence."""
    if not found:
        return ""
    rate = found["bytes_a_day"]
    if found["full_in_days"] is None:
        return f"When it is full can't be told: {found['why']}."
    return f"It fills by {size(rate)} a day: at that rate it is full in {found['full_in_days']:g} days."


def drive_words(found: Thing) -> str:
    """What became of a light, and which drive it is."""
    light = {True: "Its light shines", False: "Its light is out", None: "Its light can't be told to shine"}
    words = [light[found["lit"]] + ":", found["device"], found["model"], f"serial {found['serial'] or 'unknown'}"]
    words += [f"slot {found['slot']}"] if found["slot"] else []
    words += [f"({'; '.join(found['lacks'])})"] if found["lacks"] else []
    return " ".join(word for word in words if word)


def replicas(explained: Thing, all_disks: Sequence[Thing]) -> list[Thing]:
    """A line a replica: where it is, whether it counts, how fast it answers, how far it has come."""
    names, served = _names(all_disks), explained["served"] if isinstance(explained["served"], dict) else {}
    lines = []
    for replica in explained["replicas"]:
        disk = replica["disk"]
        word, tone = ("in sync", "good") if replica["in_sync"] else ("behind", "busy")
        if not replica["node_up"]:
            word, tone = f"{word}, its node is away", "bad"
        lines.append(
            {
                "disk": names.get(disk, disk[:12]),
                "word": word,
                "tone": tone,
                "state": served.get("replicas", {}).get(disk, ""),
                "latency_ms": served.get("latencies_ms", {}).get(disk),
                "share": served.get("resyncs", {}).get(disk),
            }
        )
    return lines


def extents(explained: Thing, all_disks: Sequence[Thing]) -> list[Thing]:
    """Which extents lie where; those that lie alike are one line."""
    names = _names(all_disks)
    return [
        {"numbers": numbers, "disks": [names.get(disk, disk[:12]) for disk in places.split(", ")]}
        for numbers, places in explained["extents"].items()
    ]


def _names(all_disks: Iterable[Thing]) -> dict[str, str]:
    return {disk["id"]: f"{disk['node']}:{disk['name']}" for disk in all_disks}
