"""Flavors: the sizes a server can have (Nova API reference, "Flavors", "Flavors extra-specs", "Flavors access")."""

from compute.endpoint import COMPUTE
from compute.flavors.api import ROUTES
from compute.flavors.commands import (
    CreateFlavor,
    DeleteFlavor,
    DescribeFlavor,
    SetFlavorAccess,
    SetFlavorSpecs,
    first_flavors,
)
from compute.flavors.model import Flavor
from noded.core.service import Service

SERVICE = Service(
    name="compute.flavors",
    endpoint=COMPUTE,
    records=(Flavor,),
    commands=(CreateFlavor, DescribeFlavor, DeleteFlavor, SetFlavorSpecs, SetFlavorAccess),
    routes=ROUTES,
    founding=first_flavors,
)
