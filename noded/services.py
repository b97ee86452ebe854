"""Which services the daemon offers: one line each. Everything else that knows a service learns it from here."""

from collections.abc import Mapping

import compute.attachments
import compute.discovery
import compute.flavors
import compute.keypairs
import compute.limits
import compute.placement
import compute.server_metadata
import compute.server_parts
import compute.servers
import consensus.certificates
import consensus.clocks
import consensus.disks
import consensus.doors
import consensus.history
import consensus.levels
import consensus.liveness
import consensus.members
import consensus.own_certificates
import consensus.recovery
import consensus.vault
import consensus.watches
import images.catalog
import images.contents
import images.discovery
import images.exports
import images.import_rules
import images.members
import images.metadefs
import images.tasks
import net.discovery
import net.extensions
import net.networks
import net.ports
import net.security_groups
import net.tags
import net.wiring
import noded.dashboard
import noded.doctor
import noded.gateway_rules
import noded.health
import noded.identity.application_credentials
import noded.identity.credentials
import noded.identity.domain_config
import noded.identity.domains
import noded.identity.endpoint_filters
import noded.identity.endpoints
import noded.identity.federation
import noded.identity.grants
import noded.identity.groups
import noded.identity.limits
import noded.identity.oauth1
import noded.identity.oidc
import noded.identity.policies
import noded.identity.project_tags
import noded.identity.projects
import noded.identity.regions
import noded.identity.roles
import noded.identity.services
import noded.identity.sign_in_rules
import noded.identity.tokens
import noded.identity.trusts
import noded.identity.users
import noded.identity.versions
import noded.inspection
import noded.metrics
import noded.openapi
import noded.policy
import storage.attachments
import storage.backups
import storage.discovery
import storage.disks
import storage.encryption
import storage.group_snapshots
import storage.group_types
import storage.groups
import storage.messages
import storage.pools
import storage.qos
import storage.quota_sets
import storage.quotas
import storage.scrubs
import storage.services
import storage.snapshots
import storage.switches
import storage.transfers
import storage.types
import storage.volume_actions
import storage.volume_metadata
import storage.volume_sizes
import storage.volume_uploads
import storage.volumes
from consensus.machine import Machine
from consensus.members.model import NodeRole
from noded.core.command import Command
from noded.core.departure import Departure, Leaver, departure_of
from noded.core.record import Record, table_of
from noded.core.service import Service
from noded.core.store import View
from noded.inspection.model import StoreDigest

# In founding, later lines may build on earlier ones: roles and projects before users, all three before grants.
SERVICES: tuple[Service, ...] = (
    consensus.members.SERVICE,
    consensus.disks.SERVICE,
    consensus.doors.SERVICE,
    consensus.certificates.SERVICE,
    consensus.own_certificates.SERVICE,
    consensus.levels.SERVICE,
    consensus.recovery.SERVICE,
    consensus.liveness.SERVICE,
    consensus.clocks.SERVICE,
    consensus.history.SERVICE,
    consensus.watches.SERVICE,
    consensus.vault.SERVICE,
    noded.identity.versions.SERVICE,
    noded.identity.domains.SERVICE,
    noded.identity.projects.SERVICE,
    noded.identity.project_tags.SERVICE,
    noded.identity.roles.SERVICE,
    noded.identity.sign_in_rules.SERVICE,
    noded.identity.users.SERVICE,
    noded.identity.groups.SERVICE,
    noded.identity.grants.SERVICE,
    noded.identity.tokens.SERVICE,
    noded.identity.regions.SERVICE,
    noded.identity.services.SERVICE,
    noded.identity.endpoints.SERVICE,
    noded.identity.endpoint_filters.SERVICE,
    noded.identity.policies.SERVICE,
    noded.identity.credentials.SERVICE,
    noded.identity.limits.SERVICE,
    noded.identity.domain_config.SERVICE,
    noded.identity.application_credentials.SERVICE,
    noded.identity.trusts.SERVICE,
    noded.identity.oauth1.SERVICE,
    noded.identity.federation.SERVICE,
    noded.identity.oidc.SERVICE,
    net.discovery.SERVICE,
    net.extensions.SERVICE,
    net.networks.SERVICE,
    net.ports.SERVICE,
    net.security_groups.SERVICE,
    net.tags.SERVICE,
    net.wiring.SERVICE,
    storage.discovery.SERVICE,
    storage.pools.SERVICE,
    storage.quotas.SERVICE,
    storage.types.SERVICE,
    storage.volumes.SERVICE,
    storage.snapshots.SERVICE,
    storage.volume_sizes.SERVICE,
    storage.volume_uploads.SERVICE,
    storage.disks.SERVICE,
    storage.attachments.SERVICE,
    storage.volume_metadata.SERVICE,
    storage.encryption.SERVICE,
    storage.group_types.SERVICE,
    storage.group_snapshots.SERVICE,
    storage.groups.SERVICE,
    storage.messages.SERVICE,
    storage.qos.SERVICE,
    storage.scrubs.SERVICE,
    storage.services.SERVICE,
    storage.switches.SERVICE,
    storage.transfers.SERVICE,
    storage.volume_actions.SERVICE,
    storage.quota_sets.SERVICE,
    storage.backups.SERVICE,
    images.discovery.SERVICE,
    images.catalog.SERVICE,
    images.import_rules.SERVICE,
    images.tasks.SERVICE,
    images.contents.SERVICE,
    images.exports.SERVICE,
    images.members.SERVICE,
    images.metadefs.SERVICE,
    compute.discovery.SERVICE,
    compute.flavors.SERVICE,
    compute.keypairs.SERVICE,
    compute.placement.SERVICE,
    compute.servers.SERVICE,
    compute.attachments.SERVICE,
    compute.server_metadata.SERVICE,
    compute.server_parts.SERVICE,
    compute.limits.SERVICE,
    noded.inspection.SERVICE,
    noded.policy.SERVICE,
    noded.gateway_rules.SERVICE,
    noded.doctor.SERVICE,
    noded.metrics.SERVICE,
    noded.openapi.SERVICE,
    noded.dashboard.SERVICE,
    noded.health.SERVICE,
)


# A witness only votes: of all services it runs those that need nothing but the log. Its store holds all records.
WITNESS_SERVICES: tuple[Service, ...] = tuple(
    service
    for service in SERVICES
    if service.name.startswith(("consensus.", "noded.")) and service is not noded.dashboard.SERVICE
)


def services_of(role: NodeRole) -> tuple[Service, ...]:
    """The services that a node of that role runs."""
    return WITNESS_SERVICES if role is NodeRole.WITNESS else SERVICES


def all_records() -> list[type[Record]]:
    """Every record that the store may hold."""
    return [record for service in SERVICES for record in service.records]


def all_commands() -> list[type[Command]]:
    """Every command that the log may carry."""
    return [command for service in SERVICES for command in service.commands]


class ServiceDependants:
    """Implements `consensus.members.links.Dependants` with the hooks of all services."""

    def departure(self, view: View, leaver: Leaver) -> Departure:
        hooks = [service.departure for service in SERVICES if service.departure is not None]
        return departure_of(hooks, view, leaver)


class DaemonRegistry:
    """Implements `noded.inspection.links.Registry`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    @property
    def services(self) -> tuple[Service, ...]:
        return SERVICES

    @property
    def kinds(self) -> Mapping[str, type[Record]]:
        """As `consensus.watches.links.Kinds` asks."""
        return {table_of(record): record for record in all_records()}

    def digest(self) -> StoreDigest:
        return StoreDigest(revision=self._machine.picture.revision, digest=self._machine.digest())
