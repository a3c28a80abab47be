"""Grading a class: submissions as people have them, workers in a sandbox, results that can be trusted."""
