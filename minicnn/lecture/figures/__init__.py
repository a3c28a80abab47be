"""The figures: each module defines one as ``FIGURE``, and its docstring says what is claimed and how it is tested."""
