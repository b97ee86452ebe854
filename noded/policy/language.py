"""What does a rule say, and does it hold? oslo.policy's language, read and answered. Pure.

    @  or nothing      everyone who shows a token         !                 nobody
    role:member        a role of the token, in any case    rule:name         another rule
    user_id:%(user_id)s    the caller's attribute is the target's; `system_scope:all`, `project_id:None`: is that word
    'public':%(visibility)s  the target's attribute is that word
    not, and, or, ( )  in that order of strength

(oslo.policy's administrator guide, "Policy rule expressions". `http:` checks are not taken: a rule must give the same
answer on every node, also on one that reaches nothing else. `tests/unit/noded/policy/test_language.py` compares every
answer with oslo.policy's own.)
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

from noded.core.errors import Invalid

RULE_CHARS_MAX: Final = 2000
DEPTH_MAX: Final = 20  # of parentheses, and of rules that name rules
KNOWN: Final = (
    "user_id", "user_domain_id", "project_id", "domain_id", "system_scope", "roles", "is_admin_project",
)  # fmt: skip
"""What a rule may ask of the caller."""

_ATTRIBUTE: Final = re.compile(r"%\(([^()]*)\)s")


class Answers(Protocol):
    """What a rule is asked about: a caller who wants to do something to a target."""

    @property
    def caller(self) -> Mapping[str, object]:
        """`user_id`, `roles` and the others of `KNOWN`."""

    def of_target(self, name: str) -> object:
        """An attribute of the target. Raises KeyError if it has none of that name."""

    def rule(self, name: str) -> "Check | None":
        """The rule of that name."""


class Check(Protocol):
    """A rule, or a part of one."""

    def holds(self, asked: Answers, depth: int = 0) -> bool:
        """Whether it lets the caller in."""

    def parts(self) -> "tuple[Check, ...]":
        """What it is made of."""


@dataclass(frozen=True, slots=True)
class Always:
    """`@`, or an empty rule."""

    def holds(self, asked: Answers, depth: int = 0) -> bool:  # noqa: ARG002
        return True

    def parts(self) -> tuple[Check, ...]:
        return ()

    def __str__(self) -> str:
        return "@"


@dataclass(frozen=True, slots=True)
class Never:
    """`!`."""

    def holds(self, asked: Answers, depth: int = 0) -> bool:  # noqa: ARG002
        return False

    def parts(self) -> tuple[Check, ...]:
        return ()

    def __str__(self) -> str:
        return "!"


@dataclass(frozen=True, slots=True)
class Role:
    """`role:NAME`; the name may hold attributes of the target."""

    name: str

    def holds(self, asked: Answers, depth: int = 0) -> bool:  # noqa: ARG002
        name = filled(self.name, asked)
        roles = asked.caller["roles"]
        assert isinstance(roles, frozenset)
        return name is not None and (name in roles or name.lower() in {role.lower() for role in roles})

    def parts(self) -> tuple[Check, ...]:
        return ()

    def __str__(self) -> str:
        return f"role:{self.name}"


@dataclass(frozen=True, slots=True)
class Named:
    """`rule:NAME`."""

    name: str

    def holds(self, asked: Answers, depth: int = 0) -> bool:
        rule = asked.rule(self.name)
        return rule is not None and depth < DEPTH_MAX and rule.holds(asked, depth + 1)

    def parts(self) -> tuple[Check, ...]:
        return ()

    def __str__(self) -> str:
        return f"rule:{self.name}"


@dataclass(frozen=True, slots=True)
class Equal:
    """`left:right`: the caller's attribute, or a word that stands there, is what `right` says once it is filled in."""

    left: str
    right: str

    def holds(self, asked: Answers, depth: int = 0) -> bool:  # noqa: ARG002
        right = filled(self.right, asked)
        if right is None:
            return False
        word = literal(self.left)
        if word is not None:
            return right == word
        if self.left not in asked.caller:
            return False
        value = asked.caller[self.left]
        return right in value if isinstance(value, frozenset) else right == str(value)

    def parts(self) -> tuple[Check, ...]:
        return ()

    def __str__(self) -> str:
        return f"{self.left}:{self.right}"


@dataclass(frozen=True, slots=True)
class Not:
    """`not CHECK`."""

    check: Check

    def holds(self, asked: Answers, depth: int = 0) -> bool:
        return not self.check.holds(asked, depth)

    def parts(self) -> tuple[Check, ...]:
        return (self.check,)

    def __str__(self) -> str:
        return f"not {self.check}"


@dataclass(frozen=True, slots=True)
class All:
    """`CHECK and CHECK …`."""

    checks: tuple[Check, ...]

    def holds(self, asked: Answers, depth: int = 0) -> bool:
        return all(check.holds(asked, depth) for check in self.checks)

    def parts(self) -> tuple[Check, ...]:
        return self.checks

    def __str__(self) -> str:
        return f"({' and '.join(map(str, self.checks))})"


@dataclass(frozen=True, slots=True)
class Any:
    """`CHECK or CHECK …`."""

    checks: tuple[Check, ...]

    def holds(self, asked: Answers, depth: int = 0) -> bool:
        return any(check.holds(asked, depth) for check in self.checks)

    def parts(self) -> tuple[Check, ...]:
        return self.checks

    def __str__(self) -> str:
        return f"({' or '.join(map(str, self.checks))})"


def filled(text: str, asked: Answers) -> str | None:
    """The text with the target's attributes in it; None if the target lacks one."""
    if "%" not in text:
        return text
    try:
        return _ATTRIBUTE.sub(lambda found: str(asked.of_target(found[1])), text)
    except KeyError:
        return None


@lru_cache(maxsize=1024)
def literal(text: str) -> str | None:
    """The word that a quoted text, a number, True, False or None stands for; None: it names an attribute."""
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return None


def parse(text: str) -> Check:
    """The rule that a text says. Raises `Invalid` that names what can't be read, and why."""
    if len(text) > RULE_CHARS_MAX:
        raise Invalid(f"The rule has {len(text)} characters; at most {RULE_CHARS_MAX} are read.")
    if not text.strip():
        return Always()
    reader = _Reader(text)
    check = reader.alternatives(0)
    reader.expect_end()
    return check


def attributes_of(check: Check) -> Iterator[str]:
    """The names of the target's attributes that a rule asks for, not those of rules that it names."""
    for text in (check.name,) if isinstance(check, Role) else (check.right,) if isinstance(check, Equal) else ():
        yield from _ATTRIBUTE.findall(text)
    for part in check.parts():
        yield from attributes_of(part)


def rules_of(check: Check) -> Iterator[str]:
    """The names of the rules that a rule names."""
    if isinstance(check, Named):
        yield check.name
    for part in check.parts():
        yield from rules_of(part)


class _Reader:
    """Reads one text from its start to its end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._words = list(_words(text))
        self._at = 0

    def alternatives(self, depth: int) -> Check:
        """`A or B or …`."""
        if depth > DEPTH_MAX:
            raise self._wrong(f"it is more than {DEPTH_MAX} parentheses deep")
        found = [self._together(depth)]
        while self._take("or"):
            found.append(self._together(depth))
        return found[0] if len(found) == 1 else Any(tuple(found))

    def _together(self, depth: int) -> Check:
        found = [self._one(depth)]
        while self._take("and"):
            found.append(self._one(depth))
        return found[0] if len(found) == 1 else All(tuple(found))

    def _one(self, depth: int) -> Check:
        if self._take("not"):
            if depth > DEPTH_MAX:
                raise self._wrong("there are too many `not` in a row")
            return Not(self._one(depth + 1))
        if self._take("("):
            inner = self.alternatives(depth + 1)
            if not self._take(")"):
                raise self._wrong("a parenthesis is not closed")
            return inner
        if self._at == len(self._words):
            raise self._wrong("it ends where a check should follow")
        word = self._words[self._at]
        if word.lower() in {"and", "or", ")"}:
            raise self._wrong(f"`{word}` stands where a check should be")
        self._at += 1
        return self._check(word)

    def _check(self, word: str) -> Check:
        if word == "@":
            return Always()
        if word == "!":
            return Never()
        left, colon, right = word.partition(":")
        if not colon:
            raise self._wrong(f"`{word[:60]}` is no check: one has a colon in it, such as role:member")
        if left in {"http", "https"}:
            raise self._wrong(f"{left}: checks ask another machine, and a rule must hold the same on every node")
        if "%" in _ATTRIBUTE.sub("", right) or "%" in left:
            raise self._wrong(f"`{word[:60]}` has a `%` that is not of the form %(attribute)s")
        if left == "role":
            return Role(right)
        if left == "rule":
            return Named(right)
        if literal(left) is None and left not in KNOWN:
            raise self._wrong(f"`{left[:60]}` is nothing that a caller has; there are {', '.join(KNOWN)}")
        return Equal(left, right)

    def expect_end(self) -> None:
        if self._at < len(self._words):
            raise self._wrong(f"`{self._words[self._at][:60]}` follows where `and`, `or` or the end should")

    def _take(self, word: str) -> bool:
        if self._at < len(self._words) and self._words[self._at].lower() == word:
            self._at += 1
            return True
        return False

    def _wrong(self, why: str) -> Invalid:
        return Invalid(f"The rule `{self._text[:200]}` can't be read: {why}.")


def _words(text: str) -> Iterator[str]:
    """The parentheses, and what stands between them and white space."""
    for piece in text.split():
        rest = piece.lstrip("(")
        yield from "(" * (len(piece) - len(rest))
        inner = rest.rstrip(")")
        if inner:
            yield inner
        yield from ")" * (len(rest) - len(inner))
