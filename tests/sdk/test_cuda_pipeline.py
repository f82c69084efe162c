"""The pipeline on a GPU that is this process: batches, graphs, memory that runs out, threads, and what it refuses."""

from __future__ import annotations

import ctypes
import logging

import numpy as np
import pytest

from sdk.cuda.driver import OutOfMemory
from sdk.cuda.pipeline import KEPT
from sdk.errors import InferenceError, OptionError, UnsupportedImageError
from sdk.images import is_grey
from tests.sdk.host_gpu import HostGpu
from tests.sdk.kernel_cases import Case, OnGpu, reference
from tests.threads import in_threads


def test_one_upload_and_one_download_a_picture(library: ctypes.CDLL) -> None:
    case = Case(90, 70, batch=4)
    gpu = HostGpu(library)
    pipeline = case.pipeline(case.engine(gpu))
    case.run(pipeline, case.picture())
    gpu.done.clear()
    case.run(pipeline, case.picture(1))  # in a graph
    gpu.done.clear()
    case.run(pipeline, case.picture(2))
    assert gpu.done == ["copy in", "graph", "blend", "copy out"]


def test_batches_are_evenly_full(library: ctypes.CDLL) -> None:
    """Nine tiles, at most four at once: three times three. Three, at most two at once: the second time one is repeated."""
    for width, batch, shapes in [(96, 4, [(3, 1, 32, 32)] * 3), (24, 2, [(2, 1, 32, 24)] * 2)]:
        case = Case(96, width, overlap=0, multiple=1, batch=batch)
        engine = case.engine(HostGpu(library))
        case.run(case.pipeline(engine), case.picture())
        assert engine.shapes == shapes


def test_graphs_give_what_plain_runs_give(library: ctypes.CDLL) -> None:
    case, other = Case(70, 50, channels=3, planes=3), Case(24, 130, dtype=np.uint16)  # tiles of 32x32 and 24x32 px
    gpu = HostGpu(library)
    engine = case.engine(gpu)
    pipeline = case.pipeline(engine)
    third = Case(70, 50, dtype=np.bool_)
    for seed, each in enumerate([case, other, third] * 2 + [case] * 4 + [other] * 4 + [third] * 4 + [case, third] * 4):
        picture = each.picture(seed)
        expected, _ = reference(picture, Case(**{**vars(each), "planes": 3}))
        np.testing.assert_array_equal(each.run(pipeline, picture), expected)
    assert gpu.done.count("graph") == 3 * 3 + 7  # the last ones all have one shape
    assert len(pipeline._graphs) <= KEPT


def test_graphs_are_void_once_the_engine_ran_for_others(library: ctypes.CDLL) -> None:
    """Two pipelines on one engine, whose graphs and buffers know nothing of each other."""
    case = Case(70, 50)
    gpu = HostGpu(library)
    engine = case.engine(gpu)
    one, other = case.pipeline(engine), case.pipeline(engine)
    for seed, pipeline in enumerate([one, one, one, other, one, one, other, other, one, other]):
        picture = case.picture(seed)
        np.testing.assert_array_equal(case.run(pipeline, picture), reference(picture, case)[0])
    assert gpu.done.count("graph") == 2 + 1 + 1


def test_a_graph_is_void_once_memory_has_moved(library: ctypes.CDLL) -> None:
    small, large = Case(40, 40), Case(200, 200)
    pipeline = small.pipeline(small.engine(HostGpu(library)))
    for seed, case in enumerate([small, small, small, large, small, small, small]):
        picture = case.picture(seed)
        np.testing.assert_array_equal(case.run(pipeline, picture), reference(picture, case)[0])


def test_without_graphs(library: ctypes.CDLL, caplog: pytest.LogCaptureFixture) -> None:
    """A driver that has none, an engine that is not ready, a recording that fails: the same result by plain runs."""
    caplog.set_level(logging.WARNING, "sdk.cuda.pipeline")
    case = Case(70, 70)
    for change in ("has none", "not ready", "fails"):
        gpu = HostGpu(library)
        engine = case.engine(gpu)
        gpu.has_graphs, engine.can_record, gpu.refuses_to_record = change != "has none", change != "not ready", change == "fails"
        pipeline = case.pipeline(engine)
        for seed in range(3):
            picture = case.picture(seed)
            np.testing.assert_array_equal(case.run(pipeline, picture), reference(picture, case)[0])
        assert "graph" not in gpu.done
        assert pipeline.records == (change == "not ready")
        engine.can_record = True
        case.run(pipeline, case.picture())
        assert ("graph" in gpu.done) == (change == "not ready")
    (said,) = caplog.messages  # once, by the one that fails
    assert "no more CUDA graphs" in said
    assert "STREAM_CAPTURE_UNSUPPORTED" in said


def test_memory_that_runs_out_halves_the_batch(library: ctypes.CDLL) -> None:
    """64 tiles of 32x32 px, 4 KiB each; there is room for 2 at once, and then for none."""
    case = Case(256, 256, overlap=0, multiple=1, batch=16)
    picture, expected = case.picture(), reference(case.picture(), case)[0]
    unbatched = 64 * 4096 + 2 * picture.nbytes + 2 * 256 * 12 + 64
    pipeline = case.pipeline(case.engine(HostGpu(library, memory=unbatched + 3 * 4096)))
    for _ in range(3):
        np.testing.assert_array_equal(case.run(pipeline, picture), expected)
        assert pipeline.batch == 2
    small = case.pipeline(case.engine(HostGpu(library, memory=unbatched)))
    with pytest.raises(InferenceError, match=r"failed on a picture of 256x256: The memory of the GPU ran out .*smaller tile"):
        case.run(small, picture)
    assert small.batch == 1


def test_batches_of_fixed_size_are_not_halved(library: ctypes.CDLL) -> None:
    """They would be more, and no smaller."""
    case = Case(96, 96, overlap=0, multiple=1, batch=4, fixed=True)
    gpu = HostGpu(library, memory=40_000)
    pipeline = case.pipeline(case.engine(gpu))
    with pytest.raises(InferenceError, match="The memory of the GPU ran out"):
        case.run(pipeline, case.picture())
    assert pipeline.batch == 4
    gpu.left = 1 << 40
    np.testing.assert_array_equal(case.run(pipeline, case.picture()), reference(case.picture(), case)[0])


def test_memory_runs_out_for_the_engine(library: ctypes.CDLL) -> None:
    case = Case(80, 80, batch=8)
    engine = case.engine(HostGpu(library))
    enqueue = engine.enqueue

    def tight(shape: tuple[int, int, int, int], source: int, target: int) -> None:
        if shape[0] > 3:
            raise OutOfMemory("TensorRT's log: out of memory")
        enqueue(shape, source, target)

    engine.enqueue = tight  # type: ignore[method-assign]
    pipeline = case.pipeline(engine)
    np.testing.assert_array_equal(case.run(pipeline, case.picture()), reference(case.picture(), case)[0])
    assert pipeline.batch == 2


def test_an_engine_that_fails(library: ctypes.CDLL) -> None:
    case = Case(40, 40)
    engine = case.engine(HostGpu(library))
    pipeline = case.pipeline(engine)
    case.run(pipeline, case.picture())
    engine.fails = True
    for on_device in (False, True):
        with pytest.raises(InferenceError, match="the engine failed"):
            Case(40, 40, on_device=on_device).run(pipeline, case.picture())
    engine.fails = False
    np.testing.assert_array_equal(case.run(pipeline, case.picture()), reference(case.picture(), case)[0])


@pytest.mark.parametrize("channels", [3, 4])
def test_grey_stored_as_rgb_stays_grey_with_a_network_of_rgb(library: ctypes.CDLL, channels: int) -> None:
    case = Case(64, 96, channels=channels, planes=3)
    picture = case.picture()
    picture[..., 1] = picture[..., 2] = picture[..., 0]
    restored = case.run(case.pipeline(case.engine(HostGpu(library))), picture)
    np.testing.assert_array_equal(restored, reference(picture, case)[0])
    assert is_grey(restored[..., :3])


@pytest.mark.parametrize("channels", [3, 4])
def test_grey_stored_as_rgb_is_restored_once(library: ctypes.CDLL, channels: int) -> None:
    case = Case(64, 96, channels=channels, overlap=0, multiple=1)
    engine = case.engine(HostGpu(library))
    pipeline = case.pipeline(engine)
    picture = case.picture()
    picture[..., 1] = picture[..., 2] = picture[..., 0]
    restored = case.run(pipeline, picture)
    np.testing.assert_array_equal(restored, reference(picture, case)[0])
    assert len(engine.seen) == 6
    picture[63, 95, 2] ^= 1
    np.testing.assert_array_equal(case.run(pipeline, picture), reference(picture, case)[0])
    assert len(engine.seen) == 6 + 18


def test_threads_take_turns(library: ctypes.CDLL) -> None:
    case = Case(60, 60)
    pipeline = case.pipeline(case.engine(HostGpu(library)))
    wrong: list[int] = []

    def work(seed: int) -> None:
        picture = case.picture(seed)
        expected = reference(picture, case)[0]
        for _ in range(10):
            if not np.array_equal(case.run(pipeline, picture), expected):
                wrong.append(seed)

    in_threads(work, 3)
    assert not wrong


def test_what_is_no_picture(library: ctypes.CDLL) -> None:
    pipeline = Case(8, 8).pipeline(Case(8, 8).engine(HostGpu(library)))
    for wrong, said in [
        (np.zeros((9, 9)), "float64"),
        (np.zeros((9, 9, 2), np.uint8), r"shape \(9, 9, 2\)"),
        (np.zeros(9, np.uint8), r"shape \(9,\)"),
        (np.zeros((7, 9), np.uint8), "9x7 px"),
        ([[1, 2]], "Found a list"),
        (OnGpu(np.zeros((9, 9), np.int64)), "int64"),
    ]:
        with pytest.raises(UnsupportedImageError, match=said):
            pipeline.run(wrong)
    with pytest.raises(OptionError, match=r"rows of 2 bytes hold 1\.\.16"):
        pipeline.run(np.zeros((9, 2), np.uint8), bits_width=17)
    with pytest.raises(UnsupportedImageError, match="packed bits"):
        pipeline.run(np.zeros((9, 2), np.uint16), bits_width=16)
