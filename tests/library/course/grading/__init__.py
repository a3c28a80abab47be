"""Tests of grading a class: what submissions are, what a worker may do, what the results say."""
