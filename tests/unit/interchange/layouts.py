"""Files as the tools lay them out, written from their documentation with plain h5py, NumPy and torch.

Nothing of the package is used here, so that a reader and a writer that are wrong alike do not agree.
"""

import json

import h5py
import numpy as np
import torch


def lattice(seed, rows=9, cols=12, step=512, origin=(0, 0), share=0.6):
    """Random cells of a lattice, their corners int64 `[N, 2]` in any order."""
    rng = np.random.default_rng(seed)
    ys, xs = np.nonzero(rng.random((rows, cols)) < share)
    coords = np.stack([xs * step + origin[0], ys * step + origin[1]], axis=1)
    return rng.permutation(coords)


def features(seed, count, dim=6):
    return np.random.default_rng(seed + 1000).normal(size=(count, dim)).astype(np.float32)


def write_h5(path, data, attributes=None, root=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in data.items():
            file[name] = values
            for key, value in (attributes or {}).get(name, {}).items():
                file[name].attrs[key] = value
        for key, value in (root or {}).items():
            file.attrs[key] = value
    return path


def trident(path, coords, values, size=512, **changes):
    """`features_{encoder}/{slide}.h5`; a change to None leaves the attribute out."""
    attributes = {
        **{"patch_size": 256, "patch_size_level0": size, "level0_magnification": 40, "target_magnification": 20},
        **{"overlap": 0, "name": path.stem, "savetodir": "somewhere", "level0_width": 9000, "level0_height": 8000},
    } | changes
    attributes = {key: value for key, value in attributes.items() if value is not None}
    told = {"name": path.stem, "savetodir": "somewhere", "encoder": "uni_v1"}
    return write_h5(path, {"features": values, "coords": coords}, {"features": told, "coords": attributes})


def clam(folder, name, coords, values, level=1, downsample=4.0003, size=128):
    """`h5_files`, `pt_files` and `patches` of CLAM: only the last tells the scale."""
    write_h5(folder / f"h5_files/{name}.h5", {"features": values, "coords": coords.astype(np.int32)})
    (folder / "pt_files").mkdir(exist_ok=True)
    torch.save(torch.from_numpy(values), folder / f"pt_files/{name}.pt")
    attributes = {
        **{"patch_size": size, "patch_level": level, "downsample": (downsample, downsample)},
        **{"downsampled_level_dim": (2250, 2000), "level_dim": (2250, 2000), "name": name, "save_path": "somewhere"},
    }
    write_h5(folder / f"patches/{name}.h5", {"coords": coords}, {"coords": attributes})


def stamp(path, coords_um, values, version="2.4.0", tile_um=256.0):
    """One file; the attributes of the three generations."""
    roots = {
        "2.4.0": {"stamp_version": "2.4.0", "extractor": "uni", "unit": "um", "tile_size_um": tile_um}
        | {"tile_size_px": 224, "code_hash": "0", "feat_type": "tile"},
        "2.0.0": {"stamp_version": "2.0.0", "extractor": "uni", "unit": "um", "tile_size": tile_um},
        "1": {},
    }
    return write_h5(path, {"coords": coords_um, "feats": values.astype(np.float16)}, root=roots[version])


def slide2vec(folder, name, coords, values, size=512, base=0.25, multiple=1, kind="tile_embeddings", suffix="pt"):
    """`tile_embeddings` or `hierarchical_embeddings`, and `tiles`; coordinates and size are of the regions there."""
    (folder / kind).mkdir(parents=True, exist_ok=True)
    (folder / "tiles").mkdir(exist_ok=True)
    if suffix == "pt":
        torch.save(torch.from_numpy(values), folder / f"{kind}/{name}.pt")
    else:
        np.savez_compressed(folder / f"{kind}/{name}.npz", features=values, tile_index=np.arange(len(values))[::-1])
    told = {"encoder_name": "prost40m", "feature_dim": values.shape[-1], "format": suffix}
    (folder / f"{kind}/{name}.meta.json").write_text(json.dumps(told))
    index = np.arange(len(coords), dtype=np.int32)
    np.savez(
        folder / f"tiles/{name}.coordinates.npz",
        **{"x": coords[:, 0], "y": coords[:, 1], "tile_index": index, "tissue_fractions": np.ones(len(coords))},
    )
    notes = {
        "slide": {"dimensions": [9000, 8000], "base_spacing_um": base},
        "tiling": {"requested_tile_size_px": 256 * multiple, "requested_spacing_um": 0.5, "tile_size_lv0": size}
        | {"overlap": 0.0, "n_tiles": len(coords)},
    }
    (folder / f"tiles/{name}.coordinates.meta.json").write_text(json.dumps(notes))


def old_slide2vec(folder, name, coords, values, size=512):
    """`features/{name}.pt` and `coordinates/{name}.npy`, a structured array."""
    for part in ("features", "coordinates"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    torch.save(torch.from_numpy(values), folder / f"features/{name}.pt")
    fields = [("x", int), ("y", int), ("tile_size_resized", int), ("tile_level", int), ("resize_factor", float)]
    table = np.zeros(len(coords), [*fields, ("tile_size_lv0", int), ("target_spacing", float)])
    table["x"], table["y"] = coords.T
    table["tile_size_resized"], table["resize_factor"], table["tile_size_lv0"] = 512, 2.0, size
    table["target_spacing"] = 0.5
    np.save(folder / f"coordinates/{name}.npy", table)
