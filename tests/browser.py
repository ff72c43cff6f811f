"""Headless Chromium, driven by the DevTools protocol over two pipes; no package is needed beside the browser.

A browser that is missing, or opens no files here, is told by `usable`.
"""

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"]


class _CutOff(AssertionError):
    """The page went away, for another or itself anew, while an expression was evaluated in it."""


class Tab:
    """One page of the browser.

    Attributes:
        problems: console errors, exceptions and refusals of the content security policy, in words.
        requests: addresses that the page asked for, but those with the scheme `data` or `blob`.
    """

    def __init__(self, incoming: int, outgoing: int) -> None:
        self._in, self._out, self._left = incoming, outgoing, b""
        self._ids, self._session = itertools.count(1), ""
        self.problems: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Result of a method of the protocol; what happens meanwhile is noted."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                error = answer.get("error", {}).get("message", "")
                if "navigated or closed" in error:
                    raise _CutOff(f"{method}: {error}")
                assert not error, f"{method}: {error}"
                return answer["result"]
            self._note(answer.get("method", ""), answer.get("params", {}))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            read = os.read(self._in, 1 << 20)
            assert read, "the browser has ended"
            self._left += read
        message, _, self._left = self._left.partition(b"\0")
        return json.loads(message)

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.problems.append(" ".join(str(one.get("value")) for one in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.problems.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            self.requests += [] if url.startswith(("data:", "blob:")) else [url]

    def run(self, script: str) -> Any:
        """Value of a JavaScript expression, evaluated as if the reader had just clicked; a promise is waited for."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"].get("exception", found)
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = 20.0) -> Any:
        """The expression's value once it is true, of the page that is there then.

        Raises:
            AssertionError: it was not within `seconds`.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(_CutOff):
                if value := self.run(script):
                    return value
            time.sleep(0.02)
        raise AssertionError(f"not within {seconds:g} s: {script}")

    def open(self, address: str, width: int = 1200, height: int = 900) -> float:
        """Seconds until the page is loaded and drawn in a window of that size, px."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        begin = time.monotonic()
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'", 120)
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
        return time.monotonic() - begin

    def reload(self) -> None:
        """Load the page anew, and wait until it is."""
        self.run("window.isOld = true")
        self.call("Page.reload")
        self.wait("!window.isOld && document.readyState === 'complete'", 120)

    def go(self, name: str) -> None:
        """Follow the address `#name` within the page, and wait until it is drawn."""
        self.run(f"location.hash = '#{name}'")
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def choose(self, box: str, value: str, event: str = "input") -> None:
        """Set the value of the control that a CSS selector names, as a reader does."""
        control = f"document.querySelector({box!r})"
        self.run(f"({control}.value = {value!r}, {control}.dispatchEvent(new Event({event!r})), null)")

    def click(self, box: str) -> None:
        """Click what a CSS selector names."""
        self.run(f"document.querySelector({box!r}).click()")

    def key(self, name: str, code: int = 0, text: str = "") -> None:
        """Press and release a key, by its DOM name."""
        keys = {"key": name, "code": name, "windowsVirtualKeyCode": code}
        keys |= {"text": text} if text else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **keys)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=name, code=name, windowsVirtualKeyCode=code)

    def picture(self, path: Path, whole: bool = False) -> None:
        """A screenshot as PNG, of the window or of the whole page."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def downloads_to(self, folder: Path) -> None:
        """Downloads are saved in `folder` without asking."""
        folder.mkdir(parents=True, exist_ok=True)
        session, self._session = self._session, ""
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        self._session = session


@contextmanager
def open_tab() -> Iterator[Tab]:
    """A tab of a browser that is started for it, and ended after."""
    to_browser, to_us = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = [*_OPTIONS, "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        command = [str(BROWSER), *options]

        def give_pipes() -> None:  # the browser reads the protocol from descriptor 3 and writes it to 4
            for number, end in ((3, to_browser[0]), (4, to_us[1])):
                os.dup2(end, number)
                os.set_inheritable(number, True)  # also where it had that number before

        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, close_fds=False, preexec_fn=give_pipes, stdout=quiet, stderr=quiet)
        os.close(to_browser[0])
        os.close(to_us[1])
        try:
            yield Tab(to_us[0], to_browser[1])
        finally:
            process.terminate()
            process.wait(20)
            os.close(to_browser[1])
            os.close(to_us[0])


def usable(folder: Path) -> bool:
    """Whether a browser is installed that opens files of `folder`."""
    if BROWSER is None:
        return False
    page = folder / "usable.html"
    page.write_text("<!doctype html><title>it opens</title>", encoding="utf-8")
    try:
        with open_tab() as tab:
            tab.open(page.as_uri())
            return bool(tab.run("document.title") == "it opens")
    except (AssertionError, OSError):
        return False
