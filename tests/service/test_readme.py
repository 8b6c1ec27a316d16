"""service/README.md: its tables are what the code says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from strop.service.dependencies import Service
from strop.service.problems import REGISTRY
from strop.service.settings import Settings

README = Path(__file__).parents[2] / "service" / "README.md"
SUFFIXES = {"counter": "_total", "info": "_info"}  # that the name has when it is exposed


def table(heading: str) -> list[str]:
    """Return the rows of the first table below a heading of the README, without its head."""
    _, found, text = README.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    assert found, heading
    rows = re.findall(r"^\|.*\|$", text.partition("\n## ")[0], re.MULTILINE)
    return rows[2:]


def settings_rows(client: TestClient) -> list[str]:
    """Return a row for each setting."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "`~/.local/share/strop/service`" if name == "data" else field.default
        shown = "" if default in (None, "") else default
        rows.append(f"| `STROP_{name.upper()}` | {shown} | {field.description} |")
    return rows


def problem_rows(client: TestClient) -> list[str]:
    """Return a row for each kind of problem, by status."""
    kinds = sorted(REGISTRY.items(), key=lambda item: (item[1].status, item[0]))
    return [f"| {kind.status} | `{code}` | {kind.title} | {kind.remedy} |" for code, kind in kinds]


def metric_rows(client: TestClient) -> list[str]:
    """Return a row for each metric of strop's own."""
    assert isinstance(client.app, FastAPI)
    service: Service = client.app.state.service
    rows = []
    for family in service.metrics.registry.collect():
        if family.name.startswith("strop_"):
            name = family.name + SUFFIXES.get(family.type, "")
            rows.append(f"| `{name}` | {family.type} | {family.documentation} |")
    return rows


@pytest.mark.parametrize(
    ("heading", "rows"), [("Settings", settings_rows), ("Problems", problem_rows), ("Metrics", metric_rows)]
)
def test_tables_are_what_the_code_says(
    client: TestClient, heading: str, rows: Callable[[TestClient], list[str]]
) -> None:
    """Protects operators: every setting, code and metric is described, as it is. A failure shows the right rows."""
    expected = rows(client)
    assert table(heading) == expected, "\n".join(expected)


def test_labels_that_are_described_are_those_that_occur(client: TestClient) -> None:
    """Protects queries and alarms: the labels that the README names."""
    client.get("/jobs")
    text = README.read_text(encoding="utf-8")
    (described,) = re.findall(r"^Labels: (.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    assert isinstance(client.app, FastAPI)
    service: Service = client.app.state.service
    found = {
        label
        for family in service.metrics.registry.collect()
        if family.name.startswith("strop_")
        for sample in family.samples
        for label in sample.labels
    }
    assert set(re.findall(r"`(\w+)`", described)) == found | {"le"}
