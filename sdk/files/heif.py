"""HEIF with HEVC inside (.heic), as telephones write it: read by pi-heif (`pip install 'inverse-halftoner[heif]'`)."""

from __future__ import annotations

from PIL import Image

from sdk.errors import MissingDependencyError

FORMAT = "HEIF"
"""As Pillow calls it, once there is a decoder."""
BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")


def is_heif(data: bytes) -> bool:
    """By the brands that a file's bytes begin with (ISO/IEC 23008-12); AVIF, its sister, has others."""
    brands = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    return data[4:8] == b"ftyp" and any(brands[at : at + 4] in BRANDS for at in range(0, len(brands), 4))


def add_decoder() -> None:
    """To Pillow, which has none of its own."""
    if FORMAT in Image.OPEN:
        return
    try:
        import pi_heif
    except ImportError as error:
        raise MissingDependencyError("Reading HEIC needs pi-heif: pip install 'inverse-halftoner[heif]'. Or save it as JPEG.") from error
    pi_heif.register_heif_opener()
