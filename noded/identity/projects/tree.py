"""How does Keystone write what is above and below a project? Pure. (Identity API v3, "Show project details".)"""

from collections.abc import Mapping

from noded.core.errors import Invalid
from noded.core.store import View
from noded.identity import views
from noded.identity.model import Project
from noded.identity.standing import below_project, parents_of, projects_of

WORDS = ("parents_as_list", "parents_as_ids", "subtree_as_list", "subtree_as_ids")
Ids = dict[str, object]


def around(view: View, base_url: str, project: Project, query: Mapping[str, str], caller_id: str) -> dict[str, object]:
    """The attributes `parents` and `subtree`, as the query asks. Lists hold what the caller has a role on."""
    for noun in ("parents", "subtree"):
        if f"{noun}_as_list" in query and f"{noun}_as_ids" in query:
            raise Invalid(f"Cannot use {noun}_as_list and {noun}_as_ids query params at the same time.")
    parts: dict[str, object] = {}
    if "parents_as_list" in query:
        parts["parents"] = _entered(view, base_url, parents_of(view, project), caller_id)
    if "subtree_as_list" in query:
        parts["subtree"] = _entered(view, base_url, below_project(view, project.id), caller_id)
    if "parents_as_ids" in query:
        parts["parents"] = _parent_ids(view, project)
    if "subtree_as_ids" in query:
        parts["subtree"] = _ids_below(view, project.id)
    return parts


def _entered(view: View, base_url: str, projects: list[Project], caller_id: str) -> list[dict[str, object]]:
    own = {project.id for project in projects_of(view, caller_id)}
    return [{"project": views.project(base_url, project)} for project in projects if project.id in own]


def _parent_ids(view: View, project: Project) -> Ids:
    """The nearest outside: `{parent: {grandparent: {domain: None}}}`."""
    ids: Ids = {project.domain_id: None}
    for parent in reversed(parents_of(view, project)):
        ids = {parent.id: ids}
    return ids


def _ids_below(view: View, project_id: str) -> Ids | None:
    below = view.find(Project, "parent_id", project_id)
    return {project.id: _ids_below(view, project.id) for project in below} or None
