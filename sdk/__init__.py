"""Turn halftones back into continuous-tone photographs: ``sdk.InverseHalftoner("fast").run(img)``."""

from sdk import errors
from sdk.catalog import releases
from sdk.halftoner import Halftoner
from sdk.inverse_halftoner import InverseHalftoner, NotTwoLevelsWarning
from sdk.metadata import ModelMetadata
from sdk.version import __version__

__all__ = ["Halftoner", "InverseHalftoner", "ModelMetadata", "NotTwoLevelsWarning", "__version__", "errors", "releases"]
