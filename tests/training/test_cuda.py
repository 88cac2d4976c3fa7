"""On a GPU: graphs against eager steps, stacks against single runs, the same bytes each time. Skipped where there is none."""

import dataclasses

import numpy as np
import pytest
import torch

from benchmarks import gpu_bench, gpu_check
from sgdtails.config.run_table import NOISE_KINDS
from sgdtails.data import datasets as data
from sgdtails.models import building as models
from sgdtails.runtime import devices
from sgdtails.training.engines import base, cuda_graph
from sgdtails.training.engines.module import ModuleEngine
from sgdtails.training.engines.sgd import weights_only
from sgdtails.training.settings import PLAIN_SGD, SGDSettings
from tests.training import helpers
from tests.training.helpers import (
    BATCH,
    EVERYTHING,
    STOP,
    apart,
    assert_equal,
    average_runs,
    averages,
    batch_indices,
    build,
    plain,
)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
STEPS = 5 * cuda_graph.GRAPH_STEPS + 7


@pytest.fixture(scope="module", autouse=True)
def device():
    """Set up as a job's: deterministic kernels alone, in float32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "_lease", lambda: None)  # held for life, it would keep the GPU from jobs of other tests
        yield devices.select("cuda", "fp32", 1)


@pytest.fixture(scope="module")
def checked(device):
    return gpu_bench.Bench(device, "fp32", gpu_bench.SIZES["full"])


STAGES = ("steps", "trainings", "analyses")


@pytest.mark.parametrize(
    ("check", "kind"),
    [pytest.param(f, kind, id=f"{name}-{kind}") for s in STAGES for name, kind, f in gpu_check.stages()[s]],
)
def test_the_checks_of_gpu_check(checked, check, kind):
    found = check(checked, kind)
    assert found.status == "passed", f"{found.measured} (expected: {found.expected})"


@pytest.fixture(scope="module")
def images():
    return tuple(tensor.cuda() for tensor in helpers.random_images())


def stack(images, replicas, dtype=torch.float64, sgd=PLAIN_SGD):
    return helpers.build_engine("fcn", images, dtype, replicas, sgd)


def advanced(engine, seeds, name="fcn", dtype=torch.float64):
    with engine.scope():
        for replica, seed in enumerate(seeds):
            engine.put(replica, models.state(build(name, seed, dtype)), 0.02 * (seed + 1))
    base.interleave([(engine, batch_indices(STEPS, seeds))], lambda: False)
    torch.cuda.synchronize()
    return [engine.get(replica) for replica in range(len(seeds))]


def test_replayed_steps_are_the_plain_loops(images):
    for replica, state in enumerate(advanced(stack(images, 3), range(3))):
        expected = plain(
            build("fcn", replica).cuda(), images, batch_indices(STEPS, [replica])[:, 0].cuda(), 0.02 * (replica + 1)
        )
        assert apart(state, expected) < 1e-12


def test_a_replayed_module_is_the_plain_loop(images):
    engine = ModuleEngine(build("cnn"), *images, batch_size=BATCH)
    (state,) = advanced(engine, [0], "cnn")
    assert apart(state, plain(build("cnn").cuda(), images, batch_indices(STEPS, [0])[:, 0].cuda(), 0.02)) < 1e-11


def test_replayed_momentum_and_weight_decay_are_torchs_optimiser(images):
    more = {"momentum": 0.8, "weight_decay": 0.01}
    module = ModuleEngine(build("cnn"), *images, batch_size=BATCH, sgd=SGDSettings(**more))
    for name, engine, tolerance in (("fcn", stack(images, 2, sgd=SGDSettings(**more)), 1e-11), ("cnn", module, 1e-10)):
        state = advanced(engine, [0], name)[0]
        expected = plain(build(name).cuda(), images, batch_indices(STEPS, [0])[:, 0].cuda(), 0.02, **more)
        assert apart(weights_only(state), expected) < tolerance


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_noise_goes_on_where_it_was(images, kind):
    """Each step draws anew, which a graph would not, and a generator's state comes back from a checkpoint."""
    order, sgd = (
        batch_indices(STEPS, [0]),
        SGDSettings(momentum=0.5, noise_scale=0.01, noise_alpha=1.8, noise_kind=kind),
    )
    whole, first, second = (stack(images, 2, sgd=sgd) for _ in range(3))
    for engine in (whole, first):
        engine.put(0, models.state(build("fcn")), 0.02, seed=1)
    base.interleave([(whole, order)], lambda: False)
    base.interleave([(first, order[:50])], lambda: False)
    torch.cuda.synchronize()
    second.put(0, first.get(0), 0.02)
    torch.cuda.synchronize()
    base.interleave([(second, order[50:])], lambda: False)
    torch.cuda.synchronize()
    assert apart(second.get(0), whole.get(0)) == 0


@pytest.mark.parametrize("seeds", [[0], [0, 1], [0, 3, 2]])
def test_a_slot_does_not_depend_on_who_is_beside_it(images, seeds):
    full = advanced(stack(images, 4, torch.float32), [0, 5, 6, 7], dtype=torch.float32)
    (first, *_) = advanced(stack(images, 4, torch.float32), seeds, dtype=torch.float32)
    for name, weight in full[0].items():
        np.testing.assert_array_equal(weight, first[name])


def test_sums_begin_and_end_while_graphs_are_replayed(images):
    engine, reference = stack(images, 2), stack(images, 2)
    for each in (engine, reference):
        with each.scope():
            each.put(0, models.state(build("fcn")), 0.02)
    order = batch_indices(STEPS, [0])
    engine.accumulate(True)
    base.interleave([(engine, order)], lambda: False)
    total = {name: np.zeros_like(value) for name, value in engine.sum_of(0).items()}
    for index in order:
        base.interleave([(reference, index[None])], lambda: False)
        torch.cuda.synchronize()
        for name, value in reference.get(0).items():
            total[name] += value
    torch.cuda.synchronize()
    for name, value in engine.sum_of(0).items():
        np.testing.assert_allclose(value, total[name], rtol=1e-10)
    engine.accumulate(False)
    base.interleave([(engine, order)], lambda: False)
    torch.cuda.synchronize()
    assert base.is_finite(engine.get(0))


@pytest.mark.parametrize("sgd", [PLAIN_SGD, SGDSettings(momentum=0.5), EVERYTHING])
def test_a_network_goes_on_in_another_slot_as_if_it_had_stayed(images, sgd):
    """Its replica is emptied, and both replicas looked through, without a wait."""
    moved, stayed = (stack(images, 4, torch.float32, sgd) for _ in range(2))
    for engine in (moved, stayed):
        with engine.scope():
            engine.accumulate(True)
        advanced(engine, range(4), dtype=torch.float32)
    torch.cuda.set_sync_debug_mode("error")
    try:
        with moved.scope():
            moved.move(3, 1)
            moved.clear(3)
            found = [moved.finite(replica) for replica in range(4)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    base.interleave([(moved, batch_indices(STEPS, [0, 3, 2])), (stayed, batch_indices(STEPS, range(4)))], lambda: False)
    torch.cuda.synchronize()
    assert all(found)
    for here, before in ((0, 0), (1, 3), (2, 2)):
        for name, value in (stayed.get(before) | stayed.sum_of(before)).items():
            assert value.tobytes() == (moved.get(here) | moved.sum_of(here))[name].tobytes(), name
    assert not any(value.any() for value in weights_only(moved.get(3)).values())


@pytest.mark.parametrize("name", ["fcn", "cnn"])
def test_one_number_that_is_not_finite_is_found(images, name):
    engine = stack(images, 2) if name == "fcn" else ModuleEngine(build("cnn"), *images, batch_size=BATCH)
    state = models.state(build(name))
    engine.put(0, state, 0.1)
    assert engine.finite(0)
    state["head.weight"][-1, -1] = np.nan
    engine.put(0, state, 0.1)
    assert not engine.finite(0)
    engine.clear(0)
    assert engine.finite(0)


@pytest.mark.parametrize("sgd", [PLAIN_SGD, EVERYTHING])
def test_averages_side_by_side_go_on_to_their_gates_as_alone(digits, sgd):
    """Sums begin on the device; as runs end, others move to their replicas."""
    found = (digits[0], *data.splits(digits[0], torch.device("cuda")))
    stop = dataclasses.replace(STOP, train_nll=0.3, train_accuracy=0.5, gate=10, budget=30 + 400)
    more = {"sgd": sgd, "replicas": 2, "stop": stop, "burn_in": 20, "length": 33, "until_converged": True}
    together = average_runs(found, averages(found, "fcn", range(4)), **more)
    assert {each.outcome["status"] for each in together.values()} == {"averaged"}
    for each in averages(found, "fcn", range(4)):
        assert_equal(average_runs(found, [each], **more)[each.name], together[each.name])


def test_streams_of_their_own_give_the_same_bytes_each_time(images):
    def run():
        several = [
            ModuleEngine(build("cnn", seed, torch.float32), images[0].float(), images[1], batch_size=BATCH)
            for seed in range(4)
        ]
        for seed, engine in enumerate(several):
            with engine.scope():
                engine.put(0, models.state(build("cnn", seed, torch.float32)), 0.1)
        base.interleave([(engine, batch_indices(STEPS, [seed])) for seed, engine in enumerate(several)], lambda: False)
        torch.cuda.synchronize()
        return [engine.get(0) for engine in several]

    for one, two in zip(run(), run(), strict=True):
        for name, value in one.items():
            assert value.tobytes() == two[name].tobytes()
