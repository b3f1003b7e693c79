"""One archive of videos: its manifests, the files that they name, and how it is kept sound."""
