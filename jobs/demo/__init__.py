"""The bundled sample and the script that made it."""
