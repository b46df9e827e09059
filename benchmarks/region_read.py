"""Reading 50x50 candidate patches from CT scans: only the rows needed, against reading whole volumes.

    python -m benchmarks.region_read [--scans 3] [--candidates 10] [--slices 300]

Writes volumes of 512x512x300 int16 (157 MB each) to a temporary folder, cuts the same patches in three ways, asserts
that they are equal, and prints the ratio to the plainest way. The files are in the disk cache in all cases. LUNA16 has
about 9 candidates of the recipe in a scan.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from common.data.metaimage import Volume, read_header, read_region, voxel_to_world, world_to_voxel, write_volume

SIDE = 50


def locate(volume: Volume, world: np.ndarray) -> tuple[int, int, int]:
    x, y, z = np.rint(world_to_voxel(volume, world)).astype(int)
    return int(x) - SIDE // 2, int(y) - SIDE // 2, int(z)


def cut_by_region(path: Path, worlds: np.ndarray) -> list[np.ndarray]:
    volume = read_header(path)
    return [read_region(volume, locate(volume, world), (SIDE, SIDE, 1))[0] for world in worlds]


def cut_from_array(path: Path, worlds: np.ndarray) -> list[np.ndarray]:
    """One whole read a scan, by NumPy."""
    volume = read_header(path)
    voxels = np.fromfile(volume.raw, dtype=volume.dtype).reshape(volume.size[::-1])
    return [voxels[z, y : y + SIDE, x : x + SIDE].copy() for x, y, z in (locate(volume, world) for world in worlds)]


def cut_by_simpleitk(path: Path, worlds: np.ndarray) -> list[np.ndarray]:
    """One whole read a scan, by SimpleITK; the public patch recipe does so once a candidate."""
    import SimpleITK

    image = SimpleITK.ReadImage(str(path))
    voxels = SimpleITK.GetArrayViewFromImage(image)
    patches = []
    for world in worlds:
        x, y, z = np.rint(image.TransformPhysicalPointToContinuousIndex(world.tolist())).astype(int)
        patches.append(voxels[z, y - SIDE // 2 : y + SIDE // 2, x - SIDE // 2 : x + SIDE // 2].copy())
    return patches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=3)
    parser.add_argument("--candidates", type=int, default=10, help="in each scan")
    parser.add_argument("--slices", type=int, default=300)
    given = parser.parse_args()
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        scans = []
        for index in range(given.scans):
            path = Path(temporary) / f"{index}.mhd"
            voxels = random.integers(-1024, 3071, (given.slices, 512, 512), dtype=np.int16)
            write_volume(path, voxels, (0.7, 0.7, 1.25), (-180.0, -180.0, -300.0), np.diag([1.0, -1.0, 1.0]))
            points = random.integers((SIDE, SIDE, 0), (512 - SIDE, 512 - SIDE, given.slices), (given.candidates, 3))
            scans.append((path, voxel_to_world(read_header(path), points)))
        seconds, patches = {}, {}
        for cut in (cut_by_simpleitk, cut_from_array, cut_by_region):
            start = time.perf_counter()
            patches[cut] = [patch for path, worlds in scans for patch in cut(path, worlds)]
            seconds[cut] = time.perf_counter() - start
            np.testing.assert_array_equal(patches[cut], patches[cut_by_simpleitk])
    count = given.scans * given.candidates
    print(f"{count} patches from {given.scans} scans of 512x512x{given.slices}, equal in all three ways")
    for cut, name in ((cut_by_simpleitk, "SimpleITK, whole"), (cut_from_array, "NumPy, whole"), (cut_by_region, "region")):
        ratio = seconds[cut_by_simpleitk] / seconds[cut]
        print(f"{name:17s} {seconds[cut] * 1000 / count:8.2f} ms a patch   {ratio:8.1f} x SimpleITK's speed")
    print(f"region read: {seconds[cut_from_array] / seconds[cut_by_region]:.0f} times faster than reading the array whole")


if __name__ == "__main__":
    main()
