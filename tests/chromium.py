"""A headless Chromium, driven over its DevTools pipe: what a page looks like, logs and asks for."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)
TALLEST = 16_000
"""Pixels of a picture at most; the compositor makes no larger ones."""


def find_chromium() -> str | None:
    """The path of Chromium, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@dataclass
class Page:
    """A tab; `requests` are the addresses that it asked for, `complaints` what it logged or threw."""

    commands: IO[bytes]
    events: IO[bytes]
    session: str = ""
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _number: int = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the DevTools protocol and its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.commands.write(json.dumps(message).encode() + b"\0")
        self.commands.flush()
        while (answer := self._next()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, path: Path, width: int, scheme: str) -> None:
        """Shows a file in a window of `width` pixels, in the colour `scheme` light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        self.call("Emulation.setScrollbarsHidden", hidden=True)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=path.resolve().as_uri())
        while (event := self._next()).get("method") != "Page.loadEventFired":
            self._note(event)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def picture(self) -> bytes:
        """A PNG of the whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = size | {"height": min(size["height"], TALLEST), "scale": 1}
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(shot["data"])

    def _next(self) -> dict[str, Any]:
        text = bytearray()
        while (letter := self.events.read(1)) not in (b"\0", b""):
            text += letter
        assert text, "Chromium has ended"
        return json.loads(text)

    def _note(self, event: dict[str, Any]) -> None:
        found = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(found["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(found["entry"]["text"])
            case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled":
                self.complaints.append(json.dumps(found))


@contextmanager
def browse(chromium: str, profile: Path) -> Iterator[Page]:
    """A tab of a fresh Chromium, whose `profile` is a folder of its own."""
    read_end, from_us = os.pipe()
    from_browser, write_end = os.pipe()
    # its ends of the pipes must be descriptors 3 and 4 of the browser, whatever these are here
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (read_end, write_end)]
    shell = f'exec 3<&{ends[0]} 4>&{ends[1]}; exec "$@"'
    process = subprocess.Popen(
        ["bash", "-c", shell, "bash", chromium, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=ends,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for end in (read_end, write_end, *ends):
        os.close(end)
    try:
        with open(from_us, "wb") as commands, open(from_browser, "rb") as events:  # noqa: PTH123
            page = Page(commands, events)
            target = page.call("Target.createTarget", url="about:blank")["targetId"]
            page.session = page.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Network", "Log"):
                page.call(f"{domain}.enable")
            yield page
            page.session = ""
            page.call("Browser.close")
        process.wait(30)
    finally:
        process.kill()
        process.wait()
