"""The one table of readers: what each reads, of all papers. A reader that takes a file from elsewhere belongs here."""

import readers_bone
import readers_common
import readers_ddsm
import readers_glioma
import readers_lung_hip
import readers_thyroid
import readers_weights
from reader import Reader

TABLES = (readers_common, readers_weights, readers_bone, readers_ddsm, readers_glioma, readers_lung_hip, readers_thyroid)
READERS: dict[str, Reader] = {name: reader for table in TABLES for name, reader in table.READERS.items()}
