"""Answers /domains/{domain_id}/config and /domains/config/…/default."""

from typing import Any, Final

import msgspec

from noded.core.errors import Forbidden, NotFound
from noded.core.route import Allow, Done, Request, Response, Route
from noded.identity.domain_config.commands import DeleteDomainConfig, SetDomainConfig, need_options
from noded.identity.domain_config.model import DEFAULTS, SECRET_OPTIONS, DomainConfig, Groups, split
from noded.identity.model import DEFAULT_DOMAIN, Domain

# What everybody may know of how passwords must look; there are no such rules unless a domain's users are told so.
_COMPLIANCE: Final = "security_compliance"
_COMPLIANCE_OPTIONS: Final = {"password_regex": None, "password_regex_description": None}


class ConfigBody(msgspec.Struct, frozen=True):
    """`{"config": {...}}`."""

    config: dict[str, Any]

    def __repr__(self) -> str:
        return "ConfigBody()"  # there may be a password in it


async def put_config(request: Request) -> Response:
    """PUT /domains/{domain_id}/config: these options and no others."""
    groups = _groups((await request.json(ConfigBody)).config)
    domain_id = request.params["domain_id"]
    is_new = request.cluster.view().get(DomainConfig, domain_id) is None
    options, secret = split(groups)
    await request.cluster.propose(
        SetDomainConfig(domain_id=domain_id, options=options, secret_options=secret, anew=True)
    )
    return Response(body=_shown(request, domain_id), done=Done.CREATED if is_new else Done.OK)


async def show_config(request: Request) -> Response:
    """GET /domains/{domain_id}/config, …/{group} and …/{group}/{option}."""
    group, option = _asked(request)
    view, domain_id = request.cluster.view(), request.params["domain_id"]
    if group == _COMPLIANCE:
        return _show_compliance(domain_id, option)
    _expect_oversight(request)
    view.need(Domain, domain_id)
    _expect_known(group, option)
    found = need_options(view, domain_id, group, option).options
    if option is not None and option in SECRET_OPTIONS.get(group or "", ()):
        raise NotFound(f"Could not find option {option} in {group} in domain configuration for domain {domain_id}.")
    return Response(body={"config": _part(found, group, option)})


async def update_config(request: Request) -> Response:
    """PATCH of the same: the options are laid over those that there are."""
    config = (await request.json(ConfigBody)).config
    group, option = _asked(request)
    _expect_known(group, option)
    groups = _groups({group: config} if group is not None and option is not None else config)
    if group is not None and set(groups) != {group}:
        raise Forbidden(f"Trying to update group {group}, so that, and only that, group must be in the config.")
    if group is not None and option is not None and set(groups[group]) != {option}:
        raise Forbidden(f"Trying to update option {option}, so that, and only that, option must be in the config.")
    domain_id = request.params["domain_id"]
    options, secret = split(groups)
    await request.cluster.propose(
        SetDomainConfig(domain_id=domain_id, options=options, secret_options=secret, group=group, option=option)
    )
    return Response(body=_shown(request, domain_id))


async def delete_config(request: Request) -> Response:
    """DELETE of the same."""
    group, option = _asked(request)
    _expect_known(group, option)
    await request.cluster.propose(DeleteDomainConfig(domain_id=request.params["domain_id"], group=group, option=option))
    return Response()


async def show_defaults(request: Request) -> Response:
    """GET /domains/config/default, …/config/{group}/default and …/config/{group}/{option}/default."""
    group, option = _asked(request)
    _expect_known(group, option)
    defaults = {name: dict(options) for name, options in DEFAULTS.items()}
    return Response(body={"config": _part(defaults, group, option)})


def _asked(request: Request) -> tuple[str | None, str | None]:
    return request.params.get("group"), request.params.get("option")


def _expect_oversight(request: Request) -> None:
    if not request.caller.oversees or request.caller.domain_id is not None:
        raise Forbidden("You are not authorized to perform this: it needs the role admin.")


def _groups(config: dict[str, Any]) -> Groups:
    if not config:
        raise Forbidden("Invalid domain specific configuration: No options specified.")
    for group, options in config.items():
        _expect_known(group, None)
        if not isinstance(options, dict) or not options:
            raise Forbidden(
                f"Invalid domain specific configuration: the value of group {group} should be a dictionary of options."
            )
        for option in options:
            _expect_known(group, option)
    return config


def _expect_known(group: str | None, option: str | None) -> None:
    if group is not None and group not in DEFAULTS:
        raise Forbidden(
            f"Invalid domain specific configuration: Group {group} is not supported for domain specific configurations."
        )
    if group is None or option is None:
        return
    if option not in DEFAULTS[group] and option not in SECRET_OPTIONS.get(group, ()):
        raise Forbidden(
            f"Invalid domain specific configuration: Option {option} in group {group} is not supported for domain"
            " specific configurations."
        )


def _part(groups: Groups, group: str | None, option: str | None) -> dict[str, Any]:
    if group is None:
        return groups
    options = groups.get(group, {})
    return {group: options} if option is None else {option: options.get(option)}


def _shown(request: Request, domain_id: str) -> dict[str, object]:
    return {"config": request.cluster.view().need(DomainConfig, domain_id).options}


def _show_compliance(domain_id: str, option: str | None) -> Response:
    if domain_id != DEFAULT_DOMAIN:
        raise Forbidden("Security compliance information can be read for the default domain alone.")
    if option is not None and option not in _COMPLIANCE_OPTIONS:
        raise Forbidden("Only password_regex and password_regex_description may be read of security compliance.")
    return Response(body={"config": _part({_COMPLIANCE: dict(_COMPLIANCE_OPTIONS)}, _COMPLIANCE, option)})


_ALL = "/domains/{domain_id}/config"
_GROUP = _ALL + "/{group}"
_OPTION = _GROUP + "/{option}"

ROUTES = (
    Route(verb="PUT", path=_ALL, handler=put_config, allow=Allow.ADMIN),
    *(
        route
        for path in (_ALL, _GROUP, _OPTION)
        for route in (
            Route(verb="GET", path=path, handler=show_config, allow=Allow.ANY_TOKEN),
            Route(verb="PATCH", path=path, handler=update_config, allow=Allow.ADMIN),
            Route(verb="DELETE", path=path, handler=delete_config, allow=Allow.ADMIN, done=Done.EMPTY),
        )
    ),
    Route(verb="GET", path="/domains/config/default", handler=show_defaults, allow=Allow.OVERSEER),
    Route(verb="GET", path="/domains/config/{group}/default", handler=show_defaults, allow=Allow.OVERSEER),
    Route(verb="GET", path="/domains/config/{group}/{option}/default", handler=show_defaults, allow=Allow.OVERSEER),
)
