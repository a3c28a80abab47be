"""``evaluation.html``: an evaluation as one page that loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from ..paths import printable
from ..utils.page import page as html_page
from .calibration import Calibration
from .measuring import Evaluation
from .pictures import thumbnail
from .report import FEW_CLASSES, MISTAKES, extent, involved, mistake, most_often, pairs, percent, shown_classes, verdict
from .subject import Subject

PAIRS = 30  # that are shown instead of a large matrix
HARDEST = 20
STYLE = """
.figures { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0; }
.figures div { background: var(--raised); border-radius: 6px; padding: .6rem .9rem; flex: 1 1 11rem; }
.figures b { display: block; font-size: 1.7rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.note { border-left: 3px solid var(--bad); padding-left: .75rem; }
table.confusion { font-size: .85rem; font-variant-numeric: tabular-nums; }
.confusion td, .confusion th { padding: .3rem .4rem; text-align: center; vertical-align: middle; border: 0; }
.wide .confusion td { min-width: 2.2rem; border: 1px solid var(--paper); }
.confusion th[scope=col] { vertical-align: bottom; }
.confusion th[scope=row] { text-align: right; white-space: nowrap; }
.confusion .turned { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; white-space: nowrap;
  max-height: 11rem; overflow: hidden; }
.confusion .right { background: color-mix(in srgb, var(--mark) calc(var(--share) * 40%), var(--paper));
  font-weight: 600; }
.confusion .wrong { background: color-mix(in srgb, var(--bad) calc(12% + var(--share) * 40%), var(--paper)); }
.confusion .none { color: var(--soft); background: var(--raised); }
.mistakes { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.2rem, 1fr)); gap: 1rem .8rem; }
.mistakes figure { margin: 0; font-size: .9rem; line-height: 1.35; }
.mistakes img { display: block; width: 7rem; height: 7rem; object-fit: contain; background: var(--raised);
  border-radius: 4px; margin-bottom: .3rem; }
.mistakes .small { image-rendering: pixelated; }
.mistakes .soft { font-size: .8rem; display: block; }
svg { display: block; width: 100%; max-width: 27rem; font-size: 12px; }
svg .bar { fill: color-mix(in srgb, var(--mark) 45%, var(--paper)); } svg .share { fill: var(--soft); }
svg .axis { stroke: var(--soft); fill: none; } svg .even { stroke: var(--soft); stroke-dasharray: 4 4; }
svg .sure { stroke: var(--ink); stroke-width: 3; }
.wide table { overflow-wrap: normal; } .wide th { white-space: nowrap; } .wide td:first-child { min-width: 3.5rem; }
p, li { max-width: 46rem; }
"""


def page(subject: Subject, evaluation: Evaluation, command: str) -> str:
    """The page.

    Args:
        command: what makes it again.
    """
    title = f"{printable(subject.name)} on {printable(subject.data)}"
    part = "all images" if subject.split == "all" else f"the {subject.split} part"
    sections = {
        "": _figures(evaluation),
        "Each class": _classes(subject, evaluation),
        "What was taken for what": _confusion(subject, evaluation),
        "How sure it is": _calibration(evaluation),
        "The worst mistakes": _mistakes(subject, evaluation),
        "What the numbers mean": _meaning(evaluation),
    }
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(subject.classifier.name)}, weights {_text(subject.weights)}; {part} of the data: '
        f"{extent(evaluation)}.</p>",
    ]
    if subject.note:
        parts.append(f'<p class="note">{escape(subject.note[:1].upper() + subject.note[1:])}.</p>')
    parts += [f"<h2>{name}</h2>\n{body}" if name else body for name, body in sections.items()]
    parts.append(f'<p class="soft">Made by <code>{escape(printable(command))}</code></p>')
    return html_page(title, "\n".join(parts), STYLE)


def _figures(evaluation: Evaluation) -> str:
    cards = []
    for k in (1, 5):
        if f"top{k}" in evaluation.means:
            low, high = evaluation.interval(k)
            cards.append(
                (
                    f"top-{k} accuracy",
                    f"{percent(evaluation.means[f'top{k}'])} %",
                    f"95 % interval {percent(low)} to {percent(high)} %; {evaluation.right(k):,} of "
                    f"{evaluation.count:,} right",
                )
            )
    smoothing = evaluation.label_smoothing
    said = f"label smoothing {smoothing:g}; without: {evaluation.losses.mean():.4f}" if smoothing else "cross entropy"
    cards.append(("loss", f"{evaluation.loss:.4f}", said))
    found = evaluation.calibration()
    cards.append(("calibration error", f"{percent(found.error)} %", verdict(evaluation)))
    boxes = [f'<div>{name}<b>{value}</b><span class="soft">{below}</span></div>' for name, value, below in cards]
    return f'<div class="figures">{"".join(boxes)}</div>'


def _classes(subject: Subject, evaluation: Evaluation) -> str:
    shown, every = shown_classes(evaluation, HARDEST), involved(evaluation)
    table = _class_table(subject, evaluation, shown)
    if len(every) <= FEW_CLASSES:
        return table
    return (
        f"<p>Those with images that have the lowest F1.</p>{table}\n<details><summary>All {len(every):,} that have "
        f"images or were said</summary>{_class_table(subject, evaluation, every.tolist())}</details>"
    )


def _class_table(subject: Subject, evaluation: Evaluation, classes: Sequence[int]) -> str:
    labels, scores = subject.classifier.labels, evaluation.scores
    rows = []
    for i in classes:
        taken = most_often(evaluation, i)
        numbers = [f"{scores.images[i]:,}", f"{scores.right[i]:,}"]
        numbers += [percent(float(value[i])) for value in (scores.precision, scores.recall, scores.f1)]
        rows.append(
            f"<tr><td>{_text(labels[i])}</td>"
            + "".join(f'<td class="number">{number}</td>' for number in numbers)
            + f"<td>{f'{_text(labels[taken[0]])} ({taken[1]:,})' if taken else ''}</td></tr>"
        )
    names = ("images", "right", "precision %", "recall %", "F1 %")
    heads = "".join(f'<th class="number">{name}</th>' for name in names)
    return (
        f'<div class="wide"><table><tr><th>class</th>{heads}<th>most often taken for</th></tr>\n'
        + "\n".join(rows)
        + "</table></div>"
    )


def _confusion(subject: Subject, evaluation: Evaluation) -> str:
    if not len(evaluation.mistakes(1)):
        return "<p>Nothing: every image was recognised.</p>"
    classes = involved(evaluation)
    if len(classes) > FEW_CLASSES:
        return _pairs(subject, evaluation)
    labels = [_text(subject.classifier.labels[i]) for i in classes]
    turned = ' class="turned"' if max(map(len, labels)) > 3 else ""
    heads = "".join(f'<th scope="col"><span{turned}>{label}</span></th>' for label in labels)
    rows = [f"<tr><th></th>{heads}</tr>"]
    for i, row in enumerate(evaluation.confusion[np.ix_(classes, classes)]):
        images = max(1, int(row.sum()))
        cells = []
        for j, count in enumerate(row):
            kind = "none" if not count else "right" if i == j else "wrong"
            cells.append(f'<td class="{kind}" style="--share:{count / images:.3f}">{count or "·"}</td>')
        rows.append(f'<tr><th scope="row">{labels[i]}</th>{"".join(cells)}</tr>')
    return (
        "<p>A row is what the images show, a column what they were taken for: the diagonal is right. Colours are "
        f'shares of the row.</p>\n<div class="wide"><table class="confusion">{"".join(rows)}</table></div>'
    )


def _pairs(subject: Subject, evaluation: Evaluation) -> str:
    found = pairs(subject, evaluation, PAIRS)
    rows = "".join(
        f'<tr><td>{_text(one)}</td><td>{_text(other)}</td><td class="number">{count:,} of {images:,}</td></tr>\n'
        for one, other, count, images in found
    )
    return (
        f"<p>The {len(found)} most frequent mistakes; all are in "
        f'<code>evaluation.json</code>.</p><div class="wide"><table><tr><th>class</th><th>taken for</th>'
        f'<th class="number">images</th></tr>\n{rows}</table></div>'
    )


def _calibration(evaluation: Evaluation) -> str:
    found = evaluation.calibration()
    said = (
        f"It is right at {percent(found.mean_accuracy)} % of the images, and its mean confidence is "
        f"{percent(found.mean_confidence)} %: {verdict(evaluation)}. The expected calibration error, the mean distance "
        f"between the two in the picture's bins, is {percent(found.error)} %."
    )
    return (
        f"<p>{said}</p>\n{_diagram(found)}\n"
        '<p class="soft">Reliability diagram. A bar is the share of right answers among those of a confidence, the '
        "short line their mean confidence; on the dashed line the two are equal. Below, how many answers had which "
        "confidence.</p>"
    )


def _diagram(found: Calibration) -> str:
    """Accuracy against confidence, above the shares of answers."""
    side, left, top = 240, 58, 10
    most, low_top = found.counts.max(), top + side + 30
    tall = 60
    parts = [f'<path class="axis" d="M{left} {top}v{side}h{side}"/>']
    width = side / len(found.counts)
    for m, (count, confidence, accuracy) in enumerate(zip(found.counts, found.confidence, found.accuracy, strict=True)):
        if not count:
            continue
        x = left + m * width
        height, part = side * accuracy, tall * count / most
        y = top + side * (1 - confidence)
        parts += [
            f'<rect class="bar" x="{x + 1:.1f}" y="{top + side - height:.1f}" width="{width - 2:.1f}" '
            f'height="{height:.1f}"/>',
            f'<path class="sure" d="M{x + 1:.1f} {y:.1f}h{width - 2:.1f}"/>',
            f'<rect class="share" x="{x + 1:.1f}" y="{low_top + tall - part:.1f}" width="{width - 2:.1f}" '
            f'height="{part:.1f}"/>',
        ]
    parts.append(f'<path class="even" d="M{left} {top + side}L{left + side} {top}"/>')
    for tick in (0, 0.5, 1):
        parts += [
            f'<text x="{left - 5}" y="{top + side * (1 - tick) + 4:g}" text-anchor="end">{100 * tick:g} %</text>',
            f'<text x="{left + side * tick:g}" y="{low_top + tall + 15}" text-anchor="middle">{100 * tick:g} %</text>',
        ]
    base = low_top + tall
    parts += [
        f'<path class="axis" d="M{left} {base}h{side}"/>',
        f'<text x="{left + side / 2}" y="{base + 31}" text-anchor="middle">confidence</text>',
        f'<text transform="translate(11 {top + side / 2}) rotate(-90)" text-anchor="middle">right</text>',
        f'<text transform="translate(11 {low_top + tall / 2}) rotate(-90)" text-anchor="middle">answers</text>',
        f'<text x="{left + 4}" y="{low_top - 6}">up to {most:,} answers</text>',
    ]
    said = f"reliability diagram, expected calibration error {percent(found.error)} per cent"
    return f'<svg viewBox="0 0 {left + side + 24} {base + 38}" role="img" aria-label="{said}">{"".join(parts)}</svg>'


def _mistakes(subject: Subject, evaluation: Evaluation) -> str:
    indices = evaluation.mistakes(MISTAKES).tolist()
    if not indices:
        return "<p>There are none.</p>"
    wrong = evaluation.count - evaluation.right()
    which = f"All {wrong:,}" if wrong <= MISTAKES else f"{MISTAKES} of {wrong:,}"
    figures = []
    for index in indices:
        told, (source, width, height) = mistake(subject, evaluation, index), thumbnail(subject.plain[index][0])
        where = f"image {index}" if told["file"] is None else "/".join(Path(told["file"]).parts[-2:])
        shown, said = _text(told["class"]), _text(told["taken_for"])
        figures.append(
            f'<figure><img{" class=small" if max(width, height) < 64 else ""} src="{source}" alt="{shown}" '
            f'width="{width}" height="{height}"><figcaption>is <b>{shown}</b><br>said <b>{said}</b>, '
            f'{percent(told["confidence"])} %<span class="soft">{_text(where)}</span></figcaption></figure>'
        )
    return (
        f"<p>{which}, by falling loss: the right class seemed least likely in the first. The percentage is how sure "
        f'the network was of its wrong answer.</p>\n<div class="mistakes">{"".join(figures)}</div>'
    )


def _meaning(evaluation: Evaluation) -> str:
    smoothed = (
        f"<li><b>Loss</b>: the mean cross entropy, with label smoothing {evaluation.label_smoothing:g} as in training; "
        "with it, no network reaches 0.</li>"
        if evaluation.label_smoothing
        else "<li><b>Loss</b>: the mean cross entropy.</li>"
    )
    return (
        "<ul><li><b>95 % interval</b>: the Wilson score interval (Wilson, Journal of the American Statistical "
        "Association 22, 1927). On another set of as many images from the same source the share would be a little "
        "different; of intervals made like this, 95 % hold the share among all such images.</li>"
        "<li><b>Precision</b>: of the images that were taken for the class, how many are of it. <b>Recall</b>: of the "
        "images of the class, how many were recognised. <b>F1</b>: their harmonic mean. A dash: there was none.</li>"
        f"{smoothed}<li><b>Confidence</b>: the probability (softmax) of the answer. <b>Expected calibration error</b>: "
        "Guo et al., On Calibration of Modern Neural Networks, ICML 2017, with 15 bins.</li></ul>"
    )


def _text(name: object) -> str:
    return escape(printable(name))
