"""OpenSlide as a decoder, the reader of record."""

import numpy as np
import openslide

from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.tile_reader import filled, flatten


class OpenSlideBackend:
    """A slide opened by OpenSlide. A read error kills an OpenSlide handle, so it is reopened after one."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._handle = openslide.OpenSlide(path)
        self.properties = dict(self._handle.properties)
        self.vendor = self.properties.get("openslide.vendor", "unknown")
        self.dimensions = list(self._handle.level_dimensions)
        self.downsamples = list(self._handle.level_downsamples)
        self.tile_rows = [
            int(self.properties.get(f"openslide.level[{i}].tile-height", 1)) for i in range(len(self.dimensions))
        ]

    def read(self, level: int, x: int, y: int, w: int, h: int, out: np.ndarray | None = None) -> np.ndarray:
        # OpenSlide wants the corner in level-0 px and divides it by its own downsample again.
        step = self.downsamples[level]
        try:
            pixels = self._handle.read_region((round(x * step), round(y * step)), level, (w, h))
        except openslide.OpenSlideError as error:
            self._handle.close()
            try:
                self._handle = openslide.OpenSlide(self.path)  # a handle is dead after an error
            except openslide.OpenSlideError as gone:
                raise SlideError("read_error", f"the file cannot be opened again ({gone}); fetch it again") from gone
            raise SlideError("read_error", f"pixels cannot be read ({error}); fetch the file again") from error
        return filled(out, np.asarray(flatten(pixels)))

    def close(self) -> None:
        self._handle.close()
