"""Where tasks run: this machine's cores, or a Ray or Dask cluster, all of them through joblib."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any, TypeVar

_NEEDS = {"loky": "joblib", "ray": "ray", "dask": "distributed"}
"""The package that each backend needs."""
T = TypeVar("T")
_PATIENCE = 10.0
"""Seconds in which a running cluster must answer."""


class Workers:
    """Processes that calls are given to, `num` of them.

    backend: a new joblib backend for each use, or the name of one.
    """

    def __init__(self, backend: Callable[[], Any], num: int) -> None:
        self._backend, self.num = backend, num

    def results(self, call: Callable[[Any], T], arguments: Iterable[Any], num: int | None = None) -> Iterator[T]:
        """What `call` returns for each of the arguments, as each call ends, from `num` of the workers or all.

        Arguments are taken a few ahead of the workers. Raises what joblib raises where a worker dies.
        """
        from joblib import Parallel, delayed

        settings = {"n_jobs": num or self.num, "batch_size": 1, "pre_dispatch": "2*n_jobs"}
        with Parallel(backend=self._backend(), return_as="generator_unordered", **settings) as parallel:
            with _deaf_to_interrupts():
                found = parallel(delayed(call)(argument) for argument in arguments)
            try:
                for result in found:  # noqa: UP028 (yield from would close it first, with a warning)
                    yield result
            finally:
                with warnings.catch_warnings(action="ignore"):
                    found.close()


@contextmanager
def workers(backend: str, jobs: int | None = None, address: str | None = None) -> Iterator[Workers]:
    """Workers of a backend: started here, and closed at the end; or those of the running cluster at `address`.

    jobs: how many to start; every core if not given. A single loky worker is this process itself.
    Raises ValueError as `check_backend`, and where a cluster does not answer.
    """
    check_backend(backend, jobs, address)
    if backend == "loky":
        yield Workers(lambda: "loky", _num_cores(jobs))
        return
    with _ray(jobs, address) if backend == "ray" else _dask(jobs, address) as cluster:
        yield cluster


def check_backend(backend: str, jobs: int | None, address: str | None) -> None:
    """Raise ValueError unless the three go together and what they need is installed."""
    if backend not in _NEEDS:
        raise ValueError(f"--backend: should be one of {', '.join(_NEEDS)}, got {backend!r}")
    if find_spec(_NEEDS[backend]) is None:
        raise ValueError(f"--backend {backend}: is not installed; pip install 'smoothserve[{backend}]'")
    if address is not None and backend == "loky":
        raise ValueError(f"--address {address}: is of a cluster; give --backend ray or dask with it")
    if address is not None and jobs is not None and backend == "dask":
        raise ValueError(f"--jobs {jobs}: a running Dask cluster has its own workers; leave out --jobs or --address")


@contextmanager
def _dask(jobs: int | None, address: str | None) -> Iterator[Workers]:
    import dask
    from distributed import Client, LocalCluster

    backend = _dask_backend()
    if address is not None:
        with _answering("dask", address):
            client = Client(address, timeout=_PATIENCE)
        with client:
            yield Workers(backend, sum(client.ncores().values()))
        return
    num = _num_cores(jobs)
    options = {"threads_per_worker": 1, "memory_limit": None, "dashboard_address": None}
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), ExitStack() as stack:
        with _deaf_to_interrupts():
            cluster = LocalCluster(n_workers=num, silence_logs=logging.CRITICAL, **options)
        stack.enter_context(cluster)
        stack.enter_context(Client(cluster))
        yield Workers(backend, num)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that start in here leave Ctrl-C to this one, which closes them, and is itself deaf until then."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _dask_backend() -> Callable[[], Any]:
    """Joblib's Dask backend, made to say so when a worker dies, and never to run calls in this process.

    It leaves joblib waiting for a call whose worker died, and calls that nobody waits for any more in the cluster; and
    with one worker left, joblib would be that worker.
    """
    from joblib._dask import DaskDistributedBackend

    class Dask(DaskDistributedBackend):  # type: ignore[misc]
        def effective_n_jobs(self, n_jobs: int) -> int:
            return max(int(super().effective_n_jobs(n_jobs)), 2)

        def submit(self, func: Any, callback: Any = None) -> Any:
            future = super().submit(func, callback)
            future.add_done_callback(lambda done: callback(done.exception()) if done.exception() else None)
            return future

        def abort_everything(self, ensure_ready: bool = True) -> None:
            self.client.cancel(list(self._results), force=True)
            super().abort_everything(ensure_ready)

    return Dask


@contextmanager
def _ray(jobs: int | None, address: str | None) -> Iterator[Workers]:
    """A Ray cluster, without its reports of usage to Ray's makers; a local one has two workers or more."""
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is not None:
        with _answering("ray", address):
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    else:
        num = max(_num_cores(jobs), 2)
        ray.init("local", num_cpus=num, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield Workers(_ray_backend(), jobs or int(ray.cluster_resources()["CPU"]))
    finally:
        ray.shutdown()


def _ray_backend() -> Callable[[], Any]:
    """Ray's backend for joblib, allowed to hand over results as they come.

    It forbids that only because the multiprocessing backend that it derives from does; its pool tells of each
    result by a callback, which is all that joblib needs.
    """
    from ray.util.joblib.ray_backend import RayBackend

    class Ray(RayBackend):  # type: ignore[misc]
        supports_return_generator = True

    return Ray


@contextmanager
def _answering(backend: str, address: str) -> Iterator[None]:
    """Turns what is raised into one line. Where nobody listens is not tried: Ray would try for ever."""
    try:
        host, _, port = address.rpartition("://")[2].rpartition(":")
        if port.isdigit():
            socket.create_connection((host, int(port)), _PATIENCE).close()
        yield
    except (OSError, ValueError, RuntimeError) as error:
        what = str(error).strip().partition("\n")[0]
        raise ValueError(f"--address {address}: no {backend} cluster answers: {what}") from None


def _num_cores(jobs: int | None) -> int:
    from joblib import cpu_count

    return jobs or int(cpu_count())
