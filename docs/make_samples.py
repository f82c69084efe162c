"""Make the printed page among the samples: `python -m docs.make_samples` (needs the train extra).

A page of 8 to 10 point text (Pillow's built-in Aileron, CC0) with Kodak picture 23 as an 85 lpi halftone, printed in black
on newsprint and scanned at 300 dpi by the simulator that trains `scan`. The text is known, so reading it can be tested.
"""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sdk.files import read
from sdk.images import from_unit
from training.config import load_recipe
from training.lettering import Lettering
from training.printing import oversampling_for, print_photo
from training.scanning import scan_print

SAMPLES = Path(__file__).parent / "samples"
DPI, LPI = 300, 85
WIDTH, HEIGHT = 1240, 1360
PICTURE = (60, 60, 640, 420)
"""left, top, width, height, px."""

PARAGRAPHS = (
    (
        10,
        (720, 60, 460),
        "A newspaper cannot print grey. It prints black dots, large in the shadows and small in the lights, on a grid so fine that "
        "the eye takes the mixture for a tone. Eighty-five lines to the inch were usual on rough paper, one hundred and thirty-three "
        "in magazines, and a good art book went to two hundred.",
    ),
    (
        9,
        (60, 520, 540),
        "Whoever scans such a page gets the dots and not the tone. Made smaller, they beat against the pixels as moire; blurred, "
        "they go, and the edges go with them. The screen has to be taken away while the drawing of the picture stays, and the "
        "letters beside it must not lose a stroke: 1234567890, rn and m, cl and d, 3 and 8 are still to be told apart.",
    ),
    (
        8,
        (660, 790, 520),
        "This page was set in eight, nine and ten point, printed in black by a program that imitates ink and newsprint, and "
        "scanned at 300 dots per inch. Its words are known, so a machine can read it before and after the restoration and count "
        "which letters changed. None should. The photograph is number 23 of the Kodak collection: two parrots, one of them blue.",
    ),
)


def text() -> str:
    """What the page says, one paragraph a line."""
    return "\n".join(words for _, _, words in PARAGRAPHS)


def typeset(oversampling: int) -> Lettering:
    """Letters as solid ink; the picture in its frame."""
    shape = (HEIGHT * oversampling, WIDTH * oversampling)
    sheet = Image.new("L", (shape[1], shape[0]))
    draw = ImageDraw.Draw(sheet)
    for points, (left, top, width), words in PARAGRAPHS:
        size = points / 72 * DPI * oversampling
        font = ImageFont.load_default(round(size))
        x, y = left * oversampling, top * oversampling
        line = ""
        for word in [*words.split(), None]:
            longer = f"{line} {word}".strip()
            if word is None or draw.textlength(longer, font=font) > width * oversampling:
                draw.text((x, y), line, fill=255, font=font)
                line, y = word or "", y + 1.25 * size
            else:
                line = longer
    picture = np.zeros(shape, np.float32)
    left, top, width, height = (value * oversampling for value in PICTURE)
    picture[top : top + height, left : left + width] = 1
    return Lettering(np.array(sheet, dtype=np.float32) / 255, picture)


def printed_page() -> np.ndarray:
    """uint8 HEIGHT x WIDTH x 3."""
    recipe = load_recipe("scan").data.prints[0]
    config = replace(
        recipe.print, inks={"black": 1.0}, dots={"round": 1.0}, paper=(0.86, 0.86), paper_yellow=(0.25, 0.25), ink_black=(0.1, 0.1)
    )
    optics = replace(recipe.scan, blur=(0.6, 0.6), aliased=0, noise=(0.012, 0.012), sharpened=0, jpeg=0, grey=0)
    left, top, width, height = PICTURE
    sheet = np.ones((HEIGHT, WIDTH, 3), np.float32)
    photo = read(SAMPLES / "kodim23_grey.png").pages[0].pixels.astype(np.float32) / 255
    sheet[top : top + height, left : left + width] = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)[..., None]
    rng = np.random.default_rng(85)
    printed = print_photo(sheet, config, DPI / LPI, rng, lettering=typeset(oversampling_for(DPI / LPI)))
    return from_unit(scan_print(printed, optics, rng), np.uint8)


if __name__ == "__main__":
    Image.fromarray(printed_page()).save(SAMPLES / "page_85lpi_300dpi.jpg", quality=90, dpi=(DPI, DPI))
