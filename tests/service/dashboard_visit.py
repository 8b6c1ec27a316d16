"""A page of the dashboard in a browser that is watched: what it asks for, and what it complains of."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect

SHOWN = """import("/dashboard/job.js").then(({ shown: { job, curves } }) => ({
  job: job?.id, events: curves.events, steps: curves.points.filter((p) => p.loss !== undefined).map((p) => p.step),
}))"""


class Visit:
    """A page in a browser that may talk to one server alone, and may not complain."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.foreign: list[str] = []
        self.complaints: list[str] = []
        self.allowed: list[re.Pattern[str]] = []
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.context.route("**/*", self._route)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._told)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(url)

    def _route(self, route: Route) -> None:
        here = urlsplit(route.request.url)
        if f"{here.scheme}://{here.netloc}" == self.url:
            route.continue_()
        else:
            self.foreign.append(route.request.url)
            route.abort()

    def _told(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def shown(self) -> dict[str, Any]:
        """Return what the live panel has: its job, how many progress events came, and the steps of its points."""
        found: dict[str, Any] = self.page.evaluate(SHOWN)
        return found

    def start_job(self, **fields: str) -> str:
        """Start a fine-tuning in the form; return the job's id."""
        expect(self.page.locator("#start-model option").first).to_be_attached()
        for name, value in fields.items():
            field = self.page.locator(f"#start-{name}")
            if field.evaluate("node => node.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)
        with self.page.expect_response(lambda answer: answer.url.endswith("/finetune")) as answer:
            self.page.get_by_role("button", name="Start", exact=True).click()
        id: str = answer.value.json()["id"]
        self.page.wait_for_function(f"{SHOWN}.then((shown) => shown.job === {id!r})")
        return id

    def close(self) -> None:
        """Leave, and judge."""
        self.context.close()
        left = [text for text in self.complaints if not any(pattern.search(text) for pattern in self.allowed)]
        assert self.foreign == [], "the page asked somebody else"
        assert left == [], "the browser complained"
