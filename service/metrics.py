"""Metrics for Prometheus: counted here where requests are, read from the database where the worker counts.

Labels take few values: routes are templates, and nothing that a client can name is a label.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from strop.host.version import strop_version
from strop.runtime.contract import C
from strop.service.job_states import STATES
from strop.service.readiness import device_reasons, worker_runs
from strop.service.settings import Settings
from strop.service.store import counts, worker
from strop.service.store.database import Database

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SAMPLE_STATES = ("unlabelled", "queued", "training", "learned")
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds


class Metrics:
    """The metrics of one application."""

    def __init__(self, settings: Settings, database: Database) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, that nobody reads
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "strop_http_requests", "Requests answered", ["route", "method", "status"], registry=registry
        )
        self._seconds = Histogram(
            "strop_http_request_seconds",
            "Until the answer began",
            ["route", "method"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.open_requests = Gauge("strop_http_requests_open", "Requests under way, with streams", registry=registry)
        self.predictions = Counter("strop_predictions", "Images that predictions were made for", registry=registry)
        build = Info("strop_build", "Which strop this is", registry=registry)
        versions = {"numerics": str(C.NUMERICS_VERSION), "contract": str(C.CONTRACT_VERSION)}
        build.info({"version": strop_version(), "python": platform.python_version(), **versions})
        ProcessCollector(registry=registry)
        registry.register(_Box(settings, database))

    def answered(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """Count a request; route None: it met none."""
        route, method = route or "none", method if method in METHODS else "other"
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route, method).observe(seconds)

    def text(self) -> bytes:
        """Return them as Prometheus reads them."""
        return generate_latest(self.registry)


class _Box(Collector):
    """What the database, the worker's lock and the disk say at the moment."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database

    def collect(self) -> Iterator[Metric]:
        db, data = self._database.read(), self._settings.data
        ended = counts.ended_jobs(db)
        by_state = counts.jobs_by_state(db)
        progress = counts.running_progress(db)
        found = worker.read(db)
        ready = not device_reasons(self._settings, found)
        yield _by_state("strop_jobs", "Jobs, by state", STATES, by_state)
        yield GaugeMetricFamily("strop_queue_length", "Jobs that wait", by_state.get("queued", 0))
        seconds = SummaryMetricFamily("strop_job_seconds", "From start to end of the jobs that ended", labels=["state"])
        for state, jobs in sorted(ended.items()):
            seconds.add_metric([state], jobs.count, jobs.seconds)
        yield seconds
        steps = sum(jobs.steps for jobs in ended.values())
        yield CounterMetricFamily("strop_trained_steps", "Training steps of the jobs that ended", steps)
        yield GaugeMetricFamily("strop_running_steps", "Steps that the running job has made", progress.get("step", 0))
        rate = progress.get("images_per_second", 0)
        yield GaugeMetricFamily("strop_images_per_second", "Speed of the running job, 0 without one", rate)
        yield GaugeMetricFamily("strop_worker_up", "1 if the worker runs", float(worker_runs(self._settings, found)))
        yield GaugeMetricFamily("strop_device_ready", "1 if its device passed the self-test", float(ready))
        yield _by_state("strop_samples", "Posted samples, by state", SAMPLE_STATES, counts.samples_by_state(db))
        free = shutil.disk_usage(data).free
        yield GaugeMetricFamily("strop_data_free_bytes", "Room on the disk of the data folder", free)


def _by_state(name: str, text: str, states: tuple[str, ...], found: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=["state"])
    for state in states:
        family.add_metric([state], found.get(state, 0))
    return family
