"""Frozen patch encoders: which there are, their weights and preprocessing, and batches of patches through them."""
