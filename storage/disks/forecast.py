"""When will the pool be full, if it goes on filling as it did? Pure: samples in, a date out."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
SPAN_MS_MIN: Final = 6 * HOUR_MS  # what filled within less says nothing of the days to come
SPAN_MS_MAX: Final = 14 * DAY_MS  # what was before that does not say it any more
SAMPLES_MIN: Final = 4
FAR_DAYS: Final = 3650


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """How full the pool was."""

    at_ms: int
    used_bytes: int
    size_bytes: int  # beside the reserve


def thinned(samples: Sequence[Sample], now: Sample) -> list[Sample]:
    """With a new one: none that is too old to matter, and no two within the same hour."""
    kept = [each for each in samples if now.at_ms - SPAN_MS_MAX <= each.at_ms < now.at_ms]
    if kept and kept[-1].at_ms // HOUR_MS == now.at_ms // HOUR_MS:
        kept.pop()
    return [*kept, now]


def forecast(samples: Sequence[Sample]) -> dict[str, Any]:
    """How fast it fills, by least squares, and when nothing is left at that rate; or why that is not known."""
    if len(samples) < SAMPLES_MIN or samples[-1].at_ms - samples[0].at_ms < SPAN_MS_MIN:
        hours = SPAN_MS_MIN // HOUR_MS
        return {"bytes_a_day": None, "full_in_days": None, "why": f"it takes {hours} hours of watching to tell"}
    last = samples[-1]
    times = [each.at_ms / DAY_MS for each in samples]
    middle, mean = sum(times) / len(times), sum(each.used_bytes for each in samples) / len(samples)
    spread = sum((time - middle) ** 2 for time in times)
    slope = sum((time - middle) * (each.used_bytes - mean) for time, each in zip(times, samples, strict=True)) / spread
    free = max(0, last.size_bytes - last.used_bytes)
    days = free / slope if slope > 0 else None
    if days is None or days > FAR_DAYS:
        return {"bytes_a_day": round(slope), "full_in_days": None, "why": "it does not fill"}
    return {"bytes_a_day": round(slope), "full_in_days": round(days, 1), "why": ""}
