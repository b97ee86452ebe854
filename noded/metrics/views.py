"""How metrics become text (Prometheus, "Exposition formats", text format 0.0.4). Pure."""

from collections.abc import Iterable

from noded.core.metric import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def text_of(metrics: Iterable[Metric]) -> str:
    """All of them, ordered by name; those of one name from several services are one."""
    merged: dict[str, Metric] = {}
    for metric in metrics:
        known = merged.setdefault(metric.name, metric)
        if known is not metric:
            known.values |= metric.values
    lines = []
    for _, metric in sorted(merged.items()):
        if metric.values:
            lines.append(f"# HELP {metric.name} {_escaped(metric.help)}")
            lines.append(f"# TYPE {metric.name} {metric.kind.value}")
            lines += [f"{metric.name}{_labels(labels)} {value:.17g}" for labels, value in sorted(metric.values.items())]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_quoted(value)}"' for name, value in labels) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
