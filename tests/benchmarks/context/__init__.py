"""Planted cohorts in which the arrangement of patches is the answer, and what pretraining makes of them."""
