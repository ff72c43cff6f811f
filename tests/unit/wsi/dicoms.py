"""A DICOM whole slide for tests: one file a level, JPEG tiles, as scanners write them."""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import JPEGBaseline8Bit, VLWholeSlideMicroscopyImageStorage, generate_uid


def write_dicom_slide(
    folder: Path, pixels: np.ndarray, mpp: float, tile: int = 256, levels: int = 2
) -> list[np.ndarray]:
    """Write a series of two levels into a folder; gives the pixels of every level as its JPEG tiles hold them."""
    series = {"study": generate_uid(), "series": generate_uid(), "frame": generate_uid()}
    return [
        _write_level(
            folder / f"level_{level}.dcm", pixels[:: 2**level, :: 2**level], mpp * 2**level, tile, level, series
        )
        for level in range(levels)
    ]


def _tiles(pixels: np.ndarray, tile: int) -> tuple[list[bytes], np.ndarray]:
    height, width = pixels.shape[:2]
    frames, seen = [], np.empty_like(pixels)
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            square = np.full((tile, tile, 3), 255, np.uint8)
            part = pixels[y : y + tile, x : x + tile]
            square[: part.shape[0], : part.shape[1]] = part
            stream = io.BytesIO()
            Image.fromarray(square).save(stream, "JPEG", quality=90, subsampling="4:4:4")
            frames.append(stream.getvalue())
            decoded = np.asarray(Image.open(io.BytesIO(frames[-1])))
            seen[y : y + tile, x : x + tile] = decoded[: part.shape[0], : part.shape[1]]
    return frames, seen


def _write_level(path: Path, pixels: np.ndarray, mpp: float, tile: int, level: int, uids: dict[str, str]) -> np.ndarray:
    frames, seen = _tiles(np.ascontiguousarray(pixels), tile)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = uids["study"], uids["series"]
    data.FrameOfReferenceUID, data.Modality = uids["frame"], "SM"
    data.ImageType = [
        "ORIGINAL" if level == 0 else "DERIVED",
        "PRIMARY",
        "VOLUME",
        "NONE" if level == 0 else "RESAMPLED",
    ]
    data.TotalPixelMatrixColumns, data.TotalPixelMatrixRows = pixels.shape[1], pixels.shape[0]
    data.TotalPixelMatrixFocalPlanes, data.NumberOfOpticalPaths = 1, 1
    data.DimensionOrganizationType, data.InstanceNumber = "TILED_FULL", level + 1
    data.Rows = data.Columns = tile
    data.NumberOfFrames, data.SamplesPerPixel, data.PlanarConfiguration = len(frames), 3, 0
    data.PhotometricInterpretation = "YBR_FULL_422"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.LossyImageCompression = "01"
    measures = Dataset()
    measures.PixelSpacing, measures.SliceThickness = [mpp / 1000, mpp / 1000], 0.001
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    path_item = Dataset()
    path_item.OpticalPathIdentifier = "1"
    data.OpticalPathSequence = Sequence([path_item])
    data.PixelData = encapsulate(frames)
    data["PixelData"].is_undefined_length = True
    data.save_as(path, enforce_file_format=True)
    return seen
