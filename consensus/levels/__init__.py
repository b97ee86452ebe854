"""Levels: which commands all members understand, so that two releases work together. Below `/noded/v1/levels`."""

from consensus.endpoint import NODED
from consensus.levels.api import PEER_CALLS, ROUTES, explain_level
from consensus.levels.commands import RaiseLevel, ReportLevel
from consensus.levels.model import ClusterLevel, MemberLevel
from consensus.levels.reconcile import LevelsReconciler
from noded.core.service import Service

SERVICE = Service(
    name="consensus.levels",
    endpoint=NODED,
    records=(ClusterLevel, MemberLevel),
    commands=(ReportLevel, RaiseLevel),
    routes=ROUTES,
    peer_calls=PEER_CALLS,
    explain={"level": explain_level},
    reconcilers=(LevelsReconciler,),
)
