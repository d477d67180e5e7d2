"""Pages opened in a headless Chromium, driven over its debugging pipe: what it logged, asked for and drew."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_SECONDS = 60.0


@dataclass(frozen=True)
class Opened:
    """A page as the browser saw it.

    messages: console and log entries of level warning or error, and exceptions; requests: URLs other than the page
    itself and data URIs; images: (alt, natural width, natural height, shown width, shown height) of every <img>;
    page_width, view_width: CSS pixels; scripts: what ``evaluate`` gave; picture: PNG of the whole page.
    """

    messages: tuple[str, ...]
    requests: tuple[str, ...]
    images: tuple[tuple[str, int, int, float, float], ...]
    page_width: int
    view_width: int
    text: str
    picture: bytes


class Browser:
    def __init__(self, process: subprocess.Popen, write_to: int, read_from: int) -> None:
        self._process, self._out, self._in = process, write_to, read_from
        self._pending, self._number = b"", 0
        self._events: list[dict] = []

    def open(self, path: Path, width: int, height: int = 900) -> Opened:
        """Load a file in a view of this width and wait until it is drawn."""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable", session)
        mobile = width < 600
        self._call("Emulation.setDeviceMetricsOverride", session, width=width, height=height, deviceScaleFactor=1,
                   mobile=mobile)  # fmt: skip
        self._events.clear()
        url = path.resolve().as_uri()
        self._call("Page.navigate", session, url=url)
        self._wait("Page.loadEventFired", session)
        self._evaluate(session, "Promise.all([...document.images].map(i => i.decode().catch(() => 0))).then(() => 1)")
        images = self._evaluate(
            session,
            "[...document.images].map(i => { const r = i.getBoundingClientRect();"
            " return [i.alt, i.naturalWidth, i.naturalHeight, r.width, r.height]; })",
        )
        sizes = self._evaluate(session, "[document.documentElement.scrollWidth, window.innerWidth]")
        text = self._evaluate(session, "document.body.innerText")
        whole = self._call("Page.captureScreenshot", session, format="png", captureBeyondViewport=True)
        messages, requests = self._seen(session, url)
        self._call("Target.closeTarget", targetId=target)
        return Opened(
            messages, requests, tuple(tuple(i) for i in images), *sizes, text, base64.b64decode(whole["data"])
        )

    def _seen(self, session: str, url: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        messages, requests = [], []
        for event in self._events:
            if event.get("sessionId") != session:
                continue
            method, params = event["method"], event["params"]
            if method == "Log.entryAdded" and params["entry"]["level"] in ("warning", "error"):
                messages.append(params["entry"]["text"])
            elif method == "Runtime.consoleAPICalled" and params["type"] in ("warning", "error", "assert"):
                messages.append(str(params["args"]))
            elif method == "Runtime.exceptionThrown":
                messages.append(str(params["exceptionDetails"]))
            elif method == "Network.requestWillBeSent":
                requests.append(params["request"]["url"])
        kept = [r for r in requests if r != url and not r.startswith("data:")]
        return tuple(messages), tuple(kept)

    def _evaluate(self, session: str, expression: str):
        found = self._call(
            "Runtime.evaluate", session, expression=expression, returnByValue=True, awaitPromise=True
        )  # fmt: skip
        assert "exceptionDetails" not in found, found
        return found["result"]["value"]

    def _call(self, method: str, session: str | None = None, **parameters) -> dict:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            if "method" in answer:
                self._events.append(answer)

    def _wait(self, method: str, session: str) -> None:
        while not any(e["method"] == method and e.get("sessionId") == session for e in self._events):
            event = self._read()
            if "method" in event:
                self._events.append(event)

    def _read(self) -> dict:
        deadline = time.monotonic() + _SECONDS
        while b"\0" not in self._pending:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            part = os.read(self._in, 1 << 20)
            assert part, "the browser ended"
            self._pending += part
        message, _, self._pending = self._pending.partition(b"\0")
        return json.loads(message)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """A browser of its own; skips the test with a message where none is installed."""
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser is installed (looked for {', '.join(_NAMES)})")
    to_browser, from_here = os.pipe()
    to_here, from_browser = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # Chromium reads commands from descriptor 3 and answers on 4.
        command = (
            f'exec "$0" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-extensions '
            f'--no-first-run --disable-background-networking --remote-debugging-pipe --user-data-dir="$1" '
            f"about:blank 3<&{to_browser} 4>&{from_browser}"
        )
        process = subprocess.Popen(
            ["bash", "-c", command, program, profile],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        try:
            yield Browser(process, from_here, to_here)
        finally:
            process.terminate()
            process.wait(timeout=20)
            os.close(from_here)
            os.close(to_here)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with running_browser() as found:
        yield found
