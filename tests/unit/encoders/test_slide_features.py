"""Counting patches."""

from workflow_scripts.encoders.slide_features import Counts


def test_fraction_without_patches_is_zero():
    assert Counts().unreadable_fraction == 0
    assert Counts(inside=8, unreadable=2).unreadable_fraction == 0.25
