"""Patch features of other tools: read into region grids, and written in their layouts."""
