"""Input functions and params of embed.smk."""


def last_assignments(wildcards):
    """Which prototype each region belongs to, by the clustering that the last round of a run distils."""
    return clustered_tables(wildcards.run, run_of(wildcards).rounds, "assignments")


def assignments_of_all(wildcards):
    """The same of all slides; those of the test cohort are clustered apart, as the same teacher sees them."""
    tables = ["assignments", "test_assignments"] if TEST_MANIFEST else ["assignments"]
    return clustered_tables(wildcards.run, run_of(wildcards).rounds, *tables)


def prototype_count(wildcards):
    return run_of(wildcards).prototypes.count


def table_file(wildcards):
    return CFG.embed.tables[wildcards.table].file


def pretrained_on(wildcards):
    return CFG.embed.tables[wildcards.table].pretrained_on
