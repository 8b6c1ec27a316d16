"""`strop jobs`: what it lists, shows, follows and ends, on a real service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from strop.service.cli import jobs as command
from strop.service.client import Client, JobFailed

DATA = "fashion-mnist-subset"


@pytest.fixture
def client(server: Any) -> Iterator[Client]:
    """A client of the same service."""
    with Client(server.url) as opened:
        yield opened


def test_list_show_and_follow_a_job(cli, on, client):
    """Protects the three views of one job: the same facts, for people and as documents."""
    job = client.finetune(data=DATA, shift="invert", steps=30)
    followed = cli("jobs", "follow", job.id, *on)
    assert followed.code == 0 and "succeeded" in followed.out and "accuracy on validation" in followed.out
    shown, document = cli("jobs", "show", job.id, *on), cli("jobs", "show", job.id, *on, "--json").document
    assert shown.out == followed.out
    assert document == {"schema": "strop.job/1", "job": client.job(job.id).data}
    assert f"{document['job']['result']['model']}@{document['job']['result']['version']}" in shown.out
    listed = cli("jobs", "list", "--limit", 1, *on)
    assert job.id in listed.out and "succeeded" in listed.out
    assert cli("jobs", "list", "--limit", 1, *on, "--json").document == {
        "schema": "strop.jobs/1", "jobs": [document["job"]],
    }  # fmt: skip
    ended = cli("jobs", "list", "--state", "succeeded", *on, "--json").document["jobs"]
    assert job.id in [each["id"] for each in ended] and {each["state"] for each in ended} == {"succeeded"}


def test_cancel(cli, on, client):
    """Protects the way out of a job that is too long; who follows it learns that it was cancelled, by an error."""
    job = client.finetune(data=DATA, steps=1_000_000)
    ran = cli("jobs", "cancel", job.id, *on, "--json")
    assert ran.code == 0 and ran.document["job"]["cancel_requested"]
    followed = cli("jobs", "follow", job.id, *on)
    assert followed.code == 4 and f"{job.id}: it was cancelled" in followed.err
    with pytest.raises(JobFailed, match="cancelled"):
        client.job(job.id).wait()


def test_an_unknown_job_is_4(cli, on):
    """Protects scripts: a wrong id is told at once, with the reason of the service."""
    for action in ("show", "follow", "cancel"):
        ran = cli("jobs", action, "job_00000000000000000000zz", *on, "--json")
        assert ran.code == 4 and ran.document["error"]["type"] == "ServiceProblem"
        assert "there is no job" in ran.document["error"]["message"]
    assert cli("jobs", "show", "../keys", *on).code == 4


def test_each_action_explains_itself(cli):
    """Protects the help of the actions: each says what it does and shows an example that is its own."""
    for action in command.HELP:
        ran = cli("jobs", action, "--help")
        assert ran.code == 0 and f"  strop jobs {action}" in ran.out and ran.out.count("  strop jobs ") == 1
        assert "--on URL" in ran.out and "--key-file" in ran.out
