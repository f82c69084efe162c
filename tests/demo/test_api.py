"""The demo's endpoints, by `gradio_client`."""

from __future__ import annotations

import json
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import sdk
from demo import models
from demo.lpips import lpips
from sdk.catalog import released_for
from sdk.files import read
from sdk.halftoning.palettes import quantise_bits
from sdk.metrics import psnr, ssim
from tests.demo.conftest import EXPANDERS, ROOT, Server

SAMPLES = ROOT / "docs" / "samples"

HALFTONERS = released_for("halftoning")
REQUESTS, CLIENTS, WARM = 50, 4, 10


@pytest.fixture(scope="module")
def client(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return connect(server, tmp_path_factory.mktemp("downloads"))


def connect(server: Server, downloads: Path) -> Client:
    return Client(server.url, verbose=False, download_files=str(downloads))


def call(server: Server, endpoint: str, data: list[Any]) -> str:
    """The events of a call without the client, which would upload a file where it is given a path."""
    url = f"{server.url}gradio_api/call/{endpoint}"
    request = urllib.request.Request(url, json.dumps({"data": data}).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{url}/{event}") as answer:
        return answer.read().decode()


def pixels(path: str | Path) -> np.ndarray:
    return read(path).pages[0].pixels


def test_restored_pixels_are_those_of_the_sdk(client: Client, white: np.ndarray, tmp_path: Path) -> None:
    source = tmp_path / "crop.png"
    Image.fromarray(white[100:260, 200:400]).save(source, dpi=(300, 300))
    (before, after), report, file = client.predict(handle_file(str(source)), api_name="/restore")
    expected = sdk.InverseHalftoner("auto").run(source)
    assert np.array_equal(pixels(file), expected)
    assert np.array_equal(pixels(after), expected)
    assert np.array_equal(pixels(before) > 127, white[100:260, 200:400])
    assert Path(file).name == "crop_restored.png"
    with Image.open(file) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert "1-bit dither" in report
    assert "model `fast`" in report


def test_scan_keeps_format_profile_and_depth(client: Client, tmp_path: Path) -> None:
    """A 16-bit grey TIFF with pages comes back as one, byte for byte what the SDK writes; so does a JPEG at half size."""
    scan = pixels(SAMPLES / "gallica_press_1910s.jpg")[:120, :160].astype(np.uint16) * 257
    source = tmp_path / "scan.tif"
    page = Image.fromarray(scan)
    page.save(source, save_all=True, append_images=[page.transpose(Image.Transpose.ROTATE_180)], dpi=(400, 400))
    jpeg = tmp_path / "ad.jpg"
    with Image.open(SAMPLES / "gallica_ad_truck4.jpg") as image:
        image.crop((0, 0, 160, 120)).save(jpeg, dpi=(400, 400), icc_profile=b"a profile")
    for path, scale in ((source, 1.0), (jpeg, 0.5)):
        *_, file = client.predict(handle_file(str(path)), model="scan", scale=scale, api_name="/restore")
        expected = tmp_path / f"expected{path.suffix}"
        sdk.InverseHalftoner("scan", scale=scale).run_file(path, expected)
        assert Path(file).read_bytes() == expected.read_bytes()


def test_halftone_is_that_of_the_sdk(client: Client, photo: np.ndarray, tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    Image.fromarray(photo[:128, :160]).save(source)
    *_, report, dots, restored = client.predict(
        handle_file(str(source)), method="am-screen", lpi=100, dpi=400, model="scan", api_name="/halftone"
    )
    expected = sdk.Halftoner("am-screen", lpi=100, dpi=400).run(photo[:128, :160])
    assert np.array_equal(pixels(dots), expected)
    restored_pixels = sdk.InverseHalftoner("scan").run(expected)
    assert np.array_equal(pixels(restored), restored_pixels)
    a, b = restored_pixels.astype(float), photo[:128, :160].astype(float)
    assert f"| restored | {psnr(a, b):.2f} dB | {ssim(a, b):.3f} | {lpips(a, b):.3f} |" in report


@pytest.mark.parametrize("model", EXPANDERS)
def test_expanded_pixels_are_those_of_the_sdk(client: Client, model: str, photo: np.ndarray, tmp_path: Path) -> None:
    source = tmp_path / "banded.png"
    few = quantise_bits(photo[:96, :160], 2)
    Image.fromarray(few).save(source, dpi=(300, 300))
    expected = sdk.BitDepthExpander(model).run(few)
    for bits, word in ((0, "Found"), (2, "Given")):
        (before, after), report, file = client.predict(handle_file(str(source)), bits=bits, api_name="/expand")
        assert np.array_equal(pixels(file), expected)
        assert np.array_equal(pixels(after), expected)
        assert np.array_equal(pixels(before), few)
        assert Path(file).name == "banded_expanded.png"
        assert f"**{word}:** 2 bits a channel." in report
        assert f"model `{model}`" in report


@pytest.mark.parametrize("_", EXPANDERS[:1])
def test_what_is_not_few_bits_is_explained(client: Client, _: str) -> None:
    with pytest.raises(AppError, match="continuous tone") as caught:
        client.predict(handle_file(str(SAMPLES / "kodim23_grey.png")), api_name="/expand")
    assert "Accepted: 1 to 5 bits a channel" in str(caught.value)


def test_palettes_of_ones_own(client: Client, photo: np.ndarray, tmp_path: Path) -> None:
    source, colours = tmp_path / "photo.png", "#000000,#ffffff,#cc0000"
    Image.fromarray(photo[:64, :80]).convert("RGB").save(source)
    dots = client.predict(handle_file(str(source)), method="palette", palette=colours, api_name="/halftone")[2]
    assert np.array_equal(pixels(dots), sdk.Halftoner("palette", palette=colours).run(source))
    with pytest.raises(AppError, match="sepia"):
        client.predict(handle_file(str(source)), method="palette", palette="sepia", api_name="/halftone")


@pytest.mark.parametrize("method", HALFTONERS)
def test_networks_halftone_as_those_of_the_sdk(client: Client, method: str, photo: np.ndarray, tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    Image.fromarray(photo[:96, :128]).save(source)
    seed = 3 if models.takes_seed(method) else None
    dots = client.predict(handle_file(str(source)), method=method, model="fast", seed=seed, api_name="/halftone")[2]
    assert np.array_equal(pixels(dots), sdk.Halftoner(method).run(photo[:96, :128], seed=seed))


@pytest.mark.parametrize("model", ["fast", *filter(models.takes_seed, released_for("inverse-halftoning"))])
def test_a_seed_counts_or_is_refused(client: Client, model: str, white: np.ndarray, tmp_path: Path) -> None:
    source = tmp_path / "dots.png"
    Image.fromarray(white[100:164, 200:296]).save(source)
    if models.takes_seed(model):
        *_, file = client.predict(handle_file(str(source)), model=model, seed=3, api_name="/restore")
        assert np.array_equal(pixels(file), sdk.InverseHalftoner(model).run(source, seed=3))
    else:
        with pytest.raises(AppError, match=f"'{model}' takes none"):
            client.predict(handle_file(str(source)), model=model, seed=3, api_name="/restore")


def test_empty_parameters_have_the_defaults_of_the_method(client: Client, photo: np.ndarray, tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    Image.fromarray(photo[:96, :96]).save(source)
    dots = client.predict(handle_file(str(source)), method="blue-noise", api_name="/halftone")[2]
    assert np.array_equal(pixels(dots), sdk.Halftoner("blue-noise").run(photo[:96, :96]))


def test_batch_reports_bad_files_and_does_the_others(client: Client, white: np.ndarray, tmp_path: Path) -> None:
    good, bad, packed = tmp_path / "good.png", tmp_path / "bad.png", tmp_path / "more.zip"
    Image.fromarray(white[:96, :96]).save(good)
    bad.write_bytes(good.read_bytes()[:200])
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("folder/../../good.png", good.read_bytes())
        archive.write(good, "good.png")
        archive.writestr("notes.txt", "no picture")
    half = tmp_path / "half.zip"  # one of its pictures is damaged: not the file, the packing
    with zipfile.ZipFile(half, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(good, "sound.png")
        archive.writestr("broken.png", good.read_bytes())
        start = archive.getinfo("broken.png").header_offset + 30 + len("broken.png")
    with half.open("r+b") as stream:
        stream.seek(start)
        stream.write(b"\xff" * 20)
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(packed.read_bytes()[:100])
    files = [handle_file(str(path)) for path in (good, bad, packed, damaged, half)]
    report, restored = client.predict(files, model="fast", api_name="/batch")
    assert report.startswith("4 of 7 files restored, 3 failed.")
    assert "| damaged.zip | **failed:** damaged.zip cannot be unpacked" in report
    assert "| broken.png | **failed:** broken.png cannot be unpacked" in report
    assert "| bad.png | **failed:** bad.png is damaged or cut short" in report
    expected = sdk.InverseHalftoner("fast").run(white[:96, :96])
    with zipfile.ZipFile(restored) as archive:
        assert archive.namelist() == ["good.png", "folder/good.png", "good-2.png", "sound.png"]
        for name in archive.namelist():
            assert np.array_equal(pixels(archive.extract(name, tmp_path / "out")), expected)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("not a picture.png", b"hello", "not a picture.png is not a picture in a known format. Accepted: "),
        ("cut.png", (SAMPLES / "kodim23_floyd-steinberg.png").read_bytes()[:3000], "cut.png is damaged or cut short"),
        ("empty.tif", b"", "empty.tif is empty (0 bytes)"),
    ],
)
def test_a_bad_file_gets_the_message_of_the_sdk_and_no_path(client: Client, tmp_path: Path, name: str, data: bytes, message: str) -> None:
    source = tmp_path / name
    source.write_bytes(data)
    with pytest.raises(AppError) as caught:
        client.predict(handle_file(str(source)), api_name="/restore")
    assert str(caught.value).startswith(message)
    assert "/tmp" not in str(caught.value)


def test_wrong_parameters_are_explained(client: Client) -> None:
    source = handle_file(str(SAMPLES / "kodim23_grey.png"))
    with pytest.raises(AppError, match="both must be above 0"):
        client.predict(source, method="am-screen", lpi=-3, api_name="/halftone")


def test_files_of_the_server_are_out_of_reach(server: Server) -> None:
    for path in ("/etc/passwd", str(ROOT / "pyproject.toml"), str(SAMPLES / "kodim23_grey.png")):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{server.url}gradio_api/file={path}")
        assert caught.value.code == 403
        assert "event: error" in call(server, "restore", [{"path": path, "meta": {"_type": "gradio.FileData"}}, "auto", 1.0, None])


def test_uploads_are_limited(server: Server) -> None:
    boundary = "limit"
    body = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="big.png"\r\n\r\n'.encode()
    body += bytes(51 << 20) + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(f"{server.url}gradio_api/upload", body, headers))
    assert caught.value.code == 413


def test_too_many_pixels_are_refused_before_any_work(client: Client, tmp_path: Path) -> None:
    source = tmp_path / "large.png"
    Image.new("1", (8000, 8000)).save(source)
    with pytest.raises(AppError, match="64 megapixels; this demo takes up to 50"):
        client.predict(handle_file(str(source)), api_name="/restore")


def test_endpoints_are_documented(server: Server) -> None:
    with urllib.request.urlopen(f"{server.url}gradio_api/info") as answer:
        endpoints = json.load(answer)["named_endpoints"]
    needed = {"/restore": ["source"], "/halftone": ["source"], "/batch": ["sources"]} | ({"/expand": ["source"]} if EXPANDERS else {})
    assert all(endpoint["description"] for endpoint in endpoints.values())
    required = {name: [p["parameter_name"] for p in e["parameters"] if not p["parameter_has_default"]] for name, e in endpoints.items()}
    assert required == needed


@pytest.mark.slow
def test_many_requests_are_kept_apart_and_memory_is_flat(server: Server, white: np.ndarray, tmp_path: Path) -> None:
    """50 requests from 4 clients, each with a picture of its own: all pixels right, memory within 10 % after the first 10."""
    crops = [white[8 * i : 8 * i + 96, 12 * i : 12 * i + 128] for i in range(REQUESTS)]
    sources = [tmp_path / f"{i}.png" for i in range(REQUESTS)]
    for crop, source in zip(crops, sources):
        Image.fromarray(crop).save(source)
    clients = [connect(server, tmp_path / f"client{i}") for i in range(CLIENTS)]

    def restore(i: int) -> np.ndarray:
        *_, file = clients[i % CLIENTS].predict(handle_file(str(sources[i])), model="fast", api_name="/restore")
        assert Path(file).name == f"{i}_restored.png"
        return pixels(file)

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(restore, range(WARM)))
        megabytes = server.megabytes()
        answers += pool.map(restore, range(WARM, REQUESTS))
    grown = server.megabytes() / megabytes
    restorer = sdk.InverseHalftoner("fast")
    assert all(np.array_equal(answer, restorer.run(crop)) for answer, crop in zip(answers, crops))
    assert grown < 1.1, f"memory grew to {grown:.2f} times {megabytes:.0f} MB"
    print(f"memory after {WARM} requests {megabytes:.0f} MB, after {REQUESTS} {grown:.3f} times that")
