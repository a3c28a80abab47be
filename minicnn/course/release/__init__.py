"""Handing out: a student's edition of minicnn, without the answers of a homework and of all later ones.

``cutting`` says what of the library is in it, ``recording`` what stands for the reference, ``leaks`` looks for answers
that are still there, and ``edition`` puts it together.
"""
