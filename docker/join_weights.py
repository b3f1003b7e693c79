"""Build step of both images: joins weights that come in pieces, checks every hash, converts what has to be converted; a
wrong hash fails the build.
"""

from vidrag.store.encoders import e5
from vidrag.store.weights import models

for name in sorted(models.KNOWN):
    if models.installed(name):
        models.folder_of(name)
        print(f"weights {name}: checked")
    else:
        print(f"weights {name}: not in this image")
converted = e5.ready(e5.E5Options().model)
print(f"weights {e5.E5Options().model}: converted in {converted}")
