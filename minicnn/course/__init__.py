"""The course: homework cut from the reference, tests that teach, and proof that they catch what goes wrong.

``manifest``        which functions of the reference become holes of which task (``homework/*.toml``)
``holes``           a reference module with the bodies of its holes cut out: the stub
``build``           writes ``assignments/``, never over a student's work
``checks``          a check: a driver that runs on a student's module and on the reference alike
``drivers``         what drivers are written with: fill parameters, take gradients
``execution``       one driver on one case: its answers, or what went wrong on the way
``worker``          the process in which a student's code does so, and
``supervision``     the grader's side of it, which hands it cases; ``workers``: start it, watch what it costs, end it
``wire``            what crosses between the two
``answers``         the right answers: by the reference, or in a student's edition (``edition``) as ``recorded``
``adoption``        the library of an edition calls the student's functions where its own are cut
``comparison``      two answers, and what differs between them
``judging``         all cases of a check: state, points, and the message that a student reads
``misconceptions``  planted mistakes (``misconceptions/*.toml``), to prove the checks and to name what a student did
``mutation``        the reference with one small systematic change: a mutant
``mutators``        which changes there are, with ``mutators_of_statements``; ``confusions`` has their tables
``survival``        which mutants the checks let live; ``equivalent/*.toml`` says which of them are no mistakes
``naming``          the planted mistake, or the mutant, that gives the very answers of a failed check
``proof``           every stub, planted mistake and cheat against the checks
``results``         the table and the JSON file that a run leaves
``grader``          one run of it all: workers, verdicts, and what a student reads of them
``plugin``          that as a pytest plugin: ``pytest tests/test_resnet.py``
``mine``            the library with a student's modules in place of its own: ``minicnn train --mine hw2``

Around a class, each in a folder of its own:

``release``         a student's edition: what is cut, what is recorded, and whether an answer leaks
``grading``         what was handed in, graded in a sandbox: ``minicnn grade``
``returning``       grades for each platform, pages for students, a report for the teacher
"""
