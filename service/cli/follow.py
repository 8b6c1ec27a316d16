"""Following a job in a terminal: the bar of a training, fed by the service's events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from strop.host import Progress
from strop.host.cli.exit_codes import OK, VALIDATION
from strop.host.cli.output import Output
from strop.host.cli.progress import ProgressDisplay
from strop.service.cli.remote import show_job

if TYPE_CHECKING:
    from strop.service.client import Client, RemoteJob

TOLD = {"queued", "started", "resumed", "interrupted", "cancelled"}


def follow(client: Client, job: RemoteJob, output: Output) -> int:
    """Show a job until it ends, then what came of it; return the exit code: not 0 where the gate refused the version.

    Raises JobFailed where it failed or was cancelled. Ctrl-C leaves it running.
    """
    try:
        with ProgressDisplay(job.id) as display:
            for event in job.events():
                if event.type == "progress":
                    display(_progress(event.data))
                elif event.type in TOLD:
                    reason = event.data.get("reason")
                    output.note(f"{job.id}: {event.type}" + (f", {reason}" if reason else ""))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"the job goes on without this command: strop jobs follow {job.id} --on {client.url} shows it again, "
            f"strop jobs cancel {job.id} --on {client.url} ends it"
        ) from None
    result = job.refresh().result
    show_job(job.data, output)
    return OK if result.get("gate", {}).get("passed", True) and result.get("equal", True) is not False else VALIDATION


def _progress(data: dict[str, Any]) -> Progress:
    """Return an event as what the bar shows; the service tells of single steps, so the epoch's means are the step's."""
    shown = {**data, "epoch_loss": data["loss"], "epoch_accuracy": data["accuracy"]}
    return Progress(**{name: shown[name] for name in Progress.__dataclass_fields__})
