"""What is published is of the models that are released: tables, pages and the models' own metadata say the same."""

from __future__ import annotations

import pytest

import sdk
from tests.published import DOCS, EVALUATIONS, TABLES, result
from training import (
    compare,
    evaluate,
    evaluate_cdh,
    evaluate_colour,
    evaluate_companding,
    evaluate_disguises,
    evaluate_halftones,
    evaluate_scans,
    evaluate_self_ensemble,
    layers,
    papers,
)
from training.results import weights_of


def test_every_released_model_has_a_table() -> None:
    assert set(TABLES) == set(sdk.releases())


@pytest.mark.parametrize(("model", "table"), TABLES.items())
def test_tables_are_of_the_released_models(model: str, table: str) -> None:
    ours = {f"{r['set']}/{r['dither']}/psnr": r["psnr"] for r in result(table)["rows"] if r["restorer"] == model}
    metrics = sdk.catalog.metadata_of(model).metrics
    assert ours
    assert ours == {key: value for key, value in metrics.items() if key.endswith("/psnr")}


PAGES = {
    "models": lambda: evaluate.page(EVALUATIONS),
    "scans": lambda: evaluate_scans.page(result("scans/scan")),
    "colour": lambda: evaluate_colour.page([result("colour/colour"), result("colour/gif")]),
    "companding": lambda: evaluate_companding.page(result("companding/companding")),
    "cdh": lambda: evaluate_cdh.page(result("cdh/cdh")),
    "compare": lambda: compare.page(result("compare/compare")),
    "layers": lambda: layers.page(result("layers/layers")),
    "disguises": lambda: evaluate_disguises.page(result("disguises/fast")),
    "self_ensemble": lambda: evaluate_self_ensemble.page(result("self_ensemble/self_ensemble")),
    "halftones": lambda: evaluate_halftones.page(result("halftones/halftones")),
    "papers": lambda: papers.page(papers.read(EVALUATIONS)),
}


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_made_from_the_tables(name: str) -> None:
    assert (DOCS / f"{name}.md").read_text(encoding="utf-8") == PAGES[name]()


def test_self_ensembles_are_of_the_released_models_and_gain() -> None:
    found = {(row["model"], row["dither"], row["set"], row["restorer"]): row for row in result("self_ensemble/self_ensemble")["rows"]}
    for (model, dither, set_name, title), row in found.items():
        assert row["weights"] == weights_of(sdk.catalog.metadata_of(model).training)
        if title == evaluate_self_ensemble.TOGETHER:
            alone = found[model, dither, set_name, evaluate_self_ensemble.ALONE]
            assert row["psnr"] > alone["psnr"] + 0.03, (model, dither)


def test_models_fit_into_70_megabytes() -> None:
    """Nearly the size of the wheel (PyPI takes 100 MB); a quarter of it are the three samplers of ``cdh``, a fifth is ``prl``."""
    assert sum(release.path.stat().st_size for release in sdk.releases().values()) < 70e6
