"""Files as people have them: names that changed in passing, and what a Mac adds."""

import shutil

from glioma_samples import write_collection, write_pairs

from replications.glioma_inceptionv3.config import SMOKE
from replications.glioma_inceptionv3.sources import lgg, pairs


def test_masks_with_another_ending(tmp_path):
    write_collection(tmp_path, prepared=False)
    expected = [subject.read().masks.sum() for subject in lgg.list_lgg(tmp_path, SMOKE).subjects]
    for path in list(tmp_path.rglob("*_mask.tif")):
        path.rename(path.with_suffix(".TIF"))
    for path in list(tmp_path.rglob("*.[tT][iI][fF]")):
        shutil.copy(path, path.with_name(f"._{path.name}"))
    assert [subject.read().masks.sum() for subject in lgg.list_lgg(tmp_path, SMOKE).subjects] == expected


def test_volumes_of_ones_own_under_another_ending_and_a_near_miss(tmp_path):
    write_pairs(tmp_path, ["II", "III", "IV"])
    listing = pairs.list_own(tmp_path, SMOKE)
    assert (len(listing.subjects), listing.faults) == (3, [])
    images = sorted(path for path in tmp_path.rglob("*.nrrd") if "seg" not in path.name and "mask" not in path.name)
    images[0].rename(images[0].with_suffix(".NRRD"))
    listing = pairs.list_own(tmp_path, SMOKE)
    assert (len(listing.subjects), listing.faults) == (3, [])
    assert listing.subjects[0].read().total > 0


def test_a_table_that_a_mac_doubled_is_one_table(tmp_path):
    (tmp_path / "UCSF-PDGM-metadata_v2.csv").write_text("ID,WHO CNS Grade\nUCSF-PDGM-004,4\n")
    shutil.copy(tmp_path / "UCSF-PDGM-metadata_v2.csv", tmp_path / "._UCSF-PDGM-metadata_v2.csv")
    assert pairs.list_ucsf(tmp_path, SMOKE).faults == ["UCSF-PDGM-metadata_v2.csv line 2: no folder of 'UCSF-PDGM-004'"]
