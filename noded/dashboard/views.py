"""How API answers become what a page shows. Pure."""

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

Thing = dict[str, Any]

BUSY = {"BUILD", "REBOOT", "HARD_REBOOT", "DELETING", "QUEUED", "SAVING", "IMPORTING", "CREATING"}
GOOD = {"ACTIVE", "AVAILABLE", "IN-USE", "UP"}
BAD = {"ERROR", "KILLED", "DOWN"}


def tone(status: str) -> str:
    """Which colour a status word has: good, busy, bad or calm."""
    word = status.upper()
    if word in GOOD:
        return "good"
    if word in BUSY:
        return "busy"
    return "bad" if word in BAD else "calm"


def servers(found: Iterable[Thing], flavors: Iterable[Thing], images: Iterable[Thing]) -> list[Thing]:
    """What the servers' table shows, newest first."""
    flavor_names = {flavor["id"]: flavor["name"] for flavor in flavors}
    image_names = {image["id"]: image.get("name") or image["id"] for image in images}
    lines = [server(each, flavor_names, image_names) for each in found]
    return sorted(lines, key=lambda line: line["created"], reverse=True)


def server(found: Thing, flavor_names: Mapping[str, str], image_names: Mapping[str, str]) -> Thing:
    """One server's line."""
    flavor = found.get("flavor") or {}
    image = found.get("image") or {}
    flavor_name = flavor.get("original_name") or flavor_names.get(flavor.get("id", ""), flavor.get("id", "-"))
    image_id = image.get("id", "") if isinstance(image, dict) else ""
    return {
        "id": found["id"],
        "name": found["name"],
        "status": found["status"],
        "tone": tone(found["status"]),
        "task": found.get("OS-EXT-STS:task_state"),
        "addresses": [
            {"network": network, "address": each["addr"]}
            for network, addresses in (found.get("addresses") or {}).items()
            for each in addresses
        ],
        "flavor": flavor_name,
        "image": image_names.get(image_id, image_id or "-"),
        "key": found.get("key_name"),
        "node": found.get("OS-EXT-SRV-ATTR:host"),
        "created": found.get("created", ""),
        "fault": (found.get("fault") or {}).get("message", ""),
    }


def nodes(status: Thing | None) -> list[Thing]:
    """What the nodes' table shows."""
    return [
        {**node, "tone": "good" if node["up"] else "bad", "word": "up" if node["up"] else "down"}
        for node in (status or {}).get("nodes", [])
    ]


def new_server_body(form: Mapping[str, str]) -> Thing:
    """The create request that the form stands for."""
    body: Thing = {
        "name": form.get("name", "").strip(),
        "imageRef": form.get("image", ""),
        "flavorRef": form.get("flavor", ""),
    }
    if form.get("network"):
        body["networks"] = [{"uuid": form["network"]}]
    if form.get("key"):
        body["key_name"] = form["key"]
    if (count := _count(form.get("count", ""))) != 1:
        body |= {"min_count": count, "max_count": count}
    return {"server": body}


def _count(text: str) -> int | str:
    """The number in the form; what is none stays as it is, for the API to refuse with its reason."""
    text = text.strip() or "1"
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else text


def as_command(form: Mapping[str, str]) -> str:
    """The same request as a line for the `openstack` command."""
    words = ["openstack", "server", "create"]
    for option, field in (
        ("--image", "image"),
        ("--flavor", "flavor"),
        ("--network", "network"),
        ("--key-name", "key"),
    ):
        if form.get(field):
            words += [option, form[field]]
    if form.get("count", "1") not in {"", "1"}:
        words += ["--min", form["count"], "--max", form["count"]]
    return shlex.join([*words, form.get("name") or "NAME"])
