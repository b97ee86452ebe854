"""What a service measures, for whoever keeps time series: names and labels as Prometheus has them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class MetricKind(StrEnum):
    """How its values are to be read."""

    GAUGE = "gauge"
    COUNTER = "counter"  # only grows, and begins anew at a restart


@dataclass(slots=True, kw_only=True)
class Metric:
    """One name, and its values by their labels. Units stand last in the name: `noded_disk_used_bytes`."""

    name: str
    help: str
    kind: MetricKind = MetricKind.GAUGE
    values: dict[tuple[tuple[str, str], ...], float] = field(default_factory=dict)

    def set(self, value: float, labels: Mapping[str, str]) -> None:
        """One value more."""
        self.values[tuple(sorted(labels.items()))] = value
