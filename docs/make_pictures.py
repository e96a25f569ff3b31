"""Make the pictures of the documentation from a report: accuracy against time, and the page.

python docs/make_pictures.py REPORT FOLDER

REPORT is the folder that `python -m benchmark.report` wrote. Needs the extra `test`, chromium and chromedriver.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from selenium import webdriver

COLORS = 64  # of a picture's palette, which keeps the files small
PAGE_SIZE = (1150, 1280)  # pixels of the browser's window
WIDTHS = {"accuracy-time": 700, "report-page": 1000}  # pixels of the pictures


def save(image: Image.Image, folder: Path, name: str) -> None:
    """Save a picture with its width of WIDTHS and a palette of COLORS."""
    size = WIDTHS[name], round(image.height * WIDTHS[name] / image.width)
    small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    small.quantize(COLORS, dither=Image.Dither.NONE).save(folder / f"{name}.png", optimize=True)


def photograph(page: Path) -> Image.Image:
    """The top of a page in a browser."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size={},{}".format(*PAGE_SIZE)):
        options.add_argument(argument)
    service = webdriver.ChromeService(shutil.which("chromedriver"))  # else selenium looks for one on the internet
    driver = webdriver.Chrome(options, service)
    try:
        driver.get(page.absolute().as_uri())
        driver.implicitly_wait(30)
        driver.find_element("css selector", "table tbody tr")  # scripts fill the table and draw the plot
        driver.find_element("css selector", ".main-svg .points")
        return Image.open(io.BytesIO(driver.get_screenshot_as_png()))
    finally:
        driver.quit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    figure = min((arguments.report / "figures").glob("trade-*-ipc1.png"))
    save(Image.open(figure), arguments.folder, "accuracy-time")
    save(photograph(arguments.report / "report.html"), arguments.folder, "report-page")


if __name__ == "__main__":
    main()
