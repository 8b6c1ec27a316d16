"""The dashboard in a real browser, on a real server: what a person does there, and what must never happen meanwhile."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

from playwright.sync_api import Browser, expect, sync_playwright

from dashboard_visit import SHOWN, Visit
from strop.host.data import load_dataset

if TYPE_CHECKING:
    from conftest import Server

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine: apt-get install chromium", allow_module_level=True)

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PAINTED = """[...document.querySelectorAll("#loss canvas, #accuracy canvas")].map(
  (canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)
)"""
MOVED = """window.moved = 0; new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.moved += entry.value;
}).observe({ type: "layout-shift" })"""
UNREACHABLE = re.compile(r"ERR_|Failed to fetch|status of 50[23]")  # while killed
MODEL = "lenet5-fashion-mnist"
WIDTHS = (360, 1280)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """A function that opens the page of a server: `visit(server)`; at the end each visit is judged."""
    made: list[Visit] = []

    def open_page(server: Server, **options: Any) -> Visit:
        made.append(Visit(browser, server.url, **options))
        expect(made[-1].page.locator("#ready")).to_have_text(re.compile("Ready|Training|Connecting"))
        return made[-1]

    yield open_page
    for each in made:
        each.close()


def progress_of(server: Server, job: str) -> list[dict[str, Any]]:
    """Return every progress event that the server has of a job."""
    found: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        headers = {"Accept": "application/json"}
        page = httpx.get(f"{server.url}/jobs/{job}/events", params={"after": after}, headers=headers).json()
        found += [event["data"] for event in page["data"] if event["type"] == "progress"]
        after = page["next"]
    return found


def post_samples(server: Server, count: int) -> list[str]:
    """Post samples without a label; return their ids."""
    images = load_dataset("fashion-mnist-subset", "test").images[:count]
    bodies = [{"model": MODEL, "image": base64.b64encode(image.tobytes()).decode()} for image in images]
    return [httpx.post(f"{server.url}/samples", json=body).json()["id"] for body in bodies]


def test_fine_tuning_is_started_and_followed(server: Server, visit: Callable[..., Visit]) -> None:
    """Protects the live panel: estimate, a curve that grows with the job, its end, and a page that holds still."""
    opened = visit(server)
    page = opened.page
    page.get_by_role("button", name="Estimate").click()
    expect(page.locator("#estimate")).to_contain_text("Nothing was started")
    expect(page.locator("#versions tr").first).to_be_visible()
    page.evaluate(MOVED)
    job = opened.start_job(shift="invert", steps="3000")
    expect(page.locator("#job-state")).to_have_text("running", timeout=20_000)
    page.wait_for_function(f"{SHOWN}.then((shown) => shown.steps.length >= 3)")
    early = opened.shown()["steps"]
    page.wait_for_function(f"{SHOWN}.then((shown) => shown.steps.length > {len(early)})")
    expect(page.locator("#job-state")).to_have_text("succeeded", timeout=60_000)
    expect(page.locator("#job-outcome")).to_contain_text("accuracy")
    told = progress_of(server, job)
    assert opened.shown()["events"] == len(told)
    assert opened.shown()["steps"] == [event["step"] for event in told]
    assert page.evaluate(PAINTED) == [True, True]
    assert page.evaluate("window.moved") < 0.05


def test_running_job_is_cancelled(server: Server, visit: Callable[..., Visit]) -> None:
    """Protects the cancel button."""
    opened = visit(server)
    job = opened.start_job(steps="500000")
    expect(opened.page.locator("#job-state")).to_have_text("running", timeout=20_000)
    opened.page.locator("#cancel").click()
    expect(opened.page.locator("#job-state")).to_have_text("cancelled")
    assert httpx.get(f"{server.url}/jobs/{job}").json()["state"] == "cancelled"


@pytest.mark.slow
def test_server_may_be_killed_in_the_middle_of_a_job(
    make_server: Callable[..., Server], visit: Callable[..., Visit]
) -> None:
    """Protects the promise of the event stream where people see it: after a restart no gap, and nothing twice."""
    server = make_server().start()
    opened = visit(server)
    opened.allowed.append(UNREACHABLE)
    job = opened.start_job(steps="8000")
    opened.page.wait_for_function(f"{SHOWN}.then((shown) => shown.steps.length >= 5)")
    server.kill()
    expect(opened.page.locator("#ready")).to_have_text("Not reachable", timeout=15_000)
    server.start()
    expect(opened.page.locator("#job-state")).to_have_text("succeeded", timeout=90_000)
    expect(opened.page.locator("#ready")).to_have_text("Ready", timeout=15_000)
    expect(opened.page.locator("#job-connection")).to_have_text("")
    told = progress_of(server, job)
    shown = opened.shown()
    assert shown["job"] == job
    assert shown["events"] == len(told)
    assert shown["steps"] == sorted({event["step"] for event in told})
    log = opened.page.locator("#log").text_content()
    assert log is not None and "interrupted" in log and "resumed" in log


def test_stream_that_is_refused_is_asked_for_again(server: Server, visit: Callable[..., Visit]) -> None:
    """Protects the live panel behind a proxy: a browser gives an event stream up for good after one answer of 502."""
    opened = visit(server)
    opened.allowed.append(re.compile("status of 502"))
    opened.page.route("**/events?**", lambda route: route.fulfill(status=502), times=2)
    job = opened.start_job(steps="60")
    expect(opened.page.locator("#log")).to_contain_text("succeeded", timeout=20_000)
    assert opened.shown()["events"] == len(progress_of(server, job))


def test_repeated_events_and_steps_count_once(server: Server, visit: Callable[..., Visit]) -> None:
    """Protects the curves: an event that comes twice counts once, a step that a job repeats has one point."""
    opened = visit(server)
    steps = [(1, 10), (2, 20), (2, 20), (1, 10), (3, 15), (4, 20), (5, 30)]  # event and step; 15 is after a restart
    words = [{"step": step, "steps": 30, "loss": 1 / step, "accuracy": 0.5} for _, step in steps]
    stream = "".join(
        f"id: {id}\nevent: progress\ndata: {json.dumps(data)}\n\n" for (id, _), data in zip(steps, words, strict=True)
    )
    epoch = {"epoch": 1, "steps": 20, "loss": 1, "accuracy": 0.5, "validation_accuracy": 0.75}
    stream += f"id: 6\nevent: epoch\ndata: {json.dumps(epoch)}\n\nid: 7\nevent: cancelled\ndata: {{}}\n\n"
    opened.page.route("**/events?**", lambda route: route.fulfill(body=stream, content_type="text/event-stream"))
    opened.start_job(steps="30")
    expect(opened.page.locator("#log")).to_contain_text("cancelled")
    assert (opened.shown()["events"], opened.shown()["steps"]) == (5, [10, 15, 20, 30])
    columns = opened.page.evaluate("import('/dashboard/job.js').then((job) => job.shown.curves.accuracyColumns())")
    assert columns[0] == [10, 15, 20, 30]
    assert columns[3] == [None, None, 75, None]


def test_version_is_promoted_and_rolled_back(server: Server, visit: Callable[..., Visit]) -> None:
    """Protects what is in production: two clicks move it, two move it back, and the history tells of both."""
    opened = visit(server)
    page = opened.page
    job = opened.start_job(steps="40")
    expect(page.locator("#job-state")).to_have_text("succeeded", timeout=60_000)
    number = httpx.get(f"{server.url}/jobs/{job}").json()["result"]["version"]
    production = httpx.get(f"{server.url}/models/{MODEL}").json()["aliases"]["production"]
    page.get_by_role("button", name=f"Promote version {number}", exact=True).click()
    page.get_by_label("Reason, kept in the history").fill("better light")
    page.locator("#confirm-do").click()
    expect(page.locator("#aliases")).to_contain_text(f"production version {number}")
    assert httpx.get(f"{server.url}/models/{MODEL}").json()["aliases"]["production"] == number
    page.get_by_role("button", name="Roll back production").click()
    page.locator("#confirm-do").click()
    expect(page.locator("#aliases")).to_contain_text(f"production version {production}")
    assert httpx.get(f"{server.url}/models/{MODEL}").json()["aliases"]["production"] == production
    page.get_by_text("History of the aliases").click()
    expect(page.locator("#history-list li").nth(0)).to_contain_text("rollback: production")
    expect(page.locator("#history-list li").nth(1)).to_contain_text("better light")


def test_version_is_verified(server: Server, visit: Callable[..., Visit]) -> None:
    """Protects the verify button: the answer is where the job is."""
    opened = visit(server)
    page = opened.page
    job = opened.start_job(steps="40")
    expect(page.locator("#job-state")).to_have_text("succeeded", timeout=60_000)
    number = httpx.get(f"{server.url}/jobs/{job}").json()["result"]["version"]
    page.get_by_role("button", name=f"Verify version {number}", exact=True).click()
    expect(page.locator("#job-outcome")).to_have_text("The same bytes, trained again.", timeout=60_000)


def test_refusal_is_shown_with_its_remedy(server: Server, visit: Callable[..., Visit]) -> None:
    """Protects whoever meets an error: detail and remedy are on the page, also while a dialog is open."""
    opened = visit(server)
    opened.allowed.append(re.compile("status of (409|422)"))
    page = opened.page
    page.locator("#start summary").click()
    page.locator("#start-batch").fill("1000")
    page.get_by_role("button", name="Estimate").click()
    refused = httpx.post(f"{server.url}/finetune", json={"data": "fashion-mnist-subset", "batch": 1000}).json()
    expect(page.locator("#notices")).to_contain_text(refused["detail"])
    expect(page.locator("#notices")).to_contain_text(refused["remedy"])
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator("#notices")).to_be_empty()
    page.route("**/rollback", lambda route: route.fulfill(status=409, json=refused))
    page.get_by_role("button", name="Roll back production").click()
    page.locator("#confirm-do").click()
    expect(page.locator("dialog[open] #notices")).to_contain_text(refused["remedy"])
    page.get_by_role("button", name="Dismiss").click()
    page.locator("#confirm-cancel").click()


def test_samples_are_labelled_by_keyboard(make_server: Callable[..., Server], visit: Callable[..., Visit]) -> None:
    """Protects labelling: digits give classes while the box has the focus, never else; the last can be changed."""
    server = make_server().start()
    first, second = post_samples(server, 2)
    opened = visit(server)
    page = opened.page

    def state(id: str) -> tuple[str, int | None]:
        found = httpx.get(f"{server.url}/samples/{id}").json()
        return found["state"], found["label"]

    expect(page.locator("#label-picture")).to_have_attribute("data-sample", first)
    page.keyboard.press("4")
    page.locator("#label").focus()
    page.keyboard.press("3")
    expect(page.locator("#label-picture")).to_have_attribute("data-sample", second)
    assert state(first) == ("queued", 3)
    page.keyboard.press("u")
    expect(page.locator("#label-picture")).to_have_attribute("data-sample", first)
    page.keyboard.press("5")
    expect(page.locator("#label-picture")).to_have_attribute("data-sample", second)
    assert (state(first), state(second)) == (("queued", 5), ("unlabelled", None))
    page.locator("#label").get_by_role("button", name="Ankle boot").click()
    expect(page.locator("#label-empty")).to_be_visible()
    assert state(second) == ("queued", 9)
    expect(page.locator("#count-unlabelled")).to_have_text("0")


def test_picture_is_tried(server: Server, visit: Callable[..., Visit]) -> None:
    """Protects the try panel: a drawing, and a file sent pixel for pixel; the answer shown is that of the API."""
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    opened = visit(server)
    page = opened.page
    expect(page.locator("#versions tr").first).to_be_visible()
    place = page.locator("#drawing")
    place.scroll_into_view_if_needed()
    with page.expect_request("**/predict") as drawn:
        box = place.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 50, box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + 120, box["y"] + 130, steps=5)
        page.mouse.up()
    pixels = np.frombuffer(base64.b64decode(drawn.value.post_data_json["images"][0]), np.uint8)
    assert pixels.size == 784 and 0 < np.count_nonzero(pixels) < 400
    wanted = load_dataset("fashion-mnist-subset", "test").images[7]
    file = io.BytesIO()
    image.fromarray(wanted[0]).save(file, "PNG")
    encoded = base64.b64encode(wanted.tobytes()).decode()
    with page.expect_request(lambda request: encoded in (request.post_data or "")) as sent:
        page.locator("#try-file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": file.getvalue()})
    answer = httpx.post(
        f"{server.url}/predict", json=sent.value.post_data_json | {"model": f"{MODEL}@production"}
    ).json()
    expect(page.locator("#try-answer")).to_contain_text(f"production (version {answer['version']})")
    expect(page.locator("#try-answer")).to_contain_text(answer["predictions"][0]["class"])
    for row, share in zip(
        page.locator("#try-rows tr").all(), answer["predictions"][0]["probabilities"].values(), strict=True
    ):
        expect(row).to_contain_text(f"{100 * share:.1f}")


def test_data_set_is_uploaded_and_its_name_stays_text(
    make_server: Callable[..., Server], visit: Callable[..., Visit], tmp_path: Path
) -> None:
    """Protects uploads, and the page from names: what others call their files is text here, whatever it looks like."""
    name = "<img src=x onerror=alert(1)>.npz"
    data = load_dataset("fashion-mnist-subset", "test")
    np.savez(tmp_path / "plain.npz", images=data.images[:20], labels=data.labels[:20])
    opened = visit(make_server().start())
    page = opened.page
    body = (tmp_path / "plain.npz").read_bytes()
    page.locator("#upload-file").set_input_files({"name": name, "mimeType": "application/zip", "buffer": body})
    expect(page.locator("#datasets li").first).to_contain_text(name)
    expect(page.locator("#start-data")).to_contain_text(f"{name} (20 samples)")
    assert page.locator("#datasets img").count() == 0
    page.get_by_role("button", name=f"Delete {name}").click()
    expect(page.locator("#datasets li")).to_have_count(0)


def test_box_with_a_key_asks_for_it(make_server: Callable[..., Server], visit: Callable[..., Visit]) -> None:
    """Protects boxes with keys: the page asks, sends it with requests and streams, and keeps it in the tab alone."""
    server = make_server().start()
    key = httpx.post(f"{server.url}/keys", json={"name": "me", "scopes": ["admin"]}).json()["key"]
    opened = visit(server)
    opened.allowed.append(re.compile("status of 401"))
    page = opened.page
    expect(page.locator("#key-dialog")).to_be_visible()
    page.locator("#key").fill(key)
    page.get_by_role("button", name="Use").click()
    expect(page.locator("#versions tr")).to_have_count(1)
    opened.start_job(steps="200")
    expect(page.locator("#job-state")).to_have_text("succeeded", timeout=60_000)
    assert opened.shown()["events"] > 0
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_page_fits(server: Server, visit: Callable[..., Visit], tmp_path: Path, width: int, scheme: str) -> None:
    """Protects phones: nothing is wider than the screen. The pictures are for people to look at."""
    post_samples(server, 3)
    opened = visit(server, viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = opened.page
    expect(page.locator("#versions tr").first).to_be_visible()
    expect(page.locator("#label-picture")).to_be_visible()
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=tmp_path / f"{scheme}-{width}.png", full_page=True)
    assert (tmp_path / f"{scheme}-{width}.png").stat().st_size > 20_000
