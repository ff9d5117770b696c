"""A source's stream, read in a thread that a stopped merge does not have to wait for."""

from __future__ import annotations

import atexit
import queue
import threading
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

__all__ = ["SourceStream"]

# How long a producer that was given up is waited for: at once, and when the interpreter ends. One
# that woke up only while it ends would make it abort, as Python's threads in native code do there.
_PATIENCE_SECONDS = 0.5
_PATIENCE_AT_EXIT_SECONDS = 2.0


class SourceStream:
    """
    The batches of anything with ``__arrow_c_stream__``, one at a time and only when asked.

    Whoever produces them may block for as long as a queue or a network does. ``stop`` ends the
    stream for its reader at once, whatever the producer does.
    """

    def __init__(self, data: Any) -> None:
        """Open the stream; no batch is read yet."""
        self._reader = pa.RecordBatchReader.from_stream(data)
        # True asks for a batch, False ends the thread; a batch, an exception or None answers.
        self._wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._produce, name="floodwall-source", daemon=True)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Give the stream away; once."""
        reader = pa.RecordBatchReader.from_batches(self._reader.schema, self._batches())
        return reader.__arrow_c_stream__(requested_schema)

    def stop(self) -> None:
        """Let the reader, if it waits or asks again, fail now."""
        self._answers.put(InterruptedError("the merge was stopped"))

    def leave(self) -> None:
        """Give up the producer once nobody reads any more; one that blocks goes on by itself."""
        self._wanted.put(False)
        if not self._thread.is_alive():
            return
        self._thread.join(_PATIENCE_SECONDS)
        if self._thread.is_alive():
            atexit.register(self._thread.join, _PATIENCE_AT_EXIT_SECONDS)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        self._thread.start()
        try:
            while True:
                self._wanted.put(True)
                answer = self._answers.get()
                if answer is None:
                    return
                if isinstance(answer, BaseException):
                    raise answer
                yield answer
                del answer  # or the next batch would be made while this one is held
        finally:
            self._wanted.put(False)

    def _produce(self) -> None:
        while self._wanted.get():
            try:
                self._answers.put(self._reader.read_next_batch())
            except StopIteration:
                self._answers.put(None)
            except BaseException as error:  # the reader's to raise
                self._answers.put(error)
