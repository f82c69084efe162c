"""How well a print screen was removed, without a true picture to compare with; and the FFT notch, the tool of the trade.

*Residual*: how far the two strongest screen peaks of the input still stand above their surroundings in the spectrum of
the result (dB; the higher of the two). A blur lowers peaks and surroundings alike, so it does not help.
*Acutance*: mean |Laplacian| of the result, over that of the narrowest Gaussian blur of the input that lowers the peaks
as much. Above 1, the result is sharper than a blur of equal effect.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from sdk.analysis.spectrum import Peak, background, level_at, peaks, power_spectrum, whole

BLURS = tuple(np.geomspace(0.3, 12, 50).round(3).tolist())
"""Standard deviations, px, that the equal blur is searched among."""


def grey(image: np.ndarray) -> np.ndarray:
    """uint8 HxW of uint8 HxW or HxWx3 RGB."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def screen_peaks(scan: np.ndarray, least: float = 15.0) -> list[Peak]:
    """The two strongest peaks of a scan with a screen; none where the strongest stands out by less than ``least`` dB."""
    spectrum = power_spectrum(grey(scan))
    found = [] if spectrum is None else peaks(spectrum)
    return found if found and found[0].prominence >= least else []


def residual(scan: np.ndarray, restored: np.ndarray, found: Sequence[Peak]) -> float:
    """dB, in the blocks where the scan is not flat; 0 where nothing is left to see."""
    spectrum = power_spectrum(grey(restored), chosen_by=grey(scan))
    return 0.0 if spectrum is None else max(0.0, max(level_at(spectrum, peak) for peak in found))


def acutance(scan: np.ndarray, restored: np.ndarray, found: Sequence[Peak]) -> float:
    """Sharpness against the Gaussian blur of equal effect on the peaks."""
    scan, restored = grey(scan), grey(restored)
    aim = _power_at(restored, found)
    equal = scan
    for sigma in BLURS:
        equal = cv2.GaussianBlur(scan, (0, 0), sigma)
        if _power_at(equal, found) <= aim:
            break
    return edge_strength(restored) / edge_strength(equal)


def _power_at(image: np.ndarray, found: Sequence[Peak]) -> float:
    """Highest power, dB, among the peaks' places."""
    spectrum = power_spectrum(image, flat=0)
    assert spectrum is not None
    return max(float(spectrum[round(peak.row) % peak.block, round(peak.column)]) for peak in found)


def edge_strength(image: np.ndarray) -> float:
    """Mean |Laplacian| after a blur of 1 px."""
    return float(np.abs(cv2.Laplacian(cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1), cv2.CV_32F)).mean())


def notch(scan: np.ndarray, threshold: float = 9.0, width: float = 2.0, protect: float = 0.05, sigma: float = 0.0) -> np.ndarray:
    """Remove every spectral peak of a uint8 HxW or HxWx3 scan that stands ``threshold`` dB out; uint8 of the same shape.

    width: standard deviation of a notch, 1/256 cycles/px; protect: cycles/px below which nothing is removed;
    sigma: px of a blur afterwards.
    """
    if scan.ndim == 3:
        return np.stack([notch(np.ascontiguousarray(scan[..., c]), threshold, width, protect, sigma) for c in range(3)], axis=-1)
    spectrum = power_spectrum(scan)
    if spectrum is None:
        return scan
    pad = 32
    padded = np.pad(scan.astype(np.float32), pad, mode="reflect")
    mask = _notches(spectrum, threshold, width, protect)
    rows = np.rint(np.fft.fftfreq(padded.shape[0]) * spectrum.shape[0]).astype(int) % spectrum.shape[0]
    columns = np.rint(np.fft.rfftfreq(padded.shape[1]) * spectrum.shape[0]).astype(int)
    passed = np.fft.irfft2(np.fft.rfft2(padded) * mask[np.ix_(rows, columns)], padded.shape)[pad:-pad, pad:-pad]
    if sigma:
        passed = cv2.GaussianBlur(passed, (0, 0), sigma)
    return np.rint(np.clip(passed, 0, 255)).astype(np.uint8)


def _notches(spectrum: np.ndarray, threshold: float, width: float, protect: float) -> np.ndarray:
    """1 where frequencies pass, falling to 0 at the peaks."""
    block = spectrum.shape[0]
    frequency = np.hypot(np.fft.fftfreq(block)[:, None], np.arange(block // 2 + 1)[None, :] / block)
    removable = frequency > protect
    peaked = ((spectrum - background(spectrum)) > threshold) & removable
    wrapped = np.pad(whole(peaked).astype(np.float32), 16, mode="wrap")
    spread = cv2.GaussianBlur(wrapped, (0, 0), width)[16:-16, 16:-16][:, -spectrum.shape[1] :]
    return 1 - np.clip(spread * 2 * np.pi * width**2, 0, 1) * removable
