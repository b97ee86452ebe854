"""How API answers become what a page shows. Pure."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from consensus.liveness.model import Outlook
from noded.core.times import zulu

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


_NODE_TONES = {"up": "good", "suspect": "busy", "partly": "busy", "down": "bad"}
_NODE_WORDS = {"partly": "partly reachable"}


def nodes(status: Thing | None, listing: Thing | None = None) -> list[Thing]:
    """What the nodes' table shows: how each is, and where the members' records are given too, what it is to be."""
    records = {record["id"]: record for record in (listing or {}).get("nodes", [])}
    return [
        {
            **node,
            "tone": _NODE_TONES[node["state"]],
            "word": _NODE_WORDS.get(node["state"], node["state"]),
            "labels": records.get(node["id"], {}).get("labels", {}),
            "standing": records.get(node["id"], {}).get("standing", "in_use"),
            "kind": records.get(node["id"], {}).get("kind", "member"),
        }
        for node in (status or {}).get("nodes", [])
    ]


def votes(lines: Sequence[Thing]) -> str:
    """Who votes, how many of them may fail, and why the others don't."""
    voters = [line["name"] for line in lines if line["voter"]]
    if not voters:
        return "No voters are known here yet."
    may_fail = (len(voters) - 1) // 2
    words = f"{', '.join(voters)} {'votes' if len(voters) == 1 else 'vote'}: {may_fail} of them may fail."
    idle = [line for line in lines if not line["voter"]]
    going = [line["name"] for line in idle if line["standing"] != "in_use"]
    spare = [line["name"] for line in idle if line["standing"] == "in_use"]
    if going:
        words += f" {', '.join(going)} must give up the vote, being drained."
    if spare:
        words += f" {', '.join(spare)} follow without a vote: an odd number votes, spread over the failure zones."
    return words


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels as they are written in the form."""
    return " ".join(f"{key}={value}" for key, value in labels.items())


def labels_wanted(text: str, before: str) -> dict[str, str | None] | None:
    """What must be set and taken away so that the labels are as written; None if they are written wrong."""
    labels: dict[str, str | None] = {word.partition("=")[0]: None for word in before.split()}
    for word in text.split():
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            return None
        labels[key] = value
    return labels


def cut_off(outlook: Outlook, revision: int) -> Thing | None:
    """What every page of a node without a majority says; None of one that has it."""
    if outlook.has_majority:
        return None
    since = None if outlook.minority_since_ms is None else zulu(outlook.minority_since_ms)
    return {
        "voters": len(outlook.voters),
        "seen": len(outlook.voters_seen),
        "lost": [{"name": lost.name, "since": zulu(lost.since_ms)} for lost in outlook.lost],
        "revision": revision,
        "since": since,
        "why": "This node sees no majority of the voting nodes: nothing can be changed from here now.",
    }


def attached(attachments: list[Thing], volumes: list[Thing]) -> list[Thing]:
    """The volumes of a server: where the guest has each, what it is called and what it is doing."""
    known = {volume["id"]: volume for volume in volumes}
    return [
        {
            "id": each["volumeId"],
            "device": each["device"],
            "name": known.get(each["volumeId"], {}).get("name"),
            "status": (word := known.get(each["volumeId"], {}).get("status", "unknown")),
            "tone": tone(word),
        }
        for each in attachments
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
    if (count := number(form.get("count", ""))) != 1:
        body |= {"min_count": count, "max_count": count}
    return {"server": body}


def number(text: str) -> int | str:
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


# What the page of an image shows in places of its own, or nobody asks for.
_IMAGE_FACTS = frozenset({
    "id", "name", "status", "visibility", "protected", "os_hidden", "checksum", "os_hash_algo", "os_hash_value",
    "owner", "size", "virtual_size", "container_format", "disk_format", "created_at", "updated_at", "tags", "min_disk",
    "min_ram", "self", "file", "schema", "stores", "os_glance_importing_to_stores", "os_glance_failed_import",
    "os_glance_import_task",
})  # fmt: skip


def image_properties(image: Mapping[str, Any]) -> dict[str, str]:
    """What a user wrote on an image beside what every image has."""
    return {name: str(value) for name, value in sorted(image.items()) if name not in _IMAGE_FACTS}


def upload_progress(headers: Mapping[str, str]) -> Thing | None:
    """How much of an image's file is there; None where nothing of it is being kept."""
    offset, length = headers.get("upload-offset", "0"), headers.get("upload-length")
    if offset == "0":
        return None
    return {"offset": int(offset), "length": int(length) if length is not None else None}


def image_changes(form: Mapping[str, str]) -> list[dict[str, object]]:
    """The JSON patch that a form of the image's page stands for."""
    values: dict[str, object] = {field: form[field] or None for field in ("name", "visibility") if field in form}
    values |= {field: form[field] == "true" for field in ("protected", "os_hidden") if field in form}
    values |= {field: int(form[field]) for field in ("min_disk", "min_ram") if form.get(field, "").isdecimal()}
    changes: list[dict[str, object]] = [
        {"op": "replace", "path": f"/{field}", "value": value} for field, value in values.items()
    ]
    if "property" in form:
        path = "/" + form["property"].strip().replace("~", "~0").replace("/", "~1")
        if form.get("remove"):
            changes.append({"op": "remove", "path": path})
        else:
            changes.append({"op": "add", "path": path, "value": form.get("value", "")})
    return changes
