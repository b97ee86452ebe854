"""How forms about users and projects become requests, and answers what a page shows. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

Thing = dict[str, Any]


def by_name(things: Iterable[Thing]) -> list[Thing]:
    """Ordered as people look for them."""
    return sorted(things, key=lambda thing: (str(thing.get("name", "")).lower(), thing.get("id", "")))


def names(things: Iterable[Thing]) -> dict[str, str]:
    """Names by id."""
    return {thing["id"]: thing["name"] for thing in things}


def form_of(thing: Thing) -> dict[str, str]:
    """A thing as its form shows it."""
    told = {name: str(thing.get(name) or "") for name in ("name", "email", "description")}
    return told | {"enabled": "yes" if thing.get("enabled") else "no", "password": ""}


def new_user(form: Mapping[str, str]) -> Thing:
    """What a new user is asked to be; an empty field asks for nothing."""
    wanted: Thing = {name: form.get(name, "").strip() for name in ("name", "email", "domain_id") if form.get(name)}
    if form.get("password"):
        wanted["password"] = form["password"]
    if form.get("project_id"):
        wanted["default_project_id"] = form["project_id"]
    return wanted | {"name": form.get("name", "").strip()}


def changed_user(form: Mapping[str, str]) -> Thing:
    """What shall be different of a user; an empty password changes none."""
    change: Thing = {"name": form.get("name", "").strip(), "enabled": form.get("enabled") == "yes"}
    change["email"] = form.get("email", "").strip() or None
    if form.get("password"):
        change["password"] = form["password"]
    return change


def project(form: Mapping[str, str]) -> Thing:
    """What a project is asked to be."""
    wanted: Thing = {"name": form.get("name", "").strip(), "description": form.get("description", "").strip()}
    if form.get("domain_id"):
        wanted["domain_id"] = form["domain_id"]
    if "enabled" in form:
        wanted["enabled"] = form["enabled"] == "yes"
    return wanted


def held(assignments: Iterable[Thing]) -> list[Thing]:
    """Roles as lines: which, whose, where, and what a form says to take it back."""
    lines = []
    for each in assignments:
        scope, actor = each.get("scope", {}), each.get("user") or each.get("group") or {}
        kind = next((kind for kind in ("project", "domain", "system") if kind in scope), "")
        target = scope.get(kind)
        lines.append(
            {
                "role": each["role"].get("name", each["role"]["id"]),
                "role_id": each["role"]["id"],
                "actor": actor.get("name", ""),
                "actor_id": actor.get("id", ""),
                "is_group": "group" in each,
                "kind": kind,
                "target": target.get("name", "") if kind != "system" and isinstance(target, dict) else "",
                "target_id": target.get("id", "") if kind != "system" and isinstance(target, dict) else "",
                "inherited": "yes" if "OS-INHERIT:inherited_to" in scope else "",
            }
        )
    return sorted(lines, key=lambda line: (line["kind"], line["target"], line["actor"], line["role"]))


def grant_path(user_id: str, form: Mapping[str, str]) -> str:
    """Where the API keeps the role that a form names, below its prefix."""
    kind, role = form.get("kind", ""), quote(form.get("role_id", ""), safe="")
    place = "/system" if kind == "system" else f"/{quote(kind, safe='')}s/{quote(form.get('target_id', ''), safe='')}"
    one = f"{place}/users/{user_id}/roles/{role}"
    return f"/OS-INHERIT{one}/inherited_to_projects" if form.get("inherited") else one


def credential(form: Mapping[str, str], roles: Iterable[str]) -> Thing:
    """What an application credential is asked to be. No roles chosen: all that the signed-in user has here."""
    wanted: Thing = {"name": form.get("name", "").strip(), "description": form.get("description", "").strip()}
    chosen = [{"name": role} for role in roles if form.get(f"role:{role}") == "yes"]
    if chosen:
        wanted["roles"] = chosen
    expires = form.get("expires_at", "").strip()
    if expires:  # browsers say no seconds
        wanted["expires_at"] = expires if expires.count(":") > 1 else f"{expires}:00"
    return wanted
