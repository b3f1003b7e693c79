"""What evidence is, how it is encoded, written and found."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime would report its use; read when it is first imported
