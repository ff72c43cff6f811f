"""The checks that need a GPU, as one script: `python -m tests.gpu`."""
