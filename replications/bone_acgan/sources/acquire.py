"""What to get where, and what the collections should count."""

HOW_TO_GET = """The paper's scans (178 cases of one hospital) are not published. In their place:
  bone_scans/   scans of your own: NM DICOM of one or two frames, or PNG/JPEG of one view each, bright where many counts
                are; and cases.csv, comma-separated: path,label,patient,view; label is health, metastases or benign changes; leave
                out patient for DICOM with ids of its own, and view for DICOM. Use pseudonyms: patient and path go into results
  bs80k/        BS-80K (Huang et al. 2022, normal or abnormal): on request from its authors; whole-body pictures in
                wholeBodyANT/ and wholeBodyPOST/, each with a list of labels"""
HOW_TO_GET_CHESTS = """Source domain of the GANs: the COVID-19 Radiography Database (Kaggle,
tawsifurrahman/covid19-radiography-database),
  as it is unpacked, in covid19_radiography/: COVID/images, Lung_Opacity/images, Normal/images, Viral Pneumonia/images"""
