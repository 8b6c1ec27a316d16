"""A worker that is killed by the jobs with seed 666, at once and every time. It is run in place of the real one."""

from __future__ import annotations

import os
import signal
import sys

from strop.service.store.jobs import Job
from strop.service.worker import loop
from strop.service.worker.__main__ import main
from strop.service.worker.job_runs import JobContext, run_job

DEADLY = 666


def deadly(job: Job, context: JobContext) -> None:
    """Run a job, or die of it."""
    if job.spec["request"]["seed"] == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    run_job(job, context)


if __name__ == "__main__":
    loop.run_job = deadly  # type: ignore[attr-defined]
    sys.exit(main())
