"""Dots that were turned or mirrored since they were made are known for it, and restored as if they never were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdk
from sdk.analysis.methods import LABELS
from sdk.analysis.turns import NOISE, TURNS, find_turn
from sdk.halftoning import halftone
from sdk.turn import Turn
from training.method_tables import call_of
from training.pages import beside_text, text_page

SAMPLES = Path(__file__).parents[2] / "docs" / "samples"


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.ascontiguousarray(sdk.files.read(SAMPLES / "kodim23_grey.png").pages[0].pixels[60:380, 160:450])


def made_by(label: str, photo: np.ndarray) -> np.ndarray:
    method, parameters = call_of(label)
    return halftone(photo, method, **parameters)


@given(st.sampled_from(TURNS), st.integers(1, 7), st.integers(1, 7), st.booleans())
def test_turns_are_undone(turn: Turn, height: int, width: int, colour: bool) -> None:
    pixels = np.arange(height * width * 3).reshape(height, width, 3)[..., : 3 if colour else 1].squeeze(axis=() if colour else 2)
    turned = turn.apply(pixels)
    assert turned.shape[:2] == ((width, height) if turn.degrees % 180 else (height, width))
    np.testing.assert_array_equal(turn.undo(turned), pixels)


def test_a_turn_is_first_mirrored_then_turned_counter_clockwise() -> None:
    pixels = np.array([[1, 2], [3, 4]])
    np.testing.assert_array_equal(Turn(90, mirrored=False).apply(pixels), [[2, 4], [1, 3]])
    np.testing.assert_array_equal(Turn(90, mirrored=True).apply(pixels), [[1, 3], [2, 4]])


@pytest.mark.parametrize("label", LABELS)
def test_nothing_is_said_of_dots_that_lie_as_they_were_made(label: str, photo: np.ndarray) -> None:
    for part in (photo, photo[::2, ::2], photo[:90, :90]):
        assert find_turn(made_by(label, np.ascontiguousarray(part))) is None


@pytest.mark.parametrize("label", [label for label in LABELS if label not in (*NOISE, "bayer")])
def test_turned_dots_are_known(label: str, photo: np.ndarray) -> None:
    dots = made_by(label, photo)
    for turn in TURNS[1:]:
        known = {turn}
        if label.endswith("serpentine"):  # mirrored, they are the same
            known = {Turn(turn.degrees, mirrored=False)} if turn.degrees else {None}
        elif label == "simple-floyd-steinberg":  # it does the same to columns as to rows
            known.add(Turn((turn.degrees + (-90 if turn.mirrored else 90)) % 360, not turn.mirrored))
            known = {None if same == TURNS[0] or same == Turn(90, mirrored=True) else same for same in known} | known
        assert find_turn(turn.apply(dots)) in known, turn


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.float32])
def test_any_kind_of_pixels_and_channels(dtype: type, photo: np.ndarray) -> None:
    white = TURNS[3].apply(halftone(np.dstack([photo, photo[::-1], photo[:, ::-1]]), "stucki"))
    assert find_turn(white if dtype == np.bool_ else white.astype(dtype) * (1 if dtype == np.float32 else np.iinfo(dtype).max)) == TURNS[3]


def test_what_no_method_made_lies_as_it_does(photo: np.ndarray) -> None:
    text = text_page(600, 500, np.random.default_rng(0)) > 127
    screen = halftone(photo, "am-screen", lpi=100.0, dpi=600.0, angle=30)
    for white in (text, text.T, screen, screen[::-1], np.zeros((300, 300), bool), np.ones((1, 4), bool), photo > 127):
        assert find_turn(white) is None


def test_a_picture_on_a_page_of_text_may_be_turned(photo: np.ndarray) -> None:
    page = beside_text(halftone(photo, "burkes"), np.random.default_rng(0))
    assert find_turn(page) is None
    assert find_turn(TURNS[1].apply(page)) == TURNS[1]


@pytest.mark.parametrize("model", ["fast", "auto"])
def test_a_turned_dither_is_restored_as_it_was_before(model: str, photo: np.ndarray) -> None:
    restorer = sdk.InverseHalftoner(model, device="cpu")
    dots = halftone(photo[:200], "stucki")
    plain = restorer.run(dots)
    for turn in TURNS[1:]:
        np.testing.assert_array_equal(restorer.run(turn.apply(dots)), turn.apply(plain))


def test_colour_and_channels_keep_their_places(photo: np.ndarray) -> None:
    restorer = sdk.InverseHalftoner("auto", device="cpu")
    dots = halftone(np.dstack([photo, photo[::-1], photo[:, ::-1]])[:224, :256], "floyd-steinberg")
    np.testing.assert_array_equal(restorer.run(TURNS[6].apply(dots)), TURNS[6].apply(restorer.run(dots)))
    assert restorer.choice is not None
    assert restorer.choice.model == "colour"


def test_who_names_the_method_says_how_the_dots_lie(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdk.networks.halftone.find_turn", lambda *_: pytest.fail("it was looked for"))
    sdk.InverseHalftoner("fast", device="cpu", method="stucki").run(halftone(photo[:64], "stucki"))


def test_the_analysis_tells_it(photo: np.ndarray) -> None:
    found = sdk.analyze(TURNS[5].apply(halftone(photo, "sierra")))
    assert (found.kind, found.method, found.turned, found.mirrored) == ("dither", "sierra", 90, True)
    assert "(sierra), mirrored, turned by 90 degrees" in str(found)
    large = TURNS[2].apply(halftone(photo, "clustered-dot", size=6)).repeat(2, axis=0).repeat(2, axis=1)
    found = sdk.analyze(large)
    assert (found.kind, found.method, found.turned, found.enlarged) == ("ordered", "clustered-dot 6x6", 180, 2)
    assert "turned by 180 degrees, each pixel 2x2 times" in str(found)
