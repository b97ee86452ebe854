"""Where the dashboard lives: at the root of every node."""

from noded.core.service import Endpoint, FaultStyle

DASHBOARD = Endpoint(
    name="dashboard",
    types=(),
    prefix="",
    fault_style=FaultStyle.HTML,
    in_catalog=False,
)
