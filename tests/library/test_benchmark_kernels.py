"""``benchmarks/kernels.py``: what it reads in machine code, and its table where the tools are installed."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]

CODE = """
        Function : copy
        /*0000*/                   LDC R1, c[0x0][0x28] ;         /* 0x00000a00ff017b82 */
        /*0010*/                   LDG.E R2, desc[UR6][R2.64] ;   /* 0x0000000602028981 */
        /*0020*/              @!P0 LDC.64 R2, c[0x0][0x218] ;     /* 0x00008600ff028b82 */
        /*0030*/              @!P0 LDG.E R25, desc[UR6][R2.64] ;  /* 0x0000000602198981 */
        /*0040*/                   STG.E desc[UR6][R4.64], R25 ;  /* 0x0000001904007986 */
        /*0050*/              @!P1 BRA 0x20 ;                     /* 0xfffffff800d09947 */
        /*0060*/                   STL [R1], R4 ;                 /* 0x0000000401007387 */
        /*0070*/                   IADD3 R4, R4, 0x1, RZ ;        /* 0x0000000104047810 */
        /*0080*/               @P0 BRA 0x70 ;                     /* 0xfffffffc00f80947 */
        /*0090*/               @P2 BRA 0x10 ;                     /* 0xfffffff800d09947 */
        /*00a0*/                   EXIT ;                         /* 0x000000000000794d */
        /*00b0*/                   BRA 0xb0;                      /* 0xfffffffc00fc7947 */

        Function : nothing
        /*0000*/                   EXIT ;                         /* 0x000000000000794d */
Resource usage:
 Function nothing:
  REG:4 STACK:0 SHARED:0
 Function copy:
  REG:28 STACK:0 SHARED:2048
"""


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("kernels")


def test_machine_code_is_read(kernels: ModuleType) -> None:
    """An inner loop counts where it touches global memory; what follows the end of the program does not count."""
    found = kernels.parse(CODE)
    assert found == {"copy": kernels.Kernel(28, 1, 11, [(4, 2)]), "nothing": kernels.Kernel(4, 0, 1, [])}
    assert kernels.row("copy", found["copy"]).split() == ["copy", "28", "1", "11", "4", "(2)"]


def test_the_table(kernels: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each kernel of a file, or one that says what is missing."""
    status = kernels.main(["random", "--against", str(ROOT)])
    out, err = capsys.readouterr()
    if status == 1 and "pip install" in err:
        assert not out and len(err.splitlines()) == 1
        pytest.skip(err.strip())
    assert status == 0
    heading, _, *rows = out.splitlines()
    assert heading == "sm_90, float32"
    assert {"random_words", "dropout_mask", "before"} == {row.split()[0] for row in rows}
    assert rows[0].split()[1:] == rows[1].split()[1:]  # the same checkout


def test_what_is_missing_is_said_in_one_line(
    kernels: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels.Nvrtc, "installed", lambda: ())
    assert kernels.main(["random"]) == 1
    out, err = capsys.readouterr()
    assert not out and err.startswith("no NVRTC that compiles for sm_90: pip install ") and len(err.splitlines()) == 1
