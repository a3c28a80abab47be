"""Tests of what is handed out: what is cut, what is recorded, what would leak."""
