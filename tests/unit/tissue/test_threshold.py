"""Otsu's threshold against its definition, and masks by a threshold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.config import Tissue
from workflow_scripts.tissue.threshold import above, otsu, otsu_mask


def _variance_between(histogram, threshold):
    values = np.repeat(np.arange(len(histogram)), histogram)
    low, high = values[values <= threshold], values[values > threshold]
    if not len(low) or not len(high):
        return 0.0
    return len(low) * len(high) * (low.mean() - high.mean()) ** 2 / len(values) ** 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=40).filter(lambda h: sum(h) > 0))
def test_otsu_maximises_the_variance_between_classes(histogram):
    histogram = np.array(histogram)
    best = max(_variance_between(histogram, t) for t in range(len(histogram)))
    assert _variance_between(histogram, otsu(histogram)) == pytest.approx(best)


def test_otsu_of_two_peaks_lies_in_the_middle_between_them():
    histogram = np.zeros(256, int)
    histogram[[10, 11]], histogram[[100, 101]] = 500, 300
    assert abs(otsu(histogram) - 55) <= 1


def test_a_threshold_that_is_a_step_is_not_above_itself():
    score = np.arange(256, dtype=np.uint8)[None]
    for step in range(256):
        assert above(score, step / 255, 1 / 255).sum() == 255 - step


def test_pale_tissue_counts_away_from_dense_tissue_alone():
    score = np.zeros((40, 40), np.uint8)
    score[:10, :10], score[:10, 10:12], score[30:, 30:] = 200, 80, 80  # dense, its rim, and pale on its own
    mask, threshold = otsu_mask(score, np.ones(score.shape, bool), 1 / 255, 3.0, Tissue())
    assert 80 / 255 < threshold < 200 / 255
    assert mask[:10, :10].all() and mask[30:, 30:].all() and mask.sum() == 200
    mask, _ = otsu_mask(score, np.ones(score.shape, bool), 1 / 255, 3.0, Tissue(pale_factor=1))
    assert mask.sum() == 100


def test_what_was_not_read_counts_for_no_threshold():
    score = np.full((10, 10), 255, np.uint8)
    score[:2], score[2:4] = 0, 60
    read_ok = score < 255
    for counted, between in ((read_ok, (0, 60)), (np.ones(score.shape, bool), (60, 255))):
        threshold = otsu_mask(score, counted, 1 / 255, 1.0, Tissue())[1]
        assert between[0] < threshold * 255 < between[1]
