"""Slide-Level Prototypical Distillation: region ViT, head, crops, losses, prototypes, neighbours, trainer."""
