"""``docs/export.md``: its examples need libraries that not everyone has, and so they run here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.library.support.scripts import load_script

PAGE = Path(__file__).resolve().parents[3] / "docs" / "export.md"


@pytest.mark.slow(10)
def test_the_examples_print_what_is_shown() -> None:
    for library in ("onnx", "onnxruntime", "torch"):
        pytest.importorskip(library, reason="an example of docs/export.md uses it")
    docs = load_script("refresh.py")
    text = PAGE.read_text(encoding="utf-8").replace("```py\n", "```python\n")
    assert text.count("```python\n") == 2
    assert docs.refresh_outputs(text, "export.md") == text
