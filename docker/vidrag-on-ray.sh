#!/bin/sh
# vidrag-on-ray ADDRESS COMMAND...: runs `vidrag COMMAND... --ray ADDRESS` in a container of its own.
# A Ray driver needs a Ray node beside it, so this one joins the cluster first, with no CPUs to give: work stays on the workers.
set -eu
address=$1
shift
timeout 60 ray start --address="$address" --num-cpus=0 --object-store-memory=100000000 > /tmp/ray-start.log 2>&1 || {
  echo "vidrag-on-ray: cannot join a Ray cluster at $address within a minute; is its head up?" >&2
  exit 1
}
exec vidrag "$@" --ray "$address"
