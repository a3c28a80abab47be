"""How well a colour can be read on another: the Web Content Accessibility Guidelines' contrast, from 1 to 21."""


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, ``#rrggbb``."""
    bright = []
    for color in (one, other):
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        bright.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
    return max(bright) / min(bright)
