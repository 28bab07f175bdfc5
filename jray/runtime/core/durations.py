"""How long functions take: a running mean for each, from which lines are filled."""

from __future__ import annotations

_MOST = 10_000  # functions that are remembered
_WEIGHT = 0.2  # of the newest


class Durations:
    """By the function's name, so that equal names share one."""

    def __init__(self, unknown_s: float) -> None:
        """`unknown_s` is expected of functions that never ran."""
        self._unknown_s = unknown_s
        self._means_s: dict[str, float] = {}

    def learn(self, function: str, took_s: float) -> tuple[float, float]:
        """One of its tasks took so long. What was expected before, and what is now."""
        means = self._means_s
        expected_s = means.get(function)
        if expected_s is None:
            if len(means) >= _MOST:
                means.clear()
            expected_s, now_s = self._unknown_s, took_s
        else:
            now_s = expected_s + _WEIGHT * (took_s - expected_s)
        means[function] = now_s
        return expected_s, now_s

    def expected_s(self, function: str) -> float:
        """How long the next one should take."""
        return self._means_s.get(function, self._unknown_s)
