"""Reading files in threads. Decoders let go of Python's lock, so threads really work side by side."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

S = TypeVar("S")
T = TypeVar("T")


def in_threads(function: Callable[[S], T], items: Sequence[S], title: str) -> list[T]:
    """`[function(item) for item in items]` on all cores with a progress bar (the decoders let go of the GIL)."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # disable=None: no bar where nobody watches (a pipe, a log file)
        return list(tqdm(pool.map(function, items), title, total=len(items), unit="file", disable=None))


def ahead(function: Callable[[S], T], items: Iterable[S], workers: int) -> Iterator[T]:
    """`map(function, items)` with `workers` threads that work on the next items meanwhile."""
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(max(workers, 1)) as threads:
        try:
            for item in items:
                waiting.append(threads.submit(function, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:  # the reader has left: nobody needs the rest
                future.cancel()
