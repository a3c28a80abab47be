"""Tests of the library itself, with their oracles, strategies and peers."""
