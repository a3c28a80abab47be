"""Giving back: what becomes of a folder of grades.

``grades`` reads it; ``formats`` writes it for a platform, ``feedback`` for a student, ``report`` for the teacher.
``rubric`` adds the points of the written questions, ``similarity`` finds submissions that are nearly one, and
``autograder`` packs the grader for a platform that runs it.
"""
