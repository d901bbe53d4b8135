"""A lesson in a real browser, Debian's Chromium without a window: what is on the page, and how it is used."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from experiments.lessons.registry import lesson

PATIENCE = 40.0
"""Seconds after which something that should appear is given up; generous, since machines are shared."""
_SWITCHES = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--lang=en-US",
    "--window-size=1000,1200",
)
_OF_THE_BROWSER = ("data:", "blob:", "chrome:", "about:")


def missing() -> str | None:
    """What is not installed of that which uses lessons as a reader does, or None."""
    programs = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    modules = [name for name in ("marimo", "selenium") if find_spec(name) is None]
    return f"needs {', '.join(programs + modules)}" if programs or modules else None


@contextmanager
def lesson_server() -> Iterator[str]:
    """The address of `smoothserve learn`, which is stopped as Ctrl+C does."""
    command = [sys.executable, "-c", "from experiments.cli import main; main()", "learn", "--headless"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        line = server.stdout.readline()
        try:
            assert line.startswith("http://127.0.0.1:"), line + (server.stderr.read() if server.poll() else "")
            yield line.split("/ ")[0]
        finally:
            server.send_signal(signal.SIGINT)
            code, said = server.wait(PATIENCE), server.stderr.read()
            assert code in (0, 130), f"exit code {code}: {said}"
            assert "Traceback" not in said, said


@contextmanager
def browser() -> Iterator[Any]:
    """A Chromium that knows nothing of earlier ones, driven by selenium."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for switch in (*_SWITCHES, f"--user-data-dir={profile}", *(["--no-sandbox"] if os.geteuid() == 0 else [])):
            options.add_argument(switch)
        driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            yield driver
        finally:
            driver.quit()


class Page:
    """A lesson as it stands in the browser; what is asked of its elements is asked in JavaScript."""

    def __init__(self, driver: Any, address: str, slug: str) -> None:
        self.driver, self._address = driver, address
        driver.get_log("browser"), driver.get_log("performance")  # a log is emptied when it is read
        driver.get(f"{address}/{slug}/")
        self.wait_for(lambda: self.pictures() and self.count(".lesson-closing"), "pictures, and the end of the lesson")

    def wait_for(self, seen: Callable[[], Any], what: str) -> float:
        """Seconds until `seen` is true. Raises AssertionError, with `what` was waited for and what is there."""
        start = time.perf_counter()
        while not seen():
            assert time.perf_counter() - start < PATIENCE, f"no {what}; the page has: {self.words()[-2000:]}"
            time.sleep(0.02)
        return time.perf_counter() - start

    def count(self, selector: str) -> int:
        """Elements of the page that a CSS selector finds."""
        return int(self.driver.execute_script("return document.querySelectorAll(arguments[0]).length", selector))

    def texts(self, selector: str) -> list[str]:
        """What is written in the elements that a CSS selector finds."""
        script = "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)"
        return [str(text) for text in self.driver.execute_script(script, selector)]

    def words(self) -> str:
        """All that is written on the page."""
        return "\n".join(self.texts("body"))

    def pictures(self) -> list[str]:
        """The pictures, loaded ones only, as data."""
        script = "return [...document.querySelectorAll('.lesson-picture')].filter(i => i.complete).map(i => i.src)"
        return [str(data) for data in self.driver.execute_script(script)]

    def numbers(self) -> list[str]:
        """The numbers under their names."""
        return self.texts(".lesson-stats dd")

    def move(self, label: str | None = None) -> None:
        """Move the slider of that label, or the first, by one step, with the keyboard: right where there is room."""
        from selenium.webdriver.common.keys import Keys

        script = """
            for (const slider of document.querySelectorAll("marimo-slider")) {
                const words = slider.shadowRoot.querySelector("label");
                if (arguments[0] === null || (words && words.innerText.trim() === arguments[0]))
                    return slider.shadowRoot.querySelector("[role=slider]");
            }"""
        thumb = self.driver.execute_script(script, label)
        assert thumb is not None, f"no slider is called {label!r}"
        at_the_end = thumb.get_attribute("aria-valuenow") == thumb.get_attribute("aria-valuemax")
        thumb.send_keys(Keys.ARROW_LEFT if at_the_end else Keys.ARROW_RIGHT)

    def choose(self, question: int, option: int) -> None:
        """Choose an answer of a question, both counted from 0."""
        script = """
            document.querySelectorAll(".lesson-question")[arguments[0]].querySelector("marimo-radio")
                .shadowRoot.querySelectorAll("[role=radio]")[arguments[1]].click()"""
        self.driver.execute_script(script, question, option)

    def type_number(self, value: float) -> None:
        """Type a number into the field of the first exercise, and hand it in."""
        from selenium.webdriver.common.keys import Keys

        form = "const form = document.querySelector('.lesson-exercise marimo-form').shadowRoot; "
        find = form + "return form.querySelector('marimo-number').shadowRoot.querySelector('input')"
        field = self.driver.execute_script(find)
        field.send_keys(Keys.CONTROL + "a" + Keys.NULL + Keys.BACKSPACE + f"{value:g}" + Keys.TAB)
        self.driver.execute_script(form + "form.querySelector('button[type=submit]').click()")

    def verdict(self) -> str:
        """What the first exercise says of the answer that was handed in; empty before."""
        return (self.texts(".lesson-verdict") or [""])[0]

    def errors(self) -> list[str]:
        """Errors on the console since the page was opened, or since they were last asked for."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def requests_elsewhere(self) -> list[str]:
        """Addresses on other hosts that were asked for since the page was opened, or since this was last asked."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        asked += [m["params"]["url"] for m in messages if m["method"] == "Network.webSocketCreated"]
        ours = (self._address, self._address.replace("http:", "ws:"), *_OF_THE_BROWSER)
        return [url for url in asked if not url.startswith(ours)]

    def photograph(self, file: Path) -> None:
        """Save a picture of the whole page."""
        height = self.driver.execute_script("return document.querySelector('.lesson-closing').offsetTop + 260")
        script = "return Math.max(...[...document.querySelectorAll('*')].map(e => e.scrollHeight))"
        height = max(int(height), int(self.driver.execute_script(script)))
        size = {"width": 1000, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        time.sleep(0.5)
        file.parent.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(file))
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def measure_lesson(name: str) -> dict[str, float]:
    """Seconds that somebody waits for a lesson: for the first picture, of a fresh server in a fresh browser, and for a
    slider that is moved for the first time.
    """
    slug = lesson(name).slug
    with lesson_server() as address, browser() as driver:
        start = time.perf_counter()
        driver.get(f"{address}/{slug}/")
        seen = "return [...document.querySelectorAll('.lesson-picture')].some(i => i.complete)"
        while not driver.execute_script(seen):
            assert time.perf_counter() - start < PATIENCE, f"no picture in lesson {slug}"
            time.sleep(0.01)
        first = time.perf_counter() - start
        page = Page(driver, address, slug)
        time.sleep(2.0)
        before = page.pictures()
        page.move()
        moved = page.wait_for(lambda: page.pictures() != before, "other picture")
        return {"first_picture_s": first, "slider_s": moved}
