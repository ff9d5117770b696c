"""
Memory figures for Prometheus (``pip install floodwall[prometheus]``).

Register ``MemoryCollector`` with a registry; figures are read at each scrape, none in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

try:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
except ImportError as error:
    raise ImportError(
        "this exporter needs prometheus-client: pip install 'floodwall[prometheus]'"
    ) from error

from floodwall.exporters.figures import FIGURES, PRESSURE, PRESSURE_DESCRIPTION, Figure, pressure_of
from floodwall.monitor import MemoryMonitor
from floodwall.pool import Budget

__all__ = ["MemoryCollector"]

_UNITS = {"By": "bytes", "1": "ratio"}


def _family(figure: Figure) -> CounterMetricFamily | GaugeMetricFamily:
    name = figure.name.replace(".", "_")
    if figure.only_rises:
        return CounterMetricFamily(name, figure.description)
    unit = _UNITS.get(figure.unit)
    return GaugeMetricFamily(f"{name}_{unit}" if unit else name, figure.description)


class MemoryCollector:
    """
    Give Prometheus the figures of a monitor and the use of budgets.

    ``budgets`` are exported with their name as label; children are not. Thread-safe.

    Example::

        prometheus_client.REGISTRY.register(MemoryCollector())
    """

    def __init__(
        self, monitor: MemoryMonitor | None = None, budgets: Sequence[Budget] = ()
    ) -> None:
        """Export ``monitor``'s figures, by default those of one with default limits."""
        self._monitor = MemoryMonitor() if monitor is None else monitor
        self._budgets = tuple(budgets)

    def describe(self) -> Iterable[Metric]:
        """Return the families without reading anything: registering must cost nothing."""
        return [_family(figure) for figure in FIGURES] + list(self._of_monitor_and_budgets(False))

    def collect(self) -> Iterator[Metric]:
        """Read now; what is unknown is left out, never 0."""
        snapshot = self._monitor.snapshot()
        for figure in FIGURES:
            value = figure.read(snapshot)
            if value is not None:
                family = _family(figure)
                family.add_metric([], value)
                yield family
        yield from self._of_monitor_and_budgets(True)

    def _of_monitor_and_budgets(self, read: bool) -> Iterator[Metric]:
        pressure = GaugeMetricFamily(PRESSURE.replace(".", "_"), PRESSURE_DESCRIPTION)
        if read:
            pressure.add_metric([], pressure_of(self._monitor.verdict().level))
        yield pressure
        used = GaugeMetricFamily(
            "floodwall_budget_used_bytes", "Counted against a budget now", labels=["budget"]
        )
        peak = GaugeMetricFamily(
            "floodwall_budget_peak_bytes", "The most ever counted at once", labels=["budget"]
        )
        limit = GaugeMetricFamily(
            "floodwall_budget_limit_bytes", "The budget's limit", labels=["budget"]
        )
        for budget in self._budgets if read else ():
            used.add_metric([budget.name], budget.used_bytes)
            peak.add_metric([budget.name], budget.peak_bytes)
            if budget.limit_bytes is not None:
                limit.add_metric([budget.name], budget.limit_bytes)
        yield from (used, peak, limit)
