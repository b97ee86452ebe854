"""Which API carries it: noded's own, which the cluster's members have started."""

from consensus.endpoint import NODED

INSPECTION = NODED
