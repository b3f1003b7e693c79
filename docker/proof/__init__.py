"""Builds the images' files in Debian chroots and runs them as containers would be run, without a container engine."""
