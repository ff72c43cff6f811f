"""Labels dealt by chance: the same labels of other patients, and what is tried where patients are kept together."""

from collections import Counter

import pytest

from workflow_scripts.core.labels import Labels
from workflow_scripts.core.permuted import DEALS, deals, permuted
from workflow_scripts.core.tasks import KINDS


def _labels(values: str, level: str = "patient") -> Labels:
    """Two slides of each patient; where labels are by slide, `values` has one for each."""
    slides = [f"s{i}" for i in range(len(values) * (1 if level == "slide" else 2))]
    patients = [f"p{i // 2:02d}" for i in range(len(slides))]
    given = [*values] if level == "slide" else [value for value in values for _ in range(2)]
    return Labels(KINDS["classification"], ["grade"], slides, patients, given, ["x", "y"], {}, level)


def test_patients_keep_one_label_and_all_labels_are_there():
    labels = _labels("xyyyxyxyyx")
    for deal in range(5):
        dealt = permuted(labels, deal)
        assert len(set(zip(dealt.patient_ids, dealt.values, strict=True))) == 10
        assert Counter(dealt.values) == Counter(labels.values) and dealt.values != labels.values
    assert permuted(labels, 1).values != permuted(labels, 2).values


def test_the_deal_does_not_depend_on_the_order_of_the_slides():
    labels, sites = _labels("xyyyxyxyyx"), [*"aabbaabbaabbccddccdd"]
    back = Labels(
        labels.kind, labels.columns, labels.slide_ids[::-1], labels.patient_ids[::-1], labels.values[::-1], [], {}
    )
    for within, reverse in ((None, None), (sites, sites[::-1])):
        assert permuted(labels, 3, within).values == permuted(back, 3, reverse).values[::-1]


@pytest.mark.parametrize("level", ["patient", "slide"])
def test_labels_stay_where_they_are_kept_together(level):
    labels = _labels("xyxyxxyyyx" * (2 if level == "slide" else 1), level)
    sites = [*"aaaaaaaabbbbbbbbcccc"]
    dealt = permuted(labels, 0, sites)
    assert Counter(zip(sites, dealt.values, strict=True)) == Counter(zip(sites, labels.values, strict=True))
    assert dealt.values != labels.values


def test_deals_to_all_come_first_and_those_that_would_leave_labels_where_they_are_never():
    labels = _labels("xyxyxxyyyx")
    words = Counter(words for _, words in deals(labels, [*"aaaaaaaabbbbbbbbcccc"]))
    assert words == {"dealt by chance": DEALS, "dealt by chance within what is kept together": DEALS}
    assert len({tuple(dealt.values) for dealt, _ in deals(labels)}) > DEALS / 2
    of_one_class = ["a" if value == "x" else "b" for value in labels.values]
    assert {words for _, words in deals(labels, of_one_class)} == {"dealt by chance"}
