"""
Memory figures for OpenTelemetry (``pip install floodwall[opentelemetry]``).

Only the API is needed; figures are read when the application's own SDK collects.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

try:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation
except ImportError as error:
    raise ImportError(
        "this exporter needs opentelemetry-api: pip install 'floodwall[opentelemetry]'"
    ) from error

from floodwall.exporters.figures import FIGURES, PRESSURE, PRESSURE_DESCRIPTION, Figure, pressure_of
from floodwall.monitor import MemoryMonitor, MemorySnapshot

__all__ = ["instrument"]

_SAME_COLLECTION_SECONDS = 0.05
_Callback = Callable[[CallbackOptions], Iterable[Observation]]


class _Snapshots:
    """One snapshot for all instruments of a collection."""

    def __init__(self, monitor: MemoryMonitor) -> None:
        self._monitor = monitor
        self._lock = threading.Lock()
        self._taken: MemorySnapshot | None = None
        self._at = 0.0

    def get(self) -> MemorySnapshot:
        with self._lock:
            now = time.monotonic()
            if self._taken is None or now - self._at > _SAME_COLLECTION_SECONDS:
                self._taken = self._monitor.snapshot()
                self._at = now
            return self._taken


def _observe(figure: Figure, snapshots: _Snapshots) -> _Callback:
    def callback(_: CallbackOptions) -> Iterable[Observation]:
        value = figure.read(snapshots.get())
        return [] if value is None else [Observation(value)]

    return callback


def instrument(meter: Meter, monitor: MemoryMonitor | None = None) -> None:
    """
    Create observable instruments on ``meter`` for the figures of ``monitor``.

    Call it once for each meter. What is unknown is not observed. The instruments keep the monitor
    alive as long as the meter.
    """
    watched = MemoryMonitor() if monitor is None else monitor
    snapshots = _Snapshots(watched)
    for figure in FIGURES:
        create: Callable[..., object] = meter.create_observable_gauge
        if figure.only_rises:
            create = meter.create_observable_counter
        elif figure.adds_up:
            create = meter.create_observable_up_down_counter
        create(
            figure.name,
            callbacks=[_observe(figure, snapshots)],
            unit=figure.unit,
            description=figure.description,
        )
    meter.create_observable_gauge(
        PRESSURE,
        callbacks=[lambda _: [Observation(pressure_of(watched.verdict().level))]],
        unit="1",
        description=PRESSURE_DESCRIPTION,
    )
