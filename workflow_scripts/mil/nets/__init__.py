"""Networks from bags to logits. Each is written for a stack of jobs: every weight has a leading dimension of jobs."""
