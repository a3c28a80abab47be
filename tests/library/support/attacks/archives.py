"""Archives that should harm whoever opens them: each holds ``resnet.py`` in a way that nobody hands in by accident."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping

EVIL = b"raise SystemExit('evil')\n"
TEXT = b"x = 1\n"


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    """A zip archive of files, in order."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries:
            file.writestr(name, content, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def tarred(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A tar archive of anything."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as file:
        for info, content in entries:
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return made.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A link, a device or a pipe in a tar archive."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.devmajor, info.devminor = kind, target, 1, 8
    return info


def _zip_link(name: str, target: str) -> bytes:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return zipped(("resnet.py", TEXT), (info, target.encode()))


def _bomb() -> bytes:
    return zipped(("resnet.py", bytes(48 << 20)))


def _many() -> bytes:
    return zipped(("resnet.py", TEXT), *((f"{number}.txt", b"") for number in range(20_001)))


def _twice() -> bytes:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return zipped(("resnet.py", TEXT), ("resnet.py", EVIL))


def _overlapping() -> bytes:
    """Two entries of one file's bytes."""
    data = bytearray(zipped(("resnet.py", bytes(1000)), ("resnet2.py", bytes(1000))))
    first, second = data.find(b"PK\x01\x02"), data.rfind(b"PK\x01\x02")
    for at in (first, second):
        data[at + 20 : at + 24] = (0x7FFFFFFF).to_bytes(4, "little")  # the compressed size
    return bytes(data)


File = tarfile.TarInfo

#: Name of the file -> how it is made, and a word of the reason why it is refused; or of the note on what is left out.
REFUSED: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "slip.zip": (lambda: zipped(("resnet.py", TEXT), ("../../@MARK@", EVIL)), "leads out"),
    "absolute.zip": (lambda: zipped(("resnet.py", TEXT), ("/tmp/@MARK@", EVIL)), "leads out"),
    "windows.zip": (lambda: zipped(("resnet.py", TEXT), ("..\\..\\@MARK@", EVIL)), "leads out"),
    "drive.zip": (lambda: zipped(("resnet.py", TEXT), ("C:\\@MARK@", EVIL)), "leads out"),
    "link.zip": (lambda: _zip_link("cifar_resnet.py", "/etc/passwd"), "symbolic link"),
    "bomb.zip": (_bomb, "too large"),
    "many.zip": (_many, "more than 20000 files"),
    "twice.zip": (_twice, "twice"),
    "overlapping.zip": (_overlapping, "overlap"),
    "cut.zip": (lambda: zipped(("resnet.py", TEXT))[:-30], "broken"),
    "empty.zip": (lambda: b"", "broken"),
    "nothing.zip": (lambda: zipped(), "none of resnet.py"),
    "slipped.tar.gz": (lambda: tarred((File("resnet.py"), TEXT), (File("../@MARK@"), EVIL)), "leads out"),
    "linked.tar.gz": (lambda: tarred((special("resnet.py", tarfile.SYMTYPE, "/etc/passwd"), b"")), "link"),
    "hard.tar.gz": (lambda: tarred((special("resnet.py", tarfile.LNKTYPE, "/etc/passwd"), b"")), "link"),
    "special.tar.gz": (lambda: tarred((special("resnet.py", tarfile.CHRTYPE), b"")), "neither a file"),
    "pipe.tar.gz": (lambda: tarred((special("resnet.py", tarfile.FIFOTYPE), b"")), "neither a file"),
    "nul.zip": (lambda: zipped(("resnet.py", b"x = '\0\xff'\n")), "NUL"),
    "codec.zip": (lambda: zipped(("resnet.py", b"# coding: unicode_escape\nx = 1\n")), "encoding"),
}
#: What is kept of these is harmless; the note that says what is not.
KEPT: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "tests.zip": (
        lambda: zipped(("resnet.py", TEXT), ("conftest.py", EVIL), ("pytest.ini", EVIL), ("sitecustomize.py", EVIL)),
        "conftest.py' is left out",
    ),
    "shadows.zip": (
        lambda: zipped(*((f"{name}.py", EVIL) for name in ("numpy", "json", "minicnn")), ("resnet.py", TEXT)),
        "numpy.py' is left out",
    ),
    "letters.zip": (lambda: zipped(("resnet.py", TEXT), ("rеsnet.py", EVIL)), "is taken for resnet.py"),  # noqa: RUF001
    "invisible.zip": (lambda: zipped(("resnet.py", TEXT), ("resnet\u200b.py", EVIL)), "is taken for resnet.py"),
    "case.zip": (lambda: zipped(("resnet.py", TEXT), ("RESNET.PY", EVIL)), "is taken for resnet.py"),
    "nested.zip": (lambda: zipped(("resnet.py", TEXT), ("more.zip", zipped(("../@MARK@", EVIL)))), "resnet.py"),
    "empty_file.zip": (lambda: zipped(("resnet.py", b"")), "is empty"),
}
