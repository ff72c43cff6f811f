"""Search in a cohort: nearest regions by an index of their embeddings, and nearest slides by matched prototypes."""
