"""XMP and IPTC go with the picture, and say what is true of the result."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2

import sdk
from sdk import captions, files
from sdk.images import Picture

ATTRIBUTES = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    b'tiff:Orientation="%d" tiff:ImageWidth="48" exif:PixelYDimension="40" tiff:XResolution="300/1">'
    b"<dc:rights>Biblioth\xc3\xa8que</dc:rights></rdf:Description></rdf:RDF></x:xmpmeta>"
)
ELEMENTS = ATTRIBUTES.replace(b' tiff:Orientation="%d"', b"").replace(
    b"<dc:rights>", b"<tiff:Orientation>%d</tiff:Orientation>\n <tiff:ImageLength>40</tiff:ImageLength>\n<dc:rights>"
)
IPTC = b"\x1c\x02\x78\x00\x0bA newspaper\x1c\x02\x74\x00\x05Maker"
PIXELS = np.tile(np.linspace(0, 255, 48, dtype=np.uint8), (40, 1))
COLOURS = np.stack([PIXELS, PIXELS[::-1], PIXELS], axis=-1)


def written(format: str, xmp: bytes | None, iptc: bytes | None = None, pixels: np.ndarray = PIXELS, **options) -> bytes:
    """As other programs would write them."""
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    if format == "TIFF":
        tags = ImageFileDirectory_v2()
        for tag, kind, value in ((700, 1, xmp), (33723, 7, iptc)):
            if value:
                tags[tag], tags.tagtype[tag] = value, kind
        options["tiffinfo"] = tags
    elif format == "PNG" and xmp:
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    elif format == "WEBP":
        options["xmp"] = xmp or b""
    image.save(stream, format=format, **options)
    if format == "JPEG":
        data, segments = stream.getvalue(), b""
        for marker, begin, content in ((0xE1, captions.XMP_SEGMENT, xmp), (0xED, captions.IPTC_SEGMENT, iptc and photoshop(iptc))):
            if content:
                segments += struct.pack(">BBH", 0xFF, marker, len(begin + content) + 2) + begin + content
        return data[:2] + segments + data[2:]
    return stream.getvalue()


def photoshop(iptc: bytes) -> bytes:
    return b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + bytes(len(iptc) % 2)


def header_after(data: bytes, format: str | None = None) -> tuple[bytes | None, bytes | None, Image.Image]:
    """XMP and IPTC of a file that was read, and written in a format, as Pillow reads them."""
    file = files.read(data)
    restored = files.encode(file.pages, format or file.format)
    image = Image.open(io.BytesIO(restored))
    image.load()
    if image.format == "TIFF":
        return image.tag_v2.get(700), image.tag_v2.get(33723), image
    return image.info.get("xmp"), image.info.get("photoshop", {}).get(0x0404), image


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("packet", [ATTRIBUTES, ELEMENTS], ids=["attributes", "elements"])
def test_xmp_stays(format, packet):
    xmp, _, _ = header_after(written(format, packet % 1))
    assert xmp == packet % 1


@pytest.mark.parametrize("source", ["JPEG", "TIFF"])
@pytest.mark.parametrize("target", ["JPEG", "TIFF"])
def test_iptc_stays(source, target):
    xmp, iptc, _ = header_after(written(source, ATTRIBUTES % 1, IPTC), target)
    assert (xmp, iptc) == (ATTRIBUTES % 1, IPTC)


@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("target", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_xmp_goes_from_format_to_format(source, target):
    assert header_after(written(source, ATTRIBUTES % 1), target)[0] == ATTRIBUTES % 1


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_xmp_of_16_bit_colour_stays(format):
    pytest.importorskip("tifffile", reason="tifffile is not installed: pip install 'inverse-halftoner[tiff]'")
    header = files.read(written("TIFF", ATTRIBUTES % 1, IPTC)).pages[0].header
    data = files.encode([Picture(COLOURS.astype(np.uint16) * 257, header=header)], format)
    back = files.read(data).pages[0].header
    assert back.xmp == ATTRIBUTES % 1
    assert back.iptc == (IPTC if format == "TIFF" else None)


def test_each_page_of_a_tiff_keeps_its_own():
    names = (b"First ", b"Second")
    pages = [files.read(written("TIFF", (ATTRIBUTES % 1).replace(b"Biblio", name), IPTC + name)).pages[0] for name in names]
    back = files.read(files.encode(pages, "TIFF")).pages
    for page, name in zip(back, names):
        assert name in page.header.xmp
        assert page.header.iptc == IPTC + name


@pytest.mark.parametrize("order", ["<", ">"])
def test_iptc_that_is_called_integers_is_read(order):
    tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed: pip install 'inverse-halftoner[tiff]'")
    padded = IPTC + bytes(-len(IPTC) % 4)
    integers = struct.unpack(f"{order}{len(padded) // 4}I", padded)
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, byteorder=order) as tiff:
        tiff.write(PIXELS, extratags=[(33723, 4, len(integers), integers, True)])
    assert files.read(stream.getvalue()).pages[0].header.iptc == padded


def test_iptc_among_photoshops_blocks_of_a_tiff_is_read():
    stream = io.BytesIO()
    tags = ImageFileDirectory_v2()
    tags[34377], tags.tagtype[34377] = photoshop(IPTC), 1
    Image.fromarray(PIXELS).save(stream, format="TIFF", tiffinfo=tags)
    assert files.read(stream.getvalue()).pages[0].header.iptc == IPTC


@pytest.mark.parametrize("format", ["JPEG", "TIFF", "WEBP", "PNG"])
@pytest.mark.parametrize("packet", [ATTRIBUTES, ELEMENTS], ids=["attributes", "elements"])
def test_a_turned_picture_is_called_upright(format, packet):
    if format == "TIFF":  # whose orientation is a tag like others
        stream = io.BytesIO()
        tags = ImageFileDirectory_v2()
        tags[274], tags[700], tags.tagtype[700] = 6, packet % 6, 1
        Image.fromarray(PIXELS).save(stream, format="TIFF", tiffinfo=tags)
        data = stream.getvalue()
    else:
        exif = Image.Exif()
        exif[274] = 6
        data = written(format, packet % 6, exif=exif.tobytes())
    xmp, _, image = header_after(data)
    assert image.size == (40, 48)
    assert image.getexif().get(274, 1) == 1  # Pillow looks into XMP, too
    assert b"Biblioth\xc3\xa8que" in xmp
    assert b'tiff:ImageWidth="40"' in xmp
    assert b'exif:PixelYDimension="48"' in xmp
    if packet is ELEMENTS:
        assert b"<tiff:Orientation>1</tiff:Orientation>\n <tiff:ImageLength>48</tiff:ImageLength>\n<dc:rights>" in xmp


def test_an_orientation_that_only_xmp_tells_is_applied():
    xmp, _, image = header_after(written("PNG", ATTRIBUTES % 6))
    assert image.size == (40, 48)
    assert b'tiff:Orientation="1"' in xmp


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32-le"])
def test_other_encodings_become_utf_8(encoding):
    xmp, _, _ = header_after(written("TIFF", (ATTRIBUTES % 1).decode().encode(encoding)), "PNG")
    assert xmp == ATTRIBUTES % 1


@pytest.mark.parametrize(
    "packet",
    [
        ATTRIBUTES.replace(b"tiff:", b"t:").replace(b"xmlns:tiff", b"xmlns:t"),
        ELEMENTS.replace(b"<tiff:Orientation>", b'<tiff:Orientation rdf:datatype="integer">'),
        ATTRIBUTES.replace(b'tiff:Orientation="%d"', b"tiff:Orientation = '%d'"),
    ],
    ids=["prefix", "attribute of an element", "quotes"],
)
def test_an_orientation_in_other_words_is_set_right_too(packet):
    assert captions.upright_xmp(packet % 6) == packet % 1


def test_a_reference_to_an_extension_is_dropped_with_the_extension():
    note = b'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="0123456789ABCDEF" tiff:ImageWidth'
    xmp, _, _ = header_after(written("JPEG", (ATTRIBUTES % 1).replace(b"tiff:ImageWidth", note)))
    assert xmp == (ATTRIBUTES % 1).replace(b"tiff:ImageWidth", b'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" tiff:ImageWidth')


@pytest.mark.parametrize("target", ["PNG", "TIFF"])
def test_xmp_of_jpeg_2000_stays(target):
    box = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + ATTRIBUTES % 1
    data = written("JPEG2000", None) + struct.pack(">I", len(box) + 8) + b"uuid" + box
    assert header_after(data, target)[0] == ATTRIBUTES % 1


def test_a_resolution_that_only_exif_tells_is_scaled_too(tmp_path):
    exif = Image.Exif()
    exif[282], exif[283], exif[296] = 300.0, 300.0, 2
    (tmp_path / "page.png").write_bytes(written("PNG", None, exif=exif.tobytes()))
    sdk.InverseHalftoner("scan", scale=0.5).run_file(tmp_path / "page.png", tmp_path / "half.jpg")
    with Image.open(tmp_path / "half.jpg") as half:
        assert half.info["dpi"] == (150, 150)
        assert half.getexif()[282] == 150


def test_a_scaled_picture_says_its_own_size_and_resolution(tmp_path):
    (tmp_path / "page.jpg").write_bytes(written("JPEG", ATTRIBUTES % 1, dpi=(300, 300)))
    sdk.InverseHalftoner("scan", scale=0.5).run_file(tmp_path / "page.jpg", tmp_path / "half.png")
    xmp = files.read((tmp_path / "half.png").read_bytes()).pages[0].header.xmp
    for told in (b'tiff:ImageWidth="24"', b'exif:PixelYDimension="20"', b'tiff:XResolution="15000/100"'):
        assert told in xmp


def test_xmp_too_long_for_a_segment_is_left_out_of_jpeg_alone():
    xmp = ATTRIBUTES % 1 + b" " * 70_000
    data = written("PNG", xmp)
    assert header_after(data, "JPEG")[0] is None
    assert header_after(data, "TIFF")[0] == xmp


def test_nothing_is_added_where_there_is_none():
    for format in ("JPEG", "PNG", "TIFF"):
        assert header_after(written(format, None))[:2] == (None, None)


def test_a_pil_image_keeps_its_packet_for_saving():
    image = Image.open(io.BytesIO(written("JPEG", ATTRIBUTES % 1)))
    assert sdk.InverseHalftoner("scan").run(image).info["xmp"] == ATTRIBUTES % 1
