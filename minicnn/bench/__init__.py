"""Measuring minicnn itself: how fast its networks are, and what each way of computing a convolution costs.

``networks`` times networks, ``ladder`` one convolution computed in several ways, ``machine`` says what the processor
can do at most, ``measuring`` reads clocks, memory and load. ``minicnn bench`` prints what they find. No peer is
imported here: ``benchmarks/cpu.py`` compares with them.
"""
