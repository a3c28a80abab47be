"""What the GPU's kernels become in machine code, without a GPU: registers, spills, instructions of the inner loops.

    python benchmarks/kernels.py                                   # all of them, for sm_90, in float32
    python benchmarks/kernels.py conv norm --dtype float64 --wide
    python benchmarks/kernels.py --against ../before               # and those of another checkout

The kernels are compiled by NVRTC with CuPy's options and disassembled. "loops" has, for each innermost loop that reads
or writes global memory, its instructions and how many of them do so. The compiler may have unrolled a loop: 80
instructions with 4 accesses cost what four times 20 with 1 do. Spills are instructions that move registers to or from
local memory.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from minicnn.backend.cuda import compiler  # noqa: E402
from tests.library.support.cuda.nvrtc import Nvrtc  # noqa: E402

GLOBAL_ACCESS = ("LDG", "STG", "ATOMG", "REDG", "RED", "ATOM")
LOCAL_ACCESS = ("LDL", "STL")
NEEDED = "pip install nvidia-cuda-nvrtc nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm nvidia-cuda-runtime"


class Instruction(NamedTuple):
    """One line of machine code; ``operation`` is for example ``LDG.E``."""

    address: int
    operation: str
    target: int | None  # of a branch


class Kernel(NamedTuple):
    """What one kernel costs."""

    registers: int
    spills: int
    instructions: int
    loops: list[tuple[int, int]]  # instructions, and global accesses among them


def parse(disassembly: str) -> dict[str, Kernel]:
    """The kernels in what ``cuobjdump -res-usage -sass`` prints."""
    registers = dict(re.findall(r"Function (\w+):\s+REG:(\d+)", disassembly))
    found = {}
    for name, body in re.findall(r"Function : (\w+)\n(.*?)(?=\n\s*Function : |\Z)", disassembly, re.DOTALL):
        lines = re.findall(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+ )?\s*([A-Z][\w.]*)([^;]*);", body)
        code = [Instruction(int(at, 16), operation, _target(operation, rest)) for at, operation, rest in lines]
        code = code[: 1 + max(i for i, line in enumerate(code) if line.operation.startswith("EXIT"))]
        spills = sum(line.operation.split(".")[0] in LOCAL_ACCESS for line in code)
        found[name] = Kernel(int(registers[name]), spills, len(code), innermost_loops(code))
    return found


def _target(operation: str, rest: str) -> int | None:
    address = re.search(r"0x([0-9a-f]+)\s*$", rest)
    return int(address[1], 16) if operation.startswith("BRA") and address else None


def innermost_loops(code: list[Instruction]) -> list[tuple[int, int]]:
    """Instructions and global accesses of each loop that contains no other and touches global memory."""
    spans = {(line.target, line.address) for line in code if line.target is not None and line.target < line.address}
    loops = []
    for start, end in sorted(spans):
        if any(start <= s and e <= end for s, e in spans if (s, e) != (start, end)):
            continue
        body = [line.operation.split(".")[0] for line in code if start <= line.address <= end]
        accesses = sum(operation in GLOBAL_ACCESS for operation in body)
        if accesses:
            loops.append((len(body), accesses))
    return loops


def compiled(file: str, architecture: str, dtype: str, wide: bool) -> dict[str, Kernel]:
    """The kernels of one file as machine code."""
    options = ["-std=c++17", "-ftz=true", f"-arch={architecture}", *compiler.VARIANTS[dtype][0], *["-DWIDE"] * wide]
    options += [f"-I{folder}" for folder in installed("include")]
    library = next((one for one in Nvrtc.installed() if architecture in one.architectures()), None)
    if library is None:
        raise FileNotFoundError(f"no NVRTC that compiles for {architecture}: {NEEDED}")
    path = os.pathsep.join([*map(str, installed("bin")), os.environ.get("PATH", "")])
    tools = [shutil.which(tool, path=path) for tool in ("cuobjdump", "nvdisasm")]
    if None in tools:
        raise FileNotFoundError(f"no cuobjdump or no nvdisasm: {NEEDED}")
    with tempfile.NamedTemporaryFile(suffix=".cubin") as cubin:
        cubin.write(library.compile(compiler.source(file), tuple(options)))
        cubin.flush()
        command = [str(tools[0]), "-res-usage", "-sass", cubin.name]
        done = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True)
    return parse(done.stdout + done.stderr)


def installed(folder: str) -> list[Path]:
    """The folders of that name in NVIDIA's wheels."""
    return [found for entry in sys.path for found in Path(entry or ".").glob(f"nvidia/*/{folder}")]


def row(name: str, kernel: Kernel | None) -> str:
    """One line of the table."""
    if kernel is None:
        return f"{name:28}         -"
    loops = ", ".join(f"{length} ({accesses})" for length, accesses in kernel.loops)
    return f"{name:28} {kernel.registers:9} {kernel.spills:6} {kernel.instructions:12}  {loops}"


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="of minicnn/backend/cuda/kernels, without .cu; all by default")
    parser.add_argument("--architecture", default="sm_90")
    parser.add_argument("--dtype", choices=compiler.VARIANTS, default="float32")
    parser.add_argument("--wide", action="store_true", help="indices of 64 bits")
    parser.add_argument("--against", type=Path, help="the folder of another checkout")
    args = parser.parse_args(argv)
    checkouts = {"": ROOT} | ({"before": args.against} if args.against else {})
    tables: dict[str, dict[str, Kernel]] = {}
    try:
        for label, checkout in checkouts.items():
            compiler.KERNELS = checkout / "minicnn" / "backend" / "cuda" / "kernels"
            compiler.source.cache_clear()
            tables[label] = {}
            for file in args.files or sorted(path.stem for path in compiler.KERNELS.glob("*.cu")):
                tables[label] |= compiled(file, args.architecture, args.dtype, args.wide)
    except (FileNotFoundError, SyntaxError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{args.architecture}, {args.dtype}{', wide indices' * args.wide}")
    print(f"{'kernel':28} {'registers':>9} {'spills':>6} {'instructions':>12}  loops: instructions (global accesses)")
    for name in dict.fromkeys(name for table in tables.values() for name in table):
        print(row(name, tables[""].get(name)))
        if args.against:
            print(row("    before", tables["before"].get(name)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
