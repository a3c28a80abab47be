"""The tests: one file a homework here, everything else about the library in `library/`."""
