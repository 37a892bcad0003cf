"""Devices that this machine does not have, precisions, and memory that a process keeps or gives back."""

import ctypes
import platform

import pytest
import torch

from retina_kit import machine
from retina_kit.errors import SetupError, UsageError
from retina_kit.training import device as devices
from retina_kit.training.device import (
    autocast,
    choose_device,
    device_name,
    has_fast_bfloat16,
    resolve_precision,
    seed_generator,
)

CPU = torch.device("cpu")


@pytest.fixture
def fake_accelerator(monkeypatch):
    """Let torch be built for CUDA and find an accelerator of another kind, one of them."""
    offers = {True: torch.device("xpu"), False: torch.device("cuda")}  # by whether it has to be there
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: offers[check_available])
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    monkeypatch.setattr(torch.xpu, "get_device_name", lambda device=None: "Arc A770")


@pytest.fixture
def memory_calls(monkeypatch):
    """Return the calls of the C library that set up its memory, which are not made."""

    class Library:
        def __init__(self, name):
            assert name is None  # this process itself

        def mallopt(self, parameter, value):
            calls.append(("mallopt", parameter, value))

        def malloc_trim(self, kept):
            calls.append(("malloc_trim", kept))

    calls = []
    monkeypatch.setattr(ctypes, "CDLL", Library)
    devices._keep_freed_memory.cache_clear()
    yield calls
    devices._keep_freed_memory.cache_clear()


def test_auto_takes_the_accelerator_that_torch_offers_and_names_it(fake_accelerator):
    device = choose_device("auto")
    assert device.type == "xpu"
    assert device_name(device) == "Arc A770"
    assert not has_fast_bfloat16(device)
    assert resolve_precision(device) == "float32"  # bfloat16 only where it is known to be fast
    assert resolve_precision(device, "bfloat16") == "bfloat16"


def test_a_device_that_is_not_there_is_refused(fake_accelerator):
    with pytest.raises(SetupError, match="'cuda' was asked for, but torch finds only xpu here"):
        choose_device("cuda")
    with pytest.raises(SetupError, match="'xpu:3': this machine has only 1"):
        choose_device("xpu:3")
    with pytest.raises(SetupError, match="'xpu:1': this machine has only 1"):
        choose_device("xpu:1")  # they are counted from 0
    with pytest.raises(UsageError, match="'gpu' is not one of auto, cpu"):
        choose_device("gpu")


def test_a_device_that_is_there_is_taken_by_name(fake_accelerator):
    assert [str(choose_device(name)) for name in ("cpu", "xpu", "xpu:0")] == ["cpu", "xpu", "xpu:0"]


def test_without_an_accelerator_auto_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: None)
    assert choose_device("auto").type == "cpu"
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(SetupError, match="'mps' was asked for, but torch finds no accelerator here"):
        choose_device("mps")


@pytest.mark.parametrize(("number", "name"), [(1, "CPU (1 thread)"), (2, "CPU (2 threads)"), (16, "CPU (16 threads)")])
def test_a_cpu_is_named_by_its_threads(monkeypatch, number, name):
    monkeypatch.setattr(torch, "get_num_threads", lambda: number)
    assert device_name(CPU) == name


@pytest.mark.parametrize(("processor", "name"), [("arm", "arm (mps)"), ("", "arm64 (mps)")])
def test_a_device_that_torch_cannot_name_has_the_name_of_its_processor(monkeypatch, processor, name):
    monkeypatch.delattr(torch.mps, "get_device_name", raising=False)
    monkeypatch.setattr(platform, "processor", lambda: processor)
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert device_name(torch.device("mps")) == name


@pytest.mark.parametrize(("capability", "fast"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_gpus_compute_bfloat16_from_capability_8_on(monkeypatch, capability, fast):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert has_fast_bfloat16(torch.device("cuda")) is fast


@pytest.mark.parametrize(("avx512", "amx"), [(False, False), (True, False), (False, True)])
def test_processors_compute_bfloat16_with_either_set_of_instructions(monkeypatch, avx512, amx):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert has_fast_bfloat16(CPU) is (avx512 or amx)
    assert resolve_precision(CPU) == ("bfloat16" if avx512 or amx else "float32")
    assert resolve_precision(CPU, "float32") == "float32"


def test_the_processor_draws_the_numbers_of_torchs_own_seed():
    for seed in (0, 5, 2_000_006):
        torch.manual_seed(seed)
        expected = torch.rand(4)
        seed_generator(CPU, seed)
        torch.testing.assert_close(torch.rand(4), expected, atol=0, rtol=0)


def test_on_an_accelerator_torch_seeds_every_device(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch, "manual_seed", seeds.append)
    seed_generator(torch.device("cuda:1"), 7)
    assert seeds == [7]


def test_an_unknown_precision_is_refused():
    with pytest.raises(UsageError, match="'float16' is not one of auto, float32, bfloat16"):
        resolve_precision(CPU, "float16")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_products_are_computed_in_the_precision_that_is_asked_for(precision):
    with autocast(CPU, precision):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert str(product.dtype) == f"torch.{precision}"


def test_a_process_that_computes_on_the_cpu_keeps_its_memory_and_is_told_once(monkeypatch, memory_calls):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    for _ in range(2):
        choose_device("cpu")
    assert memory_calls == [("mallopt", -4, 0), ("mallopt", -1, 2**31 - 1)]  # M_MMAP_MAX, M_TRIM_THRESHOLD of malloc.h


def test_an_accelerator_leaves_the_memory_of_the_process_alone(monkeypatch, fake_accelerator, memory_calls):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    choose_device("xpu")
    assert memory_calls == []


def test_freed_memory_is_given_back(monkeypatch, memory_calls):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    devices.give_back_freed_memory()
    assert memory_calls == [("malloc_trim", 0)]


def test_other_c_libraries_are_left_as_they_are(monkeypatch, memory_calls):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    choose_device("cpu")
    devices.give_back_freed_memory()
    assert memory_calls == []


def test_the_memory_of_a_process_is_reported_where_proc_does_not_keep_its_peak(tmp_path, monkeypatch):
    (tmp_path / "status").write_text("Name:\tpython\nVmRSS:\t  1000 kB\n")  # what gVisor shows
    monkeypatch.setattr(machine, "STATUS", tmp_path / "status")
    assert 10 < machine.peak_memory_mb() < 10**6
