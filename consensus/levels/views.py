"""How the levels are shown by noded's own API."""

from consensus.levels.model import LevelReport


def levels_view(report: LevelReport) -> dict[str, object]:
    """All levels; `held_back_by` names the nodes that need a newer release before the cluster's can rise."""
    return {
        "cluster": report.cluster,
        "nodes": [
            {"id": node_id, "name": report.names[node_id], "level": level} for node_id, level in report.members.items()
        ],
        "held_back_by": [report.names[node_id] for node_id in report.behind],
    }
