"""What the tests share; each test file imports what it needs.

* **What is drawn**: ``strategies``, ``cases`` (every differentiable operation as data), ``layouts``, ``slices``,
  ``convolutions``, ``deformations``, ``schedules``, ``leaves``.
* **What it is compared with**: ``oracles`` (loops), ``peers`` (PyTorch and others), ``gradient_errors``, ``draws``,
  ``steps`` and ``inference`` (a model compiled and eager, side by side), ``cuda`` (a stand-in for the GPU).
* **Files and folders**: ``pickle_bytes``, ``hostile``, ``weights_files``, ``image_folders``, ``blots``.
* **Models and trainings**: ``modules``, ``residual_networks``, ``model_checks``, ``torch_standin``, ``tiny_training``,
  ``runs``, ``figure_checks``, ``numbered_images``, ``pictures``, ``wrong_gradients``.
"""
