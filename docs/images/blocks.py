"""Draw the blocks of the lecture's networks: ``python docs/images/blocks.py`` writes ``block-*.svg`` beside itself.

The pictures are plain SVG with text, for the pages of the lecture and for handouts. They have a white ground of their
own, so they read the same in dark mode. Colour is never alone: every box says what it is. A test compares the files
with what is drawn here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
INK, QUIET, SHORTCUT, SECOND = "#1f2933", "#52606d", "#b3470f", "#0b5ca8"
HEADS = {INK: "head", SHORTCUT: "shortcut-head", SECOND: "second-head"}
FILL = {
    "conv": "#cfe3f7",  # 3x3 and larger
    "1x1": "#fde3c0",
    "norm": "#eceff1",  # norms and activations
    "pool": "#d3eddc",
    "data": "#ffffff",
}
BOX_HEIGHT = 34

Point = tuple[float, float]


@dataclass
class Box:
    """A rectangle; its middle and the middles of its edges are where arrows begin and end."""

    x: float
    y: float
    width: float
    height: float

    @property
    def top(self) -> Point:
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> Point:
        return self.x + self.width / 2, self.y + self.height

    @property
    def left(self) -> Point:
        return self.x, self.y + self.height / 2

    @property
    def right(self) -> Point:
        return self.x + self.width, self.y + self.height / 2


@dataclass
class Drawing:
    """Collects the elements of one picture."""

    title: str
    width: int
    height: int
    elements: list[str] = field(default_factory=list)

    def box(
        self, middle: float, y: float, label: str, kind: str, width: float = 150, height: float = BOX_HEIGHT
    ) -> Box:
        """A box around ``label``, centred at x = ``middle``."""
        x = middle - width / 2
        place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
        self.elements.append(f'<rect {place} rx="5" fill="{FILL[kind]}" stroke="{INK}"/>')
        self.text(middle, y + height / 2 + 5, label)
        return Box(x, y, width, height)

    def sign(self, x: float, y: float, label: str) -> Box:
        """A small circle with a sign in it, such as a plus."""
        self.elements.append(f'<circle cx="{x:g}" cy="{y:g}" r="13" fill="#ffffff" stroke="{INK}" stroke-width="1.5"/>')
        self.text(x, y + 6, label, size=18)
        return Box(x - 13, y - 13, 26, 26)

    def text(self, x: float, y: float, label: str, size: int = 14, colour: str = INK, anchor: str = "middle") -> None:
        place = f'x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"'
        self.elements.append(f'<text {place} fill="{colour}">{escape(label)}</text>')

    def note(self, x: float, y: float, label: str, anchor: str = "middle") -> None:
        """A quiet remark: a shape, a number."""
        self.text(x, y, label, size=13, colour=QUIET, anchor=anchor)

    def arrow(self, *points: Point, colour: str = INK, dashed: bool = False) -> None:
        """A line through ``points`` with a head at the last one."""
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        line = " ".join(f"{x:g},{y:g}" for x, y in points)
        look = f'fill="none" stroke="{colour}" stroke-width="1.8"{dash} marker-end="url(#{HEADS[colour]})"'
        self.elements.append(f'<polyline points="{line}" {look}/>')

    def stack(self, middle: float, y: float, layers: Sequence[tuple[str, str]], width: float = 150) -> list[Box]:
        """Boxes ``(label, kind)`` below each other, joined by arrows; the first begins at ``y``."""
        boxes: list[Box] = []
        for label, kind in layers:
            boxes.append(self.box(middle, y, label, kind, width))
            if len(boxes) > 1:
                self.arrow(boxes[-2].bottom, boxes[-1].top)
            y += BOX_HEIGHT + 20
        return boxes

    def __str__(self) -> str:
        heads = "".join(
            f'<marker id="{name}" viewBox="0 0 8 8" refX="7.4" refY="4" markerWidth="5.5" markerHeight="5.5" '
            'orient="auto">'
            f'<path d="M0,0 L8,4 L0,8 z" fill="{colour}"/></marker>'
            for colour, name in HEADS.items()
        )
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
                f'width="{self.width}" height="{self.height}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif" '
                'role="img" aria-labelledby="title">',
                f'<title id="title">{escape(self.title)}</title>',
                f"<defs>{heads}</defs>",
                f'<rect width="{self.width}" height="{self.height}" rx="8" fill="#ffffff"/>',
                *self.elements,
                "</svg>\n",
            ]
        )


def residual() -> Drawing:
    """The plain block, the basic block and the bottleneck (L2.2.3, L2.2.6)."""
    out = Drawing("A plain block, a residual block and a bottleneck block", 760, 484)
    basic = [("3x3, K", "conv"), ("batch norm, ReLU", "norm"), ("3x3, K", "conv"), ("batch norm", "norm")]
    narrow = [
        *(("1x1, K", "1x1"), ("batch norm, ReLU", "norm"), ("3x3, K", "conv")),
        *(("batch norm, ReLU", "norm"), ("1x1, 4K", "1x1"), ("batch norm", "norm")),
    ]
    for middle, name, layers, has_shortcut in (
        (115, "plain: H(x)", basic, False),
        (340, "residual: F(x) + x", basic, True),
        (605, "bottleneck: F(x) + x", narrow, True),
    ):
        out.text(middle, 28, name, size=16)
        out.text(middle, 56, "x")
        boxes = out.stack(middle, 80, layers)
        out.arrow((middle, 62), boxes[0].top)
        below = boxes[-1].y + BOX_HEIGHT
        if has_shortcut:
            plus = out.sign(middle, below + 26, "+")
            out.arrow(boxes[-1].bottom, plus.top)
            side = middle + 104
            out.arrow((middle, 68), (side, 68), (side, plus.right[1]), plus.right, colour=SHORTCUT)
            out.text(side + 7, (68 + plus.right[1]) / 2, "x", colour=SHORTCUT, anchor="start")
            last, below = plus.bottom, below + 39
        else:
            last = boxes[-1].bottom
        relu = out.box(middle, below + 15, "ReLU", "norm", height=26, width=90)
        out.arrow(last, relu.top)
    return out


def inception() -> Drawing:
    """The naive module beside the reduced one, with the sizes of 3a (L2.1.1, L2.1.2)."""
    out = Drawing("The naive inception module and the one with 1x1 reductions, with the sizes of module 3a", 880, 400)
    naive: list[list[tuple[str, str]]] = [
        [("1x1, 64", "1x1")],
        [("3x3, 128", "conv")],
        [("5x5, 32", "conv")],
        [("max 3x3", "pool")],
    ]
    reduced: list[list[tuple[str, str]]] = [
        [("1x1, 64", "1x1")],
        [("1x1, 96", "1x1"), ("3x3, 128", "conv")],
        [("1x1, 16", "1x1"), ("5x5, 32", "conv")],
        [("max 3x3", "pool"), ("1x1, 32", "1x1")],
    ]
    for left, name, branches, total, cost in (
        (20, "naive", naive, "64 + 128 + 32 + 192 = 416 channels", "303 million multiply-adds"),
        (460, "with reductions", reduced, "64 + 128 + 32 + 32 = 256 channels", "128 million multiply-adds"),
    ):
        middle = left + 200
        out.text(middle, 28, name, size=16)
        source = out.box(middle, 46, "input: 192 channels, 28 x 28", "data", width=250)
        joined = out.box(middle, 298, "concatenate along the channels", "data", width=396)
        out.note(middle, 354, total)
        out.note(middle, 376, cost)
        for i, branch in enumerate(branches):
            x = left + 50 + 100 * i
            y = 134 if len(branch) == 2 else 161
            boxes = out.stack(x, y, branch, width=88)
            out.arrow((middle + (x - middle) * 0.5, source.bottom[1]), boxes[0].top)
            out.arrow(boxes[-1].bottom, (x, joined.y))
    return out


def dense() -> Drawing:
    """A dense block of three layers: every layer reads all before it (L2.3.1)."""
    out = Drawing("A dense block: each layer reads the block's input and the outputs of all layers before it", 820, 300)
    y = 150
    names = ["x0", "x1", "x2", "x3"]
    widths = ["C", "k", "k", "k"]
    places = [60, 265, 470, 675]
    maps = []
    for name, channels, x in zip(names, widths, places, strict=True):
        maps.append(out.box(x, y, name, "data", width=54))
        out.note(x, y + 54, f"{channels} channels")
    for i in range(1, 4):
        x = places[i] - 95
        layer = out.box(x, y, f"H{i}", "conv", width=62)
        out.arrow(maps[i - 1].right, layer.left)
        out.arrow(layer.right, maps[i].left)
        for j in range(i - 1):  # from the maps before the last one, above
            top = y - {(0, 2): 36, (1, 3): 60, (0, 3): 88}[j, i]
            start, end = places[j] + 12 * (2 - i) * (1 - j), x - 14 + 28 * j
            out.arrow((start, y), (start, top), (end, top), (end, y), colour=(SHORTCUT, SECOND)[j], dashed=j > 0)
    out.arrow(maps[3].right, (752, y + 17))
    out.text(757, y + 22, "...", anchor="start")
    out.note(410, 244, "H: batch norm, ReLU, 1x1 to 4k channels, batch norm, ReLU, 3x3 to k channels")
    out.note(410, 266, "the block's output is [x0, x1, x2, x3]: C + 3k channels")
    out.text(410, 26, "dense block: x3 = H3([x0, x1, x2])", size=16)
    return out


def squeeze_excitation() -> Drawing:
    """An SE block in the branch of a residual block (L2.3.2)."""
    out = Drawing("A squeeze-and-excitation block: the mean of each channel becomes a gate that scales it", 780, 250)
    out.text(390, 28, "squeeze and excitation", size=16)
    x = out.box(80, 158, "x", "data", width=70)
    out.note(80, 212, "C x H x W")
    chain = []
    place = 190.0
    for label, kind, width, shape in (
        ("mean", "pool", 70, "C"),
        ("linear", "1x1", 74, "C / 16"),
        ("ReLU", "norm", 66, "C / 16"),
        ("linear", "1x1", 74, "C"),
        ("sigmoid", "norm", 84, "C gates"),
    ):
        box = out.box(place, 72, label, kind, width=width)
        out.note(place, 64, shape)
        if chain:
            out.arrow(chain[-1].right, box.left)
        chain.append(box)
        place += 105
    times = out.sign(690, 175, "×")
    out.arrow((80, 158), (80, 89), chain[0].left)
    out.arrow(chain[-1].right, (690, 89), times.top)
    out.arrow(x.right, times.left, colour=SHORTCUT)
    out.arrow(times.right, (752, 175))
    out.note(385, 168, "every channel times its own gate, in every image anew")
    out.note(716, 212, "C x H x W")
    out.note(190, 128, "squeeze")
    out.note(452, 128, "excitation")
    return out


def inverted_bottleneck() -> Drawing:
    """MBConv beside the bottleneck that it turns inside out (L2.3.3)."""
    out = Drawing(
        "ResNet's bottleneck, wide at its ends, and EfficientNet's inverted bottleneck, wide in the middle", 640, 400
    )
    wide, slim = 220, 90
    bottleneck = (("1x1, 256 to 64", "1x1", wide), ("3x3, 64", "conv", slim), ("1x1, 64 to 256", "1x1", wide))
    inverted = (
        ("1x1, 24 to 144", "1x1", slim + 40),
        ("3x3 depthwise, 144", "conv", wide),
        ("SE, 144 to 6 to 144", "pool", wide),
        ("1x1, 144 to 24, linear", "1x1", wide - 30),
    )
    for middle, name, first, layers, last in (
        (150, "bottleneck (ResNet)", "256 channels", bottleneck, "256 channels"),
        (460, "inverted bottleneck (MBConv)", "24 channels", inverted, "24 channels"),
    ):
        out.text(middle, 28, name, size=16)
        out.note(middle, 54, first)
        y, previous = 84.0, (middle, 60.0)
        for label, kind, width in layers:
            box = out.box(middle, y, label, kind, width=max(width, 128))
            out.arrow(previous, box.top)
            previous = box.bottom
            y += 58
        plus = out.sign(middle, y + 8, "+")
        out.arrow(previous, plus.top)
        side = middle + 136
        out.arrow((middle, 68), (side, 68), (side, plus.right[1]), plus.right, colour=SHORTCUT)
        out.note(middle, y + 44, last)
    out.note(150, 372, "norms and activations are left out")
    return out


BLOCKS: dict[str, Callable[[], Drawing]] = {
    "block-residual.svg": residual,
    "block-inception.svg": inception,
    "block-dense.svg": dense,
    "block-se.svg": squeeze_excitation,
    "block-mbconv.svg": inverted_bottleneck,
}


def main() -> None:
    """Write every picture."""
    for name, draw in BLOCKS.items():
        (FOLDER / name).write_text(str(draw()), encoding="utf-8")


if __name__ == "__main__":
    main()
