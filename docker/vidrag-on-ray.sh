#!/bin/sh
# vidrag-on-ray ADDRESS COMMAND...: runs `vidrag COMMAND... --ray ADDRESS` in a container of its own.
# A Ray driver needs a Ray node beside it, so this one joins the cluster first, with no CPUs to give: work stays on the workers.
set -eu
address=$1
shift
if ! said=$(ray start --address="$address" --num-cpus=0 --object-store-memory=100000000 2>&1); then
  echo "vidrag-on-ray: cannot join the Ray cluster at $address: $(echo "$said" | tail -n 1)" >&2
  exit 1
fi
exec vidrag "$@" --ray "$address"
