"""What the pages about people are given in the test of templates: nothing, and names that try to be markup."""

from collections.abc import Mapping
from typing import Any


def pages(nasty: str) -> Mapping[str, Mapping[str, list[Any]]]:
    """By template, the choices for each of its values."""
    thing = {"id": nasty, "name": nasty, "description": nasty, "domain_id": nasty, "enabled": True, "email": nasty}
    user, project = thing | {"password_expires_at": nasty}, thing | {"enabled": False, "tags": [nasty]}
    line = {
        "role": nasty, "role_id": nasty, "actor": nasty, "actor_id": nasty, "is_group": True, "kind": nasty,
        "target": nasty, "target_id": nasty, "inherited": "yes",
    }  # fmt: skip
    held = [[], [line, line | {"is_group": False, "kind": "system", "inherited": "", "target": ""}]]
    form = {"name": nasty, "email": nasty, "description": nasty, "enabled": "no"}
    named, fault = {"form": [form], "fault": ["", nasty]}, {"fault": ["", nasty]}
    credential = thing | {"roles": [{"name": nasty}], "expires_at": nasty, "secret": nasty}
    listing = {"form": [{}, form | {"domain_id": nasty, "project_id": nasty}], **fault, "names": [{nasty: nasty}]}
    return {
        "users.html": {"users": [[], [user]], "domains": [[thing]], "projects": [[], [project]], **listing},
        "user.html": {
            "user": [user], "held": held, "groups": [[], [thing]], "projects": [[project]], "roles": [[thing]], **named,
        },
        "projects.html": {"projects": [[], [project]], "domains": [[thing]], **listing},
        "project.html": {"project": [project], "held": held, **named},
        "roles.html": {
            "roles": [[thing | {"options": {}}]], "implied": [{}, {nasty: [nasty]}], "form": [{}, form], **fault,
        },
        "application_credentials.html": {
            "credentials": [[], [credential]], "roles": [[], [nasty]], "auth_url": [nasty],
            "form": [{}, form | {"expires_at": nasty, f"role:{nasty}": "yes"}], "made": [None, credential], **fault,
        },
    }  # fmt: skip
