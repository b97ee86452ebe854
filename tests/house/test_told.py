"""Every command says what it did in plain words, with fields that it has: history tells nothing else."""

import re
import string
import typing

import msgspec

from noded.core.command import Command
from noded.services import all_commands
from tests.house.samples import sample

# Placeholders are `{field}`, or `{field[part]}` of a part.
PLACEHOLDER = re.compile(r"[a-z_]+(\[[a-z_]+\])*")


def missing(command: type[Command]) -> list[str]:
    """The placeholders that a command has no field for."""
    wrong = []
    for _, name, form, conversion in string.Formatter().parse(command.TOLD):
        if name is None:
            continue
        value: object = sample(command)
        for step in re.findall(r"[a-z_]+", name):
            value = getattr(value, step, None)
        if value is None or form or conversion or not PLACEHOLDER.fullmatch(name):
            wrong.append(name)
    return wrong


def may_be_left_out(command: type[Command]) -> list[str]:
    """The placeholders whose field may be absent: then there would be nothing to say."""
    kinds = {field.name: field.type for field in msgspec.structs.fields(command)}
    names = [name.split("[")[0] for _, name, _, _ in string.Formatter().parse(command.TOLD) if name]
    return [name for name in names if msgspec.UnsetType in typing.get_args(kinds.get(name))]


def test_every_command_says_what_it_did() -> None:
    silent = [command.__name__ for command in all_commands() if not command.TOLD]
    assert silent == [], "give each a TOLD: what it did, in the past tense and in an operator's words"


def test_the_words_name_fields_that_there_are() -> None:
    assert {command.__name__: wrong for command in all_commands() if (wrong := missing(command))} == {}
    assert {command.__name__: wrong for command in all_commands() if (wrong := may_be_left_out(command))} == {}


def test_no_two_commands_say_the_same() -> None:
    told = [command.TOLD for command in all_commands()]
    assert sorted({each for each in told if told.count(each) > 1}) == []
