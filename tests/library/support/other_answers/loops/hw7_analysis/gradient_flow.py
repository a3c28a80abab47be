"""Homework 7, gradient_flow.py: the holes, filled in another way."""

import math
from contextlib import contextmanager


def weight_gradient_norms(model, images, targets, loss):
    parameters = dict(model.named_parameters())
    with untouched_gradients(model):
        loss(model(images), targets).backward()
        return {name: length(p.grad) for name, p in parameters.items() if len(p.shape) > 1}


def output_gradient_norms(model, layers, images, targets, loss):
    wanted = list(layers)
    outputs = [None] * len(wanted)
    handles = []
    for position, name in enumerate(wanted):

        def keep(module, arguments, output, position=position):
            output.retain_grad()
            outputs[position] = output

        handles.append(model.get_submodule(name).register_forward_hook(keep))
    with untouched_gradients(model):
        try:
            result = loss(model(images), targets)
        finally:
            for handle in handles:
                handle.remove()
        result.backward()
    norms = {}
    for name, output in zip(wanted, outputs, strict=True):
        norms[name] = length(output.grad)
    return norms


def gain_per_layer(norms):
    steps = len(norms) - 1
    return (float(norms[0]) / float(norms[-1])) ** (1 / steps)


def behaviour(norms, bound):
    for norm in norms:
        if math.isnan(norm) or math.isinf(norm):
            return "explodes"
    first, last = norms[0], norms[-1]
    if first < last / bound:
        return "vanishes"
    elif first / bound > last:
        return "explodes"
    else:
        return "survives"


def expected_gain(fan_out, std, negative_slope):
    square = 0.0
    for _ in range(fan_out):
        square += std * std * (0.5 * 1 + 0.5 * negative_slope * negative_slope)
    return square**0.5


@contextmanager
def untouched_gradients(model):
    """Inside this block the parameters have no gradients yet; afterwards they have the ones they had before."""
    before = [(parameter, parameter.grad) for parameter in model.parameters()]
    for parameter, _ in before:
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, gradient in before:
            parameter.grad = gradient


def length(gradient):
    """The square root of the sum of squares; nothing has the length zero."""
    if gradient is None:
        return 0.0
    return math.hypot(*gradient.cpu().numpy().ravel().tolist())
