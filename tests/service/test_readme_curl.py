"""What README.md says about HTTP, pasted: its lines run as they stand, and answer what they promise."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from running_server import Server
from strop.host import load_dataset
from strop.host.data import load_image

ROOT = Path(__file__).resolve().parents[2]
PORT = 8080
NOT_HERE = ("pip install", "strop serve")  # the test has an installation, and a service of its own
MARK = "=== next line ==="


def blocks() -> list[str]:
    """Return the shell blocks of the section."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(r"^## Over HTTP\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    return re.findall(r"^```sh\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Return the lines to run, each whole where it goes on in the next."""
    lines = "".join(blocks()).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith(NOT_HERE)]


def port_is_free() -> bool:
    """Whether the port that the README names can be had."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return False
    return True


@pytest.fixture
def answers(make_server: Callable[..., Server]) -> dict[str, str]:
    """What each line of the README prints, on a fresh service, by the line."""
    server = make_server()
    if port_is_free():
        server.port = PORT
    server.start()
    lines = commands()
    script = f"\necho '{MARK}'\n".join(line.replace(f":{PORT}", f":{server.port}") for line in lines)
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split(f"{MARK}\n")
    return dict(zip(lines, printed, strict=True))


def answer_to(answers: dict[str, str], words: str) -> str:
    """Return what the one line with these words printed."""
    (found,) = [printed for line, printed in answers.items() if words in line]
    return found


def test_the_lines_do_what_they_say(answers: dict[str, str]) -> None:
    """Protects the first hour of a user: predict, fine-tune, follow, look, promote and go back, by pasted lines."""
    predicted: dict[str, Any] = json.loads(answer_to(answers, "/predict"))
    assert predicted["predictions"][0]["class"] == "Ankle boot" and predicted["version"] == 1
    events = answer_to(answers, "/events")
    assert re.findall(r"^event: (\w+)$", events, re.MULTILINE)[-1] == "succeeded" and "event: progress" in events
    job = json.loads(answer_to(answers, "curl -s $BOX$JOB "))
    assert job["state"] == "succeeded" and job["result"]["version"] == 2
    accuracy = job["result"]["accuracy"]
    assert accuracy["after"]["validation"] > accuracy["before"]["validation"] + 0.4
    promoted, back = (json.loads(answer_to(answers, words)) for words in ("/aliases/production", "/rollback"))
    assert (promoted["version"], promoted["previous"]) == (2, 1)
    assert (back["version"], back["previous"]) == (1, 2)


def test_the_image_is_one_of_the_data_set() -> None:
    """Protects the picture that the lines send: it is a test image, which the model was not trained on."""
    path = ROOT / "host" / "data" / "ankle_boot.png"
    test = load_dataset("fashion-mnist-subset", "test")
    assert (load_image(path, (1, 28, 28)) == test.images).all(axis=(1, 2, 3)).sum() == 1
    assert len(base64.b64encode(path.read_bytes())) < 1000
