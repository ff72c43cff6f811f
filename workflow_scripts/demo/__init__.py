"""A synthetic cohort of pyramidal H&E-like slides, made from a seed alone."""
