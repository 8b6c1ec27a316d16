"""`strop doctor`: what is missing is named with what mends it; the exit code says if training is possible."""

from __future__ import annotations

import shutil
from dataclasses import replace

from strop.host.cli import health
from strop.host.selftest import run_cases
from strop.runtime.errors import DeviceUnavailable
from strop.runtime.reference import ReferenceDevice


def checks(ran):
    return {check["name"]: check for check in ran.document["checks"]}


def no_kernel(*_, **__):
    raise DeviceUnavailable("the emulator was not compiled")


def test_a_good_machine(cli):
    """This one: the kernel is there, and the emulator gives the known answers."""
    ran = cli("doctor", "--json")
    assert ran.code == 0 and ran.document["schema"] == "strop.doctor/1" and ran.document["training_possible"]
    found = checks(ran)
    for name in ("python", "numpy", "compiled kernel", "instruction sets", "threads", "versions", "disk", "self-test"):
        assert found[name]["status"] == "ok", found[name]
    assert "emulator equal the known answers" in found["self-test"]["detail"]
    people = cli("doctor")
    assert people.code == 0 and "Training is possible here." in people.out
    assert all(name in people.out for name in found)


def test_without_the_kernel_the_reference_is_enough(cli, monkeypatch):
    """Slow, but possible: exit code 0, and how to get the kernel."""
    monkeypatch.setattr("strop.runtime.emulator.kernel_library", no_kernel)
    ran = cli("doctor", "--json")
    found = checks(ran)
    assert ran.code == 0 and found["compiled kernel"]["status"] == "missing"
    assert "pip install" in found["compiled kernel"]["remedy"]
    assert found["self-test"]["status"] == "ok" and "on the reference" in found["self-test"]["detail"]
    monkeypatch.setattr(shutil, "which", lambda _: None)
    found = checks(cli("doctor", "--json"))
    assert "apt-get install g++" in found["C++ compiler"]["remedy"]
    assert found["compiled kernel"]["remedy"].startswith("sudo apt-get install g++")


def test_without_a_device_it_is_5(cli, monkeypatch):
    """No device at all: training is not possible here, and each reason is told."""
    monkeypatch.setattr(health, "open_device", no_kernel)
    ran = cli("doctor")
    assert ran.code == 5 and "NOT possible" in ran.out and "-> " in ran.out
    assert "emulator: the emulator was not compiled; reference: " in ran.out
    assert cli("doctor", "--json").document["training_possible"] is False


def test_without_a_device_to_trust_it_is_5(cli, monkeypatch):
    """An emulator that trains to other bytes than it must: no training, and no quiet turn to the reference."""
    wrong = [replace(result, wrong=("the state is another",)) for result in run_cases(ReferenceDevice())][:1]
    monkeypatch.setattr(health, "run_cases", lambda device: wrong)
    ran = cli("doctor", "--json")
    detail = checks(ran)["self-test"]["detail"]
    assert ran.code == 5 and not ran.document["training_possible"]
    assert detail.startswith("the emulator is wrong in 1 of 1 cases (lenet5: the state is another)")


def test_what_is_missing_has_a_remedy(cli, monkeypatch, tmp_path):
    """Optional packages and data: each line ends in what to type, and training stays possible."""
    real = health.importlib.util.find_spec
    gone = {"matplotlib", "PIL"}
    monkeypatch.setattr(health.importlib.util, "find_spec", lambda name, *a: None if name in gone else real(name, *a))
    monkeypatch.setenv("STROP_FASHION_MNIST", str(tmp_path / "nowhere"))
    monkeypatch.setenv("STROP_THREADS", "many")
    monkeypatch.setattr(health, "LEAST_FREE_BYTES", 2**80)
    ran = cli("doctor", "--json")
    found = checks(ran)
    assert ran.code == 0
    for name, remedy in {
        "matplotlib": "-m pip install matplotlib",
        "pillow": "-m pip install pillow",
        "Fashion-MNIST": "apt-get install dataset-fashion-mnist",
        "threads": "unset STROP_THREADS",
        "disk": "free some space",
    }.items():
        assert found[name]["status"] != "ok" and remedy in found[name]["remedy"], name


def test_boards_are_detected_and_left_alone(monkeypatch, tmp_path):
    """Linux names the programmable logic; pynq is missed only where there is some."""
    monkeypatch.setattr(health, "FPGA_MANAGERS", tmp_path / "fpga_manager")
    real = health.importlib.util.find_spec
    monkeypatch.setattr(health.importlib.util, "find_spec", lambda name, *a: None if name == "pynq" else real(name, *a))
    assert health.check_board().detail.startswith("none here") and health.check_pynq().status == "ok"
    (tmp_path / "fpga_manager" / "fpga0").mkdir(parents=True)
    (tmp_path / "model").write_bytes(b"Xilinx PYNQ-Z2\0")
    monkeypatch.setattr(health, "BOARD_MODEL", tmp_path / "model")
    assert health.check_board().detail == "Xilinx PYNQ-Z2, fpga0"
    assert health.check_pynq().status == "missing" and "pip install pynq" in health.check_pynq().remedy
