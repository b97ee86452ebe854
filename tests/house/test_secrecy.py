"""What is secret is declared before anybody can read it: each field that looks secret is one, or is said to be none."""

import typing
from collections.abc import Iterator

import msgspec
import pytest

from noded.core.command import Command
from noded.core.secrecy import HARMLESS, HIDDEN, SECRET, looks_secret, mask, secret_paths
from noded.core.store import Transaction
from tests.house.samples import sample
from tests.house.test_encodings import kinds


def fields(kind: object, trail: str = "") -> Iterator[tuple[str, object]]:
    """Every field below a struct: its path, and its type."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            path = f"{trail}.{field.name}".lstrip(".")
            yield path, field.type
            yield from fields(field.type, path)
    else:
        for inner in typing.get_args(kind):
            yield from fields(inner, trail)


def holds_bytes(kind: object) -> bool:
    if isinstance(kind, typing.NewType):
        return holds_bytes(kind.__supertype__)
    return kind is bytes or any(holds_bytes(inner) for inner in typing.get_args(kind))


def undeclared(kind: type[msgspec.Struct], tag: str) -> list[str]:
    known = {*SECRET.get(tag, ()), *HARMLESS.get(tag, ())}
    return [
        path
        for path, type_ in fields(kind)
        if looks_secret(path.rsplit(".", 1)[-1], is_bytes=holds_bytes(type_)) and path not in known
    ]


def test_every_field_that_looks_secret_is_declared() -> None:
    wrong = {tag: found for tag, kind in kinds().items() if (found := undeclared(kind, tag))}
    assert wrong == {}, "say in noded/core/secrecy.py whether each is SECRET or HARMLESS"


def test_what_is_declared_is_there() -> None:
    declared = {tag: {*SECRET.get(tag, ()), *HARMLESS.get(tag, ())} for tag in {*SECRET, *HARMLESS}}
    known = {tag: {path for path, _ in fields(kind)} for tag, kind in kinds().items()}
    assert {
        tag: paths - known.get(tag, set()) for tag, paths in declared.items() if paths - known.get(tag, set())
    } == {}
    assert not {(tag, path) for tag in SECRET for path in SECRET[tag] if path in HARMLESS.get(tag, ())}


def leaf(value: object, path: tuple[str, ...]) -> object:
    for step in path:
        value = value[0] if isinstance(value, list) else value
        assert isinstance(value, dict)
        value = value[step]
    return value


@pytest.mark.parametrize("tag", sorted(SECRET))
def test_a_secret_is_hidden_in_the_plain_form_and_in_what_prints_it(tag: str) -> None:
    whole = sample(kinds()[tag])
    plain = mask(msgspec.to_builtins(whole, builtin_types=(bytes,)), tag)
    assert [leaf(plain, path) for path in secret_paths(tag)] == [HIDDEN] * len(secret_paths(tag))
    assert HIDDEN in repr(whole)
    for path in secret_paths(tag):
        assert f"{path[-1]}='a'" not in repr(whole)
        assert f"'{path[-1]}': 'a'" not in repr(whole)
        assert f"{path[-1]}=b'b'" not in repr(whole)


class Part(msgspec.Struct, frozen=True):
    api_token: str


class Careless(Command, frozen=True, kw_only=True, tag="test.careless.1"):
    parts: tuple[Part, ...]
    sealed: bytes
    color: str

    def apply(self, tx: Transaction) -> None: ...


def test_a_careless_command_would_be_found() -> None:
    assert undeclared(Careless, "test.careless.1") == ["parts.api_token", "sealed"]
