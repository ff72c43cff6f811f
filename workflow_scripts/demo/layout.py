"""Where tissue lies on a slide and which texture fills each territory, at 8 um/px."""

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from workflow_scripts.demo.fields import enlarge
from workflow_scripts.demo.plan import CLASSES, SUBTYPES

MPP = 8.0  # um/px of the layout
SPACING_UM = 620.0  # between the centres of territories; neighbours of one class make larger ones
_SMALLEST_MM2 = 0.08
_TUMOUR = [CLASSES.index("glands"), CLASSES.index("solid")]
_REST = [CLASSES.index("stroma"), CLASSES.index("fat")]
_LYMPHOID = CLASSES.index("lymphoid")


def open_noise(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> np.ndarray:
    """Smooth noise [h, w], about standard normal, with features `scale` px large; does not wrap."""
    rows, columns = (max(2, round(n / scale)) + 8 for n in shape)
    return enlarge(rng.standard_normal((rows, columns)), shape, 4) * np.float32(1.35)


def tissue_mask(rng: np.random.Generator, shape: tuple[int, int], coverage: float) -> np.ndarray:
    """One piece of tissue, bool [h, w], with an irregular outline and about `coverage` of the slide."""
    y, x = (np.linspace(-1, 1, n) for n in shape)
    round_shape = np.abs(y[:, None]) ** 2.4 + np.abs(x[None, :]) ** 2.4
    field = round_shape + 0.13 * open_noise(rng, shape, 60) + 0.035 * open_noise(rng, shape, 14)
    field += 0.012 * open_noise(rng, shape, 5)
    border = np.minimum.outer(1 - np.abs(y), 1 - np.abs(x))
    field[border < 0.03] += 10
    mask = field < np.quantile(field, coverage)
    pieces, count = ndimage.label(mask)
    if count > 1:
        mask = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()
    return ndimage.binary_fill_holes(mask)


def territories(rng: np.random.Generator, tissue: np.ndarray) -> np.ndarray:
    """Divide tissue into contiguous territories with wobbly borders.

    Returns:
        int16 [h, w]: 0 on glass, 1..n in the territories.
    """
    shape, spacing = tissue.shape, SPACING_UM / MPP
    rows, columns = (int(n / (spacing * s)) + 3 for n, s in zip(shape, (0.866, 1), strict=True))
    y, x = np.mgrid[:rows, :columns].astype(float)
    x += 0.5 * (np.arange(rows) % 2)[:, None]
    seeds = np.stack([y * 0.866, x], axis=-1).reshape(-1, 2) - rng.uniform(0, 1, 2)
    seeds = (seeds + rng.uniform(-0.22, 0.22, seeds.shape)) * spacing
    at = np.argwhere(tissue)
    wobble = [7 * open_noise(rng, shape, 28) + 2.0 * open_noise(rng, shape, 7) for _ in range(2)]
    warped = at + np.stack([w[tissue] for w in wobble], axis=1)
    smallest = _SMALLEST_MM2 * 1e6 / MPP**2
    while True:
        owner = cKDTree(seeds).query(warped)[1]
        area = np.bincount(owner, minlength=len(seeds))
        small = area < smallest
        if not small.any() or len(seeds) == 1:
            break
        empty = area == 0
        drop = empty if empty.any() else np.arange(len(seeds)) == area.argmin()
        if drop.all():
            break
        seeds = seeds[~drop]
    labels = np.zeros(shape, np.int16)
    labels[tissue] = np.unique(owner, return_inverse=True)[1] + 1
    return labels


def borders(labels: np.ndarray) -> np.ndarray:
    """Length in px of the border between each two territories, symmetric [n, n]."""
    count = int(labels.max())
    length = np.zeros((count + 1, count + 1))
    for a, b in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        np.add.at(length, (a.ravel(), b.ravel()), 1)
    length = length + length.T
    np.fill_diagonal(length, 0)
    return length[1:, 1:]


def assign_classes(
    rng: np.random.Generator, labels: np.ndarray, composition: np.ndarray, subtype: str, tries: int = 20_000
) -> np.ndarray:
    """Class of each territory: the best of many draws for composition and neighbourhood.

    In the glandular subtype lymphoid aggregates border stroma and fat, in the solid one they border tumour.

    Args:
        rng: decides the draws.
        labels: int16 [h, w], number of the territory from 1; 0 is glass.
        composition: wanted fraction of tissue of `CLASSES[1:]`.
        subtype: one of `SUBTYPES`.
        tries: draws.

    Returns:
        uint8 [n + 1]: index into `CLASSES`, 0 for glass first.
    """
    area = np.bincount(labels.ravel())[1:].astype(float)
    area /= area.sum()
    draws = rng.choice(len(composition), (tries, len(area)), p=composition / composition.sum()) + 1
    have = np.stack([(draws == k + 1) @ area for k in range(len(composition))], axis=1)
    cost = np.abs(have - composition).sum(axis=1)
    liked, disliked = (_REST, _TUMOUR) if subtype == SUBTYPES[0] else (_TUMOUR, _REST)
    weight = np.zeros((len(CLASSES), len(CLASSES)))
    for other, sign in ((liked, -1), (disliked, 1)):
        weight[_LYMPHOID, other] = weight[other, _LYMPHOID] = sign
    length = borders(labels)
    for i, j in zip(*np.nonzero(np.triu(length)), strict=True):
        cost += 0.15 * weight[draws[:, i], draws[:, j]] * length[i, j] / length.sum(axis=1).mean()
    return np.concatenate([[0], draws[cost.argmin()]]).astype(np.uint8)
