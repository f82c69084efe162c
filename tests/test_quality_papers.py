"""``prl``, ``gif`` and ``companding`` against their promises: the published tables, and a few figures measured anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sdk
from sdk.halftoning.palettes import quantise_bits
from sdk.metrics import psnr
from tests.published import result, rows
from training import evaluate_colour, evaluate_companding, papers
from training.data import photo_paths, read_grey, read_rgb
from training.testsets import PROTOCOL, centre_256

MISSED = pytest.mark.xfail(
    strict=True, raises=AssertionError, reason="trained for minutes on two shared CPU cores (docs/papers.md); it needs more"
)
# What the released models miss: a strict xfail fails as soon as one of these is reached, and then it is taken out here.
GIF_MISSES = {"filters"}
COLOUR_MISSES = {"psnr", "ssim"}
COMPANDING_MISSES = {
    (2, "colour", "ssim"),
    *((bits, "grey", "psnr") for bits in (1, 2, 3)),
}


# prl


def test_prl_is_better_than_fast_by_03_db() -> None:
    prl, fast = (rows(name)[name, "floyd-steinberg", "kodak24"]["psnr"] for name in ("prl", "fast"))
    assert prl >= fast + 0.3


def test_prl_is_better_than_the_papers_figure() -> None:
    """On pictures of the same kind and size: the paper's are of VOC, ours of COCO."""
    ours = rows("prl")["prl", "floyd-steinberg", PROTOCOL]
    assert ours["psnr"] > max(figure for figure, _ in papers.PRL_TABLE_1.values())


@pytest.mark.parametrize("other", ["DnCNN", "VDSR", "SRResNet", "DeHalftone", "PRL-plain", "PRL-MSE"])
def test_prl_leads_its_rivals_at_equal_budget(other: str) -> None:
    """As in Xia & Wong, but that there squared error alone has the better PSNR (29.91 to 29.70 dB); MSPRL came later and is better."""
    scores = {row["name"]: row["scores"] for row in result("compare/compare")["rows"]}
    for set_name, score in scores["PRL"].items():
        assert score["psnr"] > scores[other][set_name]["psnr"]
        assert score["ssim"] > scores[other][set_name]["ssim"]


@pytest.mark.parametrize(
    ("set_name", "measure", "target"),
    [("kodak24", "psnr", 31.2), ("kodak24", "ssim", 0.868), (PROTOCOL, "psnr", 31.5), (PROTOCOL, "ssim", 0.892)],
)
def test_target_prl(set_name: str, measure: str, target: float) -> None:
    assert rows("prl")["prl", "floyd-steinberg", set_name][measure] >= target


@pytest.mark.slow
def test_prl_measured_anew(data: Path) -> None:
    """The first of the pictures of 256x256 px, whose PSNR stands for itself."""
    restorer = sdk.InverseHalftoner("prl", device="cpu")
    photos = [centre_256(read_grey(path)) for path in photo_paths(data / "test" / "coco_val50")[:6]]
    halftone = sdk.Halftoner("floyd-steinberg")
    gained = [psnr(restorer.run(halftone.run(photo)), photo) for photo in photos]
    fast = sdk.InverseHalftoner("fast", device="cpu")
    assert np.mean(gained) >= 0.3 + np.mean([psnr(fast.run(halftone.run(photo)), photo) for photo in photos])


# layers of VGG


def test_the_first_layer_of_vgg_does_as_well_as_pixels_and_deeper_ones_alone_do_not() -> None:
    found = {(row["task"], row["loss"]): row["scores"] for row in result("layers/layers")["rows"]}
    for task in ("bits", "halftones"):
        for kind, pixels in found[task, "pixels"].items():
            first = found[task, "conv1_1"][kind]
            assert first["psnr"] >= pixels["psnr"] - 0.1, (task, kind)
            assert first["lpips"] <= pixels["lpips"], (task, kind)
            for layer in ("conv2_1", "conv3_1", "conv4_1"):
                assert found[task, layer][kind]["psnr"] < first["psnr"] - 0.3, (task, kind, layer)


# gif


@pytest.mark.parametrize("kind", [row.title for row in evaluate_colour.PALETTES])
def test_gif_is_better_than_the_input_and_every_filter(kind: str) -> None:
    found = {restorer: row for (restorer, dither, name), row in rows("colour/gif").items() if (dither, name) == (kind, "kodak24")}
    ours = found.pop("gif")
    assert len(found) == 3
    assert ours["psnr"] > max(row["psnr"] for row in found.values())
    assert ours["ssim"] > max(row["ssim"] for row in found.values())


def test_target_gif_makes_no_picture_worse() -> None:
    for (restorer, kind, set_name), row in rows("colour/gif").items():
        assert restorer != "gif" or row["worst_gain"] >= 0, (kind, set_name)


@pytest.mark.parametrize(("over", "others"), [("input", (evaluate_colour.AS_IT_IS,)), ("filters", tuple(evaluate_colour.FILTERS))])
def test_target_gif(over: str, others: tuple[str, ...], request: pytest.FixtureRequest) -> None:
    """2 dB above the input and above the best filter, 256 colours."""
    if over in GIF_MISSES:
        request.applymarker(MISSED)
    found = {restorer: row for (restorer, dither, name), row in rows("colour/gif").items() if (dither, name) == ("256 colours", "kodak24")}
    ours = found.pop("gif")
    assert ours["psnr"] >= 2 + max(found[other]["psnr"] for other in others)


@pytest.mark.parametrize(("measure", "target"), zip(("psnr", "ssim"), papers.COMPANDING_TABLE_3))
def test_target_colour_halftones(measure: str, target: float, request: pytest.FixtureRequest) -> None:
    """Table III of Hou & Qiu (2017)."""
    if measure in COLOUR_MISSES:
        request.applymarker(MISSED)
    assert rows("colour/colour")["colour", "colour Floyd-Steinberg", PROTOCOL][measure] >= target


@pytest.mark.parametrize("set_name", ["kodak24", "cbsd68"])
def test_all_channels_at_once_are_better_by_03_db(set_name: str) -> None:
    found = rows("colour/colour")
    ours, each = (found[restorer, "colour Floyd-Steinberg", set_name] for restorer in ("colour", "fast, per channel"))
    assert ours["psnr"] >= each["psnr"] + 0.3
    assert ours["ssim"] > each["ssim"]


@pytest.mark.slow
def test_colour_measured_anew(data: Path) -> None:
    """Whole pictures: on small ones it has less of a lead, or none (docs/colour.md)."""
    photos = [read_rgb(path) for path in photo_paths(data / "test" / "kodak24")[:3]]
    colour, fast = (sdk.InverseHalftoner(name, device="cpu") for name in ("colour", "fast"))
    dots = [sdk.Halftoner("floyd-steinberg").run(photo) for photo in photos]
    ours, each = ([psnr(restorer.run(dot), photo) for dot, photo in zip(dots, photos)] for restorer in (colour, fast))
    assert np.mean(ours) >= np.mean(each) + 0.3


@pytest.mark.slow
def test_gif_measured_anew(data: Path) -> None:
    restorer, palette = sdk.InverseHalftoner("gif", device="cpu"), sdk.Halftoner("palette", colors=256)
    photos = [read_rgb(path) for path in photo_paths(data / "test" / "kodak24")[:3]]
    gains = [psnr(restorer.run(reduced), photo) - psnr(reduced, photo) for reduced, photo in zip(map(palette.run, photos), photos)]
    assert np.mean(gains) > 0.5
    assert min(gains) > 0


@pytest.mark.slow
def test_gif_makes_no_picture_of_256_colours_worse(data: Path) -> None:
    """Of those at 256x256 px, whose 256 colours are often nearly exact, the first eight. All were measured so (README)."""
    restorer, palette = sdk.InverseHalftoner("gif", device="cpu"), sdk.Halftoner("palette", colors=256)
    photos = [centre_256(read_rgb(path)) for path in photo_paths(data / "test" / "coco_val50")[:8]]
    for photo in photos:
        reduced = palette.run(photo)
        assert psnr(restorer.run(reduced), photo) >= psnr(reduced, photo)


# companding


@pytest.mark.parametrize("set_name", evaluate_companding.SETS)
@pytest.mark.parametrize("colour", evaluate_companding.COLOURS)
@pytest.mark.parametrize("bits", evaluate_companding.BITS)
def test_companding_is_better_than_the_middle_of_the_interval(bits: int, colour: str, set_name: str) -> None:
    found, kind = rows("companding/companding"), f"{bits} bits, {colour}"
    ours, middle = (found[restorer, kind, set_name] for restorer in ("companding", evaluate_companding.MIDDLE))
    assert ours["psnr"] > middle["psnr"]
    assert ours["ssim"] > middle["ssim"]


@pytest.mark.parametrize("colour", evaluate_companding.COLOURS)
@pytest.mark.parametrize("bits", evaluate_companding.BITS)
@pytest.mark.parametrize("measure", ["psnr", "ssim"])
def test_target_companding(measure: str, bits: int, colour: str, request: pytest.FixtureRequest) -> None:
    """Above Table I of Hou & Qiu (2017) in PSNR, and not below it in SSIM."""
    if (bits, colour, measure) in COMPANDING_MISSES:
        request.applymarker(MISSED)
    ours = rows("companding/companding")["companding", f"{bits} bits, {colour}", PROTOCOL][measure]
    decibels, similarity = evaluate_companding.PAPER[colour][bits]
    assert ours > decibels if measure == "psnr" else round(ours, 2) >= similarity


@pytest.mark.slow
def test_companding_measured_anew(data: Path) -> None:
    expander = sdk.BitDepthExpander("companding", device="cpu")
    photos = [read_rgb(path) for path in photo_paths(data / "test" / "kodak24")[:3]]
    for bits in (1, 3, 5):
        few = [quantise_bits(photo, bits) for photo in photos]
        ours = np.mean([psnr(expander.run(cut, bits=bits), photo) for cut, photo in zip(few, photos)])
        assert ours > np.mean([psnr(evaluate_companding.middle(cut, bits), photo) for cut, photo in zip(few, photos)]), bits
