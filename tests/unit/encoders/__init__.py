"""Tests of the patch encoders."""
