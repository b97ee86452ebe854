"""The rule language answers as oslo.policy does, and refuses what oslo.policy would only log."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oslo_config import cfg
from oslo_policy import policy as oslo

from noded.core.errors import Invalid
from noded.policy.language import Check, attributes_of, parse, rules_of

RULES = {"owner": "user_id:%(user_id)s", "boss": "role:admin or (role:manager and rule:owner)", "none": "!"}


@dataclass
class Asking:
    caller: dict[str, object]
    target: dict[str, object] = field(default_factory=dict)

    def of_target(self, name: str) -> object:
        return self.target[name]

    def rule(self, name: str) -> Check | None:
        return parse(RULES[name]) if name in RULES else None


def oslo_says(rule: str, caller: dict[str, object], target: dict[str, object]) -> bool:
    config = cfg.ConfigOpts()
    config([])
    enforcer = oslo.Enforcer(config, use_conf=False)
    texts = {**RULES, "asked": rule}
    enforcer.set_rules(oslo.Rules.from_dict(texts), use_conf=False)
    return bool(enforcer.enforce("asked", target, dict(caller, roles=sorted(caller["roles"]))))  # type: ignore[call-overload]


CHECKS = st.sampled_from([
    "@", "!", "role:admin", "role:Member", "role:%(wanted)s", "rule:owner", "rule:boss", "rule:none",
    "user_id:%(user_id)s", "project_id:%(project_id)s", "project_id:None", "not project_id:None", "system_scope:all",
    "'public':%(visibility)s", "True:%(shared)s", "user_id:%(no_such)s", "domain_id:d1", '"x":%(visibility)s',
    "1:%(n)s",
])  # fmt: skip
RULE = st.recursive(
    CHECKS,
    lambda part: st.one_of(
        st.builds("({} and {})".format, part, part),
        st.builds("({} or {})".format, part, part),
        st.builds("{} AND {}".format, part, part),
        st.builds("{} or {}".format, part, part),
        st.builds("( {} )".format, part),
        st.builds("not ({})".format, part),
    ),
    max_leaves=6,
)
CALLER = st.fixed_dictionaries({
    "user_id": st.sampled_from(["u1", "u2"]),
    "user_domain_id": st.just("d1"),
    "project_id": st.sampled_from(["p1", None]),
    "domain_id": st.sampled_from(["d1", None]),
    "system_scope": st.sampled_from(["all", None]),
    "roles": st.frozensets(st.sampled_from(["admin", "manager", "member", "MEMBER"])),
})  # fmt: skip
TARGET = st.fixed_dictionaries({}, optional={
    "user_id": st.sampled_from(["u1", "u3"]),
    "project_id": st.just("p1"),
    "visibility": st.sampled_from(["public", "private"]),
    "shared": st.booleans(),
    "wanted": st.just("manager"),
    "n": st.just(1),
})  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True)
@given(rule=RULE, caller=CALLER, target=TARGET)
def test_every_rule_is_answered_as_oslo_policy_answers_it(rule: str, caller: Any, target: Any) -> None:
    assert parse(rule).holds(Asking(caller, target)) is oslo_says(rule, caller, target), rule


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("role:admin and", "it ends where a check should follow"),
        ("or role:admin", "`or` stands where a check should be"),
        ("(role:admin", "a parenthesis is not closed"),
        ("role:admin)", "`)` follows where"),
        ("role:admin role:member", "follows where `and`, `or` or the end should"),
        ("admin", "is no check"),
        ("users_id:%(user_id)s", "`users_id` is nothing that a caller has; there are user_id"),
        ("user_id:%(user_id)", "not of the form %(attribute)s"),
        ("http://judge.example/%(name)s", "ask another machine"),
        ("(" * 30 + "@" + ")" * 30, "parentheses deep"),
        ("not " * 60 + "@", "too many `not`"),
        ("@ " * 1001, "at most 2000"),
    ],
)
def test_a_rule_that_cannot_be_read_is_refused_with_why(rule: str, why: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(rule)
    assert why in refused.value.message


def test_a_rule_says_what_it_asks_for() -> None:
    check = parse("not (rule:owner or role:%(wanted)s) and 'x':%(target.server.name)s")
    assert (list(rules_of(check)), list(attributes_of(check))) == (["owner"], ["wanted", "target.server.name"])
    assert str(check) == "(not (rule:owner or role:%(wanted)s) and 'x':%(target.server.name)s)"


def test_rules_in_a_circle_let_nobody_in() -> None:
    class Round(Asking):
        def rule(self, name: str) -> Check | None:
            return parse(f"rule:{name}")

    assert not parse("rule:a").holds(Round({"roles": frozenset()}))
