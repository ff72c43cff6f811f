"""Settings of the representations that are compared beside the pretraining runs."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from workflow_scripts.config.base import Name, Section, without_dropped, without_repeats

PATCHES = "patches"
BASELINES = ("mean", "max", "std", "colour")
Baseline = Literal["mean", "max", "std", "colour"]


def _without_repeats(value: bool | list[str]) -> bool | list[str]:
    return value if isinstance(value, bool) else without_repeats(value)


class EmbedTable(Section):
    file: str
    """Parquet, CSV or TSV file with slide_id and the vectors (a list column, or a column a dimension), or a folder of
    {slide}.h5 (TRIDENT)."""
    pretrained_on: str
    """Data that its encoder has seen, stated beside every result."""


class Embed(Section):
    baselines: Annotated[list[Baseline], AfterValidator(without_repeats)] = Field(["mean", "colour"])
    """Representations without pretraining: mean, maximum and standard deviation of patch features; mean and deviation
    of the patches' colour."""
    patches: bool = False
    """Add the representation `patches`: a slide is the bag of all its patch features. Each MIL head holds those of all
    slides in memory once, as stored, and is refused where the memory of fit_head (mem_mb) is too little."""
    prototypes: Annotated[bool | list[Name], AfterValidator(_without_repeats)] = False
    """Add `<name>-prototypes`, where a slide is the set of mean embeddings of its prototypes: true of every run that
    has prototypes of slides; or of the runs and baselines that are listed. Regions are clustered by the run's own last
    clustering where it has one, else within each slide by k-means of its settings (of a baseline pretrain.defaults)."""
    tables: dict[Name, EmbedTable] = Field({})
    """Vectors of slides by other tools, by the name of the representation. null drops a table of a config below."""

    @field_validator("tables", mode="before")
    @classmethod
    def _drop_tables(cls, value: Any) -> Any:
        return without_dropped({} if value is None else value)

    @property
    def representations(self) -> list[str]:
        """Names, without those of the pretraining runs."""
        return [*self.baselines, *([PATCHES] if self.patches else []), *self.tables]


def prototypes_of(name: str) -> str:
    """Name of the representation by the prototypes of another."""
    return f"{name}-prototypes"
