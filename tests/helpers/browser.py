"""Pages as a real browser shows them: headless Chromium, without network, with a profile of its own for every call."""

import html
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome")
VIRTUAL_MS = 20_000  # of the page's own clock, which runs as fast as the page is ready
WINDOW_FRAME_PX = 200  # more than what the window takes for itself: a window of (w, h) shows a page of less than h
NARROWEST_WINDOW_PX = 500  # Chromium makes no narrower one


def dump_dom(page: Path, *, fragment: str = "", window: tuple[int, int] = (1280, 1000), timeout_s: float = 60) -> str:
    """The document as HTML once its scripts have run; `fragment` follows the # of its address.

    `window` is (width, height) in pixels, at least 500 wide. An error that no script caught fails the test.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        return _run(_address(page, fragment), Path(folder), window, timeout_s, "--dump-dom")


def screenshot(
    page: Path, path: Path, *, width: int, height: int, dark: bool = False, fragment: str = "", timeout_s: float = 60
) -> None:
    """A PNG of the page's first `height` pixels, as a screen of exactly `width` pixels shows it; a phone has 360."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # The page lies in a frame: a window of its own is never as narrow as a phone.
        frame, raw = Path(folder) / "frame.html", Path(folder) / "raw.png"
        address = html.escape(_address(page, fragment), quote=True)
        style = f"border:0;display:block;width:{width}px;height:{height}px"
        frame.write_text(f'<!doctype html><body style="margin:0"><iframe src="{address}" style="{style}"></iframe>')
        window = max(width, NARROWEST_WINDOW_PX), height + WINDOW_FRAME_PX
        scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
        _run(_address(frame), Path(folder), window, timeout_s, f"--screenshot={raw}", "--hide-scrollbars", scheme)
        with Image.open(raw) as picture:
            picture.crop((0, 0, width, height)).save(path)


def _run(address: str, folder: Path, window: tuple[int, int], timeout_s: float, *flags: str) -> str:
    command = [
        _chromium(),
        "--headless=new",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),  # Chromium's sandbox refuses to run as root
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--no-first-run",
        "--enable-logging=stderr",  # what the page writes to its console
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={window[0]},{window[1]}",
        f"--virtual-time-budget={VIRTUAL_MS}",
        *flags,
        address,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    uncaught = [line for line in done.stderr.splitlines() if ":CONSOLE" in line and "Uncaught" in line]
    assert done.returncode == 0 and not uncaught, "\n".join(uncaught) or done.stderr
    return done.stdout


def _chromium() -> str:
    """The program; a test that needs it is skipped where there is none."""
    chosen = os.environ.get("CHROME")
    found = next(filter(None, map(shutil.which, [chosen] if chosen else NAMES)), None)
    if found is None:
        missing = f"CHROME={chosen} is no program" if chosen else f"none of {', '.join(NAMES)} is installed"
        pytest.skip(f"{missing}; Debian's package is called chromium (or set CHROME to a browser of that family)")
    return found


def _address(page: Path, fragment: str = "") -> str:
    return page.resolve().as_uri() + (f"#{fragment}" if fragment else "")
