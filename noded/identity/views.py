"""How does Keystone write domains, projects, users and roles? Pure. (Identity API v3, attribute by attribute.)"""

from noded.core.times import naive_micro
from noded.identity.endpoint import IDENTITY
from noded.identity.model import Domain, Group, Project, Role, User


def when(ms: int | None) -> str | None:
    """A time as Keystone writes it for passwords: without a zone."""
    return None if ms is None else naive_micro(ms)


def link(base_url: str, *parts: str) -> str:
    """The address of a resource of this API."""
    return "/".join((base_url + IDENTITY.prefix, *parts))


def domain(base_url: str, record: Domain) -> dict[str, object]:
    """A domain."""
    return {
        **record.extra,
        "id": record.id,
        "name": record.name,
        "description": record.description,
        "enabled": record.enabled,
        "tags": list(record.tags),
        "options": record.options,
        "links": {"self": link(base_url, "domains", record.id)},
    }


def domain_as_project(base_url: str, record: Domain) -> dict[str, object]:
    """A domain, as the API of projects tells it: the root of its projects."""
    return {
        **domain(base_url, record),
        "domain_id": None,
        "parent_id": None,
        "is_domain": True,
        "links": {"self": link(base_url, "projects", record.id)},
    }


def project(base_url: str, record: Project) -> dict[str, object]:
    """A project. One without a parent stands below its domain."""
    return {
        **record.extra,
        "id": record.id,
        "name": record.name,
        "domain_id": record.domain_id,
        "description": record.description,
        "enabled": record.enabled,
        "parent_id": record.parent_id or record.domain_id,
        "is_domain": False,
        "tags": list(record.tags),
        "options": record.options,
        "links": {"self": link(base_url, "projects", record.id)},
    }


def user(base_url: str, record: User) -> dict[str, object]:
    """A user; what was never given is left out, as Keystone does."""
    body: dict[str, object] = {
        **record.extra,
        "id": record.id,
        "name": record.name,
        "domain_id": record.domain_id,
        "enabled": record.enabled,
        "password_expires_at": when(record.password_expires_ms),
        "options": record.options,
        "links": {"self": link(base_url, "users", record.id)},
    }
    if record.federated:
        body["federated"] = _federated(record)
    if record.description:
        body["description"] = record.description
    if record.email is not None:
        body["email"] = record.email
    if record.default_project_id is not None:
        body["default_project_id"] = record.default_project_id
    return body


def _federated(record: User) -> list[dict[str, object]]:
    """Who the user is to identity providers, each with its protocols."""
    providers = dict.fromkeys(each.provider_id for each in record.federated)
    return [
        {
            "idp_id": provider_id,
            "protocols": [
                {"protocol_id": each.protocol, "unique_id": each.unique_id}
                for each in record.federated
                if each.provider_id == provider_id
            ],
        }
        for provider_id in providers
    ]


def group(base_url: str, record: Group) -> dict[str, object]:
    """A group."""
    return {
        **record.extra,
        "id": record.id,
        "name": record.name,
        "domain_id": record.domain_id,
        "description": record.description,
        "links": {"self": link(base_url, "groups", record.id)},
    }


def role(base_url: str, record: Role) -> dict[str, object]:
    """A role."""
    return {
        **record.extra,
        "id": record.id,
        "name": record.name,
        "domain_id": record.domain_id,
        "description": record.description,
        "options": record.options,
        "links": {"self": link(base_url, "roles", record.id)},
    }
