"""HEIF with HEVC inside (.heic), as telephones write it: read by pi-heif (`pip install 'inverse-halftoner[heif]'`)."""

from __future__ import annotations

from PIL import Image

from sdk.errors import MissingDependencyError

FORMAT = "HEIF"
"""As Pillow calls it, once there is a decoder."""
BRANDS, ANY_CODER, AVIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}, {b"mif1", b"msf1"}, {b"avif", b"avis"}


def brands(data: bytes) -> set[bytes]:
    """Those that a file's bytes begin with (ISO/IEC 14496-12), of ``BRANDS``, ``ANY_CODER`` and ``AVIF``."""
    if data[4:8] != b"ftyp":
        return set()
    listed = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    return {listed[at : at + 4] for at in range(0, len(listed), 4)} & (BRANDS | ANY_CODER | AVIF)


def is_heif(data: bytes) -> bool:
    """Whether it is none for AVIF, its sister."""
    found = brands(data)
    return bool(found & BRANDS or (found and not found & AVIF))


def add_decoder() -> None:
    """To Pillow, which has none of its own."""
    if FORMAT in Image.OPEN:
        return
    try:
        import pi_heif
    except ImportError as error:
        raise MissingDependencyError("Reading HEIC needs pi-heif: pip install 'inverse-halftoner[heif]'. Or save it as JPEG.") from error
    pi_heif.register_heif_opener()
