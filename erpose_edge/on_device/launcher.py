"""``python3 -m erpose_runtime``: this file is ``erpose_runtime/__main__.py`` of a bundle.

Python is told to leave no byte code behind: a bundle holds what its list says and nothing else.
"""

import shutil
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent

sys.dont_write_bytecode = True
# Before this line Python may have cached this very file.
shutil.rmtree(_HERE / "__pycache__", ignore_errors=True)
# The package of this bundle, whatever lies in the folder that the user is in.
sys.path.insert(0, str(_HERE.parent))


def main() -> int:
    """Run the program of the bundle that this file lies in."""
    if sys.version_info < (3, 8):  # noqa: UP036 - a board may have an older one
        sys.stderr.write(
            f"error: python3: expected 3.8 or newer (JetPack 5), got {sys.version.split()[0]}; "
            "update the board's system\n"
        )
        return 5
    from erpose_edge.on_device.program import main as program

    return program()


if __name__ == "__main__":
    sys.exit(main())
