"""Tests of the course: how homework is cut, graded and proven."""
