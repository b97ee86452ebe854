"""Which services the daemon offers: one line each. Everything else that knows a service learns it from here."""

from noded.core.command import Command
from noded.core.record import Record
from noded.core.service import Service

SERVICES: tuple[Service, ...] = ()


def all_records() -> list[type[Record]]:
    """Every record that the store may hold."""
    return [record for service in SERVICES for record in service.records]


def all_commands() -> list[type[Command]]:
    """Every command that the log may carry."""
    return [command for service in SERVICES for command in service.commands]
