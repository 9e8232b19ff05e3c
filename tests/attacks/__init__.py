"""Hostile submissions, as data: one module per family, `base` tries them, `naive` is the runner on which each is shown to work."""
