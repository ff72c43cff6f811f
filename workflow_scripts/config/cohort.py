"""Settings of the cohort: which slides there are, and which of them the workflow makes."""

import os

from workflow_scripts.config.base import Count, Fraction, Name, Section, free


class Cohort(Section):
    name: Name = "cohort"
    """Name of the cohort; results go to results/{name}/."""
    manifest: str = "slides.csv"
    """CSV with the columns slide_id and path, and optionally patient_id, mpp and label columns."""
    test_manifest: str | None = None
    """The same of a second cohort that nothing is pretrained on, tested by tasks with splits of kind external."""
    max_failed_fraction: Fraction = free(0.5)
    """The run stops after the features when more than this fraction of the slides is excluded."""
    allow_network: bool = free(False)
    """Allow slides of the manifest to be fetched from https:// and s3://."""
    fetch_attempt: Count = 1
    """Raise it to try remote slides again that could not be fetched; the others stay as they are."""


class Demo(Section):
    directory: str = "resources/demo"
    """Slides of the manifest under this folder are synthetic and made by the workflow."""
    seed: int = 7
    """Seed of the synthetic slides; config/demo/slides.csv belongs to the default."""

    def makes(self, path: str) -> bool:
        """Whether a slide is made by the workflow itself."""
        return os.path.dirname(path) == self.directory
