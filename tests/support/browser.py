"""A headless Chromium for tests of pages, over the pipe that --remote-debugging-pipe reads.

    page = Browser(self).open(path)
    page.evaluate("document.title")
"""
import json
import os
import re
import select
import shutil
import subprocess
import time

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or "chromium"


class Browser:
    """Ends with the test."""

    def __init__(self, test):
        profile = test.path()
        there, self._write = os.pipe()
        self._read, back = os.pipe()

        def pipes():  # the program talks on descriptors 3 and 4
            os.dup2(there, 100)
            os.dup2(back, 101)
            os.dup2(100, 3)
            os.dup2(101, 4)
        process = subprocess.Popen(
            [PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-dev-shm-usage", f"--user-data-dir={profile}", "--remote-debugging-pipe"],
            preexec_fn=pipes, close_fds=False, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(there)
        os.close(back)
        test.addCleanup(os.close, self._read)
        test.addCleanup(os.close, self._write)
        test.addCleanup(process.wait, 30)
        test.addCleanup(process.kill)
        self._received = b""
        self._number = 0
        self.errors = []  # what the page's scripts threw, and what its policy forbade

    def open(self, path):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        page = Page(self, self.call("Target.attachToTarget", targetId=target,
                                    flatten=True)["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            page.call(domain + ".enable")
        page.call("Page.navigate", url=path.absolute().as_uri())
        end = time.monotonic() + 30
        while page.evaluate("document.readyState + location.protocol") != "completefile:":
            if time.monotonic() > end:
                raise AssertionError("the page did not load")
            time.sleep(0.05)
        return page

    def call(self, method, session=None, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(answer["params"])

    def _receive(self, timeout=60):
        while b"\0" not in self._received:
            if not select.select([self._read], [], [], timeout)[0]:
                raise AssertionError("the browser does not answer")
            piece = os.read(self._read, 1 << 16)
            if not piece:
                raise AssertionError("the browser ended")
            self._received += piece
        message, self._received = self._received.split(b"\0", 1)
        return json.loads(message)


class Page:
    def __init__(self, browser, session):
        self.browser = browser
        self._session = session

    def call(self, method, **params):
        return self.browser.call(method, self._session, **params)

    def evaluate(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def point_at(self, x, y):
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def resize(self, width, height=800):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)

    def prefer(self, scheme):
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])


def contrast(left, right):
    """Of two colours, as WCAG defines it."""
    def luminance(colour):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        parts = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4
                 for part in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
    bright, dark = sorted((luminance(left), luminance(right)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)
