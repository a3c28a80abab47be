"""The simulated step of data parallel training: closed formulas, laws, and a simulation message by message."""

from __future__ import annotations

import heapq
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import nn
from minicnn.distributed.simulation import (
    Layer,
    Link,
    Transfer,
    buckets,
    halving_doubling,
    layers_of,
    ring,
    simulate_step,
    tree,
)
from minicnn.models import create_model
from minicnn.nn.summary import summary

ALGORITHMS = (ring, halving_doubling, tree)
LAYERS = [Layer("conv", 1.0, 2.0, 40), Layer("relu", 0.5, 0.5, 0), Layer("fc", 1.0, 2.0, 60)]
INSTANT = Link(0.0, math.inf)

seconds = st.floats(0, 10)
layer = st.builds(Layer, st.just("layer"), seconds, seconds, st.integers(0, 1000))
networks = st.lists(layer, min_size=1, max_size=8)
links = st.builds(Link, st.floats(0, 1), st.floats(1, 1e4))
counts = st.integers(1, 40)
sizes = st.integers(1, 2500)


# ---- closed formulas -------------------------------------------------------------------------------------------


def test_one_worker_waits_for_nobody() -> None:
    step = simulate_step(LAYERS, 1, Link(1.0, 1.0))
    assert (step.seconds, step.communication, step.exposed, step.efficiency, step.transfers) == (7.0, 0.0, 0.0, 1.0, ())


@pytest.mark.parametrize("all_reduce", ALGORITHMS)
def test_messages_that_take_no_time_expose_nothing(all_reduce) -> None:
    step = simulate_step(LAYERS, 8, INSTANT, bucket_bytes=1, all_reduce=all_reduce)
    assert (step.seconds, step.exposed, step.efficiency) == (7.0, 0.0, 1.0)
    assert [transfer.end for transfer in step.transfers] == [4.5, 7.0]


@pytest.mark.parametrize("overlap", [True, False])
def test_one_bucket_follows_the_backward_pass(overlap: bool) -> None:
    step = simulate_step(LAYERS, 5, Link(0.25, 8.0), overlap=overlap)
    expected = 2 * 4 * 0.25 + 2 * 4 / 5 * 100 / 8
    assert step.communication == step.exposed == pytest.approx(expected)
    assert step.efficiency == pytest.approx(7 / (7 + expected))


def test_without_latency_the_buckets_do_not_matter_unless_they_overlap() -> None:
    link = Link(0.0, 8.0)
    for size in (1, 99, 100):
        step = simulate_step(LAYERS, 4, link, bucket_bytes=size, overlap=False)
        assert step.exposed == pytest.approx(2 * 3 / 4 * 100 / 8)


def test_with_infinite_bandwidth_only_messages_count() -> None:
    step = simulate_step(LAYERS, 4, Link(0.5, math.inf), bucket_bytes=1, overlap=False)
    assert step.exposed == step.communication == pytest.approx(2 * 2 * 3 * 0.5)


def test_the_first_bucket_travels_while_the_rest_is_computed() -> None:
    step = simulate_step(LAYERS, 2, Link(0.0, 60.0), bucket_bytes=50)
    assert step.transfers == (Transfer(60, 4.5, 5.5), Transfer(40, 7.0, 7.0 + 40 / 60))
    assert step.exposed == pytest.approx(40 / 60)


def test_a_bucket_waits_for_the_one_before() -> None:
    step = simulate_step(LAYERS, 2, Link(0.0, 10.0), bucket_bytes=50)
    assert step.transfers == (Transfer(60, 4.5, 10.5), Transfer(40, 10.5, 14.5))


def test_a_network_without_gradients_sends_nothing() -> None:
    assert simulate_step([Layer("relu", 1.0, 1.0, 0)], 4, Link(1.0, 1.0)).transfers == ()
    assert simulate_step([], 4, Link(1.0, 1.0)).efficiency == 1.0


@pytest.mark.parametrize(("workers", "messages"), [(1, 0), (2, 2), (8, 6), (9, 8), (1024, 20)])
def test_the_messages_of_trees(workers: int, messages: int) -> None:
    assert tree(0, workers, Link(1.0, 1.0)) == halving_doubling(0, workers, Link(1.0, 1.0)) == messages
    assert tree(7, workers, Link(0.0, 1.0)) == 7 * messages


def test_halving_and_doubling_round_by_round() -> None:
    link, rounds = Link(0.125, 16.0), [2.0**-k for k in range(1, 6)]  # 32 workers: a half, a quarter, ...
    expected = 2 * sum(link.latency + 1000 * share / link.bandwidth for share in rounds)
    assert halving_doubling(1000, 32, link) == pytest.approx(expected)


# ---- laws ------------------------------------------------------------------------------------------------------


@given(networks, sizes)
def test_buckets_hold_every_gradient_once_and_not_too_many(layers: list[Layer], size: int) -> None:
    found = buckets(layers, size)
    sent = [layer.gradient_bytes for layer in layers if layer.gradient_bytes]
    assert sum(held for _, held in found) == sum(sent)
    assert all(0 < held <= size or held in sent for _, held in found)
    assert all(one + other > size for (_, one), (_, other) in pairwise(found))
    assert all(one <= other for (one, _), (other, _) in pairwise(found))


def test_the_first_bucket_is_small() -> None:
    mebibyte = 2**20
    layers = [Layer("layer", 0.0, 1.0, mebibyte // 2)] * 60
    assert buckets(layers) == [(2.0, mebibyte), (52.0, 25 * mebibyte), (60.0, 4 * mebibyte)]
    assert buckets([Layer("large", 0.0, 1.0, 40 * mebibyte)] * 2)[0] == (1.0, 40 * mebibyte)


@given(networks, counts, links, sizes, st.booleans(), st.sampled_from(ALGORITHMS))
def test_a_step_lies_between_its_bounds(layers, workers, link, size, overlap, all_reduce) -> None:
    step = simulate_step(layers, workers, link, bucket_bytes=size, overlap=overlap, all_reduce=all_reduce)
    apart = simulate_step(layers, workers, link, bucket_bytes=size, overlap=False, all_reduce=all_reduce)
    assert max(step.computation, step.communication) <= step.seconds <= apart.seconds * (1 + 1e-12)
    assert apart.seconds == pytest.approx(apart.computation + apart.communication)
    assert 0 <= step.efficiency <= 1
    assert all(one.end <= other.start for one, other in pairwise(step.transfers))


@given(networks, counts, links, sizes, st.booleans(), st.floats(1, 10))
def test_a_better_link_and_fewer_workers_are_never_slower(layers, workers, link, size, overlap, factor) -> None:
    def duration(workers: int, link: Link) -> float:
        return simulate_step(layers, workers, link, bucket_bytes=size, overlap=overlap).seconds

    here = duration(workers, link) * (1 + 1e-12)
    assert duration(workers, link._replace(latency=link.latency / factor)) <= here
    assert duration(workers, link._replace(bandwidth=link.bandwidth * factor)) <= here
    assert here <= duration(workers + 1, link) * (1 + 1e-11)


@given(st.integers(1, 10), links, st.floats(0, 1e6))
def test_no_algorithm_sends_less_than_the_ring(power: int, link: Link, size: float) -> None:
    workers = 2**power
    assert halving_doubling(size, workers, link) <= ring(size, workers, link) * (1 + 1e-12)
    assert halving_doubling(size, workers, link) <= tree(size, workers, link) * (1 + 1e-12)
    assert ring(size, workers, link._replace(latency=0)) <= tree(size, workers, link) * (1 + 1e-12)


# ---- message by message ----------------------------------------------------------------------------------------


def event_by_event(layers: list[Layer], workers: int, link: Link, size: float) -> float:
    """When the last of all messages has arrived: every worker's layers and messages are events in a queue."""
    parts: list[int] = []
    closing: list[int] = []  # the layers, from the last one on, with which a bucket is complete
    for at, layer in enumerate(reversed(layers)):
        if layer.gradient_bytes:
            if parts and parts[-1] + layer.gradient_bytes <= size:
                parts[-1], closing[-1] = parts[-1] + layer.gradient_bytes, at
            else:
                parts, closing = [*parts, layer.gradient_bytes], [*closing, at]
    rounds = 2 * (workers - 1)
    computed, sent, arrived = ([0] * workers for _ in range(3))  # buckets; messages of all buckets; the same
    free = [0.0] * workers
    queue: list[tuple[float, int, str]] = []
    for worker in range(workers):
        clock = sum(layer.forward for layer in layers)
        for at, layer in enumerate(reversed(layers)):
            clock += layer.backward
            if at in closing:
                heapq.heappush(queue, (clock, worker, "computed"))
    end = sum(layer.forward + layer.backward for layer in layers)
    while queue:
        now, worker, kind = heapq.heappop(queue)
        counter = computed if kind == "computed" else arrived
        counter[worker] += 1
        if kind == "arrived":
            end = max(end, now)
        for who in range(workers):
            bucket = sent[who] // rounds if rounds else len(closing)
            # A message passes on what the message before it brought.
            if bucket < computed[who] and sent[who] <= arrived[who] and free[who] <= now:
                free[who] = now + link.latency + parts[bucket] / workers / link.bandwidth
                sent[who] += 1
                heapq.heappush(queue, (free[who], (who + 1) % workers, "arrived"))
    return end


@given(networks, st.integers(1, 6), links, sizes)
def test_the_step_is_that_of_a_simulation_of_every_message(layers, workers, link, size) -> None:
    expected = event_by_event(layers, workers, link, size)
    assert simulate_step(layers, workers, link, bucket_bytes=size).seconds == pytest.approx(expected, rel=1e-9)


# ---- networks --------------------------------------------------------------------------------------------------


def test_the_layers_of_a_network() -> None:
    model = create_model("resnet18", init=False)
    layers = layers_of(model, (3, 64, 64), batch_size=8, rate=1e9)
    counted = summary(model, (3, 64, 64))
    assert sum(layer.gradient_bytes for layer in layers) == 4 * 11_689_512
    assert sum(layer.forward for layer in layers) == pytest.approx(8 * counted.multiply_adds / 1e9)
    assert all(layer.backward == 2 * layer.forward for layer in layers)
    assert [layer.name for layer in layers] == [row.name for row in counted.rows]


def test_what_only_training_uses_is_sent_first() -> None:
    layers = layers_of(create_model("googlenet", init=False), (3, 224, 224), 1, 1e9)
    assert sum(layer.gradient_bytes for layer in layers) == 4 * 13_378_280
    after = layers[[layer.name for layer in layers].index("fc") + 1 :]
    assert {layer.name.split(".")[0] for layer in after} == {"aux1", "aux2"}
    assert sum(layer.gradient_bytes for layer in after) == 4 * 6_379_728


def test_frozen_and_shared_parameters() -> None:
    shared = nn.Linear(4, 4, bias=False)
    model = nn.Sequential(nn.Linear(4, 4, bias=False), shared, shared)
    assert [layer.gradient_bytes for layer in layers_of(model, (4,), 1, 1.0)] == [64, 64, 0]
    model[0].requires_grad_(False)
    assert [layer.gradient_bytes for layer in layers_of(model, (4,), 1, 1.0)] == [0, 64, 0]


# ---- wrong arguments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((LAYERS, 0, INSTANT), "expected 1 worker or more, got 0"),
        ((LAYERS, 2, Link(-1.0, 1.0)), "expected a latency of 0 or more and a bandwidth above 0, got Link"),
        ((LAYERS, 2, Link(0.0, 0.0)), "bandwidth above 0"),
        ((LAYERS, 2, Link(math.nan, 1.0)), "latency of 0 or more"),
        (([Layer("fc", -1.0, 0.0, 4)], 2, INSTANT), "expected times of 0 or more, got Layer.*'fc'"),
    ],
)
def test_what_is_no_step_is_refused(arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate_step(*arguments)
