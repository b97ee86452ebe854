"""What was once written can be read for ever: the bytes of every record and command are frozen in `encodings.json`.

A new tag is added by `python -m tests.house.test_encodings`. A frozen line never changes and never goes: to change a
meaning, make a new tag.
"""

import json
from pathlib import Path

import msgspec

from noded.core.command import Command
from noded.core.record import Record
from noded.services import SERVICES
from tests.house.samples import sample

FROZEN = Path(__file__).with_name("encodings.json")


def kinds() -> dict[str, type[msgspec.Struct]]:
    """Every registered record and command by its tag."""
    found: dict[str, type[msgspec.Struct]] = {}
    for service in SERVICES:
        every: tuple[type[Record] | type[Command], ...] = (*service.records, *service.commands)
        for kind in every:
            tag = kind.__struct_config__.tag
            assert isinstance(tag, str), kind
            assert tag not in found, f"{tag} stands for {found.get(tag)} and {kind}"
            found[tag] = kind
    return found


def encoded(kind: type[msgspec.Struct]) -> str:
    return msgspec.msgpack.encode(sample(kind), order="deterministic").hex()


def test_every_tag_is_frozen_and_none_is_gone() -> None:
    frozen = json.loads(FROZEN.read_text())
    assert sorted(frozen) == sorted(kinds()), "run: python -m tests.house.test_encodings"


def holds(now: object, before: object) -> bool:
    """Whether `now` says all that `before` said: records inside commands may have got fields too."""
    if isinstance(before, dict) and isinstance(now, dict):
        return all(key in now and holds(now[key], value) for key, value in before.items())
    if isinstance(before, list) and isinstance(now, list):
        return len(now) == len(before) and all(map(holds, now, before))
    return now == before


def test_every_frozen_encoding_can_still_be_read() -> None:
    known = kinds()
    for tag, line in json.loads(FROZEN.read_text()).items():
        before = msgspec.msgpack.decode(bytes.fromhex(line))
        now = msgspec.msgpack.decode(
            msgspec.msgpack.encode(msgspec.msgpack.decode(bytes.fromhex(line), type=known[tag]))
        )
        assert holds(now, before), f"{tag}: a field was lost or changed its meaning"


def test_encodings_are_the_same_each_time() -> None:
    assert all(encoded(kind) == encoded(kind) for kind in kinds().values())


if __name__ == "__main__":
    lines = json.loads(FROZEN.read_text()) if FROZEN.exists() else {}
    for tag, kind in kinds().items():
        lines.setdefault(tag, encoded(kind))
    FROZEN.write_text(json.dumps(lines, indent=1, sort_keys=True) + "\n")
