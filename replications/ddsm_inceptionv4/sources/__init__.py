"""Readers of mammograms (DDSM as it was published, CBIS-DDSM, mini-MIAS, own folders), and phantoms in DDSM's layout."""
