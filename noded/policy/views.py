"""How policy is told: as values for noded's API, and as a file that oslo.policy's tools could read. Pure."""

import json
from collections.abc import Iterator

from noded.core.store import View
from noded.policy.model import BASE, OPEN, Policies, PolicyRule

_HEAD = """\
# Who may do what: the rule of every action, in oslo.policy's language. `noded policy list --file` prints it with your
# own rules in it; change what you like and `noded policy set --file FILE` makes it hold, on every node at once.
# What is left out stays as it is, and what says the same as the release is not kept as yours.
"""


def policy_view(policies: Policies, view: View) -> dict[str, object]:
    """Every rule, the names that rules are made of first."""
    own = {each.id: each.rule for each in view.all(PolicyRule)}
    names = [
        {"name": name, "rule": own.get(name, BASE.get(name, "")), "default": BASE.get(name), "own": name in own}
        for name in (*BASE, *sorted(set(own) - set(BASE) - set(policies.actions)))
    ]
    actions = [
        {
            "action": action.name,
            "rule": own.get(action.name, _default(action.default)),
            "default": _default(action.default),
            "own": action.name in own,
            "routes": [f"{route.verb} {action.endpoint.prefix}{route.path}" for route in action.routes],
            "attributes": policies.attributes(action),
        }
        for action in policies.actions.values()
    ]
    return {"rules": names, "actions": sorted(actions, key=lambda each: str(each["action"]))}


def policy_file(policies: Policies, view: View | None = None) -> str:
    """The same as one file in YAML."""
    return "".join(_lines(policies, {} if view is None else {each.id: each.rule for each in view.all(PolicyRule)}))


def _default(rule: str) -> str:
    return "" if rule == OPEN else f"rule:{rule}"


def _lines(policies: Policies, own: dict[str, str]) -> Iterator[str]:
    yield _HEAD + "\n# What rules are made of. A token's roles hold those that they imply, too.\n"
    for name in (*BASE, *sorted(set(own) - set(BASE) - set(policies.actions))):
        yield f"{_line(name, own.get(name, BASE.get(name, '')))}{' # your own' * (name in own)}\n"
    part = ""
    for name, action in sorted(policies.actions.items()):
        if action.default == OPEN:
            continue
        kind, folder, _ = name.split(":")
        if part != f"{kind}:{folder}":
            part = f"{kind}:{folder}"
            yield f"\n# {part}\n"
        for route in action.routes:
            yield f"# {route.verb} {action.endpoint.prefix}{route.path}\n"
        rule = own.get(name, f"rule:{action.default}")
        yield f"{_line(name, rule)}{' # your own' * (name in own)}\n"


def _line(name: str, rule: str) -> str:
    return f"{json.dumps(name)}: {json.dumps(rule)}"
