"""`docs/policy.yaml` holds the rule of every action. `python -m tests.house.test_policy_file` writes it anew."""

import msgspec

from noded.core.route import Allow
from noded.policy.model import Policies
from noded.policy.views import policy_file
from noded.services import SERVICES
from tests.house.source import ROOT

FILE = ROOT / "docs" / "policy.yaml"


def test_the_file_of_all_rules_is_of_today() -> None:
    assert FILE.read_text() == policy_file(Policies(SERVICES)), "write it anew: python -m tests.house.test_policy_file"


def test_every_route_that_asks_for_a_token_has_a_rule_in_the_file() -> None:
    rules = msgspec.yaml.decode(FILE.read_bytes(), type=dict[str, str])
    without = [
        (action.name, route.verb, route.path)
        for action in Policies(SERVICES).actions.values()
        for route in action.routes
        if route.allow is not Allow.ANYONE and action.name not in rules
    ]
    assert without == []


if __name__ == "__main__":
    FILE.write_text(policy_file(Policies(SERVICES)))
