"""Servers: guests with their disks and ports (Nova API reference, "Servers", "Servers - run an action")."""

from compute.endpoint import COMPUTE
from compute.servers.api import ROUTES
from compute.servers.authority import AWAKE_CALL, tell_awake, tell_console
from compute.servers.commands import (
    ChangeServer,
    ConfirmVolumes,
    CreateServers,
    DeleteServer,
    FinishServerDeletions,
    LockServer,
    RebootServer,
    ReportGuests,
    SetServerMetadata,
    StartServer,
    StopServer,
)
from compute.servers.console import CONSOLE_CALL
from compute.servers.departure import MoveServers, departure
from compute.servers.examine import examine_guests, examine_records
from compute.servers.explain import EXPLAIN, PEER_CALLS
from compute.servers.measure import measure_servers
from compute.servers.model import Server
from compute.servers.reconcile import ServersReconciler
from noded.core.service import Service

SERVICE = Service(
    name="compute.servers",
    endpoint=COMPUTE,
    records=(Server,),
    commands=(
        CreateServers,
        StartServer,
        StopServer,
        RebootServer,
        LockServer,
        ChangeServer,
        SetServerMetadata,
        DeleteServer,
        ReportGuests,
        ConfirmVolumes,
        FinishServerDeletions,
        MoveServers,
    ),
    routes=ROUTES,
    reconcilers=(ServersReconciler,),
    peer_calls={CONSOLE_CALL: tell_console, AWAKE_CALL: tell_awake, **PEER_CALLS},
    explain=EXPLAIN,
    departure=departure,
    measures=(measure_servers,),
    examines_records=(examine_records,),
    examines_machine=(examine_guests,),
)
