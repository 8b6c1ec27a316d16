"""Problems: the form of every error, and the one registry of their codes."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

from fastapi import FastAPI
from fastapi.testclient import TestClient

from strop.runtime.errors import InputError
from strop.service.problems import EVERY_ROUTE, REGISTRY, SCOPED_ROUTE, Problem, problem_response, problems

SERVICE = Path(__file__).parents[2] / "service"


def test_every_code_that_is_raised_is_registered() -> None:
    """Protects against a KeyError where a refusal was meant: all literal codes in the service's sources."""
    used = set()
    for path in SERVICE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id in ("Problem", "problem_response", "problem_body"):
                    arguments = node.args[:1]
                elif node.func.id == "problems":
                    arguments = node.args
                else:
                    continue
                used |= {a.value for a in arguments if isinstance(a, ast.Constant)}
    assert used - REGISTRY.keys() == set()
    assert len(used) > 10


def test_every_kind_says_what_to_do() -> None:
    """Protects clients: an HTTP status for errors, and a title and a remedy as sentences for people."""
    for code, kind in REGISTRY.items():
        assert re.fullmatch(r"[a-z_]+", code)
        assert 400 <= kind.status < 600
        assert kind.title[0].isupper(), code
        assert not kind.title.endswith("."), code
        assert kind.remedy.endswith("."), code


def test_a_problem_has_all_members_of_the_schema(client: TestClient) -> None:
    """Protects RFC 9457: what the OpenAPI document requires is what comes."""
    answer = client.get("/jobs?limit=0")
    schema = client.get("/openapi.json").json()["paths"]["/jobs"]["get"]["responses"]["422"]["content"]
    required = schema["application/problem+json"]["schema"]["required"]
    body = answer.json()
    assert set(required) <= body.keys()
    assert body["status"] == answer.status_code == 422
    assert body["errors"] == [{"pointer": "/query/limit", "message": body["errors"][0]["message"]}]


def test_unknown_paths_and_methods_are_problems(client: TestClient) -> None:
    """Protects clients that read every error in one way."""
    missing = client.get("/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    wrong = client.put("/keys")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET, POST"  # of two routes


def test_strops_own_errors_are_problems(client: TestClient) -> None:
    """Protects the messages of strop's errors, which say what is allowed: they reach the client."""
    assert isinstance(client.app, FastAPI)

    @client.app.get("/strop")
    def strop() -> None:
        raise InputError("batch is 7; allowed: 8")

    answer = client.get("/strop")
    assert (answer.status_code, answer.json()["code"], answer.json()["error"]) == (422, "unacceptable", "InputError")
    assert answer.json()["detail"] == "batch is 7; allowed: 8"


def test_half_a_surrogate_pair_does_not_break_the_answer(client: TestClient) -> None:
    """Protects the refusal of what UTF-8 has no bytes for, and which a detail or a member may quote."""
    body = problem_response("unacceptable", "no class \ud800", name="\udfff").body
    assert json.loads(body)["detail"] == "no class \ud800"
    for text in ('{"\\ud800": 1}', '{"data": "\\ud800"}', '{"data": "a", "frozen": ["\\udfff"]}'):
        answer = client.post("/finetune", content=text, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, text


def test_responses_of_a_route_name_every_status() -> None:
    """Protects the OpenAPI document: what each route may answer is in it, keys only where one is asked for."""
    shown = problems("not_found", "dataset_unsuitable")
    assert set(shown) == {REGISTRY[code].status for code in (*EVERY_ROUTE, *SCOPED_ROUTE, "not_found")}
    assert "`invalid_request`" in shown[422]["description"]
    assert "`dataset_unsuitable`" in shown[422]["description"]
    assert set(shown) - set(problems("not_found", scoped=False)) == {401, 403}


def test_a_problem_carries_its_headers_and_members(client: TestClient) -> None:
    """Protects Retry-After and the members that programs read."""
    assert isinstance(client.app, FastAPI)

    @client.app.get("/full")
    def full() -> None:
        raise Problem("queue_full", "100 jobs wait", headers={"Retry-After": "10"}, waiting=100)

    answer = client.get("/full")
    assert (answer.status_code, answer.headers["retry-after"], answer.json()["waiting"]) == (429, "10", 100)
