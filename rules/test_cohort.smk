"""A second cohort that nothing is pretrained on: only where cohort.test_manifest is set.

Its features have shards of their own, so that adding it, or a slide to it, trains nothing anew.
"""


# Encodes the patches of one shard of the test cohort's slides.
use rule extract_features as extract_test_features with:
    input:
        checks=of_shard("check", "test_"),
        regions=of_shard("regions", "test_"),
        weights=weights_file,
    output:
        index="<cohort>/features/{encoder}/test_shard_{shard}.parquet",
    log:
        "<cohort>/logs/features/{encoder}/test_shard_{shard}.log",
    benchmark:
        "<cohort>/cost/extract_test_features/features/{encoder}/test_shard_{shard}.tsv"
    resources:  # replaced as a whole, unlike params
        gpu=GPU,
        mem_mb=16000,
        runtime=720,
        batch_size=CFG.features.batch_size or 0,
        keep_fetched=int(CFG.slides.keep_fetched),
        give_up_s=str(CFG.slides.give_up_s),
        manifest=TEST_MANIFEST,
        other_manifest=MANIFEST,


# Gathers the status of every slide of the test cohort.
use rule summarise_cohort as summarise_test_cohort with:
    input:
        checks=chunk_files("check", "test_"),
        tissue=[] if CFG.source.kind else chunk_files("tissue", "test_"),
        features=TEST_SHARD_FILES,
    output:
        slides="<cohort>/test_slides.parquet",
    log:
        "<cohort>/logs/summarise_test_cohort.log",
    benchmark:
        "<cohort>/cost/summarise_test_cohort/summarise_test_cohort.tsv"
    resources:
        mem_mb=2000,
        runtime=10,
        max_failed_fraction=str(CFG.cohort.max_failed_fraction),
        manifest=TEST_MANIFEST,
    params:
        patients=patients_of(TEST_ROWS),


# Clusters the regions of the test cohort's slides as a run's clustering did those of its own, for embed_prototypes.
use rule cluster_regions as cluster_test_regions with:
    input:
        slides="<cohort>/test_slides.parquet",
        features=TEST_SHARD_FILES,
        state=previous_state,
        previous=[],
    output:
        prototypes="<cohort>/pretrain/{run}/round_{round}/test_prototypes.parquet",
        assignments="<cohort>/pretrain/{run}/round_{round}/test_assignments.parquet",
    log:
        "<cohort>/logs/pretrain/{run}/cluster_test_{round}.log",
    benchmark:
        "<cohort>/cost/cluster_test_regions/pretrain/{run}/cluster_test_{round}.tsv"


if CFG.source.kind:

    ruleorder: index_test_features > extract_test_features

    # Lists the imported features of the test cohort's slides by shard.
    use rule index_features as index_test_features with:
        input:
            features=chunk_files("regions", "test_"),
        output:
            index=TEST_SHARD_FILES,
        log:
            "<cohort>/logs/import/test_index.log",
        benchmark:
            "<cohort>/cost/index_test_features/import/test_index.tsv"
        resources:
            mem_mb=2000,
            runtime=10,
            manifest=TEST_MANIFEST,
