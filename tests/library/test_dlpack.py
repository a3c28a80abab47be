"""Memory shared with other libraries by DLPack: with NumPy, with PyTorch, and on the stand-in for a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from minicnn.utils import dlpack
from tests.library.support import peers
from tests.library.support.cuda import fakecupy
from tests.library.support.strategies import arrays

DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")
SHARES = np.from_dlpack(np.ones(1)).flags.writeable or np.lib.NumpyVersion(np.__version__) >= "2.3.0"


class Foreign:
    """Another library's array: all that is known of it is the protocol."""

    def __init__(self, array: np.ndarray, place: tuple[int, int] = (1, 0)) -> None:
        self.array, self.place = array, place

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.place


@given(array=arrays(), dtype=st.sampled_from(DTYPES), transposed=st.booleans())
def test_the_numbers_go_both_ways(array: np.ndarray, dtype: str, transposed: bool) -> None:
    array = np.asarray(array).astype(dtype)
    array = array.T if transposed else array
    for take in (minicnn.from_dlpack, minicnn.tensor, minicnn.as_tensor, minicnn.Tensor):
        found = take(Foreign(array))
        assert (found.shape, found.dtype, str(found.device)) == (array.shape, array.dtype, "cpu")
        np.testing.assert_array_equal(found.numpy(), array)
    np.testing.assert_array_equal(np.from_dlpack(minicnn.tensor(array)), array)


def test_memory_is_shared_or_copied_as_the_function_says() -> None:
    array = np.zeros(3, "float32")
    shared = {
        take: np.shares_memory(take(Foreign(array)).numpy(), array)
        for take in (minicnn.from_dlpack, minicnn.as_tensor, minicnn.Tensor, minicnn.tensor)
    }
    assert list(shared.values()) == [True, True, True, False]
    assert not np.shares_memory(minicnn.as_tensor(Foreign(array), dtype="float64").numpy(), array)
    assert not np.shares_memory(minicnn.from_dlpack(Foreign(array), copy=True).numpy(), array)
    assert np.shares_memory(minicnn.from_dlpack(Foreign(array), device="cpu", copy=False).numpy(), array)


@pytest.mark.skipif(not SHARES, reason="before NumPy 2.3 what comes by DLPack is for reading only")
def test_writes_are_seen_on_both_sides() -> None:
    tensor = minicnn.zeros(2, 3)
    other = np.from_dlpack(tensor)
    other[0, 1] = 5
    tensor[1, 2] = 7
    assert tensor.tolist() == other.tolist() == [[0, 5, 0], [0, 0, 7]]
    back = minicnn.from_dlpack(Foreign(other))
    back.add_(1)
    assert tensor.tolist() == [[1, 6, 1], [1, 1, 8]]


def test_a_compiled_model_sees_that_its_weights_were_shared() -> None:
    """It has packed them; that they have gone out since says that they may be others now."""
    model = nn.Sequential(nn.Conv2d(4, 8, 3, bias=False), nn.BatchNorm2d(8)).eval()
    compiled, x = minicnn.compile(model), minicnn.ones(2, 4, 8, 8)
    with minicnn.no_grad():
        before = compiled(x).numpy().copy()
        weight = np.from_dlpack(model[0].weight.detach())
        if not weight.flags.writeable:
            pytest.skip("before NumPy 2.3 what comes by DLPack is for reading only")
        weight *= 2
        np.testing.assert_allclose(compiled(x).numpy(), 2 * before, 1e-5)


def test_a_capsule_is_used_once() -> None:
    tensor = minicnn.arange(3)
    capsule = dlpack.to_dlpack(tensor)
    assert type(capsule).__name__ == "PyCapsule"
    assert np.shares_memory(dlpack.from_dlpack(capsule).numpy(), tensor.numpy())
    with pytest.raises((BufferError, ValueError, TypeError)):
        dlpack.from_dlpack(capsule)


def test_a_tensor_that_requires_grad_is_refused() -> None:
    for tensor in (minicnn.ones(2, requires_grad=True), minicnn.ones(2, requires_grad=True) * 2):
        with pytest.raises(BufferError, match=r"requires grad cannot be shared by DLPack: use tensor.detach\(\)"):
            np.from_dlpack(tensor)
        assert np.from_dlpack(tensor.detach()).shape == (2,)


def test_read_only_memory_is_refused() -> None:
    array = np.zeros(3)
    array.flags.writeable = False
    for tensor in (minicnn.from_numpy(array), minicnn.ones(1).expand(3)):
        with pytest.raises(BufferError, match=r"read-only memory cannot be shared by DLPack: use tensor.clone\(\)"):
            np.from_dlpack(tensor)


def test_negative_strides_are_refused() -> None:
    """PyTorch ends the whole process if it is given some."""
    for tensor in (minicnn.arange(4.0)[::-1], minicnn.ones(2, 3)[:, ::-1]):
        with pytest.raises(BufferError, match=r"negative strides cannot be shared by DLPack: use tensor.clone\(\)"):
            np.from_dlpack(tensor)
        assert min(tensor.clone().stride()) > 0
        np.testing.assert_array_equal(np.from_dlpack(tensor.clone()), tensor.numpy())


def test_what_cannot_be_taken_in_is_named() -> None:
    for given_, message in (
        ([1.0], "expected an array that has __dlpack__, or a capsule, got list"),
        (Foreign(np.ones(2), (12, 0)), r"got a \S+\.Foreign on a device of DLPack's kind 12"),
        (Foreign(np.ones(2, "complex64")), "expected numbers"),
    ):
        with pytest.raises(TypeError, match=message):
            minicnn.from_dlpack(given_)


def test_an_array_on_a_gpu_needs_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    monkeypatch.setattr(minicnn.backend, "_loaded", {})
    for take in (minicnn.from_dlpack, minicnn.tensor):
        with pytest.raises(minicnn.errors.DeviceError, match="CuPy"):
            take(Foreign(np.ones(2), (2, 0)))


class OnGpu:
    """A library's array on a GPU, as the stand-in for CuPy takes it in."""

    def __init__(self, array: Any, place: tuple[int, int] = (2, 0)) -> None:
        self.array, self.place, self.dtype = array, place, "torch.float32"

    def __dlpack__(self, **options: Any) -> Any:
        return self.array

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.place


@pytest.mark.parametrize("place", [(2, 1), (13, 1), (13, 0)], ids=["the GPU's", "managed", "managed, no number given"])
def test_an_array_on_the_second_gpu_stays_there(place: tuple[int, int]) -> None:
    with fakecupy.installed(devices=2) as cuda:
        cuda.make_current(1)
        array = cuda.to_device(np.arange(3, dtype="float32"))
        for take in (minicnn.from_dlpack, minicnn.tensor, minicnn.as_tensor, minicnn.Tensor):
            for given_ in (OnGpu(array, place), array) if take is not minicnn.from_dlpack else (OnGpu(array, place),):
                minicnn.ones(1, device="cuda:0")  # another GPU is current
                found = take(given_)
                assert str(found.device) == "cuda:1" and (found + 1).cpu().tolist() == [1, 2, 3]
        minicnn.ones(1, device="cuda:0")
        assert str(minicnn.tensor(array, dtype="float64").device) == "cuda:1"
        there = minicnn.tensor(OnGpu(array, place), device="cuda:0")
        assert str(there.device) == "cuda:0" and there.array.device.id == 0 and there.tolist() == [0, 1, 2]
        assert str(minicnn.from_dlpack(OnGpu(array, place), device="cuda:0").device) == "cuda:0"
        with pytest.raises(minicnn.errors.DeviceError, match="got cuda:2"):
            minicnn.from_dlpack(OnGpu(array, (2, 2)))


def test_a_tensor_is_passed_on_in_the_order_of_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy lets the consumer's stream wait for the current one, which has to be the tensor's."""
    with fakecupy.installed(devices=2) as cuda:
        seen: list[Any] = []
        original = cuda.xp.ndarray.__dlpack__

        def logged(self: Any, **options: Any) -> Any:
            seen.append((cuda.xp.cuda.runtime.getDevice(), options))
            return original(self, **options)

        monkeypatch.setattr(cuda.xp.ndarray, "__dlpack__", logged)
        tensor = minicnn.ones(2, device="cuda:1")
        minicnn.ones(1, device="cuda:0")
        assert tensor.__dlpack_device__() == (2, 1)
        assert tensor.__dlpack__(stream=1, max_version=(1, 0)) is tensor.array
        assert seen == [(1, {"stream": 1, "max_version": (1, 0)})]


def test_an_array_on_a_gpu_stays_there() -> None:
    with fakecupy.installed() as cuda:
        array = cuda.to_device(np.arange(3, dtype="float32"))
        for take in (minicnn.from_dlpack, minicnn.tensor, minicnn.as_tensor):
            found = take(OnGpu(array))
            assert str(found.device) == "cuda:0" and found.cpu().tolist() == [0, 1, 2]
            assert np.shares_memory(found.array.host, array.host) == (take is not minicnn.tensor)
        assert found.__dlpack_device__() == (2, 0) and found.__dlpack__() is found.array
        on_host = minicnn.from_dlpack(OnGpu(array), device="cpu")
        assert str(on_host.device) == "cpu" and on_host.tolist() == [0, 1, 2]
        with pytest.raises(ValueError, match="copy=False, but an array on cuda:0 must be copied to cpu"):
            minicnn.from_dlpack(OnGpu(array), device="cpu", copy=False)
        assert minicnn.as_tensor(array).array is array  # CuPy's own are taken as they are


def test_pytorch_goes_both_ways() -> None:
    torch = peers.torch()
    tensor = minicnn.arange(6).float().reshape(2, 3)
    theirs = torch.from_dlpack(tensor)
    theirs[0, 0] = 9
    assert tensor[0, 0].item() == 9
    assert torch.as_tensor(tensor).equal(theirs) and torch.utils.dlpack.from_dlpack(dlpack.to_dlpack(tensor)).equal(
        theirs
    )
    for view in (theirs, theirs.T, theirs[:, ::2], torch.tensor(3.5), theirs > 2, theirs.long()):
        for take in (minicnn.from_dlpack, minicnn.tensor, minicnn.as_tensor, minicnn.Tensor):
            np.testing.assert_array_equal(take(view).numpy(), view.numpy())
    assert minicnn.tensor(theirs, dtype="float64", requires_grad=True).dtype == np.float64
    assert (tensor + theirs).tolist() == (theirs * 2).tolist()
    assert minicnn.tensor([theirs, theirs]).shape == (2, 2, 3)


def test_what_pytorch_has_and_we_have_not() -> None:
    torch = peers.torch()
    for take in (minicnn.from_dlpack, minicnn.tensor):
        with pytest.raises(TypeError, match="cannot share a torch.Tensor of torch.bfloat16"):
            take(torch.ones(2, dtype=torch.bfloat16))
        with pytest.raises(BufferError, match="requires? grad"):
            take(torch.ones(2, requires_grad=True))
