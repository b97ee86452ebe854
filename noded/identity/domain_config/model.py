"""What a domain's configuration is: groups of options. Which there are, and what holds without one."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from noded.core.record import Record

Groups = dict[str, dict[str, Any]]


class DomainConfig(Record, frozen=True, kw_only=True, tag="domain_config.1"):
    """The options of one domain. Those that are secret are never given back."""

    NOUN: ClassVar[str] = "domain configuration"

    id: str  # the domain's
    options: Groups = msgspec.field(default_factory=dict)
    secret_options: Groups = msgspec.field(default_factory=dict)


SECRET_OPTIONS: Final[Mapping[str, frozenset[str]]] = {"ldap": frozenset({"password"})}

# The options that there are, each with its default (Keystone's configuration reference, [identity] and [ldap]).
DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "identity": {"driver": "sql", "list_limit": None},
    "ldap": {
        "url": "ldap://localhost",
        "user": None,
        "suffix": "cn=example,cn=com",
        "query_scope": "one",
        "page_size": 0,
        "alias_dereferencing": "default",
        "debug_level": None,
        "chase_referrals": None,
        "user_tree_dn": None,
        "user_filter": None,
        "user_objectclass": "inetOrgPerson",
        "user_id_attribute": "cn",
        "user_name_attribute": "sn",
        "user_mail_attribute": "mail",
        "user_description_attribute": "description",
        "user_pass_attribute": "userPassword",
        "user_enabled_attribute": "enabled",
        "user_enabled_invert": False,
        "user_enabled_mask": 0,
        "user_enabled_default": "True",
        "user_attribute_ignore": ["default_project_id"],
        "user_default_project_id_attribute": None,
        "user_enabled_emulation": False,
        "user_enabled_emulation_dn": None,
        "user_enabled_emulation_use_group_config": False,
        "user_additional_attribute_mapping": [],
        "group_tree_dn": None,
        "group_filter": None,
        "group_objectclass": "groupOfNames",
        "group_id_attribute": "cn",
        "group_name_attribute": "ou",
        "group_members_are_ids": False,
        "group_member_attribute": "member",
        "group_desc_attribute": "description",
        "group_attribute_ignore": [],
        "group_additional_attribute_mapping": [],
        "tls_cacertfile": None,
        "tls_cacertdir": None,
        "use_tls": False,
        "tls_req_cert": "demand",
        "use_pool": True,
        "pool_size": 10,
        "pool_retry_max": 3,
        "pool_retry_delay": 0.1,
        "pool_connection_timeout": -1,
        "pool_connection_lifetime": 600,
        "use_auth_pool": True,
        "auth_pool_size": 100,
        "auth_pool_connection_lifetime": 60,
    },
}


def split(groups: Groups) -> tuple[Groups, Groups]:
    """The options that may be shown, and the secret ones."""
    shown: Groups = {}
    secret: Groups = {}
    for group, options in groups.items():
        for option, value in options.items():
            side = secret if option in SECRET_OPTIONS.get(group, ()) else shown
            side.setdefault(group, {})[option] = value
    return shown, secret


def joined(before: Groups, change: Groups) -> Groups:
    """Both, the change winning."""
    groups = before.keys() | change.keys()
    return {group: {**before.get(group, {}), **change.get(group, {})} for group in sorted(groups)}


def without(groups: Groups, group: str | None, option: str | None) -> Groups:
    """The options without one group, or without one option of it."""
    if group is None:
        return {}
    rest = {name: dict(options) for name, options in groups.items() if name != group or option is not None}
    if option is not None and group in rest:
        rest[group].pop(option, None)
    return {name: options for name, options in rest.items() if options}
