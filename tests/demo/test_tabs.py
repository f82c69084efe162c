"""The demo's tabs: which there are, what their fields are, and that all that computes shares one place."""

from __future__ import annotations

import runpy

import gradio as gr
import pytest

import sdk
from demo import about, app, batch, benchmark, expand, fields, halftone, models, restore
from sdk.catalog import released_for
from tests.demo.conftest import EXPANDERS, ROOT


def test_benchmark_measures_every_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "SIZES", (64, 96))
    table, chart = benchmark.benchmark()
    assert list(chart["picture"]) == [f"{name}, {size} x {size}" for name in sdk.releases() for size in (64, 96)]
    assert (chart["seconds"] > 0).all()
    assert table.count("\n") == len(chart) + 1


def test_the_tab_that_expands_is_there_when_a_model_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert EXPANDERS == models.expanders() != ()
    assert "Expand bits" in app.TABS
    with monkeypatch.context() as patched:
        patched.setattr(models, "expanders", lambda: ())
        without = runpy.run_path(str(ROOT / "demo" / "app.py"))["TABS"]
    assert list(without) == [name for name in app.TABS if name != "Expand bits"]


def test_all_that_computes_shares_one_place() -> None:
    """What does not, only shows and hides fields: a new event is to be thought about."""
    computing = {module.__name__.split(".")[1] for module in (restore, expand, halftone, batch, benchmark)}
    page = app.build()
    assert not page.api_open  # else clients may go past the queue
    events = list(page.fns.values())
    shared = {event.name for event in events if (event.concurrency_id, event.concurrency_limit) == ("device", 1) and event.queue}
    assert shared == computing
    others = {event.name for event in events if event.name not in shared}
    assert others <= {None, "<lambda>", "show", "_take_example", "_show_parameters", "end_session"}
    assert {event.name for event in events if event.api_visibility == "public"} == computing - {"benchmark"}


def test_every_parameter_of_the_methods_has_a_field_and_every_model_is_told_about() -> None:
    with gr.Blocks():
        assert all(halftone._parameter_field(name, default) for name, default in halftone.PARAMETERS.items())
        for name in sdk.releases():
            assert "Trained on" in about._model(name)
        menu = [value for _, value in fields.model_menu().choices]
    assert menu == ["auto", *released_for("inverse-halftoning")]
