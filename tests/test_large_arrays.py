"""What is too large for memory is mapped from a file, and the numbers are the same."""

import errno
import mmap
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_arm import small_arm, train

from retina_kit.data import large_arrays
from retina_kit.data.large_arrays import new_array, take_rows
from retina_kit.machine import free_memory
from retina_kit.runs.store import RunStore


@pytest.fixture
def no_memory(monkeypatch):
    """A machine on which no memory is free."""
    monkeypatch.setattr(large_arrays, "free_memory", lambda: 0)


def owner_of(array):
    """Return what holds the memory of an array."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array.obj if isinstance(array, memoryview) else array


def test_a_small_array_lies_in_memory():
    assert owner_of(new_array((3, 4), np.uint8)).shape == (3, 4)


def test_a_large_array_is_mapped_from_a_file_without_a_name(no_memory, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = new_array((3, 4), np.float32)
    array[...] = np.arange(12).reshape(3, 4)
    assert isinstance(owner_of(array), mmap.mmap)
    assert array[2].tolist() == [8, 9, 10, 11]
    assert list(tmp_path.iterdir()) == []


def test_large_is_more_than_a_quarter_of_the_free_memory(monkeypatch):
    monkeypatch.setattr(large_arrays, "free_memory", lambda: 96)
    assert not isinstance(owner_of(new_array((3, 4), np.uint16)), mmap.mmap)  # 24 bytes
    assert isinstance(owner_of(new_array((5, 5), np.uint8)), mmap.mmap)


def test_a_system_without_reservations_asks_how_much_is_free(no_memory, tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for free in (100, 99):
        monkeypatch.setattr(shutil, "disk_usage", lambda folder, free=free: SimpleNamespace(free=free))
        if free == 100:
            array = new_array((10, 10), np.uint8)
            array[...] = 7
            assert int(array.sum()) == 700
        else:
            with pytest.raises(OSError, match="No space left") as caught:
                new_array((10, 10), np.uint8)
            assert caught.value.errno == errno.ENOSPC


def test_nothing_is_mapped_where_there_is_nothing(no_memory):
    assert new_array((0, 5), bool).shape == (0, 5)


def test_a_full_disk_is_an_error_not_a_signal(no_memory, small_disk, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    assert len(new_array((1000,), np.uint8)) == 1000
    with pytest.raises(OSError, match="No space left"):
        new_array((1_000_000,), np.uint8)


def test_rows_are_taken_in_the_order_of_their_positions(no_memory):
    values = np.arange(12).reshape(4, 3)
    assert take_rows(values, [3, 0, 3]).tolist() == [[9, 10, 11], [0, 1, 2], [9, 10, 11]]
    assert take_rows(torch.from_numpy(values), np.array([1])).tolist() == [[3, 4, 5]]


def test_the_free_memory_is_a_part_of_all_memory():
    everything = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < free_memory() < everything


def test_mapped_images_train_to_the_same_weights_and_scores(tmp_path, monkeypatch):
    arms = [small_arm("fluid", data={"scale": 0.5, "preprocess": ["gray"]}, recipe={"validate_every": 2})]
    in_memory = train(arms, RunStore(tmp_path / "memory"))["fluid", 0]
    monkeypatch.setattr(large_arrays, "free_memory", lambda: 0)
    mapped = train(arms, RunStore(tmp_path / "mapped"))["fluid", 0]
    assert mapped.scores.equals(in_memory.scores)
    for name, weight in mapped.weights().items():
        assert weight.equal(in_memory.weights()[name])
