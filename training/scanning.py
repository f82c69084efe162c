"""Scan a print: optics, sampling, straightening, enlargement, tone curve, sharpening, noise, JPEG, cutting to two levels.

``PrintScan`` is the whole way from a photograph to (its printed and scanned halftone, the tone on that paper).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from sdk.images import from_unit
from training.printing import Print, PrintConfig, Range, enlarge, log_uniform, print_photo, shrink, smooth_noise

ENLARGEMENTS = (cv2.INTER_CUBIC, cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_LINEAR, cv2.INTER_NEAREST_EXACT)
"""How scans are enlarged, the usual ways oftener; all leave the picture in its place, which ``INTER_NEAREST`` does not."""


@dataclass(frozen=True)
class ScanConfig:
    """Ranges that every scan is drawn from; lengths are px of the scan. The values stand in the recipe."""

    blur: Range
    """Standard deviation of the optics' point spread."""
    aliased: float
    """Chance that each pixel sees one point of the (blurred) sheet instead of its whole area."""
    skewed: float
    """Chance that the sheet lay askew, and the scan was turned straight again by interpolation."""
    skew: Range
    """By how many degrees, to either side."""
    perspective: Range
    """How much one edge of a sheet askew is longer than the other, as a share: of books and of pages that a camera took."""
    enlarged: float
    """Chance that somebody enlarged the scan afterwards."""
    enlargement: Range
    curved: float
    """Chance of a tone curve, value ** gamma."""
    gamma: Range
    """Drawn log-uniformly."""
    sharpened: float
    """Chance of an unsharp mask."""
    sharpening: Range
    """Its amount; its radius is 0.6..1.8 px."""
    noise: Range
    """Standard deviation of sensor noise and paper fibre."""
    jpeg: float
    """Chance of JPEG coding."""
    jpeg_quality: Range
    thresholded: float
    """Chance that the scan was cut to two levels."""
    threshold: Range
    """Where, between ink (0) and paper (1)."""
    grey: float
    """Chance of a grey scan."""


@dataclass(frozen=True)
class PrintScan:
    """Print, then scan. A line of a recipe's data: drawn with the chance ``weight``, beside the halftone families."""

    weight: float
    unscreened: float
    """Chance of a photograph without any screen (photo paper): it must come back as it is, without its noise."""
    detail: Range
    """How far the photograph is enlarged before it is printed, as a share of the screen period (but not reduced): what is far
    finer than the dots is lost in print, and a network that is asked for it learns to invent."""
    print: PrintConfig
    scan: ScanConfig

    def __call__(self, photo: np.ndarray, rng: np.random.Generator, period: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """uint8 HxWx3 -> (scan, tone on the same paper), both float32 HxWx3 in [0, 1] and of the same size."""
        return self.pair(photo, rng, period)[:2]

    def pair(self, photo: np.ndarray, rng: np.random.Generator, period: float | None = None) -> tuple[np.ndarray, np.ndarray, Print, float]:
        """Also the print, at the angle of the scan, and how far that was enlarged: the scan's period is the print's times that."""
        height, width = photo.shape[:2]
        config = self.scan
        factor = rng.uniform(*config.enlargement) if rng.random() < config.enlarged else 1.0
        period = period or self.print.draw_period(rng)
        factor = min(factor, max(1.0, period / self.print.period[0]))
        size = (round(width / factor), round(height / factor))
        detail = max(1.0, period * rng.uniform(*self.detail))
        cut = photo[: max(16, round(height / detail)), : max(16, round(width / detail))]
        shrinking = cut.shape[1] > size[0]
        sheet = cv2.resize(cut, size, interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC).astype(np.float32) / 255
        printed = print_photo(sheet, self.print, period / factor, rng)
        tone = printed.tone
        if rng.random() < self.unscreened:
            printed = Print(enlarge(tone, printed.oversampling), tone, printed.oversampling, 0.0, 0.0)
        scan = _optics(printed, config, rng)
        if rng.random() < config.grey:
            scan, tone = (_grey(image) for image in (scan, tone))
        if rng.random() < config.skewed:
            scan, tone, turn = _straightened(scan, tone, config, rng)
            printed = replace(printed, angle=(printed.angle + turn) % 90)
        if factor > 1:
            if rng.random() < 0.5:
                scan = _maybe_jpeg(scan, config, rng)
            scan = cv2.resize(scan, (width, height), interpolation=ENLARGEMENTS[rng.integers(len(ENLARGEMENTS))])
            tone = cv2.resize(tone, (width, height), interpolation=cv2.INTER_CUBIC)
        if rng.random() < config.curved:
            scan, tone = _curved(scan, tone, log_uniform(*config.gamma, rng))
        scan = _electronics(scan, config, rng)
        if rng.random() < config.thresholded:
            scan, tone = _cut(scan, tone, rng.uniform(*config.threshold))
        return scan.astype(np.float32), np.clip(tone, 0, 1).astype(np.float32), printed, factor


def scan_print(printed: Print, config: ScanConfig, rng: np.random.Generator) -> np.ndarray:
    """float32 h x w x 3 in [0, 1]: the scan in colour, at its own size."""
    return _electronics(_optics(printed, config, rng), config, rng)


def _electronics(scan: np.ndarray, config: ScanConfig, rng: np.random.Generator) -> np.ndarray:
    """Sharpening, noise (grey in a grey scan, and in some others), coding."""
    if rng.random() < config.sharpened:
        blurred = cv2.GaussianBlur(scan, (0, 0), rng.uniform(0.6, 1.8))
        scan = scan + rng.uniform(*config.sharpening) * (scan - blurred)
    grain = smooth_noise(scan.shape, rng.uniform(0, 0.7), rng)
    if rng.random() < config.grey or np.ptp(scan[0, 0]) == 0:
        grain = np.repeat(grain[..., :1], 3, axis=2)
    return _maybe_jpeg(np.clip(scan + rng.uniform(*config.noise) * grain, 0, 1), config, rng)


def _optics(printed: Print, config: ScanConfig, rng: np.random.Generator) -> np.ndarray:
    """Blur, then one sample a pixel: its area, or a point."""
    factor = printed.oversampling
    blurred = cv2.GaussianBlur(printed.dots, (0, 0), rng.uniform(*config.blur) * factor, borderType=cv2.BORDER_REFLECT)
    if rng.random() < config.aliased:
        return _points(blurred, factor)
    return shrink(blurred, factor)


def _points(image: np.ndarray, factor: int) -> np.ndarray:
    """The value in the centre of each factor x factor block, which lies between samples where the factor is even."""
    return cv2.resize(image, (image.shape[1] // factor, image.shape[0] // factor), interpolation=cv2.INTER_CUBIC)


def _straightened(scan: np.ndarray, tone: np.ndarray, config: ScanConfig, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Both as a turn and a perspective bend them about their middle, and the turn in degrees; interpolation blurs the dots here, and leaves
    them there."""
    height, width = scan.shape[:2]
    angle = np.deg2rad(rng.uniform(*config.skew) * rng.choice((-1, 1)))
    lean = rng.uniform(*config.perspective) * rng.choice((-1, 1))
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (width / 2, height / 2)
    turned = corners @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    bent = turned * (1 + lean / 2 * np.sign(corners[:, [rng.integers(2)]]))
    middle = np.array([width - 1, height - 1]) / 2
    before, after = ((points + middle).astype(np.float32) for points in (corners, bent))
    matrix = cv2.getPerspectiveTransform(before, after)
    ways = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)[rng.integers(2)], cv2.INTER_CUBIC
    scan, tone = (
        cv2.warpPerspective(image, matrix, (width, height), flags=way, borderMode=cv2.BORDER_REFLECT_101)
        for image, way in zip((scan, tone), ways)
    )
    return scan, tone, -float(np.rad2deg(angle))


def _curved(scan: np.ndarray, tone: np.ndarray, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """Both by a tone curve. That of the mean is not the mean of the curve: over dots, the tone moves by a parabola between ink and
    paper, as with dot gain, here the one that fits the scan best."""
    curved, mean = (np.clip(image, 0, 1) ** np.float32(gamma) for image in (scan, tone))
    ink, paper = scan.min(axis=(0, 1)), scan.max(axis=(0, 1))
    parabola = np.clip(tone - ink, 0, None) * np.clip(paper - tone, 0, None)
    gain = ((curved - mean) * parabola).sum(axis=(0, 1)) / ((parabola**2).sum(axis=(0, 1)) + 1e-6)
    return curved, mean + gain * parabola


def _grey(image: np.ndarray) -> np.ndarray:
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def _maybe_jpeg(scan: np.ndarray, config: ScanConfig, rng: np.random.Generator) -> np.ndarray:
    if rng.random() >= config.jpeg:
        return scan
    bgr = np.ascontiguousarray(from_unit(scan[..., ::-1], np.uint8))
    coded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(*config.jpeg_quality))])[1]
    decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return decoded[..., ::-1].astype(np.float32) / 255


def _cut(scan: np.ndarray, tone: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Two levels, and the tone on a sheet of white 1 and black 0."""
    grey, grey_tone = _grey(scan), _grey(tone)
    ink, paper = np.percentile(grey[..., 0], (1, 99))
    spread = max(float(paper - ink), 0.05)
    white = (grey > ink + level * spread).astype(np.float32)
    return white, np.clip((grey_tone - ink) / spread, 0, 1)
