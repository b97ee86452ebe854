"""Which API carries the cluster's own affairs: noded's, below `/noded/v1`. Higher floors add their routes to it."""

from typing import Final

from noded.core.service import Endpoint, FaultStyle

NODED: Final = Endpoint(
    name="noded",
    types=("noded",),
    prefix="/noded/v1",
    fault_style=FaultStyle.NODED,
    in_catalog=False,
)
