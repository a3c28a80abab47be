"""Training: the loop, its metrics, the checkpoints that make it resumable, and a whole run from one configuration.

Start reading at ``loop.py``. matplotlib and tqdm are imported only by the functions that use them.
"""

from __future__ import annotations

from .checkpoint import load_checkpoint, save_checkpoint
from .curves import draw_curves, least_loss
from .job import Job
from .loop import Trainer, TrainingDiverged
from .metrics import ClassificationMetrics, topk_accuracy
from .progress import Progress
from .recipe import RECIPES, Config, Recipe, make_config, make_optimizer, make_scheduler
from .run_folder import RunFolder, RunFolderError

__all__ = [
    "RECIPES",
    "ClassificationMetrics",
    "Config",
    "Job",
    "Progress",
    "Recipe",
    "RunFolder",
    "RunFolderError",
    "Trainer",
    "TrainingDiverged",
    "draw_curves",
    "least_loss",
    "load_checkpoint",
    "make_config",
    "make_optimizer",
    "make_scheduler",
    "save_checkpoint",
    "topk_accuracy",
]
