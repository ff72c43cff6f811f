"""Slide-Level Prototypical Distillation (SLPD) of whole-slide images, as a workflow."""

__version__ = "0.1.0"
