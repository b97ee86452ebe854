"""How a line of history is shown: in words, with the names of today. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from consensus.chain import Covered, Line, Link, RecordChange
from consensus.history.links import Vocabulary
from consensus.history.model import HistoryLine, Object
from noded.core.errors import Kind
from noded.core.record import Record
from noded.core.secrecy import HIDDEN
from noded.core.store import View
from noded.core.times import zulu
from noded.core.unreadable import UNREADABLE

WORD_CHARS_MAX: Final = 120
LIST_ITEMS_MAX: Final = 5
_MISSING: Final = "…"
_ORIGIN_FIELDS: Final = 6
_TELLING: Final = ("name", "server_id", "port_id", "id")  # which field of a part tells what it is

Names = Callable[[str], str]
"""A name for an id; the id itself if there is none."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry says of itself. Of one that this release can't read, nothing."""

    who: str = ""
    name: str = ""
    project_id: str = ""
    request_id: str = ""
    address: str = ""
    at_ms: int = 0
    commands: tuple[dict[str, Any], ...] = ()


def said_by(covered: Covered) -> Said:
    """The entry of a line, read without knowing its commands: secrets may stand in for values of another type."""
    try:
        _, origin, commands = msgspec.msgpack.decode(covered.payload)
        who, name, project_id, request_id, address, at_ms = origin[:_ORIGIN_FIELDS]
    except (*UNREADABLE, TypeError, ValueError):
        return Said()
    return Said(
        who=who,
        name=name,
        project_id=project_id,
        request_id=request_id,
        address=address,
        at_ms=at_ms,
        commands=tuple(commands),
    )


def written(link: Link) -> str:
    """`REVISION:HASH`."""
    return f"{link.revision}:{link.head.hex()}"


def line_view(
    line: Line, covered: Covered, said: Said, words: Vocabulary, view: View, project_id: str | None = None
) -> HistoryLine:
    """A line in words. For the members of a project, it names nothing that is not theirs."""
    changes = [change for change in covered.changes if project_id is None or change.owner == project_id]
    objects = tuple(_object(change, words, view) for change in changes)
    names = _names(view, words.named_kinds if project_id is None else (), objects)
    told = tuple(_sentence(command, words, names) for command in said.commands)
    return HistoryLine(
        revision=line.revision,
        at=zulu(said.at_ms),
        at_ms=said.at_ms,
        who=said.who,
        name=said.name or names(said.who.partition(":")[2]),
        address=said.address,
        request_id=said.request_id,
        project_id=said.project_id,
        told=told or ("made a change that this release can't read",),
        tags=tuple(str(command.get("$", "")) for command in said.commands),
        objects=objects,
        outcome="refused" if covered.verdict else "applied",
        reason=line.message or (covered.verdict and Kind(covered.verdict).value),
        hash=line.head.hex(),
    )


def for_project(line: HistoryLine, project_id: str) -> HistoryLine:
    """The line as a project's members may see it: of strangers neither words nor address."""
    if line.project_id == project_id:
        return line
    told = ("changed by the cloud's administration",)
    return msgspec.structs.replace(
        line, told=told, tags=(), who="", name="", address="", request_id="", project_id="", reason=""
    )


def is_surely_of(covered: Covered, project_id: str) -> bool:
    """Whether an entry changed records of this project, and of no other one."""
    owners = {change.owner for change in covered.changes}
    return project_id in owners and owners <= {project_id, None}


def name_of(table: str, id: str, images: Mapping[str, Any], words: Vocabulary, view: View) -> str:
    """What a record was called when it changed, or is called now."""
    name = images.get("name")
    if name is None and (kind := words.kinds.get(table)) is not None:
        name = getattr(view.get(kind, id), "name", None)
    return name if isinstance(name, str) and name != HIDDEN else ""


def _object(change: RecordChange, words: Vocabulary, view: View) -> Object:
    images = {**(change.before or {}), **(change.after or {})}
    noun = words.nouns.get(change.table, change.table)
    return Object(noun=noun, id=change.id, name=name_of(change.table, change.id, images, words, view))


def _names(view: View, kinds: Iterable[type[Record]], objects: tuple[Object, ...]) -> Names:
    known = {each.id: each.name for each in objects if each.name}

    def name(id: str) -> str:
        if id not in known:
            found = (view.get(kind, id) for kind in kinds)
            known[id] = next((getattr(record, "name", "") for record in found if record is not None), "") or id
        return known[id]

    return name


class _Fields(dict[str, Any]):
    """A command's fields inside a sentence; one that is not there is an ellipsis."""

    def __missing__(self, key: str) -> str:
        return _MISSING

    def __format__(self, form: str) -> str:
        return ", ".join(f"{key}={value}" for key, value in list(self.items())[:LIST_ITEMS_MAX]) or "none"


def _sentence(command: dict[str, Any], words: Vocabulary, names: Names) -> str:
    told = words.told.get(str(command.get("$", "")), "")
    if not told:
        return f"did {command.get('$', 'something')}"
    return told.format_map(_fields(command, names))


def _fields(values: dict[str, Any], names: Names) -> _Fields:
    return _Fields({str(key): _shown(str(key), each, names) for key, each in values.items()})


def _shown(key: str, value: object, names: Names) -> Any:  # a text, or fields of texts
    if isinstance(value, dict):
        return _fields(value, names)
    if isinstance(value, list):
        items = [_item(key, each, names) for each in value[:LIST_ITEMS_MAX]]
        return ", ".join(items) + (" and more" if len(value) > LIST_ITEMS_MAX else "") if items else "none"
    if value is None:
        return "none"
    # What users call things may look like an id, and is none.
    is_id = isinstance(value, str) and key.endswith(("id", "ids", "up", "down"))
    text = names(str(value)) if is_id else str(value)
    return text if len(text) <= WORD_CHARS_MAX else f"{text[:WORD_CHARS_MAX]}…"


def _item(key: str, value: object, names: Names) -> str:
    if isinstance(value, dict):
        key, value = next(((key, value[key]) for key in _TELLING if value.get(key)), (key, _MISSING))
    return str(_shown(key, value, names))
