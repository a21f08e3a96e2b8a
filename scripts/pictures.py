"""Take the pictures of the README from the real product: ``python scripts/pictures.py``.

Starts the demo by itself on other ports, goes through the story in Chromium, light and dark.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
PORT, SANDBOX_PORT = "3110", "3111"
SITE = f"http://localhost:{PORT}"


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        demo = subprocess.Popen(
            [sys.executable, str(ROOT / "scripts" / "serve.py"), "demo"],
            env=os.environ
            | {
                "PORT": PORT,
                "SANDBOX_PORT": SANDBOX_PORT,
                "APIARY_INSTANCE_PATH": folder,
            },
            stdout=subprocess.DEVNULL,
        )
        try:
            wait()
            with sync_playwright() as playwright:
                found = shutil.which("chromium") or shutil.which("google-chrome")
                browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
                for scheme in ("light", "dark"):
                    story(browser, scheme)
                browser.close()
        finally:
            demo.terminate()
            demo.wait()


def wait() -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{SITE}/healthz", timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("The demo did not start.")


def story(browser: Browser, scheme: str) -> None:
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": 1080, "height": 720}, device_scale_factor=1
    )
    page = context.new_page()
    page.goto(SITE)
    page.fill("textarea", "Why do bees build hexagons?")
    page.keyboard.press("Enter")
    page.wait_for_selector('[data-action="connect"]')
    shoot(page, "no-brain", scheme)
    page.click(".cap summary")
    page.fill('input[name="limit"]', "10")
    with page.expect_popup() as opened:
        page.click('[data-action="connect"]')
    window = opened.value
    window.wait_for_selector('[data-action="approve"]')
    page.bring_to_front()
    shoot(page, "waiting", scheme)
    window.click('[data-action="approve"]', no_wait_after=True)
    page.wait_for_selector("text=Your OpenRouter account pays")
    page.click("#pick")
    page.wait_for_timeout(600)
    shoot(page, "models", scheme)
    page.keyboard.press("Escape")
    page.goto(f"{SITE}/settings/")
    page.wait_for_selector('section[data-state="connected"]')
    shoot(page, "connected", scheme)
    context.close()


def shoot(page: Page, name: str, scheme: str) -> None:
    suffix = "-dark" if scheme == "dark" else ""
    page.wait_for_timeout(300)
    page.screenshot(path=PICTURES / f"{name}{suffix}.png", animations="disabled")


if __name__ == "__main__":
    main()
