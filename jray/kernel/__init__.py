"""The seam to IPython: which cell submits, what a cell is, where output goes."""
