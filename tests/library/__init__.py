"""Tests of the library itself: a file for each module, in its folder; what they share is in `support/`."""
