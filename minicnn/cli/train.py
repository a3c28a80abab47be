"""``minicnn train``: train a model, on the bundled digits by default, and leave a run folder."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import _mine, _ranks
from ._arguments import LARGEST, device, number, seed, whole
from ._errors import RunStopped, Stopped, UsageError, describe, misuse, printable

if TYPE_CHECKING:
    from ..training import Config, RunFolder

HELP = "train a model; leaves its weights, metrics and learning curves in a run folder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options; the recipe's defaults are in ``training/recipe.py``."""
    parser.usage = "minicnn train MODEL [options]\n       minicnn train --resume RUN"
    parser.add_argument("model", nargs="?", metavar="MODEL", help="one of `minicnn models`, e.g. resnet20")
    parser.add_argument(
        "--data", metavar="SPEC", help="digits (default), folder:DIR, {cifar10,cifar100,mnist,fashion_mnist}:DIR"
    )
    parser.add_argument("--image-size", type=whole(1), metavar="N", help="resize images to NxN (default: as they are)")
    parser.add_argument("--out", metavar="DIR", help="the run folder (default: runs/MODEL-DATA-N)")
    parser.add_argument("--resume", metavar="RUN", help="go on with the run in this folder")
    parser.add_argument("--device", type=device, metavar="NAME", help="cpu (default) or cuda:N")
    parser.add_argument("--seed", type=seed, metavar="N", help="of everything random (default: 0)")
    _mine.add_argument(parser)
    parser.add_argument("--quiet", action="store_true", help="print only the final result")
    parser.add_argument(
        "--eager", action="store_true", help="run the model's own lines at every step (slower; --mine implies it)"
    )
    parser.add_argument(
        "--cudnn", action="store_true", help="on a GPU, convolve by cuDNN, and repeat the step as a CUDA graph"
    )
    parser.add_argument(
        "--sync-batchnorm",
        action="store_true",
        default=None,
        help="under mpiexec, normalise the images of all ranks together (eager)",
    )
    parser.add_argument(
        "--autocast",
        choices=("bfloat16", "float16"),
        metavar="DTYPE",
        help="compute products in bfloat16 or float16 (the CPU only rounds)",
    )
    parser.add_argument("--tensorboard", action="store_true", help="also write event files, into RUN/tensorboard")
    parser.add_argument("--detect-anomaly", action="store_true", help="name the operation of the first NaN (slow)")
    decay = number(LARGEST, zero=True)
    recipe = parser.add_argument_group("recipe (each data set has its own defaults)")
    recipe.add_argument("--epochs", type=whole(1), metavar="N", help="passes over the training images")
    recipe.add_argument("--batch-size", type=whole(1), metavar="N", help="images per step, on all ranks together")
    recipe.add_argument("--lr", type=number(LARGEST), metavar="X", help="peak learning rate; rises, then falls to zero")
    recipe.add_argument("--weight-decay", type=decay, metavar="X", help="of weights, not of biases and norms")
    recipe.add_argument("--optimizer", metavar="NAME", help="sgd (Nesterov momentum 0.9), adam or adamw")


def run(args: argparse.Namespace) -> int:
    """Train, and print the result and its folder."""
    if args.model is None and args.resume is None:
        raise UsageError("which model? For example `minicnn train resnet20`; `minicnn models` lists them")

    _ranks.join()
    from ..data import DataError
    from ..training import Job, Progress, RunFolder, make_config
    from ..training.ranks import by_leader, leads, ranks, share_cores
    from ..training.tensorboard import TensorBoard, require_tensorboard

    if ranks() > 1:
        share_cores()
    progress = Progress(args.quiet, out=None if leads() else io.StringIO(), bar_out=None if leads() else io.StringIO())
    given = {name: value for name in SETTINGS if (value := getattr(args, name)) is not None}
    compiled = not (args.eager or args.mine)
    if args.tensorboard:
        with misuse(errors=(ImportError,)):
            require_tensorboard()
    with misuse():
        if args.resume is None:
            config = make_config(**given)
            _check_cudnn(args.cudnn, config)
            with misuse(f"--data {config.data}", (DataError,)):
                job = Job.start(config, args.out, compiled)
        else:
            folder = RunFolder(args.resume)
            config = by_leader(folder.read_config)
            _check_agreement(config, folder, given, args.out)
            _check_cudnn(args.cudnn, config)
            if (result := by_leader(folder.read_result)) is not None:
                if args.tensorboard:
                    raise UsageError(f"--tensorboard: the run in {folder} is finished, and nothing more is written")
                progress.line("this run is finished:")
                progress.result(_tell(result, folder))
                return 0
            with misuse(f"--data {config.data}", (DataError,)):
                job = Job.resume(args.resume, compiled)
    if ranks() > 1 and args.resume is None:
        progress.line(_share_of_a_step(config, ranks()))
    if args.tensorboard and leads():
        job.watchers.append(TensorBoard(job.folder))
    with _telling_how_to_go_on(job.folder), _convolving(by_cudnn=args.cudnn):
        result = job.run(progress, anomaly=args.detect_anomaly)
    progress.result(_tell(result, job.folder))
    return 0


@contextmanager
def _telling_how_to_go_on(folder: RunFolder) -> Iterator[None]:
    """A run that is stopped in this block, by Ctrl-C or a full disk, is left as it was after its last epoch: say so.

    A folder in which another process trains, or whose checkpoint is damaged, is misuse.
    """
    from ..training import RunFolderError
    from ..training.lock import FolderInUse
    from ..training.ranks import leads, ranks

    start = f"mpiexec -n {ranks()} minicnn" if ranks() > 1 else "minicnn"
    go_on = f"go on with: {start} train --resume {folder}"
    try:
        with _ranks.saying_if_killed(f"minicnn: the processes were ended; {go_on}"):
            yield
    except (FolderInUse, RunFolderError) as error:
        raise UsageError(describe(error)) from error
    except KeyboardInterrupt:
        raise Stopped(f"stopped; {go_on}") from None
    except OSError as error:
        if leads() and not folder.config.exists():
            raise RunStopped(f"{describe(error)}; {folder} is no longer a run's folder: start the run again") from error
        raise RunStopped(f"{describe(error)}; when that is repaired, {go_on}") from error


def _check_cudnn(wanted: bool, config: Config) -> None:
    """Raise UsageError for ``--cudnn`` on the CPU, and DeviceError without cuDNN."""
    if not wanted:
        return
    if not config.device.startswith("cuda"):
        raise UsageError(f"--cudnn: expected a GPU, as by --device cuda, got {config.device}")
    from ..backend.cuda.cudnn import open_cudnn

    open_cudnn()


@contextmanager
def _convolving(by_cudnn: bool) -> Iterator[None]:
    """Inside the block cuDNN convolves on a GPU, if it is to."""
    from ..backend import cuda

    before = cuda.convolution
    cuda.convolution = "cudnn" if by_cudnn else before
    try:
        yield
    finally:
        cuda.convolution = before


# The options that belong to a run's configuration.
SETTINGS = (
    "model", "data", "image_size", "device", "seed", "epochs", "batch_size", "lr", "weight_decay", "optimizer",
    "sync_batchnorm", "autocast",
)  # fmt: skip


def _check_agreement(config: Config, folder: RunFolder, given: dict[str, Any], out: str | None) -> None:
    """A resumed run keeps its settings: raise UsageError for an option that contradicts them."""
    from ..training import make_config

    if out is not None:
        raise UsageError("--out and --resume contradict each other: a resumed run stays in its folder")
    wanted = make_config(**{**config.as_dict(), **given})
    for name in given:
        asked, kept = getattr(wanted, name), getattr(config, name)
        if asked != kept:
            option = "MODEL" if name == "model" else f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} {asked} contradicts the run in {folder}, which has {kept}; leave it out")


def _share_of_a_step(config: Config, ranks: int) -> str:
    """How many images each rank has, and what to ask for so that each has as many as one process would have."""
    images, rate = config.batch_size, config.lr
    return (
        f"each of {ranks} ranks computes {images / ranks:.3g} of the {images} images of a step; for {images} each: "
        f"--batch-size {ranks * images} --lr {ranks * rate:g} (linear scaling)"
    )


def _tell(result: dict[str, Any], folder: RunFolder) -> str:
    top5 = f" (top-5 {100 * result['test_top5']:.2f} %)" if "test_top5" in result else ""
    epochs = f"{result['epochs']} epoch{'s' * (result['epochs'] > 1)}"
    return (
        f"test accuracy {100 * result['test_top1']:.2f} %{top5} after {epochs} in {result['seconds']:.0f} s: "
        f"{printable(folder)}"
    )
