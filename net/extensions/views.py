"""Which extensions of Neutron's API are really served here, and how they and the resources are described."""

Json = dict[str, object]

# Alias: name, description. Only what is wholly built is listed: clients switch features on by it.
_EXTENSIONS = {
    "allowed-address-pairs": ("Allowed Address Pairs", "Further source addresses that a port may use."),
    "binding": ("Port Binding", "Where a port is bound."),
    "filter-validation": ("Filter parameters validation", "A filter by an unknown attribute is refused."),
    "ip-substring-filtering": ("IP address substring filtering", "Ports by a part of their address."),
    "net-mtu": ("Network MTU", "The largest packet that a network carries."),
    "port-security": ("Port Security", "Whether a port's traffic is filtered."),
    "project-id": ("project_id field enabled", "The attribute project_id beside tenant_id."),
    "provider": ("Provider Network", "How a network is carried."),
    "revision-if-match": ("If-Match constraints based on revision_number", "Changes of one revision alone."),
    "security-group": ("security-group", "Security groups and their rules."),
    "standard-attr-description": ("standard-attr-description", "Descriptions of resources."),
    "standard-attr-revisions": ("Resource revision numbers", "The generation of each resource."),
    "standard-attr-tag": ("Tag support for resources with standard attribute", "Tags on resources."),
    "standard-attr-timestamp": ("Resource timestamps", "When a resource was made and last changed."),
}
_UPDATED = "2016-09-12T10:00:00-00:00"
_RESOURCES = (
    ("network", "networks"),
    ("subnet", "subnets"),
    ("port", "ports"),
    ("security_group", "security-groups"),
    ("security_group_rule", "security-group-rules"),
    ("extension", "extensions"),
)


def extension_views() -> list[Json]:
    """Every extension, by alias."""
    return [
        {"alias": alias, "name": name, "description": description, "updated": _UPDATED, "links": []}
        for alias, (name, description) in sorted(_EXTENSIONS.items())
    ]


def resource_views(base_url: str) -> list[Json]:
    """Every collection of the API."""
    return [
        {
            "name": name,
            "collection": path.replace("-", "_"),
            "links": [{"rel": "self", "href": f"{base_url}/network/v2.0/{path}"}],
        }
        for name, path in _RESOURCES
    ]
