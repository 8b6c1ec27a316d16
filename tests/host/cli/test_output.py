"""What is printed: escapes, JSON that any parser takes, tables that a pipe does not cut."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from strop.host.cli.output import Output, console_for, is_terminal, plain_data, printable


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_control_characters_cannot_reach_the_terminal(capsys):
    """A class name in a stranger's checkpoint must not move the cursor or change the window's title."""
    assert printable("caf\u00e9 \x1b]0;owned\x07\n\u202e") == "caf\u00e9 \\x1b]0;owned\\x07\n\\u202e"
    output = Output(as_json=False)
    output.table(("a\x1b",), [["b\x1b"]])
    output.facts([("c\x1b", "d\x1b")])
    output.line("e\x1b")
    output.note("f\x1b")
    output.error("g\x1b")
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert all(letter + "\\x1b" in captured.out for letter in "bcde")


def test_markup_in_names_is_text(capsys):
    """A file named [red].npz is called so."""
    Output(as_json=False).table(("name",), [["[red]x[/red] :smile:"]])
    Output(as_json=False).error("[bold]")
    captured = capsys.readouterr()
    assert "[red]x[/red] :smile:" in captured.out and "[bold]" in captured.err


def test_documents_are_json_of_any_parser(capsys):
    """NaN is no JSON; numpy's numbers are numbers; paths are text."""
    content = {
        "nan": float("nan"), "inf": np.float64("inf"), "array": np.arange(3), "number": np.int64(7), "flag": True,
        "path": Path("a/b"), "pair": (1, 2.5), "nothing": None, 3: "key",
    }  # fmt: skip
    Output(as_json=True).document("strop.test/1", content)
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found == {
        "schema": "strop.test/1", "nan": None, "inf": None, "array": [0, 1, 2], "number": 7, "flag": True,
        "path": "a/b", "pair": [1, 2.5], "nothing": None, "3": "key",
    }  # fmt: skip
    assert plain_data(np.bool_(True)) is True


def test_either_tables_or_a_document(capsys):
    """--json leaves stdout to the document; without it there is none."""
    for as_json in (True, False):
        output = Output(as_json)
        output.line("for people")
        output.table(("h",), [["for people"]])
        output.facts([("for", "people")])
        output.document("strop.test/1", {})
        out = capsys.readouterr().out
        assert ("people" in out, "strop.test/1" in out) == (not as_json, as_json)


def test_pipes_get_whole_lines_without_colour(capsys):
    """A long path in a pipe must be found by grep, on one line and unstyled."""
    path = "/a/" + "long/" * 60
    output = Output(as_json=False)
    output.facts([("path", path)])
    output.line(path, "bold red")
    assert capsys.readouterr().out == f"path  {path}\n{path}\n"


def test_terminals_alone_get_colour(monkeypatch):
    """The environment of a CI job must not put escapes into its log; NO_COLOR holds on a terminal too."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for stream, styled in ((io.StringIO(), False), (Terminal(), True)):
        console_for(stream).print("x", style="red")
        assert ("\x1b" in stream.getvalue()) == styled
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Terminal()
    console_for(plain).print("x", style="red")
    assert "\x1b[31m" not in plain.getvalue()


def test_a_dumb_terminal_is_treated_as_a_file(monkeypatch):
    """Editors' shells set TERM=dumb: their window cannot redraw a line."""
    monkeypatch.setenv("TERM", "xterm")
    assert is_terminal(Terminal()) and not is_terminal(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not is_terminal(Terminal())
