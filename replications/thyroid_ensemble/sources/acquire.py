"""What lies in the data folder and what to get where: the texts behind data.py's command. Nothing here is downloaded."""

# Published sizes; DDTI's copies differ, so it has none.
EXPECTED = {
    "hou2024": {"pictures": 8508, "patients": 842},
    "tn5000": {"pictures": 5000, "train": 4000, "test": 1000},
    "tn3k": {"pictures": 3493, "train": 2879, "test": 614},
}
HOW_TO_GET = """\
The paper's pictures (124 patients, 681 benign and 663 malignant) are private. What else can be used, in this order; none of
the four collections has a direct address that stays, so nothing is downloaded for you: get it by hand, put it here.

Your own pictures (JPEG or PNG), or the paper's if you have them:
    thyroid/cases.csv  columns path,label,patient and, where known, x0,y0,x1,y1 or mask, and case_id, split
      path: of the picture, inside thyroid/; label: benign or malignant (or 0, 1); patient: any name, the same for one person
      x0,y0,x1,y1: box of the nodule in pixels, x1 and y1 exclusive; mask: path of a picture, nodule white (255 or 1) on black
      boxes are of the picture as viewers show it; columns black,white: their grey levels, needed for 12 and 16 bits
      without box and mask the whole picture is taken; one line a nodule
      split: train or test, in every line or in none; kept by the paper's protocol
Hou et al. 2024, Sci Data 11:1272: 8508 pictures of 842 patients, pathology; no boxes, so whole pictures
    page https://doi.org/10.6084/m9.figshare.26067475, paper https://doi.org/10.1038/s41597-024-04156-5
    licence: CC BY 4.0 as reported by others; see the page
    hou2024/  batch1_image.csv, batch1_image_label.csv, dataset/*.Jpg, batch2_image/batch2_image.csv, ... as unpacked
TN5000, Zhang et al. 2025, Sci Data 12:1437: 5000 pictures with a box; no patients
    page https://doi.org/10.6084/m9.figshare.28455641; licence: see the page
    tn5000/  Annotations/*.xml, JPEGImages/*.jpg, ImageSets/Main/train.txt, val.txt, test.txt
TN3K, Gong et al. 2021, with labels: 3493 pictures with a mask; no patients
    pages https://github.com/haifangong/TRFE-Net-for-thyroid-nodule-segmentation (pictures, masks) and
    https://github.com/chenghui-666/ACL (the same with labels, 0 benign); licence: MIT as reported by others; see the pages
    tn3k/  label4trainval.csv, label4test.csv, trainval-image/, trainval-mask/, test-image/, test-mask/
DDTI, Pedraza et al. 2015, https://doi.org/10.1117/12.2073532: about 390 cases, TI-RADS grades instead of pathology
    page http://cimalab.intec.co/applications/thyroid/ (often out of reach), copies such as
    https://www.kaggle.com/datasets/dasmehdixtr/ddti-thyroid-ultrasound-images; open access, but no licence is stated
    ddti/  <case>.xml and <case>_<picture>.jpg, in any folders
Which one: --set source=own, hou2024, tn5000, tn3k or ddti; without it, the first of them that is there."""


def compare_counts(kind: str, counts: dict[str, int]) -> list[str]:
    """Differences from the published sizes."""
    expected = EXPECTED.get(kind, {})
    return [f"{counts.get(name, 0)} {name} instead of the published {n}" for name, n in expected.items() if counts.get(name) != n]
