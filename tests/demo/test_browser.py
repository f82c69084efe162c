"""The demo in a real Chromium: what a visitor sees, presses and takes home. Screenshots go to output/screenshots/."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

import sdk
from sdk.catalog import released_for
from sdk.files import read
from tests.demo.conftest import ROOT, Server

SCREENSHOTS = ROOT / "output" / "screenshots"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
MINUTE = 60_000
EXPANDERS = released_for("bit-depth-expansion")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"no browser here: none of {', '.join(BROWSERS)} is installed (`make browser` tries Debian's)")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as run:
        browser = run.chromium.launch(executable_path=executable, args=["--no-sandbox"])  # as root, in a container, there is no sandbox
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    page = open_page(browser, server, DESKTOP)
    yield page
    page.close()


def open_page(browser: Browser, server: Server, size: dict[str, int]) -> Page:
    page = browser.new_page(viewport=size)
    page.set_default_timeout(MINUTE)
    page.goto(server.url)
    page.get_by_role("button", name="Restore", exact=True).wait_for()
    return page


def downloaded(page: Page, name: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("link", name=name).or_(page.get_by_role("button", name=name)).locator("visible=true").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def line(page: Page, slider: str) -> float:
    """Where the slider's line stands, px from its left edge."""
    style = page.locator(f"{slider} [data-testid=slider]").get_attribute("style")
    return float(re.search(r"translateX\(([\d.]+)px", style)[1])


def shown(page: Page, slider: str) -> list[Locator]:
    """The slider's two pictures, loaded."""
    images = page.locator(f"{slider} img[data-testid=imageslider-image]")
    images.nth(1).wait_for()
    for image in images.all():
        image.evaluate("image => image.decode()")
    return images.all()


def test_upload_restore_slide_download(page: Page, white: np.ndarray, tmp_path: Path) -> None:
    source = tmp_path / "my scan.png"
    Image.fromarray(white[100:340, 300:620]).save(source, dpi=(300, 300))
    page.locator("#restore-source input[type=file]").set_input_files(source)
    page.get_by_text("File: my scan_restored.png, 320 x 240 px.").wait_for()
    assert "1-bit dither" in page.locator("#report").inner_text()

    images = shown(page, "#before-after")
    assert [image.get_attribute("alt") for image in images] == ["Before", "After"]
    assert [image.evaluate("image => [image.naturalWidth, image.naturalHeight]") for image in images] == [[320, 240]] * 2

    start, handle = line(page, "#before-after"), page.locator("#before-after [data-testid=slider]")
    box = handle.locator(".inner").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 100, box["y"] + 100, steps=3)
    page.mouse.up()
    assert line(page, "#before-after") == pytest.approx(start + 100, abs=box["width"])
    handle.focus()
    page.wait_for_function("handle => handle.ariaValueNow != '50'", arg=handle.element_handle())
    place = int(handle.get_attribute("aria-valuenow"))
    page.keyboard.press("ArrowLeft")
    assert line(page, "#before-after") < start + 90
    page.wait_for_function("([handle, place]) => Number(handle.ariaValueNow) < place", arg=[handle.element_handle(), place])

    path = downloaded(page, "Download the restored file", tmp_path)
    expected = sdk.InverseHalftoner("auto").run(source)
    assert path.name == "my scan_restored.png"
    assert np.array_equal(read(path).pages[0].pixels, expected)
    after = page.request.get(images[1].get_attribute("src")).body()
    assert np.array_equal(read(after).pages[0].pixels, expected)


def test_a_bad_file_shows_its_message(page: Page, tmp_path: Path) -> None:
    source = tmp_path / "letter.png"
    source.write_text("Dear Sir")
    page.locator("#restore-source input[type=file]").set_input_files(source)
    toast = page.locator(".toast-body")
    toast.get_by_text("letter.png is not a picture in a known format.").wait_for()
    assert "/tmp" not in toast.inner_text()
    page.wait_for_timeout(1000)
    page.screenshot(path=SCREENSHOTS / "desktop-error.png")


def test_halftone_and_back(page: Page, photo: np.ndarray, tmp_path: Path) -> None:
    page.get_by_role("tab", name="Halftone").click()
    page.get_by_label("Halftoning method").click()
    page.get_by_role("option", name="clustered-dot").click()
    assert page.get_by_label("size", exact=True).input_value() == "8"
    source = tmp_path / "photo.png"
    Image.fromarray(photo[:240, :320]).save(source)
    page.locator("#halftone-source input[type=file]").set_input_files(source)
    page.get_by_text("photo.png").wait_for()
    page.locator("#halftone").click()
    shown(page, "#halftone-restored")
    assert np.array_equal(
        read(downloaded(page, "Download the halftone", tmp_path)).pages[0].pixels, sdk.Halftoner("clustered-dot").run(photo[:240, :320])
    )


@pytest.mark.parametrize("model", EXPANDERS[:1])
def test_expand_the_example(page: Page, model: str, tmp_path: Path) -> None:
    page.get_by_role("tab", name="Expand bits").click()
    page.get_by_role("button", name="Take the example: Kodak picture 23, cut to 3 bits").click()
    shown(page, "#expand-before-after")
    page.get_by_text("File: kodim23_3_bits_expanded.png.").wait_for()
    assert "Found: 3 bits a channel." in page.locator("#expand-report").inner_text()
    few = sdk.Halftoner("bit-depth", bits=3).run(ROOT / "docs" / "samples" / "kodim23_grey.png")
    path = downloaded(page, "Download the expanded file", tmp_path)
    assert np.array_equal(read(path).pages[0].pixels, sdk.BitDepthExpander(model).run(few))
    page.wait_for_timeout(1000)
    page.screenshot(path=SCREENSHOTS / "desktop-expanded.png")


def test_results_go_when_the_tab_is_closed(browser: Browser, server: Server) -> None:
    page = open_page(browser, server, DESKTOP)
    page.get_by_role("button", name="Example: 1-bit dither").click()
    address = shown(page, "#before-after")[1].get_attribute("src")
    assert page.request.get(address).ok
    page.close()
    other = open_page(browser, server, DESKTOP)
    for _ in range(60):
        if other.request.get(address).status == 403:
            break
        other.wait_for_timeout(500)
    assert other.request.get(address).status == 403
    other.close()


@pytest.mark.parametrize(("name", "size"), [("desktop", DESKTOP), ("phone", PHONE)])
def test_screenshots(browser: Browser, server: Server, name: str, size: dict[str, int]) -> None:
    """For a person to look at; and nothing is wider than the screen, nothing comes from elsewhere, nothing fails in the console."""
    page = open_page(browser, server, size)
    elsewhere, errors = [], []
    page.on("request", lambda request: None if request.url.startswith((server.url, "data:", "blob:")) else elsewhere.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.reload()
    page.get_by_role("button", name="Restore", exact=True).wait_for()
    page.wait_for_timeout(500)
    page.screenshot(path=SCREENSHOTS / f"{name}-start.png", full_page=True)
    page.get_by_role("button", name="Example: Print ad").click()
    shown(page, "#before-after")
    page.get_by_text("File: gallica_ad_truck4_restored.jpg").wait_for()
    page.wait_for_timeout(1000)
    page.screenshot(path=SCREENSHOTS / f"{name}-restored.png")
    for tab in (*(["Expand bits"] if EXPANDERS else []), "Halftone", "Batch", "Benchmark", "About"):
        page.evaluate("scrollTo(0, 0)")
        button = page.get_by_role("tab", name=tab)
        if not button.is_visible():  # a phone has the last tabs in a menu
            page.locator(".overflow-menu > button").click()
            button = page.locator(".overflow-dropdown").get_by_text(tab)
        button.click()
        page.wait_for_timeout(500)
        page.screenshot(path=SCREENSHOTS / f"{name}-{tab.lower().replace(' ', '-')}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], tab
    assert not elsewhere
    assert not errors
    page.close()
