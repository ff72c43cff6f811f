"""Representations that no training of this workflow makes: pooled patches, sets of prototypes, bags of patches, and
other tools' vectors of slides."""
