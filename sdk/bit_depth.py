"""``BitDepthExpander``: pictures of 1 to 5 bits a channel, back to all tones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from sdk.backends import Backend
from sdk.images import Picture
from sdk.metadata import ModelMetadata
from sdk.networks.bit_depth import BitDepthNetwork
from sdk.networks.few_bits import check_bits
from sdk.remade import Remade
from sdk.same_kind import ImageLike, restore_batch, restore_file, restore_image


class BitDepthExpander(Remade):
    """Gives pictures that were cut to 1..5 bits a channel (posterised, RGB565, old framebuffers) their tones back.

    >>> expander = sdk.BitDepthExpander("companding")
    >>> photo = expander.run(banded)                          # array -> array, PIL -> PIL, bytes -> bytes, path -> array
    >>> expander.run_file("banded.png", "smooth.png", bits=3)

    What was kept stays: the ``bits`` highest bits of the result are those of the picture. With 16-bit pictures the rest has
    16 bits, too.

    model: a name from ``sdk.releases()``, the path of an .onnx or .engine file, or a ``sdk.backends.Backend`` of your own, whose task is
        bit-depth-expansion.
    device, tile, overlap, threads, backend, precision, self_ensemble: as of ``InverseHalftoner``.

    Design: Hou & Qiu 2017, Image Companding and Inverse Halftoning using Deep Convolutional Neural Networks. Calls from several
    threads are safe. Same input, same backend: same pixels.
    """

    def __init__(
        self,
        model: str | os.PathLike | Backend = "companding",
        *,
        device: str = "auto",
        tile: int | None = None,
        overlap: int | None = None,
        threads: int | None = None,
        backend: str = "auto",
        precision: str | None = None,
        self_ensemble: bool = False,
    ):
        options = {"device": device, "tile": tile, "overlap": overlap, "threads": threads, "backend": backend, "precision": precision}
        self._network = BitDepthNetwork(model, **options, self_ensemble=self_ensemble)

    @property
    def metadata(self) -> ModelMetadata:
        """What the model says of itself."""
        return self._network.metadata

    def describe(self) -> dict[str, Any]:
        """What runs, and how: model, backend, device, precision, tile."""
        return self._network.describe()

    def run(self, image: ImageLike, bits: int | None = None) -> Any:
        """Expand one picture; the same kind comes back, by the rules of ``InverseHalftoner.run`` (no arrays in GPU memory).

        bits: 1..5 a channel; None tells them from the levels, which may be cut (multiples of 2^(8 - bits)) or stretched to the full
        range (k 255 / (2^bits - 1)), and need not all occur. RGB565 is taken, too; its green keeps its sixth bit.
        Raises ``OptionError``, ``ImageReadError``, or ``UnsupportedImageError``: continuous tone, or levels of other bits; or
        ``InferenceError`` where the runtime fails.
        """
        check_bits(bits)
        return restore_image(image, lambda picture: self._restore(picture, bits))

    def run_batch(self, images: Iterable[ImageLike], bits: int | None = None) -> list[Any]:
        """``run`` on each; the first bad picture raises, naming its place."""
        return restore_batch(images, lambda image: self.run(image, bits))

    def run_file(
        self,
        source: str | os.PathLike,
        target: str | os.PathLike,
        *,
        overwrite: bool = False,
        on_page: Callable[[int, int], None] | None = None,
        bits: int | None = None,
    ) -> None:
        """Expand a file into another one: every page or frame, with DPI, ICC profile, EXIF, XMP and IPTC; nothing is written on failure.

        The suffix of ``target`` chooses the format. bits: as of ``run``; None looks at each page. ``on_page(done, total)`` reports
        progress.
        """
        check_bits(bits)
        restore_file(source, target, lambda page: self._restore(page, bits), overwrite=overwrite, on_page=on_page)

    def _restore(self, picture: Picture, bits: int | None) -> Picture:
        return picture.with_pixels(self._network.restore(picture.pixels, bits))
