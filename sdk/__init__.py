"""Turn halftones back into continuous-tone photographs: ``sdk.InverseHalftoner("fast").run(img)``."""

from sdk import errors
from sdk.analysis import Analysis, analyze
from sdk.bit_depth import BitDepthExpander
from sdk.catalog import releases
from sdk.halftoner import Halftoner
from sdk.input_warnings import InputWarning, NoHalftoneWarning, NotTwoLevelsWarning, OtherMethodWarning, PictureLeftWarning
from sdk.inverse_halftoner import InverseHalftoner
from sdk.metadata import ModelMetadata
from sdk.networks.auto import Choice
from sdk.version import __version__

__all__ = [
    "Analysis",
    "BitDepthExpander",
    "Choice",
    "Halftoner",
    "InputWarning",
    "InverseHalftoner",
    "ModelMetadata",
    "NoHalftoneWarning",
    "NotTwoLevelsWarning",
    "OtherMethodWarning",
    "PictureLeftWarning",
    "__version__",
    "analyze",
    "errors",
    "releases",
]
