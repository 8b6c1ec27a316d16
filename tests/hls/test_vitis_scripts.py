"""The scripts that call Vitis HLS, against a mock of its Tcl commands and against stand-ins for its programs.

What runs here is our half: order, names, settings, messages. Whether the tool likes them only the tool can say.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from vitis_config import CONFIGS, HLS, flags_of, read_config

SCRIPT = HLS / "vitis" / "run_hls.tcl"
MOCK = Path(__file__).with_name("vitis_mock.tcl")
ALL_STEPS = "csim csynth cosim export"
PREFIX = "syn.interface."

needs_tclsh = pytest.mark.skipif(shutil.which("tclsh") is None, reason="needs tclsh; sudo apt-get install tcl")


def run_script(
    folder: Path, steps: str = ALL_STEPS, flow: str = "project", script: Path = SCRIPT, config: Path | None = None
) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """Run the Tcl twin against the mock; return how it ended and the calls that it made."""
    log = folder / "calls"
    given = {"STROP_HLS_CONFIG": str(config or CONFIGS["kv260"]), "STROP_HLS_STEPS": steps}
    ran = subprocess.run(
        ["tclsh", MOCK, script, log, flow],
        env={**os.environ, **given, "STROP_HLS_WORK": str(folder / "work")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return ran, [line.split("\t") for line in log.read_text(encoding="utf-8").splitlines()]


def expected_calls(config: Path, flow: str) -> list[list[str]]:
    """Return the calls that say what a config file says, for all steps."""
    settings = read_config(config)
    one = {key: values[0] for key, values in settings.items()}
    sources = []
    for key, first in (("syn.file", []), ("tb.file", ["-tb"])):
        for source in settings[key]:
            call = ["add_files", *first]
            for option, kind in (("-cflags", "cflags"), ("-csimflags", "csimflags")):
                flags = flags_of(settings, f"{key}_{kind}", source)
                call += [option, flags] if flags else []
            sources.append([*call, str((config.parent / source).resolve())])
    opening, solution = [["open_project", "-reset", "strop_kernel"]], []
    if flow == "component":
        opening = [["open_component", "-reset", "strop_kernel", "-flow_target", one["flow_target"]]]
    else:
        solution = [["open_solution", "-reset", "-flow_target", one["flow_target"], "solution"]]
    return [
        *opening,
        ["set_top", one["syn.top"]],
        *sources,
        *solution,
        ["set_part", one["part"]],
        ["create_clock", "-period", one["clock"], "-name", "default"],
        ["set_clock_uncertainty", one["clock_uncertainty"]],
        *(
            # a boolean and its value are one word, as the tool writes them
            ["config_interface", f"-{option}={value}"]
            if option == "m_axi_addr64"
            else ["config_interface", f"-{option}", value]
            for option, value in ((key.removeprefix(PREFIX), value) for key, value in one.items() if PREFIX in key)
        ),
        ["csim_design", "-argv", one["csim.argv"], "-O"],
        ["csynth_design"],
        ["cosim_design", "-argv", one["cosim.argv"], "-O"],
        [
            *("export_design", "-format", one["package.output.format"], "-vendor", one["package.ip.vendor"]),
            *("-library", one["package.ip.library"], "-ipname", one["package.ip.name"]),
            *("-version", one["package.ip.version"]),
        ],
    ]


@needs_tclsh
@pytest.mark.parametrize("flow", ["project", "component"])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_tcl_twin_says_what_the_config_says(name: str, flow: str, tmp_path: Path) -> None:
    """Protects older versions from other settings than newer ones: each call follows from the config file."""
    ran, calls = run_script(tmp_path, flow=flow, config=CONFIGS[name])
    assert ran.returncode == 0, ran.stderr
    assert calls == expected_calls(CONFIGS[name], flow)
    component = (tmp_path / "work" / "ip" / "component.xml").read_text(encoding="utf-8")
    assert component.strip() == "strop:hls:strop_kernel:1.0"


@needs_tclsh
@pytest.mark.parametrize(
    ("found", "instead", "message"),
    [
        ("create_clock -period", "create_clok -period", 'invalid command name "create_clok"'),
        ("set_part [value part]", "", "csim_design before set_part"),
        ("create_clock -period [value clock] -name default", "", "set_clock_uncertainty before create_clock"),
        ("csynth { csynth_design }", "csynth {}", "cosim_design before csynth_design"),
        ("set option -[", "set option -x[", "config_interface has no option -xm_axi_addr64"),
        ("$option=[value $key]", "$option [value $key]", 'wants 0 words besides its options, not "1"'),
        ("$option=[value $key]", "$option=64", '-m_axi_addr64: "64" is no value of it'),
        ("config_interface $option [value $key]", "config_interface $option", "widen_bitwidth wants a value"),
        (
            "config_interface $option [value $key]",
            "config_interface $option=",
            '-m_axi_max_widen_bitwidth: "" is no va',
        ),
        ("create_clock -period", "create_clock -period fast", 'create_clock -period: "fast" is no value of it'),
        ("add_sources tb.file -tb", "add_sources tb.file {}", "which add_files -tb did not name"),
        ("-version [value package.ip.version]", "-version", "export_design -version wants a value"),
        ("add_files {*}$all $path", "add_files {*}$all [file tail $path]", "there is no file kernel.cpp"),
    ],
)
def test_the_mock_can_fail(found: str, instead: str, message: str, tmp_path: Path) -> None:
    """Protects the test above from a mock that takes everything: broken scripts are refused, each for its fault."""
    text = SCRIPT.read_text(encoding="utf-8")
    assert found in text
    broken = tmp_path / "broken.tcl"
    broken.write_text(text.replace(found, instead), encoding="utf-8")
    ran, _ = run_script(tmp_path, script=broken)
    assert ran.returncode == 1
    assert message in ran.stderr


@needs_tclsh
@pytest.mark.parametrize(
    ("found", "instead"),
    [
        ("$option=[value $key]", "$option"),
        ("$option=[value $key]", "$option=true"),
        ("config_interface $option [value $key]", "config_interface $option=[value $key]"),
    ],
)
def test_the_mock_takes_what_public_scripts_say(found: str, instead: str, tmp_path: Path) -> None:
    """Protects the mock from a spelling of our own: what it refuses is refused for being found nowhere else."""
    text = SCRIPT.read_text(encoding="utf-8")
    assert text.count(found) == 1
    other = tmp_path / "other.tcl"
    other.write_text(text.replace(found, instead), encoding="utf-8")
    ran, calls = run_script(tmp_path, script=other)
    assert ran.returncode == 0, ran.stderr
    assert calls != expected_calls(CONFIGS["kv260"], "project")


@needs_tclsh
@pytest.mark.parametrize(
    ("found", "instead", "message"),
    [
        (
            "csim.O=true",
            "csim.O=true\nsyn.interface.m_axi_adr64=1",
            "the key syn.interface.m_axi_adr64 is not understood",
        ),
        ("csim.O=true", "csim.O=yes", "csim.O is yes; allowed: true, false"),
        ("csim.O=true", "csim.O=", '"csim.O=" is neither'),
        ("csim.O=true\n", "", "the key csim.O is missing"),
        ("csim.O=true", "csim.O=true\ncsim.O=true", "the key csim.O is there twice"),
        ("[hls]\n", "", "the key flow_target is in the wrong section"),
        ("part=", "[hls]\npart=", "the key part is in the wrong section"),
        ("syn.file=../kernel.cpp", "syn.file=../colonel.cpp", "syn.file=../colonel.cpp: there is no "),
        (
            "syn.file_cflags=../k",
            "syn.file_cflags=../c",
            "syn.file_cflags speaks of ../cernel.cpp, which is no syn.file",
        ),
        ("syn.file_cflags=../kernel.cpp,", "syn.file_cflags=", "it must be path,flags"),
    ],
)
def test_a_config_that_is_not_understood_is_refused(found: str, instead: str, message: str, tmp_path: Path) -> None:
    """Protects against a setting that is quietly without effect: an error names it, and what is allowed."""
    folder = tmp_path / "hls" / "vitis"
    folder.mkdir(parents=True)
    shutil.copy(HLS / "kernel.cpp", tmp_path / "hls")
    shutil.copytree(HLS.parent / "tests" / "hls", tmp_path / "tests" / "hls")
    config = folder / "kv260.cfg"
    text = CONFIGS["kv260"].read_text(encoding="utf-8")
    assert found in text
    config.write_text(text.replace(found, instead), encoding="utf-8")
    ran, _ = run_script(tmp_path, config=config)
    assert ran.returncode == 1
    assert message in ran.stderr


@needs_tclsh
@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("csim synthesis", "there is no step synthesis; allowed: csim csynth cosim export"),
        ("csynth csim", "their order is: csim csynth cosim export"),
        ("export", "export needs csynth in the same run"),
        ("", "STROP_HLS_STEPS is not set"),
    ],
)
def test_steps_that_make_no_sense_are_refused(steps: str, message: str, tmp_path: Path) -> None:
    """Protects an hour of synthesis: what cannot end well does not begin."""
    ran, calls = run_script(tmp_path, steps=steps)
    assert (ran.returncode, calls) == (1, [])
    assert message in ran.stderr


STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> "{log}"
echo "steps: ${STROP_HLS_STEPS-}" >> "{log}"
case "$*" in
  *--package*) [ -n "{packs}" ] && mkdir -p component/hls/impl/ip && echo IP > component/hls/impl/ip/component.xml ;;
esac
exit {status}
"""


def make_target(
    folder: Path,
    target: str,
    tools: tuple[str, ...],
    board: str = "kv260",
    status: int = 0,
    packs: bool = True,
    flow: str = "",
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run a target of the Makefile where only these programs of AMD's are there; return its end and their calls."""
    if shutil.which("make") is None:
        pytest.skip("needs make")
    installed, log = folder / "bin", folder / "log"
    installed.mkdir()
    for tool in tools:
        text = STAND_IN.replace("{log}", str(log)).replace("{status}", str(status))
        (installed / tool).write_text(text.replace("{packs}", "yes" if packs else ""), encoding="utf-8")
        (installed / tool).chmod(0o755)
    ran = subprocess.run(
        ["make", "--no-print-directory", "-C", HLS, target, f"BOARD={board}", f"VITIS_BUILD={folder / 'build'}"],
        env={"PATH": f"{installed}:/usr/bin:/bin", "STROP_HLS_FLOW": flow},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return ran, log.read_text(encoding="utf-8").splitlines() if log.exists() else []


UNIFIED = ("v++", "vitis-run")
COMPILE, RUN = "v++ -c --mode hls", "vitis-run --mode hls"


@pytest.mark.parametrize(
    ("target", "commands"),
    [
        ("vitis-csim", [f"{RUN} --csim"]),
        ("vitis-csynth", [COMPILE]),
        ("vitis-cosim", [COMPILE, f"{RUN} --cosim"]),
        ("vitis-ip", [COMPILE, f"{RUN} --package"]),
    ],
)
def test_the_unified_flow_is_called(target: str, commands: list[str], tmp_path: Path) -> None:
    """Protects the command lines of 2023.2 and later, and that the IP is left where the overlay looks for it."""
    ran, log = make_target(tmp_path, target, (*UNIFIED, "vitis_hls"))
    assert ran.returncode == 0, ran.stderr
    rest = f"--config {CONFIGS['kv260']} --work_dir {tmp_path}/build/kv260/component"
    assert log[::2] == [f"{command} {rest}" for command in commands]
    assert (tmp_path / "build" / "kv260" / "ip" / "component.xml").exists() == (target == "vitis-ip")


@pytest.mark.parametrize(
    ("tools", "flow", "command"),
    [
        (("vitis_hls",), "", "vitis_hls -f"),
        (("v++", "vitis_hls"), "", "vitis_hls -f"),  # v++ of 2022.2 and before knows no --mode hls
        (("v++", "vitis-run", "vitis_hls"), "tcl", "vitis_hls -f"),
        (("v++", "vitis-run"), "tcl", "vitis-run --mode hls --tcl"),
    ],
)
def test_older_versions_get_the_tcl_twin(tools: tuple[str, ...], flow: str, command: str, tmp_path: Path) -> None:
    """Protects installations without the unified flow, such as the 2022.1 that Kria's image was made with."""
    ran, log = make_target(tmp_path, "vitis-ip", tools, flow=flow)
    assert ran.returncode == 0, ran.stderr
    assert log == [f"{command} {SCRIPT}", "steps: csynth export"]


def test_a_failing_tool_fails_the_target(tmp_path: Path) -> None:
    """Protects against an overlay built from the IP of an earlier run: after an error nothing more is called."""
    (tmp_path / "build" / "kv260" / "ip").mkdir(parents=True)
    ran, log = make_target(tmp_path, "vitis-ip", UNIFIED, status=3)
    assert ran.returncode == 2
    assert len(log[::2]) == 1
    assert not (tmp_path / "build" / "kv260" / "ip").exists()


def test_a_tool_that_packs_nothing_fails_the_target(tmp_path: Path) -> None:
    """Protects against an IP that is not there: the tool's word is not enough."""
    ran, _ = make_target(tmp_path, "vitis-ip", UNIFIED, packs=False)
    assert ran.returncode == 2
    assert "left no" in ran.stderr


@pytest.mark.parametrize("target", ["vitis-csim", "vitis-csynth", "vitis-cosim", "vitis-ip"])
def test_without_the_tool_the_message_says_what_to_do(target: str, tmp_path: Path) -> None:
    """Protects the first try of a board's owner: what is missing, and how an installed tool is made to be found."""
    ran, _ = make_target(tmp_path, target, ("v++",))
    assert ran.returncode == 2
    assert "no Vitis HLS" in ran.stderr and "settings64.sh" in ran.stderr
    assert f"make -C hls {target} BOARD=kv260" in ran.stderr
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize("board", ["", "pynq-z9", "../vitis/kv260"])
def test_unknown_boards_are_refused(board: str, tmp_path: Path) -> None:
    """Protects the name that build folders and settings hang on: the message lists the boards."""
    ran, log = make_target(tmp_path, "vitis-csynth", UNIFIED, board=board)
    assert (ran.returncode, log) == (2, [])
    assert "allowed: kv260 pynq-z2 ultra96-v2 zcu104" in ran.stderr
