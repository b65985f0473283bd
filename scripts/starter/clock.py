"""Training by the clock: a budget in minutes that survives interruptions."""

import math
import time


class Budget:
    """Counts working time. A step may wait up to ``cap`` seconds beside what this process computes;
    it was paused for the rest, which does not count. ``used`` is what earlier runs of the same
    training have spent.
    """

    def __init__(self, minutes: float, used: float = 0.0, cap: float = 20.0) -> None:
        self.total, self.used, self._cap = minutes * 60, used, cap
        self._last = self._saved = time.monotonic()
        self._computed = time.process_time()

    def tick(self) -> float:
        """To be called once a step; the share of the budget that is spent, 1 at the end."""
        now, computed = time.monotonic(), time.process_time()
        self.used += min(now - self._last, self._cap + computed - self._computed)
        self._last, self._computed = now, computed
        return min(self.used / self.total, 1.0)

    def time_to_save(self, every: float = 150.0) -> bool:
        """True about every ``every`` seconds."""
        if time.monotonic() - self._saved < every:
            return False
        self._saved = time.monotonic()
        return True


def cosine(spent: float, step: int, warm_up: int) -> float:
    """Learning-rate factor: linear warm-up in steps, then a cosine down to 2 %."""
    return min(1.0, (step + 1) / warm_up) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * spent)))


def flat_then_linear(spent: float, step: int, warm_up: int, flat: float = 0.4) -> float:
    """Learning-rate factor: warm-up, flat for a share of the budget, then linear down to 2 %."""
    fall = 1.0 if spent < flat else max(0.02, (1 - spent) / (1 - flat))
    return min(1.0, (step + 1) / warm_up) * fall
