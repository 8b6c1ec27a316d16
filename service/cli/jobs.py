"""`strop jobs list|show|follow|cancel`: the jobs of a service."""

from __future__ import annotations

import argparse
from itertools import islice

from strop.host.cli.arguments import Commands, add_command, at_least
from strop.host.cli.exit_codes import OK
from strop.host.cli.output import Output
from strop.service.cli.follow import follow
from strop.service.cli.remote import add_remote, open_client, show_job
from strop.service.job_states import STATES

EXAMPLE = """examples:
  strop jobs list --on http://pynq.local:8080
  strop jobs show job_01hq5c3v9kabcdefghjkmn
  strop jobs follow job_01hq5c3v9kabcdefghjkmn
  strop jobs cancel job_01hq5c3v9kabcdefghjkmn"""
HELP = {
    "list": "list jobs, newest first",
    "show": "show a job",
    "follow": "show a job's progress until it ends; Ctrl-C leaves it running",
    "cancel": "ask a job to end",
}


def add_parser(commands: Commands) -> None:
    """Add `strop jobs` and what it can do."""
    parser = add_command(commands, "jobs", "list, follow and cancel the jobs of a service", EXAMPLE, run)
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    made = {name: add_command(actions, name, text, _example_of(name), run) for name, text in HELP.items()}
    made["list"].add_argument("--state", choices=STATES, help="only jobs in this state")
    made["list"].add_argument(
        "--limit", type=at_least(1), default=20, metavar="N", help="at most so many (default: 20)"
    )
    for name in ("show", "follow", "cancel"):
        made[name].add_argument("id", metavar="JOB", help="as `strop jobs list` shows it")
    for action in made.values():
        add_remote(action)


def _example_of(action: str) -> str:
    return "\n".join(["example:", *(line for line in EXAMPLE.splitlines() if f"jobs {action}" in line)])


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do what the action says; return the exit code."""
    with open_client(arguments) as client:
        if arguments.action == "list":
            found = [job.data for job in islice(client.jobs(arguments.state), arguments.limit)]
            rows = [
                (job["id"], job["kind"], job["state"], job["spec"].get("model", ""), job["created"]) for job in found
            ]
            output.table(("job", "kind", "state", "model", "created"), rows)
            output.document("strop.jobs/1", {"jobs": found})
            return OK
        job = client.job(arguments.id)
        if arguments.action == "follow":
            return follow(client, job, output)
        show_job(job.cancel().data if arguments.action == "cancel" else job.data, output)
    return OK
