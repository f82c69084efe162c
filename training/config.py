"""Recipes: TOML files read into frozen dataclasses. An unknown key is an error that names the nearest known one."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sdk.analysis.methods import LABELS
from sdk.catalog import tomllib
from sdk.errors import nearest
from training.degradations import BitDepth, Degradation, HalftoneFamily, LearnedHalftone
from training.errors import TrainingError
from training.scanning import PrintScan

RECIPES = Path(__file__).parent / "recipes"
Config = TypeVar("Config")


class RecipeError(TrainingError):
    """A recipe is missing, is not TOML, or has a key or value that does not fit."""


def _refuse_below(config: Any, **least: int) -> None:
    for key, value in least.items():
        if getattr(config, key) < value:
            raise RecipeError(f"{key} is {getattr(config, key)}; it must be at least {value}.")


@dataclass(frozen=True)
class DataConfig:
    mix: tuple[HalftoneFamily, ...] = ()
    """Clean halftoning methods that a crop is drawn through."""
    learned: tuple[LearnedHalftone, ...] = ()
    """Networks that halftone a crop, beside them."""
    prints: tuple[PrintScan, ...] = ()
    """Prints and scans that a crop is drawn through, beside them."""
    bit_depths: tuple[BitDepth, ...] = ()
    """Cuts to a few bits, for networks that are told how many; not beside the others."""
    crop: int = 96
    """Side of a training crop, px."""
    margin: int = 32
    """How much more of the photograph is degraded, px."""
    batch: int = 16
    seed: int = 0
    halftoning: bool = False
    """Whether the photograph is given and the halftone is wanted: for networks that make halftones."""

    def __post_init__(self) -> None:
        if not self.families:
            raise RecipeError(
                "The recipe's [data] names nothing to train on; give it a [[data.mix]], [[data.learned]], [[data.prints]] or "
                "[[data.bit_depths]] table."
            )
        _refuse_below(self, crop=8, margin=0, batch=1)
        if len({getattr(family, "told", None) is None for family in self.families}) > 1:
            raise RecipeError("Some families of [data] say how often their method is told, others do not; give each its told (0 is never).")

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that the network is told of (``sdk.analysis.methods.LABELS``), by number from 1 on; "" where one was not taught."""
        taught = {label for family in self.mix for label in family.labels}
        last = max((LABELS.index(label) for label in taught), default=-1)
        return tuple(label if label in taught else "" for label in LABELS[: last + 1])

    @property
    def families(self) -> tuple[Degradation, ...]:
        """All that a crop may be drawn through."""
        return (*self.mix, *self.learned, *self.prints, *self.bit_depths)


@dataclass(frozen=True)
class OptimiserConfig:
    name: str = "muon"
    """``muon`` (hidden convolutions; AdamW for the rest) or ``adamw`` (all)."""
    learning_rate: float = 1e-3
    """Of AdamW, at its peak."""
    muon_learning_rate: float = 1e-2
    """Of Muon: how far the spectral norm of a kernel moves in a step, at its peak."""
    warmup_steps: int = 200
    clip_norm: float = 1.0
    ema_decay: float = 0.999

    def __post_init__(self) -> None:
        _refuse_below(self, warmup_steps=0)
        if not self.clip_norm > 0:
            raise RecipeError(f"clip_norm is {self.clip_norm:g}; it must be above 0.")
        if not 0 <= self.ema_decay < 1:
            raise RecipeError(f"ema_decay is {self.ema_decay:g}; it must be 0 or more, and less than 1.")


@dataclass(frozen=True)
class LossConfig:
    weights: dict[str, float] = field(default_factory=lambda: {"l1": 1.0})
    """Terms of ``training.losses.Loss``."""
    layer: str = "conv4_3"
    """Where in VGG the term ``perceptual`` looks."""


@dataclass(frozen=True)
class DistillationConfig:
    """How a diffusion model is taught to sample in few steps (``training.distill``)."""

    weights: dict[str, float] = field(default_factory=lambda: {"trajectory": 1.0})
    """``trajectory``: to where the teacher's trajectory ends; ``truth``, ``lpips``: to the photograph; ``tone``: of a halftone."""
    teacher_steps: int = 24
    """DDIM steps of the teacher."""
    samplers: tuple[int, ...] = (1, 2, 4, 4)
    """The student's numbers of steps; repeat one to make it likelier."""
    crops: int = 2048
    """How many the teacher samples."""
    batch: int = 8
    rate: float = 0.3
    """Learning rates at their peak, as a share of the recipe's."""


@dataclass(frozen=True)
class ValidationConfig:
    every: int = 500
    """Steps between two looks at val."""
    pictures: int = 16
    methods: tuple[str, ...] = ("floyd-steinberg",)
    """Clean halftones to look at; a recipe with prints or bit depths is looked at on the first of those, too."""

    def __post_init__(self) -> None:
        _refuse_below(self, every=1, pictures=1)


@dataclass(frozen=True)
class Recipe:
    name: str
    """The released model's name."""
    architecture: str
    """A key of ``training.models.ARCHITECTURES``."""
    data: DataConfig
    steps: int
    """Default length; ``--steps`` or ``--minutes`` override it."""
    model: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the architecture."""
    loss: LossConfig = LossConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    validation: ValidationConfig = ValidationConfig()
    distillation: DistillationConfig = DistillationConfig()
    """Of diffusion models."""
    card: dict[str, Any] = field(default_factory=dict)
    """What the exported model says of itself: title, paper, licence, training data."""

    def __post_init__(self) -> None:
        methods, taught = self.model.get("methods", 0), len(self.data.methods)
        told = any(getattr(family, "told", None) is not None for family in self.data.families)
        if told != bool(methods):
            says = "says" if told else "does not say"
            raise RecipeError(
                f"{self.name}: methods = {methods} in [model], but [data] {says} how often they are told (told); a network needs both, "
                "or neither."
            )
        if methods < taught:
            raise RecipeError(f"{self.name}: methods = {methods} in [model], but those of [data] are numbered up to {taught}.")


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read ``training/recipes/<name>.toml`` or the TOML file at a path."""
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = RECIPES / f"{name_or_path}.toml"
    if not path.is_file():
        known = (known_path.stem for known_path in RECIPES.glob("*.toml"))
        raise RecipeError(f"There is no recipe {str(name_or_path)!r}.{nearest(str(name_or_path), known)}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not valid TOML: {error}.") from error
    return from_table(Recipe, table, str(path))


def from_table(cls: type[Config], table: dict[str, Any], where: str) -> Config:
    """Build the dataclass ``cls`` from a TOML table, recursively; ``where`` begins the error messages."""
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            raise RecipeError(f"{where}: unknown key {key!r}.{nearest(key, fields)}")
    for key, f in fields.items():
        if key not in table and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise RecipeError(f"{where}: the key {key!r} is missing.")
    return cls(**{key: _convert(hints[key], value, f"{where}: {key}") for key, value in table.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise RecipeError(f"{where} must be a table, not {value!r}.")
        return from_table(hint, value, where)  # type: ignore[arg-type]
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise RecipeError(f"{where} must be a list, not {value!r}.")
        each = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(each) != len(value):
            raise RecipeError(f"{where} must have {len(each)} values, not {len(value)}.")
        return tuple(_convert(h, v, where) for h, v in zip(each, value))
    if origin is dict:
        if not isinstance(value, dict):
            raise RecipeError(f"{where} must be a table, not {value!r}.")
        return {k: _convert(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    if hint is Any or origin in (typing.Union, types.UnionType):
        return value
    if hint is float and type(value) is int:
        return float(value)
    expected = origin or hint
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise RecipeError(f"{where} must be {expected.__name__}, not {value!r}.")
    return value


def to_table(config: Any) -> dict[str, Any]:
    """The recipe as plain lists and tables, to be stored beside its weights; ``from_table`` reads it back."""
    return dataclasses.asdict(config)
