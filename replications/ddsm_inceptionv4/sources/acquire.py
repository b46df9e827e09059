"""What to get where, and what the collections should count."""

HOW_TO_GET = {
    "ddsm": """  ddsm/        DDSM (Heath et al. 1998), 2,604 cases in 43 volumes, about 230 GB, free: archive of the University
               of South Florida (ftp://figment.csee.usf.edu/pub/DDSM/cases) or a mirror of it, laid out as there:
               ddsm/cancers/cancer_01/case0001/A-0001-1.ics, A_0001_1.LEFT_CC.LJPEG, A_0001_1.LEFT_CC.OVERLAY, ...
               Parts of it, gzipped films and films converted to PNG or TIFF (named as there) are read as well. With
               ddsm_index.csv, a listing of the archive, beside ddsm/ what lies there is compared with what should""",
    "cbis": """  cbis_ddsm/   CBIS-DDSM (Lee et al. 2017; TCIA, doi:10.7937/K9/TCIA.2016.7O02S9CY, CC BY 3.0), 163 GB: the full
               mammogram images, and the lists {mass,calc}_case_description_{train,test}_set.csv. Another task: benign or
               malignant""",
    "mias": """  mini_mias/   mini-MIAS (Suckling et al. 1994; https://peipa.essex.ac.uk/info/mias.html, for research only), 322
               images, 325 MB unpacked: Info.txt and mdb001.pgm to mdb322.pgm""",
    "own": """  mammograms/  mammograms of your own: cases.csv with path,label,patient,laterality,view and, where known,
               digitiser,density; label is lesion or no lesion; files are DICOM (MG), PNG, JPEG, TIFF or PGM. Use
               pseudonyms: patient and path go into results""",
}
