"""How many cores and how much memory are ours, from the kernel's files as they look on different machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from botbridge.resources import (
    anonymous_bytes,
    available_memory_bytes,
    memory_kills,
    memory_limit_bytes,
    processor_limit,
    usable_cores,
    usable_memory_bytes,
)

GIGABYTE = 2**30


def write(root: Path, files: dict[str, str]) -> Path:
    """A machine's files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def hyper_threads(count: int) -> dict[str, str]:
    """Processors of which two each are one core, numbered as Linux does: 0 and count/2, ..."""
    half = count // 2
    return {
        f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list": f"{number % half},{number % half + half}\n"
        for number in range(count)
    }


def test_hyper_threads_of_a_core_count_once(tmp_path: Path) -> None:
    """Both compute with the same units."""
    root = write(tmp_path, hyper_threads(8))
    assert usable_cores(root, range(8)) == 4
    assert usable_cores(root, {0, 4}) == 1
    assert usable_cores(root, {0, 1}) == 2


def test_without_the_kernels_files_each_processor_counts(tmp_path: Path) -> None:
    """As on other systems."""
    assert usable_cores(tmp_path, {0, 1, 2}) == 3


VERSION_2 = {
    "proc/self/cgroup": "0::/pods/bot\n",
    "sys/fs/cgroup/pods/bot/cpu.max": "max 100000\n",
    "sys/fs/cgroup/pods/cpu.max": "250000 100000\n",
    "sys/fs/cgroup/pods/bot/memory.max": f"{4 * GIGABYTE}\n",
    "sys/fs/cgroup/pods/bot/memory.current": f"{3 * GIGABYTE}\n",
    "sys/fs/cgroup/pods/bot/memory.stat": f"anon 5\ninactive_file {GIGABYTE}\n",
    "sys/fs/cgroup/pods/memory.max": "max\n",
    "sys/fs/cgroup/pods/memory.current": "5\n",
}
VERSION_1 = {
    "proc/self/cgroup": "5:memory:/bot\n4:cpu,cpuacct:/bot\n1:name=systemd:/bot\n",
    "sys/fs/cgroup/cpu/bot/cpu.cfs_quota_us": "250000\n",
    "sys/fs/cgroup/cpu/bot/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/memory/bot/memory.limit_in_bytes": f"{4 * GIGABYTE}\n",
    "sys/fs/cgroup/memory/bot/memory.usage_in_bytes": f"{3 * GIGABYTE}\n",
    "sys/fs/cgroup/memory/bot/memory.stat": f"cache 7\ntotal_inactive_file {GIGABYTE}\n",
}
NAMESPACE = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000\n"}
"""Inside a container the own group looks like the root."""


@pytest.mark.parametrize("files", [VERSION_2, VERSION_1, NAMESPACE], ids=["version 2", "version 1", "container"])
def test_a_control_group_grants_whole_cores(tmp_path: Path, files: dict[str, str]) -> None:
    """Two of eight for a share of 2.5, wherever above us the limit stands; no more than there are."""
    root = write(tmp_path, files)
    assert usable_cores(root, range(8)) == 2
    assert usable_cores(root, {3}) == 1


def test_less_than_a_core_is_still_one_thread(tmp_path: Path) -> None:
    """Something has to compute."""
    root = write(tmp_path, NAMESPACE | {"sys/fs/cgroup/cpu.max": "50000 100000\n"})
    assert usable_cores(root, range(8)) == 1


@pytest.mark.parametrize("files", [VERSION_2, VERSION_1], ids=["version 2", "version 1"])
def test_a_control_group_limits_memory(tmp_path: Path, files: dict[str, str]) -> None:
    """What is left of its limit, and the file pages that the kernel can drop."""
    root = write(tmp_path, files | {"proc/meminfo": f"MemTotal: 9 kB\nMemAvailable: {16 * GIGABYTE // 1024} kB\n"})
    assert available_memory_bytes(root) == 2 * GIGABYTE


@pytest.mark.parametrize("files", [VERSION_2, VERSION_1], ids=["version 2", "version 1"])
def test_what_a_control_group_grants_can_be_told(tmp_path: Path, files: dict[str, str]) -> None:
    root = write(tmp_path, files)
    assert memory_limit_bytes(root) == 4 * GIGABYTE
    assert processor_limit(root) == 2.5


def test_a_group_without_limits_grants_none(tmp_path: Path) -> None:
    """Version 1 writes a number all the same."""
    assert (memory_limit_bytes(tmp_path), processor_limit(tmp_path)) == (None, None)
    unlimited = {
        "sys/fs/cgroup/memory/bot/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/cpu/bot/cpu.cfs_quota_us": "-1\n",
    }
    root = write(tmp_path, VERSION_1 | unlimited)
    assert (memory_limit_bytes(root), processor_limit(root)) == (None, None)


def test_the_machine_limits_memory_too(tmp_path: Path) -> None:
    """A group may be granted more than there is."""
    root = write(tmp_path, VERSION_2 | {"proc/meminfo": "MemAvailable: 1024 kB\n"})
    assert available_memory_bytes(root) == 1024 * 1024


def test_a_group_beyond_its_limit_has_nothing_left(tmp_path: Path) -> None:
    """And not less than nothing."""
    root = write(tmp_path, VERSION_2 | {"sys/fs/cgroup/pods/bot/memory.current": f"{9 * GIGABYTE}\n"})
    assert available_memory_bytes(root) == 0


@pytest.mark.parametrize("files", [VERSION_2, VERSION_1], ids=["version 2", "version 1"])
def test_the_least_limit_counts_whoever_set_it(tmp_path: Path, files: dict[str, str]) -> None:
    """That of the machine, too."""
    root = write(tmp_path, files | {"proc/meminfo": f"MemTotal: {16 * GIGABYTE // 1024} kB\n"})
    assert usable_memory_bytes(root) == 4 * GIGABYTE
    write(root, {"proc/meminfo": f"MemTotal: {GIGABYTE // 1024} kB\n"})
    assert usable_memory_bytes(root) == GIGABYTE


VMSTAT = {"proc/vmstat": "nr_free_pages 5\noom_kill 9\n"}


@pytest.mark.parametrize(
    ("files", "kills"),
    [
        (VERSION_2 | {"sys/fs/cgroup/pods/bot/memory.events": "oom 7\noom_kill 2\noom_group_kill 0\n"}, 2),
        (VERSION_1 | {"sys/fs/cgroup/memory/bot/memory.oom_control": "oom_kill_disable 0\noom_kill 3\n"}, 3),
        (NAMESPACE, 9),
    ],
    ids=["version 2", "version 1", "no group of ours"],
)
def test_the_kernels_kills_in_our_group_are_counted_or_else_all(
    tmp_path: Path, files: dict[str, str], kills: int
) -> None:
    """Others on the machine may want memory without our knowing."""
    assert memory_kills(write(tmp_path, VMSTAT | files)) == kills


def test_where_nothing_is_known_nothing_is_said(tmp_path: Path) -> None:
    """As on other systems."""
    assert available_memory_bytes(tmp_path) is None
    assert usable_memory_bytes(tmp_path) is None
    assert memory_kills(tmp_path) is None


def test_this_machine_has_a_core_and_some_memory() -> None:
    """The real files can be read."""
    assert usable_cores() >= 1
    assert (available_memory_bytes() or 1) > 0


def test_what_a_process_wrote_itself_is_what_is_free_when_it_ends(tmp_path: Path) -> None:
    """Pages of files are available while it runs."""
    (tmp_path / "proc" / "7").mkdir(parents=True)
    (tmp_path / "proc" / "7" / "status").write_text(
        "Name:\tbot\nVmRSS:\t 900 kB\nRssAnon:\t 700 kB\nRssFile:\t 200 kB\n"
    )
    assert anonymous_bytes(7, tmp_path) == 700 * 1024
    assert anonymous_bytes(8, tmp_path) == 0
