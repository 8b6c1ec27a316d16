"""The synthesis lint finds every planted fault and nothing else, and the kernel passes it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import hls_pragmas
import hls_walk
import synthesizable

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SAMPLES = HERE / "samples"


def expected_findings(source: Path) -> set[tuple[int, str]]:
    """Return (line, rule) of every `finds:` remark in a sample."""
    return {
        (number, rule.strip())
        for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), start=1)
        if (remark := re.search(r"// finds: (.*)", line))
        for rule in remark[1].split(",")
    }


def test_every_planted_fault_is_found_and_nothing_else() -> None:
    """Protects the lint's worth: a rule that stops firing, or fires on sound lines, is seen here."""
    source = SAMPLES / "bad.cpp"
    found = {(finding.line, finding.rule) for finding in synthesizable.check(source, "Top")}
    assert found == expected_findings(source)


def test_the_sample_plants_every_rule() -> None:
    """Protects the sample's completeness: a new rule needs a planted fault."""
    untested = set(hls_walk.RULES) - {rule for _, rule in expected_findings(SAMPLES / "bad.cpp")}
    assert untested == {"runtime-type", "assembly"}  # one node kind each, planted below


def test_sound_code_passes() -> None:
    """Protects against false alarms: templates, constants, macros in pragmas and host-only blocks are allowed."""
    assert synthesizable.check(SAMPLES / "good.cpp", "Top") == []


def test_the_interface_report_names_each_gap() -> None:
    """Protects the messages about ports: all stand on one line of the sample, so the rule alone tells little."""
    findings = synthesizable.check(SAMPLES / "bad.cpp", "Top")
    assert {finding.message for finding in findings if finding.rule == "interface"} == {
        "return has no INTERFACE pragma",
        "the address of output has no s_axilite register (m_axi, offset=slave)",
        "the registers of memory reach to 0x1c, but n is at 0x18: one would be moved",
    }


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ('__asm__ volatile("");', "assembly"),
        ("Base base; Base *b = &base; n = dynamic_cast<Derived *>(b) != nullptr;", "runtime-type"),
        ("n = __builtin_popcount(n);", "outside-call"),
        ("const double half = n; n = static_cast<int>(half);", "float"),
        ("int (*f)(int) = nullptr; (void)f;", "function-pointer"),
    ],
)
def test_single_statements(tmp_path: Path, statement: str, rule: str) -> None:
    """Protects the rules whose constructs do not fit the sample file."""
    source = tmp_path / "one.cpp"
    source.write_text(
        "struct Base { virtual ~Base() {} };\nstruct Derived : Base {};\n"
        f'extern "C" int Top(int n) {{\n#pragma HLS INTERFACE s_axilite port = n\n'
        f"#pragma HLS INTERFACE s_axilite port = return\n  {statement}\n  return n;\n}}\n",
        encoding="utf-8",
    )
    assert rule in {finding.rule for finding in synthesizable.check(source, "Top") if finding.line == 6}


def test_source_that_cannot_be_checked_is_an_error(tmp_path: Path) -> None:
    """Protects against a silent pass: no top function, or code that does not compile, is not "no findings"."""
    source = tmp_path / "broken.cpp"
    source.write_text("int Top( {", encoding="utf-8")
    with pytest.raises(synthesizable.LintError, match="error"):
        synthesizable.check(source, "Top")
    source.write_text("int Other() { return 1; }\n", encoding="utf-8")
    with pytest.raises(synthesizable.LintError, match="defines 0 functions Top"):
        synthesizable.check(source, "Top")


def test_pragmas_are_read_at_their_places() -> None:
    """Protects the reading of line markers, on which every attachment of a pragma to its loop rests."""
    text = '# 7 "a.hpp" 2\nint x;\n#pragma HLS PIPELINE II = 2 rewind\n'
    text += '# 3 "b.cpp"\n  #pragma hls Interface m_axi port=p\n'
    first, second = hls_pragmas.read_pragmas(text)
    assert (first.path, first.line, first.name, first.options) == ("a.hpp", 8, "pipeline", {"ii": "2", "rewind": ""})
    assert (second.path, second.line, second.mode) == ("b.cpp", 3, "m_axi")


def test_command_line_reports_and_fails() -> None:
    """Protects the exit status that the Makefile and the gate rely on."""

    def lint(name: str, top: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(HERE / "synthesizable.py"), str(SAMPLES / name), "--top", top]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    bad, good, missing = lint("bad.cpp", "Top"), lint("good.cpp", "Top"), lint("good.cpp", "Nothing")
    assert (bad.returncode, good.returncode, missing.returncode) == (1, 0, 2)
    assert "[recursion]" in bad.stdout
    assert "static checks passed" in good.stdout


def test_the_kernel_passes() -> None:
    """Protects the kernel: nothing that synthesis reaches breaks a rule. This does not show that it synthesizes."""
    checker = synthesizable.inspect(ROOT / "hls" / "kernel.cpp", "strop_kernel", (str(ROOT / "hls"),))
    assert not checker.findings, "\n".join(map(str, sorted(checker.findings)))
    reached = {function.cursor.spelling for function in checker.functions.values()}
    assert {"strop_kernel", "MacTile", "NormalizeWords", "SgdRow"} <= reached
