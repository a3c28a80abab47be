"""Grading a class: submissions as people have them, workers in a sandbox, results that can be trusted.

``submissions``  who handed in what: by a platform's ``layouts``, the ``contents`` of each, ``unpacking`` archives
``roster``       the class, extensions, and what lateness costs
``batch``        every submission graded once, by several processes or a cluster
``marking``      one submission against the checks: computed in a ``cell``, judged here
``sandbox``      what confines a cell; a ``canary`` tries it, ``confined`` and ``landlock`` carry it out
``sentinels``    submissions whose grades are known
``records``      what a batch leaves on the disk
``flags``        what a person may want to look at
"""
