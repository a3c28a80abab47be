"""Measurements of minicnn itself: the speed of its networks, and the cost of each way to compute a convolution.

``networks`` times networks, ``ladder`` one convolution computed in several ways, ``machine`` says what the processor
can do at most, ``measuring`` reads clocks, memory and load. ``minicnn bench`` prints the results. No other framework is
imported here: ``benchmarks/cpu.py`` compares with them.
"""
