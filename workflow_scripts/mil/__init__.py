"""Multiple-instance learning on frozen embeddings: labels, splits, heads, metrics and statistics."""
