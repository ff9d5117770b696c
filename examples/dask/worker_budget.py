"""
Give each Dask worker a budget that its tasks share, so that one more task waits instead of killing.

    python worker_budget.py

Dask's own limit looks at the worker's resident set after the fact and restarts it. Here a task says
what it needs before it begins: what does not fit now waits its turn, what can never fit is refused
with the figures, and the pool it works in cannot pass what was promised.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from distributed import Client, LocalCluster, Worker, WorkerPlugin, get_worker

import floodwall


class WorkerBudget(WorkerPlugin):
    """Hangs a ``floodwall.Budget`` on each worker."""

    name = "floodwall-budget"

    def __init__(self, limit: str) -> None:
        """Keep the limit: budgets belong to a process and are not sent."""
        self.limit = limit

    def setup(self, worker: Worker) -> None:
        """Make the budget when a worker starts."""
        worker.memory_budget = floodwall.Budget(self.limit, name=str(worker.name))


def total_of(first: int, count: int) -> int:
    """Sum squares, holding at most 24 MiB."""
    budget = get_worker().memory_budget
    with budget.admit("24MiB", name=f"total-{first}", timeout_s=60) as admission:
        pool = floodwall.GuardedPool(admission.budget)
        with pool.translate_denials():
            numbers = pa.array(range(first, first + count), pa.int64(), memory_pool=pool.arrow_pool)
            squares = pc.multiply(numbers, numbers, memory_pool=pool.arrow_pool)
            return int(pc.sum(squares, memory_pool=pool.arrow_pool).as_py())


def peak_of(dask_worker: Worker) -> int:
    """Bytes that the worker's budget counted at most."""
    return int(dask_worker.memory_budget.peak_bytes)


def main() -> None:
    """Run eight tasks of 24 MiB on a worker of 64 MiB and four threads."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=4, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(WorkerBudget("64MiB"))
        size = 500_000
        parts = [client.submit(total_of, i * size, size, pure=False) for i in range(8)]
        total = sum(client.gather(parts))
        n = 8 * size - 1
        assert total == n * (n + 1) * (2 * n + 1) // 6
        peaks = client.run(peak_of).values()
        print(f"total {total}, peak {max(peaks) >> 20} MiB of 64")


if __name__ == "__main__":
    main()
