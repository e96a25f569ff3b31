"""The page as a person meets it: in a real Chromium, opened from the disk."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install -e '.[test]'")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

from figure_records import store_set  # noqa: E402
from page_store import enlarged_images, preview_png, write_report_page, write_task  # noqa: E402
from record_parts import changed  # noqa: E402
from results.store.atomic_files import write_json  # noqa: E402
from results.store.store import Store  # noqa: E402

DRIVER, CHROMIUM = shutil.which("chromedriver"), shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (DRIVER and CHROMIUM), reason="needs Debian's chromium and chromium-driver"),
]
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
)
HOSTILE = '<script>window.ran = 1</script><img src=x onerror="window.ran = 2">'
CARD = {"name": "dm", "family": "distribution matching", "paper": "", "year": 2023, "native": "dsa"}
PATIENCE = 60  # seconds: the machine may have other work


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    os.environ.setdefault("SE_OFFLINE", "true")  # so that selenium downloads nothing
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


class Page:
    """An open page."""

    def __init__(self, driver: Any, path: Path) -> None:
        self.driver = driver
        self.size(1280, 900)
        driver.get_log("browser")  # drops the messages of earlier pages
        driver.get(path.as_uri())
        self.until(lambda: self.js("return document.documentElement.dataset.ready") or self.text("#trouble"))
        assert not self.text("#trouble")

    def js(self, script: str, *values: Any) -> Any:
        return self.driver.execute_script(script, *values)

    def until(self, condition: Callable[[], Any]) -> Any:
        return WebDriverWait(self.driver, PATIENCE, poll_frequency=0.05).until(lambda _: condition())

    def element(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self.element(selector).text

    def size(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def press(self, *keys: str) -> None:
        ActionChains(self.driver).send_keys(*keys).perform()

    def column(self, head: str) -> list[str]:
        """The texts of one column of the rows that are shown."""
        return self.js(
            "const heads = [...document.querySelectorAll('#table thead th')];"
            "const at = heads.findIndex(th => th.innerText.trim() == arguments[0]);"
            "return [...document.querySelectorAll('#table tbody tr')].map(tr => tr.cells[at]?.innerText)", head,
        )  # fmt: skip

    def has_column(self, name: str) -> bool:
        """Whether the table has a column, which one with a single value has not."""
        return name in self.text("#table thead")

    def head(self, name: str) -> Any:
        heads = self.driver.find_elements(By.CSS_SELECTOR, "#table thead th")
        return next(head for head in heads if head.text.strip() == name)

    def filter(self, name: str, value: str) -> None:
        """Choose a value; a filter with a single value is not there."""
        if not self.driver.find_elements(By.CSS_SELECTOR, f"#filters [name={name}]"):
            assert value in self.text("#shared")
            return
        Select(self.element(f"#filters [name={name}]")).select_by_visible_text(value)

    def first(self, **filters: str) -> Any:
        """The button of the first row that these filters leave."""
        for name, value in filters.items():
            self.filter(name, value)
        return self.element("#table tbody th button")

    def is_open(self) -> bool:
        return bool(self.js("return document.getElementById('run').open"))

    def plotted(self) -> int:
        self.js("document.getElementById('plot').scrollIntoView()")
        self.until(lambda: self.js("return document.getElementById('plot').dataset.drawn"))
        return int(self.js("return document.getElementById('plot').dataset.drawn"))

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="module", params=[100, 2000])
def loaded(request: Any, chromium: Any, stored: Any, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of a store with 100 or 2,000 records."""
    return Page(chromium, write_report_page(stored(tmp_path_factory.mktemp("store"), request.param)))


@pytest.fixture
def opened(loaded: Page) -> Page:
    """The page with nothing open, all rows, and no message."""
    loaded.size(1280, 900)
    loaded.js(
        "document.getElementById('run').close(); document.getElementById('filters').reset();"
        "document.getElementById('seeds').checked = false; scrollTo(0, 0)"
    )
    loaded.until(lambda: not loaded.element("#filters [name=search]").get_attribute("value"))
    loaded.errors()
    return loaded


def numbers(texts: list[str]) -> list[float]:
    return [float(re.sub(r"[^\d.].*", "", text.replace(",", ""))) for text in texts]


def test_rows_sort_by_mouse_and_by_keyboard(opened: Page) -> None:
    def is_sorted(head: Any, how: str) -> list[float]:
        opened.until(lambda: head.get_attribute("aria-sort") == how)
        shown = numbers(opened.column(head.text.strip()))
        assert shown == sorted(shown, reverse=how == "descending")
        return shown

    head = opened.head("Accuracy %")
    head.click()
    is_sorted(head, "descending")  # the best first
    opened.js("arguments[0].querySelector('[role=button]').focus()", head)
    opened.press(Keys.ENTER)
    is_sorted(head, "ascending")
    costs = opened.head("Condense s")  # thousands have commas
    costs.click()
    opened.js("arguments[0].querySelector('[role=button]').focus()", costs)
    opened.press(Keys.ENTER)
    assert is_sorted(costs, "descending")[0] >= 1000 and not head.get_attribute("aria-sort")
    assert opened.errors() == []


def test_filters_choose_rows_points_and_pictures(opened: Page) -> None:
    for name, value, head in (
        ("dataset", "cifar10", "Dataset"),
        ("method", "DM", "Method"),
        ("protocol", "dsa", "Protocol"),
    ):
        opened.filter(name, value)
        assert set(opened.column(head)) == ({value} if opened.has_column(head) else {None})
    rows = len(opened.column("IPC"))
    opened.filter("ipc", "1")
    assert opened.column("IPC") == ["1"] and rows > 1
    assert opened.text("#gallery-count") == "1 of 1 sets" and "DM, seed 0" in opened.text("#gallery")
    opened.element("#seeds").click()
    assert opened.text("#gallery-count") == "3 of 3 sets" and opened.text("#gallery").count("DM, seed ") == 3
    opened.element("#seeds").click()
    assert opened.plotted() == 1
    opened.element("#filters [name=search]").send_keys("no such method")
    assert opened.text("#table tbody") == "No row matches: choose fewer filters"
    opened.element("#filters [type=reset]").click()
    opened.until(lambda: len(opened.column("Method")) > rows)
    opened.element("#filters [name=search]").send_keys("dance dsa")
    assert set(opened.column("Method")) <= {"DANCE", "DM", "DC", "DSA", "IDM", "RANDOM", "WHOLE"}
    assert opened.plotted() > 0 and opened.errors() == []


def test_a_run_opens_by_mouse_and_by_keyboard_and_closes_with_escape(opened: Page) -> None:
    button = opened.first(dataset="cifar10", method="DM", ipc="1", protocol="dsa")
    button.click()
    assert opened.is_open() and opened.text("#run-title") == "DM, ipc 1, cifar10"
    body = opened.text("#run-body")
    assert "Losses of the last step" in body and "lr" in body and body.count("Set of seed") >= 3
    image = opened.element("#run img.set")
    assert image.is_displayed() and opened.js("return arguments[0].naturalWidth", image) == 10 * 9 - 1
    assert opened.text("#command").startswith("python -m benchmark.run 'methods=[dm]' 'datasets=[cifar10]' 'ipcs=[1]'")
    log = opened.element("#run details")
    log.find_element(By.TAG_NAME, "summary").click()
    assert log.find_element(By.TAG_NAME, "pre").text == "begun\nok"
    opened.press(Keys.ESCAPE)
    assert not opened.is_open() and opened.driver.switch_to.active_element == button
    opened.press(Keys.ENTER)
    assert opened.is_open()
    assert opened.driver.switch_to.active_element.get_attribute("id") == "close"
    for _ in range(3):
        opened.press(Keys.TAB)  # focus stays within
        assert opened.js("return document.getElementById('run').contains(document.activeElement)")
    opened.element("#close").click()
    assert not opened.is_open() and opened.errors() == []


def test_pictures_are_magnified_pixel_by_pixel(opened: Page) -> None:
    opened.first(method="DM", ipc="1").click()
    image, slider = opened.element("#run img.set"), opened.element("#run input[type=range]")
    before = image.size["width"]
    slider.send_keys(Keys.END)
    assert image.size["width"] == 16 * (10 * 9 - 1) > before
    assert image.value_of_css_property("image-rendering") == "pixelated" and "10 classes" in image.get_attribute("alt")
    opened.press(Keys.HOME)
    assert image.size["width"] == 10 * 9 - 1 and image.size["height"] == 9 - 1
    ActionChains(opened.driver).move_to_element_with_offset(image, 0, 0).perform()
    assert opened.element("#run .lens").is_displayed()
    opened.press(Keys.ESCAPE)
    box = opened.element("#gallery img").size
    assert round(box["width"] / box["height"], 1) == round((10 * 9 - 1) / (9 - 1), 1)  # none is squeezed
    assert opened.errors() == []


def test_a_point_of_the_plot_opens_its_run(opened: Page) -> None:
    assert opened.plotted() > 1
    titles = [
        button.get_attribute("data-title") for button in opened.driver.find_elements(By.CSS_SELECTOR, ".modebar-btn")
    ]
    assert titles and not any("hare" in title or "loud" in title for title in titles)  # nothing leaves the machine
    point = opened.driver.find_elements(By.CSS_SELECTOR, "#plot .scatterlayer .point")[-1]
    ActionChains(opened.driver).move_to_element(point).pause(0.3).click().perform()
    opened.until(lambda: ", ipc " in opened.text("#run-title"))
    assert opened.is_open() and opened.errors() == []


def test_colours_turn_dark_and_back(opened: Page) -> None:
    def paper() -> str:
        return str(opened.js("return getComputedStyle(document.body).backgroundColor"))

    toggle = opened.element("#theme")
    assert (paper(), toggle.text) == ("rgb(255, 255, 255)", "Use dark colours")
    toggle.send_keys(Keys.SPACE)
    assert (paper(), toggle.text) == ("rgb(21, 25, 30)", "Use light colours")
    toggle.click()
    assert paper() == "rgb(255, 255, 255)"
    features = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    opened.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
    try:
        opened.driver.refresh()
        opened.until(lambda: opened.js("return document.documentElement.dataset.ready"))
        assert paper() == "rgb(21, 25, 30)" and opened.text("#theme") == "Use light colours"
    finally:
        opened.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert opened.errors() == []


def test_filters_and_a_run_are_in_the_address(opened: Page) -> None:
    opened.first(dataset="cifar10", method="DM", ipc="1", protocol="dsa").click()
    address, title, rows = opened.driver.current_url, opened.text("#run-title"), opened.column("Method")
    assert "method=DM" in address and "run=cifar10" in address
    opened.driver.get("about:blank")
    opened.driver.get(address)
    opened.until(lambda: opened.js("return document.documentElement.dataset.ready"))
    assert opened.is_open() and opened.text("#run-title") == title and opened.column("Method") == rows == ["DM"]
    opened.press(Keys.ESCAPE)
    opened.until(lambda: "run=" not in opened.driver.current_url)
    assert "method=DM" in opened.driver.current_url
    opened.js("location.hash = '#ipc=2&method=DC'")
    opened.until(lambda: set(opened.column("Method")) == {"DC"})
    assert set(opened.column("IPC")) == {"2"} and opened.errors() == []


def test_the_first_screen_says_what_was_compared_and_what_is_best(opened: Page) -> None:
    overview = opened.text("#overview")
    assert "DANCE" in overview and "100 % of the methods' iterations" in overview and "cifar10" in overview
    best = opened.element("#best tbody tr:last-child td button")
    name = best.get_attribute("textContent")
    opened.js("document.querySelector('#overview details').open = true")
    best.click()
    assert opened.text("#run-title").startswith(f"{name}, ipc 1") and opened.errors() == []


def test_ticks_of_the_plot_are_whole_numbers_and_names_are_beside_the_points(opened: Page) -> None:
    opened.filter("protocol", "dsa")
    opened.plotted()
    opened.until(lambda: opened.driver.find_elements(By.CSS_SELECTOR, "#plot .annotation"))
    ticks = opened.js("return [...document.querySelectorAll('#plot .xtick text')].map(one => one.textContent)")
    assert len(ticks) > 2 and all(re.fullmatch(r"(0\.0*)?[1235][0,]*", tick) for tick in ticks)
    names = opened.js("return [...document.querySelectorAll('#plot .annotation')].map(one => one.textContent)")
    assert {"DM", "DC", "DSA"} <= set(names) and not opened.driver.find_elements(By.CSS_SELECTOR, "#plot .legend")


def test_long_names_in_the_plot_are_cut_on_a_narrow_screen(
    chromium: Any, make_condensed: Any, make_evaluated: Any, tmp_path: Path
) -> None:
    name = "A&B (experts=1, iterations=20, pretrain_epochs=1)"
    for seed in range(2):
        write_task(tmp_path, condensed := make_condensed(name, seed, seconds=100.0))
        write_task(tmp_path, make_evaluated(condensed, [0.5, 0.6]))
    page = Page(chromium, write_report_page(tmp_path))
    for width in (1440, 390):
        page.size(width, 900)
        chromium.refresh()
        page.plotted()
        page.until(lambda: chromium.find_elements(By.CSS_SELECTOR, "#plot .annotation"))
        (label,) = page.js("return [...document.querySelectorAll('#plot .annotation')].map(one => one.textContent)")
        assert label == name if width == 1440 else (label[-1] == "…" and name.startswith(label[:-1])), (width, label)


def test_what_all_rows_share_is_above_the_table_which_fits_a_wide_screen(
    chromium: Any, make_condensed: Any, make_evaluated: Any, tmp_path: Path
) -> None:
    long = ", ".join(f"{name}=0.123456789" for name in ("lr_images", "momentum_images", "alignment", "calibration"))
    for name, seed in product(("random", f"dance ({long})", f"dance ({long.replace('1', '2')})"), range(2)):
        condensed = make_condensed(name, seed, seconds=123_456.0)
        write_task(tmp_path, condensed)
        for network in ("resnet10-bn-w64", "densenet121-g12-bn"):
            write_task(tmp_path, make_evaluated(condensed, [0.5, 0.6], resolved={"architecture": network}))
    page = Page(chromium, write_report_page(tmp_path))
    page.size(1440, 900)
    assert "Dataset cifar10" in page.text("#shared") and "Protocol dsa" in page.text("#shared")
    assert not page.has_column("Dataset") and page.has_column("Network") and not page.has_column("IPC")
    scroll = "const one = document.querySelector('#comparison .scroll'); return one.scrollWidth - one.clientWidth"
    assert page.js(scroll) == 0
    page.size(390, 800)
    edge = page.js(
        "return [...document.querySelectorAll('#table thead th')].map(th => th.getBoundingClientRect().right)"
    )
    assert [head.text for head in page.driver.find_elements(By.CSS_SELECTOR, "#table thead th")][:2] == [
        "Method",
        "Accuracy %",
    ]
    assert edge[1] <= 390 and page.errors() == []


def test_a_picture_names_its_classes_and_shows_the_steps_of_the_set(
    chromium: Any, make_condensed: Any, make_evaluated: Any, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    condensed = make_condensed("dm", ipc=1)
    names = ["plane", "car", *(f"kind {number}" for number in range(8))]
    condensed["result"] |= {"classes": names, "snapshots": [{"step": step, "seconds": 1.0} for step in (0, 5, 9)]}
    for step in (0, 5, 9):
        images = np.full((10, 1, 8, 8), step / 10)
        store_set(store, condensed, images, list(range(10)), f"snapshots/{step}.safetensors")
    folder = store_set(store, condensed, np.full((10, 1, 8, 8), 1.0), list(range(10))).parent
    stored = json.loads((folder / "record.json").read_text())
    (folder / "preview.png").write_bytes(preview_png(enlarged_images(0, 1)))
    checksum = sha256((folder / "preview.png").read_bytes()).hexdigest()
    write_json(folder / "record.json", changed(stored, artifacts=stored["artifacts"] | {"preview.png": checksum}))
    write_task(tmp_path, make_evaluated(condensed, [0.5]))
    page = Page(chromium, write_report_page(tmp_path))
    page.element("#table tbody th button").click()
    image = page.element("#run img.set")
    ActionChains(page.driver).move_to_element_with_offset(image, 10 - image.size["width"] // 2, 0).perform()
    assert page.text("#run .lens") == "plane (class 0)"
    view = page.js("return document.querySelector('#run .lens div').style.backgroundSize").split("px")
    assert float(view[0]) == pytest.approx(89 * 176 / 8, abs=1)  # eight pixels, one image, fill the magnifier
    assert page.js("return [...document.querySelectorAll('#run .names span')].map(one => one.textContent)") == names
    slider, shown = page.element("#run .step"), set()
    for key in (Keys.HOME, Keys.RIGHT, Keys.RIGHT, Keys.RIGHT):
        slider.send_keys(key)
        shown.add((page.text("#run output"), image.get_attribute("src")))
    assert {text for text, _ in shown} == {"step 0", "step 5", "step 9", "the end"}
    assert len({url for _, url in shown}) == 4 and page.errors() == []


@pytest.mark.parametrize(
    ("paper", "url"),
    [("2110.04181", "https://arxiv.org/abs/2110.04181"), ("10.1145/36.80", "https://doi.org/10.1145/36.80")],
)
def test_papers_are_links(
    paper: str, url: str, chromium: Any, make_condensed: Any, make_evaluated: Any, tmp_path: Path
) -> None:
    display = {"card": {**CARD, "title": "DM", "paper": paper}}
    condensed = make_condensed("dm", display=display)
    write_task(tmp_path, condensed)
    write_task(tmp_path, make_evaluated(condensed, [0.5], display=display))
    page = Page(chromium, write_report_page(tmp_path))
    page.element("#table tbody th button").click()
    targets = page.js("return [...document.querySelectorAll('#run a')].map(one => one.href)")
    assert url in targets


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out_sideways(opened: Page, width: int) -> None:
    opened.size(width, 800)
    opened.plotted()

    def over(element: str) -> int:
        return int(opened.js(f"const one = {element}; return one.scrollWidth - one.clientWidth"))

    assert over("document.documentElement") == 0
    opened.first(method="DM").click()
    assert opened.is_open() and over("document.documentElement") == 0 and over("document.getElementById('run')") == 0


def test_headings_names_and_heads_are_there_for_a_screen_reader(opened: Page) -> None:
    opened.plotted()
    headings = len(opened.driver.find_elements(By.CSS_SELECTOR, "#gallery h3"))
    names = opened.js("""
        const name = one => (one.getAttribute("aria-label") || one.labels?.[0]?.innerText || one.innerText
            || one.querySelector("img")?.alt || "").trim();
        const all = selector => [...document.querySelectorAll(selector)];
        return {
            levels: all("h1, h2, h3").filter(one => !one.closest("dialog")).map(one => one.tagName),
            unnamed: all("button, select, input, [role=img], [role=region]")
                .filter(one => !name(one) && one.checkVisibility()).map(one => one.outerHTML.slice(0, 100)),
            unscoped: all("th:not([scope])").length,
            pictures: all("img").filter(one => !one.alt).length,
            language: document.documentElement.lang,
        }""")
    assert names == {
        "levels": ["H1", "H2", "H2", "H2", "H2", *["H3"] * headings, "H2"],
        "unnamed": [],
        "unscoped": 0,
        "pictures": 0,
        "language": "en",
    }
    first = opened.element("a, button, input, select, summary, [tabindex]")
    assert first.text == "" and first.get_attribute("class") == "skip"  # out of sight until it is reached
    opened.js("arguments[0].focus()", first)
    assert first.text == "Skip to the comparison" and first.location["x"] >= 0
    opened.press(Keys.ENTER)
    assert opened.js("return document.activeElement.id") == "comparison"
    opened.press(Keys.TAB)
    ring = opened.js("return getComputedStyle(document.activeElement).outlineStyle")
    assert ring == "solid"


def test_what_records_and_logs_hold_is_text_and_never_runs(
    chromium: Any, make_condensed: Any, make_evaluated: Any, tmp_path: Path
) -> None:
    display = {"display_name": f"dm ({HOSTILE})", "dataset_title": HOSTILE, "card": {**CARD, "title": HOSTILE}}
    made = make_condensed("dm", display=display, resolved={"settings": {HOSTILE: HOSTILE}})
    write_task(tmp_path, made, log=HOSTILE, requested={"dataset": HOSTILE, "data_root": HOSTILE})
    write_task(tmp_path, make_evaluated(made, [0.5, 0.6], display=display), log=HOSTILE)
    failed = make_condensed("dc", status="diverged", message=HOSTILE)
    write_task(tmp_path, failed, log="")
    opened = Page(chromium, write_report_page(tmp_path))
    assert opened.plotted() == 1
    point = opened.element("#plot .scatterlayer .point")
    ActionChains(opened.driver).move_to_element(point).pause(0.5).perform()
    assert "<script>" in opened.text("#plot .hoverlayer")
    for place in range(2):
        opened.js(f"document.querySelector('th button[data-run=\"{place}\"]').click()")
        assert HOSTILE in opened.text("#run-body")
        opened.press(Keys.ESCAPE)
    assert HOSTILE in opened.column("Dataset")
    assert opened.js("return window.ran") is None and opened.errors() == []
    assert opened.js("return document.querySelectorAll('img[src=x]').length") == 0


def test_the_page_asks_for_nothing_from_elsewhere(opened: Page) -> None:
    assert opened.plotted() > 1
    loaded = opened.js("return performance.getEntriesByType('resource').map(one => one.name)")
    assert all(name.startswith(("data:", "blob:")) for name in loaded)
    opened.js("const image = new Image(); image.src = 'http://127.0.0.1:9/x'; document.body.append(image)")
    opened.until(lambda: any("Content Security Policy" in line for line in opened.errors()))


def test_every_row_is_one_trace_with_a_look_of_its_own(
    chromium: Any, make_condensed: Any, make_evaluated: Any, tmp_path: Path
) -> None:
    names = ["random", "random@f2", *(f"dance (alignment={how})" for how in ("random", "expert", "off")), "dance"]
    for name, ipc in product(names, (1, 10)):
        condensed = make_condensed(name, ipc=ipc)
        for record in (condensed, make_evaluated(condensed, [0.5, 0.6])):
            write_task(tmp_path, record)
    page = Page(chromium, write_report_page(tmp_path))
    page.plotted()
    traces = page.js(
        "return document.getElementById('plot').data.map("
        "trace => [trace.name, trace.x.length, trace.marker.color + trace.marker.symbol])"
    )
    titles = [
        name.replace("random", "RANDOM", 1) if name[0] == "r" else name.replace("dance", "DANCE") for name in names
    ]
    assert sorted((name, points) for name, points, _ in traces) == sorted((title, 2) for title in titles)
    assert len({look for *_, look in traces}) == len(names)
    options = page.js("return [...document.querySelector('#filters [name=method]').options].map(one => one.value)")
    assert set(options) - {""} == set(titles) and page.errors() == []


@pytest.fixture
def with_losses(make_condensed: Any, make_evaluated: Any, tmp_path: Path) -> Path:
    """The page of a store with losses of two seeds of DM and of one of DC."""
    store = Store(tmp_path)
    files = {("dm", 0): "step,matching,decay\n1,4.0,9.0\n2,2.0,0.5\n", ("dm", 1): "step,matching\n1,3.0\n2,1.0\n",
             ("dc", 0): "step,gap\n1,-1.0\n2,1.0\n"}  # fmt: skip
    for (name, seed), losses in files.items():
        condensed = make_condensed(name, seed, ipc=1)
        store_set(store, condensed, np.full((10, 1, 8, 8), 0.5), list(range(10)), losses=losses)
        write_task(tmp_path, make_evaluated(condensed, [0.5]))
    return write_report_page(tmp_path)


def test_losses_are_drawn_for_each_seed_of_the_chosen_row(chromium: Any, with_losses: Path) -> None:
    page = Page(chromium, with_losses)

    def drawn() -> dict[str, list[float]]:
        page.js("document.getElementById('losses').scrollIntoView()")
        page.until(lambda: page.js("return document.getElementById('losses').dataset.drawn"))
        return dict(page.js("return document.getElementById('losses').data.map(line => [line.name, [...line.y]])"))

    rows = Select(page.element("#losses-of"))
    rows.select_by_visible_text(next(one.text for one in rows.options if one.text.startswith("DM")))
    page.until(lambda: len(drawn()) == 3)
    assert drawn() == {"matching, seed 0": [4, 2], "decay, seed 0": [9, 0.5], "matching, seed 1": [3, 1]}
    page.filter("method", "DC")
    page.until(lambda: drawn() == {"gap, seed 0": [-1, 1]})
    assert page.errors() == []


def test_without_losses_there_is_no_such_section(opened: Page) -> None:
    assert not opened.element("#losses-section").is_displayed()


def test_on_a_narrow_screen_the_table_is_before_the_overview(chromium: Any, with_losses: Path) -> None:
    page = Page(chromium, with_losses)
    page.size(390, 844)
    page.driver.refresh()
    page.until(lambda: page.js("return document.documentElement.dataset.ready"))
    top = "return document.querySelector(arguments[0]).getBoundingClientRect().top"
    assert page.js(top, "#table tbody tr") < 500 and page.js(top, "#overview") > page.js(top, "#table")
    assert not page.element("#filters").is_displayed()
    page.element("#filter-box summary").click()
    assert page.element("#filters").is_displayed()
