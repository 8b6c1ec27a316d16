"""`strop models`: versions, aliases and files of a real service, from the command line."""

from __future__ import annotations

import pytest

from strop.host import Model
from strop.host.pretrained import pretrained_path
from strop.service.cli import models as command
from strop.service.client import Client

NAME = "lenet5-fashion-mnist"
DATA = "fashion-mnist-subset"


@pytest.fixture(scope="module")
def tuned(server) -> int:
    """The number of a version that the service trained."""
    with Client(server.url) as client:
        number: int = client.finetune(NAME, data=DATA, shift="invert", steps=20).wait()["version"]
    return number


def test_list_and_show(cli, on, tuned):
    """Protects the overview: models, versions, what they came from and which one serves."""
    listed = cli("models", "list", *on)
    assert listed.code == 0 and NAME in listed.out and "production 1" in listed.out
    assert NAME in [model["name"] for model in cli("models", "list", *on, "--json").document["models"]]
    shown = cli("models", "show", NAME, *on)
    assert shown.code == 0 and f"1, {DATA}" in shown.out and "shipped with strop" in shown.out
    document = cli("models", "show", NAME, *on, "--json").document
    assert document["schema"] == "strop.model/1"
    numbers = [version["number"] for version in document["model"]["versions"]]
    assert numbers == list(range(numbers[0], 0, -1)) and tuned in numbers


def test_promote_rollback_and_history(cli, on, tuned):
    """Protects moving an alias and taking it back, each with its trace in the history."""
    promoted = cli("models", "promote", NAME, tuned, "--reason", "field day 3", *on, "--json").document
    assert (promoted["version"], promoted["previous"], promoted["changed"]) == (tuned, 1, True)
    again = cli("models", "promote", NAME, tuned, *on)
    assert again.code == 0 and f"version {tuned} already" in again.out
    back = cli("models", "rollback", NAME, *on)
    assert back.code == 0 and f"production is version 1, before: {tuned}" in back.out
    history = cli("models", "history", NAME, *on, "--json").document["history"]
    assert [(each["action"], each["version"]) for each in history[:2]] == [("rollback", 1), ("promote", tuned)]
    assert history[1]["reason"] == "field day 3" and "field day 3" in cli("models", "history", NAME, *on).out
    refused = cli("models", "rollback", NAME, "--alias", "nightly", *on)
    assert refused.code == 4 and "nightly" in refused.err


def test_verify(cli, on, tuned):
    """Protects the proof: the service trains again and says that every byte is equal."""
    ran = cli("models", "verify", NAME, tuned, "--follow", *on)
    assert ran.code == 0 and "yes, every byte" in ran.out
    queued = cli("models", "verify", NAME, tuned, *on, "--json").document
    assert queued["schema"] == "strop.job/1" and queued["job"]["kind"] == "verify"


def test_download_and_import(cli, on, tuned, tmp_path):
    """Protects the files: what is downloaded is the version, whole, and can be sent to another box as it is."""
    ran = cli("models", "download", NAME, tuned, "--output", "x.safetensors", *on, "--json")
    assert ran.code == 0 and ran.document["bytes"] == (tmp_path / "x.safetensors").stat().st_size
    with Model.load(tmp_path / "x.safetensors") as model:
        digest = model.digest()
    refused = cli("models", "download", NAME, 1, "--output", "x.safetensors", *on)
    assert refused.code == 4 and "--force" in refused.err
    sent = cli("models", "import", "x.safetensors", "--name", "from-elsewhere", *on, "--json").document["version"]
    assert (sent["model"], sent["number"], sent["sha256"]) == ("from-elsewhere", 1, digest)
    assert cli("models", "download", NAME, 1, "--output", "x.safetensors", "--force", *on).code == 0
    assert (tmp_path / "x.safetensors").read_bytes() == pretrained_path(NAME).read_bytes()


def test_a_damaged_checkpoint_is_refused_by_the_service(cli, on, tmp_path):
    """Protects the registry, and the message: a file that is no checkpoint is 4, with the service's reason."""
    content = bytearray(pretrained_path(NAME).read_bytes())
    content[-5] ^= 1
    (tmp_path / "x.safetensors").write_bytes(content)
    ran = cli("models", "import", "x.safetensors", "--name", "broken", *on, "--json")
    assert ran.code == 4 and ran.document["error"]["type"] == "ServiceProblem"
    assert cli("models", "import", "nowhere.safetensors", "--name", "broken", *on).code == 4
    assert cli("models", "show", "broken", *on).code == 4


def test_each_action_explains_itself(cli):
    """Protects the help of the actions: each says what it does and shows an example that is its own."""
    for action in command.HELP:
        ran = cli("models", action, "--help")
        assert ran.code == 0 and f"  strop models {action}" in ran.out and ran.out.count("  strop models ") == 1
        assert "--on URL" in ran.out and "--key-file" in ran.out
