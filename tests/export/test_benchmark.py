"""The benchmark's book: what is measured again, what is left out and named, and the page that is made of it."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import onnx
import pytest
from onnx import helper

import sdk
from export import benchmark as module
from export.benchmark import Book, Model, benchmark, chosen, open_models
from export.benchmark_page import write_page
from export.runners import RUNNERS, Case, Runner, case_from
from sdk.errors import ModelError
from sdk.onnx_precision import in_precision
from tests.export.benchmark_cases import EAGER, OPENVINO, ORT, convolutions


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    """Stands in for the processes; the cases it was asked for."""
    asked: list[Case] = []

    def answer(name: str, *arguments: str, timeout: float) -> dict[str, Any]:
        if name == "export.roofline":
            return {"fp32": {"gflop_per_s": 100.0 + len(asked), "by": "torch"}, "memory": {"gb_per_s": 10.0, "by": "torch"}}
        asked.append(case_from(arguments[0]))
        if asked[-1].runner.runtime == "openvino":
            return {"skipped": "no such thing", "whatever_the_model": True}
        latency = {"p50_s": 0.5 * asked[-1].batch, "p95_s": 0.6, "repeats": 2}
        return {"end_to_end": latency, "network": latency, "peak_mib": 100.0, "gpu_mib": None, "other_work": 0.2, "ran": "x"}

    monkeypatch.setattr(module, "in_process", answer)
    return asked


def options(**changes: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"threads": 1, "repeats": 2, "again": False, "timeout": 60, **changes})


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model("fast", tmp_path_factory.mktemp("variants"))


def test_what_was_measured_is_not_measured_again(answers: list[Case], fast: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [(ORT, 64, 1), (ORT, 64, 2)]
    benchmark([fast], cases[:1], options(), Book(tmp_path, "a machine"))
    assert len(answers) == 1
    benchmark([fast], cases, options(), Book(tmp_path, "a machine"))
    assert [asked.batch for asked in answers] == [1, 2]
    benchmark([fast], cases, options(again=True), Book(tmp_path, "a machine"))
    assert len(answers) == 4
    monkeypatch.setattr(Runner, "version", property(lambda _: "99.0"))
    benchmark([fast], cases, options(), Book(tmp_path, "a machine"))
    assert len(answers) == 6
    rows = json.loads((tmp_path / "a-machine.json").read_text())["rows"]
    assert [(row["batch"], row["version"]) for row in rows] == [(1, "99.0"), (2, "99.0")]  # the old ones are replaced


def test_ceilings_are_the_best_that_was_ever_reached(answers: list[Case], fast: Model, tmp_path: Path) -> None:
    for _ in range(2):
        benchmark([fast], [(ORT, 64, 1)], options(again=True), Book(tmp_path, "m"))
    found = Book(tmp_path, "m").content["ceilings"]["cpu, 1 threads"]
    assert found["fp32"]["gflop_per_s"] == 102.0
    slower = {"fp32": {"gflop_per_s": 5.0, "by": "torch"}}
    book = Book(tmp_path, "m")
    module.in_process = lambda *_, **__: slower  # type: ignore[assignment] - monkeypatch puts it back
    book.measure_ceilings("cpu", 1)
    assert book.content["ceilings"]["cpu, 1 threads"]["fp32"]["gflop_per_s"] == 102.0


def test_what_cannot_run_is_tried_once_and_named(answers: list[Case], fast: Model, tmp_path: Path) -> None:
    book = Book(tmp_path / "evaluations" / "benchmarks", "m")
    int8 = Runner("openvino", "cpu", "int8", "openvino")
    absent = Runner("tensorrt", "cuda", "fp16", "no such package")
    benchmark([fast], [(OPENVINO, 64, 1), (OPENVINO, 128, 1), (int8, 64, 1), (absent, 64, 1), (ORT, 64, 1)], options(), book)
    assert [asked.runner.runtime for asked in answers] == ["openvino", "onnxruntime"]
    text = write_page(tmp_path)
    assert "fast on openvino, cpu fp32, 64x64; fast on openvino, cpu fp32, 128x128: no such thing" in text
    assert "python -m export.precision fast --data DIR" in text
    assert "no such package is not installed" in text
    assert "None measured yet. On a machine with one:" in text


def test_a_model_of_two_inputs_is_left_out_and_named(tmp_path: Path) -> None:
    two = convolutions()
    two.graph.input.append(helper.make_tensor_value_info("reference", 1, ["n", 1, "h", "w"]))
    helper.set_model_props(two, sdk.InverseHalftoner("fast", device="cpu").metadata.to_props())
    onnx.save(two, tmp_path / "two.onnx")
    book = Book(tmp_path / "evaluations" / "benchmarks", "m")
    assert open_models([str(tmp_path / "two.onnx")], tmp_path, book) == []
    assert "two.onnx on any: it takes x, reference; models of one input" in write_page(tmp_path)
    assert [model.asked for model in open_models(["fast"], tmp_path, book)] == ["fast"]


def test_a_file_of_another_precision_is_left_out_and_named(tmp_path: Path) -> None:
    (tmp_path / "half.onnx").write_bytes(in_precision(sdk.releases()["fast"].path.read_bytes(), "fp16"))
    book = Book(tmp_path, "m")
    assert open_models([str(tmp_path / "half.onnx")], tmp_path, book) == []
    assert "it is in fp16; name the model it was made of" in book.content["left_out"][str(tmp_path / "half.onnx")]


def test_machines_that_differ_at_the_end_have_books_of_their_own(tmp_path: Path) -> None:
    xeon = "Intel Xeon Processor, family 6 model 207, 16 cores (avx2, avx512f, avx512_vnni, avx512_bf16, amx_bf16), NVIDIA "
    first, second = (Book(tmp_path, xeon + gpu).path.name for gpu in ("H100 80GB HBM3", "H200"))
    assert first != second
    assert len(first) <= 80 + len(".json")
    assert Book(tmp_path, "a machine").path.name == "a-machine.json"


def test_what_is_in_the_table_is_not_among_what_was_not_measured(answers: list[Case], fast: Model, tmp_path: Path) -> None:
    book = Book(tmp_path, "m")
    benchmark([fast], [(ORT, 64, 1)], options(), book)
    (row,) = book.content["rows"]
    book.skip(row, "its file was not there that day")
    benchmark([fast], [(ORT, 64, 1)], options(), book)
    assert len(answers) == 1
    assert Book(tmp_path, "m").content["skipped"] == []


def test_models_of_one_name_are_not_measured_together(tmp_path: Path) -> None:
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(sdk.releases()["fast"].path.read_bytes())
    with pytest.raises(ModelError, match=r"fast and .*copy\.onnx are both called 'fast'"):
        open_models(["fast", str(copy)], tmp_path, Book(tmp_path, "a machine"))


def test_page_and_chart(answers: list[Case], fast: Model, tmp_path: Path) -> None:
    book = Book(tmp_path / "evaluations" / "benchmarks", "m")
    benchmark([fast], [(ORT, 1000, 1), (EAGER, 1000, 1)], options(), book)
    text = write_page(tmp_path)
    row = next(line for line in text.splitlines() if line.startswith("| fast | torch eager"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    gflop = sdk.InverseHalftoner("fast", device="cpu").metadata.kflop_per_pixel
    assert cells[1:7] == ["torch eager, cpu fp32*", "1000x1000", "500.0", "600.0", "2.00", "1.00"]  # *: other programs took 20 %
    assert cells[10] == f"{gflop:.0f}"
    assert cells[13:] == [f"{2 * gflop:.0f}", f"{2 * gflop / 101:.0%} / {2 * gflop / 101:.0%}"]
    chart = cv2.imread(str(tmp_path / "images" / "benchmarks.png"))
    assert chart is not None
    assert chart.std() > 10
    assert (tmp_path / "benchmarks.md").read_text(encoding="utf-8") == text


def test_runners_by_words() -> None:
    assert chosen(RUNNERS, None) == list(RUNNERS)
    assert {runner.precision for runner in chosen(RUNNERS, ["openvino"])} == {"fp32", "bf16", "int8"}
    assert all(runner.device == "cuda" for runner in chosen(RUNNERS, ["CUDA"]))
    with pytest.raises(ModelError, match="No runner is called quantum"):
        chosen(RUNNERS, ["quantum"])


@pytest.mark.slow
def test_the_command_measures_and_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "export.benchmark", "--models", "fast", "--sizes", "64", "--repeats", "1", "--threads", "1"]
    command += ["--runners", "onnxruntime, cpu fp32", "-o", str(tmp_path)]
    first = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert "fast, onnxruntime, cpu fp32, 1x64x64: end to end" in first.stdout, first.stderr
    second = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert "1x64x64: end to end" not in second.stdout
    assert "| fast | onnxruntime, cpu fp32" in second.stdout
