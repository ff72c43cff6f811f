"""What every stage shares: errors, tables and whole-file writes, tensors in Parquet, logs, devices, digests."""
