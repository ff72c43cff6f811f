"""Columns of every Parquet table between stages. One name, one schema, one place.

Those of the features are in `core/feature_store.py`, of tissue in `tissue/polygons.py`, of predictions, which follow
the kinds of task, in `mil/predictions.py`, and of the heads' attention in `mil/attention.py`.
"""

import pyarrow as pa

from workflow_scripts.core.loss_terms import SELF, TERMS

VERSION = "1"

_ID = [pa.field("slide_id", pa.string(), nullable=False)]
_REGION = [*_ID, pa.field("region_id", pa.string(), nullable=False)]
_STATUS = [
    pa.field("status", pa.string(), nullable=False),
    pa.field("reason", pa.string()),
    pa.field("detail", pa.string()),
]
_SLIDE = [
    pa.field("path", pa.string()),
    pa.field("vendor", pa.string()),
    pa.field("width", pa.int64()),  # px at level 0
    pa.field("height", pa.int64()),
    pa.field("levels", pa.int32()),
    pa.field("mpp_x", pa.float64()),  # um/px at level 0
    pa.field("mpp_y", pa.float64()),
    pa.field("mpp_source", pa.string()),
]

CHECK = pa.schema([*_ID, *_SLIDE, *_STATUS, pa.field("bytes", pa.int64())])  # of the file, null of a folder
# What a stage made of the slides of one chunk, and what of: see `core.slide_stage`.
CHUNK = pa.schema([*_ID, *_STATUS, pa.field("made_of", pa.string(), nullable=False)])
SLIDES = pa.schema(
    [
        *_ID,
        pa.field("patient_id", pa.string(), nullable=False),
        *_SLIDE,
        *_STATUS,
        pa.field("tissue_mm2", pa.float64()),
        pa.field("n_regions", pa.int64()),
        pa.field("unreadable_fraction", pa.float64()),
        pa.field("pen_fraction", pa.float64()),  # pen ink over tissue and ink
        pa.field("blurred_fraction", pa.float64()),  # of the measured fields of tissue; null where none was
    ]
)
REGIONS = pa.schema(
    [
        *_REGION,
        pa.field("x", pa.int64()),  # px at level 0; negative where a small slide is padded
        pa.field("y", pa.int64()),
        pa.field("size_x", pa.int64()),  # px at level 0
        pa.field("size_y", pa.int64()),
        pa.field("grid_row", pa.int32()),
        pa.field("grid_col", pa.int32()),
        pa.field("tissue_fraction", pa.float32()),
        pa.field("patch_tissue", pa.list_(pa.float32())),  # g*g values, row-major
    ]
)
# One row a slide of a shard; the features themselves are in one file a slide, see core.tensors.
FEATURE_INDEX = pa.schema(
    [
        *_ID,
        *_STATUS,
        pa.field("file", pa.string()),  # relative to the index
        pa.field("n_regions", pa.int64()),
        pa.field("n_patches", pa.int64()),  # encoded one by one
        pa.field("unreadable_fraction", pa.float64()),
        pa.field("tissue_mm2", pa.float64()),
        pa.field("patches_per_s", pa.float64()),
        pa.field("wait_share", pa.float64()),  # of the slide's time that the encoder waited for pixels
    ]
)
PROTOTYPES = pa.schema(
    [
        *_ID,
        pa.field("prototype", pa.int32()),
        pa.field("n_regions", pa.int64()),
        pa.field("vector", pa.list_(pa.float32())),
    ]
)
ASSIGNMENTS = pa.schema([*_REGION, pa.field("prototype", pa.int32()), pa.field("similarity", pa.float32())])
NEIGHBOURS = pa.schema(
    [
        *_ID,
        pa.field("rank", pa.int32()),
        pa.field("neighbour_id", pa.string()),
        pa.field("similarity", pa.float32()),
        pa.field("matching", pa.list_(pa.int32())),  # own prototype -> neighbour's prototype
    ]
)
# New slides by a trained model: a row a slide, and in its folder a row a region.
APPLIED = pa.schema(
    [
        *_ID,
        *_STATUS,
        pa.field("n_regions", pa.int64()),
        pa.field("nearest_id", pa.string()),  # the nearest slide of the model's cohort
        pa.field("similarity", pa.float32()),
        pa.field("vector", pa.list_(pa.float32())),  # mean of the regions' embeddings
    ]
)
APPLIED_REGIONS = pa.schema(
    [
        *_REGION,
        *(pa.field(name, pa.int64()) for name in ("x", "y", "size_x", "size_y")),  # px at level 0
        pa.field("prototype", pa.int32()),  # of the slide itself; null where it has too few regions
        pa.field("similarity", pa.float32()),  # cosine with it
        pa.field("cohort_slide_id", pa.string()),  # whose prototype is the nearest of the cohort's
        pa.field("cohort_prototype", pa.int32()),
        pa.field("cohort_similarity", pa.float32()),
        pa.field("vector", pa.list_(pa.float32())),  # the region's embedding
    ]
)
# Neighbours of a new slide; of the same patient null where that is not known.
APPLIED_NEIGHBOURS = pa.schema([*NEIGHBOURS, pa.field("same_patient", pa.bool_())])
APPLIED_PREDICTIONS = pa.schema(
    [
        *_ID,
        pa.field("task", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("head", pa.string()),
        pa.field("outcome", pa.string()),  # a class, or value, or risk
        pa.field("value", pa.float64()),  # score of the class, classes weighted alike; or that value or risk
        pa.field("trained_on_it", pa.bool_()),  # on a slide of this name or patient; null: not known
    ]
)
# The prototypes of all slides of a run's last clustering, in groups.
GROUPS = pa.schema(
    [
        *_ID,
        pa.field("prototype", pa.int32()),
        pa.field("group", pa.int32()),  # by falling number of regions, from 0
        pa.field("similarity", pa.float32()),  # cosine of prototype and the group's centre
        pa.field("n_regions", pa.int64()),
    ]
)
_NEAREST = pa.struct(
    [
        *_REGION,
        *(pa.field(name, pa.int64()) for name in ("x", "y", "size_x", "size_y")),  # px at level 0
        pa.field("prototype", pa.int32()),
        pa.field("least_cosine", pa.float32()),  # that the region can have with the group's centre
    ]
)
_CLASS = pa.struct(
    [
        pa.field("task", pa.string()),
        pa.field("class", pa.string()),
        pa.field("n_regions", pa.int64()),  # of the group in slides of the class
        pa.field("group_regions", pa.int64()),  # of the group in slides of any class
        pa.field("class_regions", pa.int64()),  # of the class in all groups
        pa.field("n_slides", pa.int64()),  # of the class with a region of the group
        pa.field("class_slides", pa.int64()),  # of the class with a region of any group
    ]
)
ATLAS = pa.schema(
    [
        pa.field("group", pa.int32()),
        pa.field("n_prototypes", pa.int64()),
        pa.field("n_regions", pa.int64()),
        pa.field("n_slides", pa.int64()),  # that have a region of the group
        pa.field("similarity", pa.float64()),  # mean cosine of prototype and centre
        pa.field("nearest", pa.list_(_NEAREST)),
        pa.field("classes", pa.list_(_CLASS)),
        pa.field("centre", pa.list_(pa.float32())),  # unit length
    ]
)
SPEED_FILE = "speed.json"
"""Beside a training's METRICS, how fast it was: no part of them, for that differs from run to run."""
METRICS = pa.schema(
    [
        pa.field("epoch", pa.int64()),
        pa.field("step", pa.int64()),
        *(
            pa.field(name, pa.float64())
            for name in (
                *("loss", *(term.column for term in TERMS)),
                *(term.entropy_column for term in TERMS if term != SELF),  # that of L_self is teacher_entropy
                *("lr", "weight_decay", "momentum", "teacher_temp"),
                *(
                    "teacher_entropy",
                    "marginal_entropy",
                    "center_norm",
                    "gradient_norm",
                    "weight_norm",
                    "regions_per_s",
                ),
            )
        ),
    ]
)
REGION_EMBEDDINGS = pa.schema([*_REGION, pa.field("vector", pa.list_(pa.float32()))])
SLIDE_EMBEDDINGS = pa.schema([*_ID, pa.field("vector", pa.list_(pa.float32()))])
SPLITS = pa.schema(
    [
        *_ID,
        pa.field("patient_id", pa.string()),
        pa.field("repeat", pa.int32()),  # number of the deal or draw, from 0
        pa.field("fold", pa.int32()),  # within the repeat, from 0
        pa.field("budget", pa.string()),  # of training patients: all, 25% (a fraction), 8/class (few-shot)
        pa.field("part", pa.string()),  # train, val, test or unused
    ]
)
RESULTS = pa.schema(
    [
        pa.field("task", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("family", pa.string()),  # tasks corrected together
        pa.field("level", pa.string()),  # what is scored: patient or slide
        pa.field("splits", pa.string()),  # in words
        pa.field("budget", pa.string()),  # of training patients, as in the splits
        pa.field("representation", pa.string()),
        pa.field("trainings", pa.list_(pa.string())),  # by seeds, whose mean it is; none of what is not trained here
        pa.field("pretrained_on", pa.string()),
        pa.field("head", pa.string()),
        pa.field("primary", pa.bool_()),  # whether claims are made of this head
        pa.field("metric", pa.string()),
        pa.field("headline", pa.bool_()),  # whether claims are made of this metric
        pa.field("failure", pa.string()),  # why there is no value
        pa.field("value", pa.float64()),  # mean over repeats, seeds and trainings
        pa.field("ci_low", pa.float64()),  # 95 % interval of the procedure's expected value
        pa.field("ci_high", pa.float64()),
        pa.field("error", pa.float64()),  # standard error
        pa.field("aggregation", pa.string()),  # how tests of folds were put together
        pa.field("sd_folds", pa.float64()),  # between test parts, ddof 1
        pa.field("sd_repeats", pa.float64()),  # between deals of the folds
        pa.field("sd_seeds", pa.float64()),  # between head seeds, mean over repeats
        pa.field("sd_trainings", pa.float64()),  # between pretraining seeds
        pa.field("folds", pa.list_(pa.float64())),  # by test part, repeat after repeat
        pa.field("repeats", pa.list_(pa.float64())),  # by repeat
        pa.field("n_defined", pa.int64()),  # repeats in which the metric is defined
        pa.field("n_repeats", pa.int64()),
        pa.field("n_seeds", pa.int64()),
        pa.field("n_patients", pa.int64()),  # tested
        pa.field("smallest_group", pa.int64()),  # patients of the rarest class, or with an event
        pa.field("n_pairs", pa.int64()),  # of cases that the metric compares, mean over repeats
        pa.field("n_slides", pa.int64()),
        pa.field("n_excluded", pa.int64()),
        pa.field("n_test_seen", pa.int64()),  # test slides of the first repeat that pretraining here saw, unlabelled
        pa.field("n_tested", pa.int64()),  # of so many
        pa.field("chance", pa.float64()),  # value without any skill; null where that depends on the cohort
    ]
)
RETRIEVAL = pa.schema(
    [
        pa.field("head", pa.string()),  # the likeness
        pa.field("metric", pa.string()),
        pa.field("patient_id", pa.string()),
        pa.field("group", pa.int64()),  # number of its class
        pa.field("without", pa.float64()),  # the metric where this patient neither asks nor is found
    ]
)
COMPARISONS = pa.schema(
    [
        pa.field("task", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("family", pa.string()),
        pa.field("level", pa.string()),
        pa.field("head", pa.string()),
        pa.field("primary", pa.bool_()),
        pa.field("budget", pa.string()),
        pa.field("metric", pa.string()),
        pa.field("headline", pa.bool_()),
        pa.field("first", pa.string()),
        pa.field("second", pa.string()),
        pa.field("difference", pa.float64()),  # first minus second, same patients and splits
        pa.field("low", pa.float64()),  # 95 % interval, not corrected
        pa.field("high", pa.float64()),
        pa.field("p", pa.float64()),  # two-sided, not corrected
        pa.field("p_holm", pa.float64()),  # corrected within the family; null outside
        pa.field("comparisons", pa.int64()),  # size of the family
        pa.field("verdict", pa.string()),  # better, worse or not shown, by p_holm
        pa.field("repeats", pa.list_(pa.float64())),  # difference by repeat
        pa.field("n_patients", pa.int64()),
    ]
)
SETS = COMPARISONS.append(pa.field("other", pa.string()))  # head on the slide vectors, which are the second
TEXTURES = pa.schema(
    [
        *_ID,
        pa.field("n_regions", pa.int64()),  # regions with tissue of a known class
        pa.field("n_classes", pa.int64()),  # majority classes among them
        pa.field("ari", pa.float64()),  # adjusted Rand index of prototype and majority class
        pa.field("ari_random", pa.float64()),  # the same with permuted prototypes
    ]
)
_EXPLAINED = pa.struct([pa.field(name, pa.float64()) for name in ("share", "chance", "adjusted")])
# What the prototypes of each run follow within slides, plain k-means of other features and true classes: of the
# variance of tissue fraction, mean colour and share of places around without a region; the mean adjusted Rand index
# with the prototypes, and with true classes over the slides of two or more, then among regions of 80 % tissue.
EXPLAINED = pa.schema(
    [
        *[pa.field(name, pa.string(), nullable=False) for name in ("run", "clustering")],
        *[pa.field(name, pa.int64()) for name in ("n_slides", "n_regions", "truth_slides", "truth_tissue_slides")],
        *[pa.field(name, _EXPLAINED) for name in ("tissue", "colour", "rim")],
        *[pa.field(name, pa.float64()) for name in ("agreement", "truth", "truth_tissue")],
    ]
)
