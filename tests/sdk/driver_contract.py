"""What every driver layer must do; run by test_driver.py on a real GPU, or in a process of its own on the fake libcuda.

DRIVER names the layer. PTX is real: it runs on a GPU, and the fake looks for the kernel's name in it.
"""

from __future__ import annotations

import gc
import os
import re
import threading

import numpy as np
import pytest

from sdk.cuda.driver import Driver, OutOfMemory, open_driver
from sdk.errors import DeviceError

BODY = """
{
    .reg .pred %p<2>; .reg .f32 %f<4>; .reg .b32 %r<6>; .reg .b64 %rd<5>;
    ld.param.u64 %rd1, [VALUES]; ld.param.f32 %f1, [SCALE]; ld.param.f32 %f2, [SHIFT]; ld.param.u32 %r1, [COUNT];
    mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mov.u32 %r4, %tid.x; mad.lo.s32 %r5, %r2, %r3, %r4;
    setp.ge.s32 %p1, %r5, %r1; @%p1 bra done;
    cvta.to.global.u64 %rd2, %rd1; mul.wide.s32 %rd3, %r5, 4; add.s64 %rd4, %rd2, %rd3;
    ld.global.f32 %f3, [%rd4]; fma.rn.f32 %f3, %f3, %f1, %f2; st.global.f32 [%rd4], %f3;
done:
    ret;
}
"""
JOB = np.dtype([("VALUES", "u8"), ("SCALE", "f4"), ("SHIFT", "f4"), ("COUNT", "u4")], align=True)
PTX = (
    """
.version 6.4
.target sm_75
.address_size 64
.visible .entry scale_and_shift(.param .u64 VALUES, .param .f32 SCALE, .param .f32 SHIFT, .param .u32 COUNT)
"""
    + BODY
)
PTX += ".visible .entry scale_and_shift_job(.param .align 8 .b8 job[24])"
PTX += re.sub(r"\[([A-Z]+)\]", lambda field: f"[job+{JOB.fields[field[1]][1]}]", BODY)
PTX = PTX.encode()


@pytest.fixture(scope="module")
def driver() -> Driver:
    return open_driver(os.environ["DRIVER"])


def test_says_what_it_is(driver: Driver) -> None:
    assert driver.name.startswith(os.environ["DRIVER"])
    assert driver.device_name
    assert driver.compute_capability >= (5, 0)
    assert driver.stream != 0
    assert driver.device == 0


def test_round_trip_through_pinned_memory(driver: Driver) -> None:
    with driver:
        host, back = driver.pinned((3, 5), np.float32), driver.pinned((3, 5), np.float32)
        host[...] = np.arange(15).reshape(3, 5)
        device = driver.allocate(host.nbytes)
        assert device.nbytes == 60
        driver.copy_in(device, host)
        driver.copy_out(back, device)
        driver.synchronize()
    assert np.array_equal(host, back)


def run_kernel(driver: Driver, values: np.ndarray, times: int) -> np.ndarray:
    """values * 2 + 1, ``times`` times, the last ones by a recording."""
    kernel = driver.load_kernels(PTX, ["scale_and_shift"])["scale_and_shift"]
    device, out = driver.allocate(values.nbytes), driver.pinned(values.shape, np.float32)
    blocks = -(-values.size // 64)

    def enqueue() -> None:
        driver.launch(kernel, (blocks, 1, 1), (64, 1, 1), device, np.float32(2), np.float32(1), np.int32(values.size))

    driver.copy_in(device, values)
    enqueue()
    replay = driver.record(enqueue)
    for _ in range(times - 1):
        replay()
    driver.copy_out(out, device)
    driver.synchronize()
    return out


def test_kernel_and_its_recording(driver: Driver) -> None:
    values = np.arange(100, dtype=np.float32)
    with driver:
        assert np.array_equal(run_kernel(driver, values, 1), values * 2 + 1)
        assert np.array_equal(run_kernel(driver, values, 3), values * 8 + 7)


def test_a_recording_that_fails_leaves_the_stream_usable(driver: Driver) -> None:
    def fail() -> None:
        raise ValueError("in the middle")

    with driver:
        if driver.has_graphs:
            with pytest.raises(ValueError, match="in the middle"):
                driver.record(fail)
        driver.synchronize()
        assert np.array_equal(run_kernel(driver, np.ones(4, np.float32), 2), np.full(4, 7))


def test_memory_that_goes_while_a_graph_is_recorded_does_not_spoil_it(driver: Driver) -> None:
    """As garbage that is collected in the middle of it."""
    values = np.arange(8, dtype=np.float32)
    with driver:
        kernel = driver.load_kernels(PTX, ["scale_and_shift"])["scale_and_shift"]
        device, out = driver.allocate(values.nbytes), driver.pinned(values.shape, np.float32)
        garbage: list[object] = []
        driver.copy_in(device, values)

        def enqueue() -> None:
            garbage.clear()
            driver.launch(kernel, (1, 1, 1), (64, 1, 1), device, np.float32(2), np.float32(1), np.int32(values.size))

        enqueue()
        garbage.append(driver.allocate(64))
        driver.record(enqueue)()
        driver.copy_out(out, device)
        driver.synchronize()
    assert np.array_equal(out, values * 4 + 3)


def test_says_whose_memory_it_is(driver: Driver) -> None:
    with driver:
        memory = driver.allocate(4)
        assert driver.device_of(memory.address) == 0
        assert driver.device_of(1) == 0  # nobody's


def test_waits_for_what_other_streams_do(driver: Driver) -> None:
    """A stream of somebody else's, and the default one, which is number 1."""
    other = open_driver(os.environ["DRIVER"])
    values = np.arange(1 << 16, dtype=np.float32)
    with driver:
        shared, out = driver.allocate(values.nbytes), driver.pinned(values.shape, np.float32)
    for _ in range(10):
        with other:
            other.copy_in(shared, values)
        with driver:
            driver.wait_for(other.stream)
            driver.wait_for(1)
            driver.copy_out(out, shared)
            driver.synchronize()
        assert np.array_equal(out, values)
        values += 1


def test_one_thread_at_a_time_holds_it(driver: Driver) -> None:
    inside: list[int] = []
    together: list[int] = []

    def work(number: int) -> None:
        for _ in range(200):
            with driver, driver:  # again in the same thread: it is there already
                inside.append(number)
                together.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(together) == {1}


def test_a_struct_is_one_argument(driver: Driver) -> None:
    values = np.arange(8, dtype=np.float32)
    job = np.zeros(1, JOB)[0]
    with driver:
        kernel = driver.load_kernels(PTX, ["scale_and_shift_job"])["scale_and_shift_job"]
        device, out = driver.allocate(values.nbytes), driver.pinned(values.shape, np.float32)
        driver.copy_in(device, values)
        job["VALUES"], job["SCALE"], job["SHIFT"], job["COUNT"] = device.address, 2, 1, values.size
        driver.launch(kernel, (1, 1, 1), (64, 1, 1), job)
        job["SCALE"] = 100  # it was taken as it was
        driver.copy_out(out, device)
        driver.synchronize()
    assert np.array_equal(out, values * 2 + 1)


def test_from_another_thread_with_the_context_left_as_it_was(driver: Driver) -> None:
    results: list[np.ndarray] = []

    def work() -> None:
        with driver:
            results.append(run_kernel(driver, np.ones(8, np.float32), 2))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert np.array_equal(results[0], np.full(8, 7))


def test_freed_outside_the_context(driver: Driver) -> None:
    with driver:
        memory, pinned = driver.allocate(1 << 20), driver.pinned((1 << 20,), np.uint8)
        replay = driver.record(lambda: None) if driver.has_graphs else None
    del memory, pinned, replay
    gc.collect()
    with driver:
        driver.synchronize()


def test_failures_say_what_to_do(driver: Driver) -> None:
    with driver:
        with pytest.raises(OutOfMemory, match=r"ran out .*smaller tile"):
            driver.allocate(1 << 50)
        with pytest.raises(DeviceError, match="does not fit into 4 bytes"):
            driver.copy_in(driver.allocate(4), np.zeros(2, np.float32))
        with pytest.raises(DeviceError, match="CUDA call failed"):
            driver.load_kernels(b"no image at all", ["scale_and_shift"])
        with pytest.raises(DeviceError, match="CUDA call failed"):
            driver.load_kernels(PTX, ["no_such_kernel"])


def test_no_such_device() -> None:
    with pytest.raises(DeviceError, match="nvidia-smi"):
        open_driver(os.environ["DRIVER"], device=99)
