"""A mapping's rules are evaluated as Keystone evaluates them."""

from typing import Any

import pytest

from noded.core.errors import Invalid
from noded.identity.claims import assertion_of
from noded.identity.mapping import Assertion, DomainName, GroupName, Mapped, ProjectWish, mapped

CLAIMS = {
    "sub": "u-1",
    "name": "Ann Lee",
    "email": "ann@corp.test",
    "groups": ["crew", "cooks", "guests"],
    "teams": "red;blue",
    "realm_access": {"roles": ["boss"]},
    "admin": True,
    "level": 3,
}
NAME = {"user": {"name": "{0}"}}
SUBJECT = {"type": "OIDC-sub"}
GROUPS = "OIDC-groups"
DOMAIN = {"name": "corp"}


def ask(*rules: dict[str, Any], version: str = "1.0", claims: dict[str, Any] | None = None) -> Mapped | None:
    return mapped(rules, version, assertion_of(CLAIMS if claims is None else claims))


def rule(local: dict[str, Any] | list[dict[str, Any]], *remote: dict[str, Any]) -> dict[str, Any]:
    return {"local": local if isinstance(local, list) else [local], "remote": list(remote)}


def test_claims_are_found_by_the_names_that_web_servers_give_them() -> None:
    assertion: Assertion = assertion_of(CLAIMS)
    for name in ("OIDC-email", "OIDC_CLAIM_email", "HTTP_OIDC_EMAIL"):
        assert assertion[name] == ("ann@corp.test",)
    assert (assertion["REMOTE_USER"], assertion["OIDC-teams"]) == (("u-1",), ("red", "blue"))
    assert assertion["OIDC-realm_access.roles"] == ("boss",)
    assert (assertion["OIDC-admin"], assertion["HTTP_OIDC_LEVEL"]) == (("1",), ("3",))


def test_what_is_kept_fills_the_places() -> None:
    local = {"user": {"id": "{0}", "name": "{1}", "email": "{2}"}, "group": {"id": "g"}}
    found = ask(rule(local, SUBJECT, {"type": "OIDC-name"}, {"type": "HTTP_OIDC_EMAIL"}))
    assert found == Mapped(user_id="u-1", user_name="Ann Lee", email="ann@corp.test", group_ids=("g",))
    braces = ask(rule({"user": {"name": "{{{0}}}"}}, SUBJECT))
    assert braces is not None
    assert braces.user_name == "{u-1}"


@pytest.mark.parametrize(
    ("test", "holds"),
    [
        ({"any_one_of": ["cooks", "x"]}, True),
        ({"any_one_of": ["cook"]}, False),
        ({"any_one_of": ["^coo"], "regex": True}, True),
        ({"any_one_of": ["^ooks"], "regex": True}, False),
        ({"not_any_of": ["cooks"]}, False),
        ({"not_any_of": ["x"]}, True),
        ({"not_any_of": ["s$"], "regex": True}, False),
    ],
)
def test_tests_only_decide_and_keep_nothing(test: dict[str, Any], holds: bool) -> None:
    found = ask(rule(NAME, {"type": GROUPS, **test}, SUBJECT))
    assert (found is not None) == holds
    if found is not None:
        assert found.user_name == "u-1", "the tested attribute takes no place"


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ({}, ["crew", "cooks", "guests"]),
        ({"whitelist": ["cooks", "crew", "x"]}, ["crew", "cooks"]),
        ({"blacklist": ["guests"]}, ["crew", "cooks"]),
        ({"whitelist": ["^c"], "regex": True}, ["crew", "cooks"]),
        ({"blacklist": ["^c"], "regex": True}, ["guests"]),
        ({"whitelist": ["x"]}, []),
    ],
)
def test_lists_of_groups_are_chosen(choice: dict[str, Any], names: list[str]) -> None:
    found = ask(rule([NAME, {"groups": "{1}", "domain": DOMAIN}], SUBJECT, {"type": GROUPS, **choice}))
    assert found is not None
    assert found.groups == tuple(GroupName(name=name, domain=DomainName(name="corp")) for name in names)


def test_a_value_that_spells_a_list_is_one_value() -> None:
    sly = {**CLAIMS, "groups": ["['admins', 'crew']"]}
    found = ask(rule([NAME, {"group_ids": "{1}"}], SUBJECT, {"type": GROUPS}), claims=sly)
    assert found is not None
    assert found.group_ids == ("['admins', 'crew']",)
    spelled = ask(rule([NAME, {"group_ids": "['a', 'b']"}], SUBJECT))
    assert spelled is not None
    assert spelled.group_ids == ("a", "b")


def test_rules_add_up_and_the_first_user_counts() -> None:
    first = rule({"user": {"name": "{0}"}}, SUBJECT)
    second = rule([{"user": {"name": "other"}}, {"group": {"name": "crew", "domain": {"id": "d"}}}], SUBJECT)
    third = rule({"user": {"name": "never"}}, {"type": "OIDC-missing"})
    found = ask(third, first, second)
    assert found is not None
    assert (found.user_name, found.groups) == ("u-1", (GroupName(name="crew", domain=DomainName(id="d")),))
    assert ask(third) is None


def test_the_second_version_honours_domains() -> None:
    project = {"name": "p-{0}", "roles": [{"name": "member"}]}
    local = {"user": {"name": "{0}"}, "projects": [project, {**project, "domain": {"id": "own"}}], "domain": DOMAIN}
    older, newer = ask(rule(local, SUBJECT)), ask(rule(local, SUBJECT), version="2.0")
    assert older is not None
    assert newer is not None
    assert (older.domain, {each.domain for each in older.projects}) == (None, {None})
    assert newer.domain == DomainName(name="corp")
    assert newer.projects == (
        ProjectWish(name="p-u-1", role_names=("member",), domain=DomainName(name="corp")),
        ProjectWish(name="p-u-1", role_names=("member",), domain=DomainName(id="own")),
    )


def test_a_user_of_this_cloud_may_be_meant() -> None:
    found = ask(rule({"user": {"name": "{0}", "type": "local", "domain": {"id": "default"}}}, SUBJECT))
    assert found is not None
    assert (found.is_local, found.domain) == (True, DomainName(id="default"))


def test_a_place_that_nothing_fills_is_told() -> None:
    with pytest.raises(Invalid, match=r"\{1\}"):
        ask(rule({"user": {"name": "{1}"}}, SUBJECT))
    with pytest.raises(Invalid, match="domain"):
        ask(rule({"groups": "{0}"}, SUBJECT))
