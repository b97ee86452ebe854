"""Which API carries it: noded's own, below `/noded/v1`."""

from noded.core.service import Endpoint, FaultStyle

INSPECTION = Endpoint(
    name="noded",
    types=("noded",),
    prefix="/noded/v1",
    fault_style=FaultStyle.NODED,
    in_catalog=False,
)
