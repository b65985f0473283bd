"""Percentiles of measurements, as the benchmarks report them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np


class Distribution(TypedDict):
    """Percentiles of ``n`` values; None where there are no values."""

    n: int
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


def distribution(values: Sequence[float], digits: int = 1) -> Distribution:
    """Percentiles, interpolated between neighbours."""
    if not values:
        return {"n": 0, "p50": None, "p95": None, "p99": None, "max": None}
    p50, p95, p99 = (round(float(p), digits) for p in np.percentile(values, [50, 95, 99]))
    return {"n": len(values), "p50": p50, "p95": p95, "p99": p99, "max": round(max(values), digits)}


def rate(part: int, whole: int) -> float | None:
    """A share from 0 to 1, or None of nothing."""
    return round(part / whole, 4) if whole else None
