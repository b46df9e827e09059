"""`python no_tensorflow.py SCRIPT ...` runs a script in a process that finds no TensorFlow, installed or not."""

import runpy
import sys
from importlib.abc import MetaPathFinder


class NoTensorFlow(MetaPathFinder):
    def find_spec(self, fullname, path, target=None):
        if fullname.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


if __name__ == "__main__":
    sys.meta_path.insert(0, NoTensorFlow())
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
