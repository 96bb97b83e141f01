#!/bin/sh
# Trains models/next: sh jobs/train_next.sh DATA [OUT]
# Goes on from the stages that jobs/train_default.sh left beside models/default: two more stages
# learn the mean answer of the second and the fourth, and their weights are averaged with those of
# models/default.
set -eu
data=${1:?usage: sh jobs/train_next.sh DATA [OUT]}
out=${2:-models/next}
jobs=$(dirname "$0")
vin_batch=${VIN_BATCH:-vin-batch}
default=$(dirname "$out")/default
stages=$(dirname "$out")/.default-stages
start=$default
for stage in 5 6; do
  if [ ! -f "$stages/$stage/README.md" ]; then
    "$vin_batch" train --data "$data" --config "$jobs/train_stage$stage.toml" --cards 500 \
      --start "$start" --teacher "$stages/2" --teacher "$stages/4" \
      --work "$stages/work$stage" -o "$stages/$stage"
  fi
  start=$stages/$stage
done
"$vin_batch" average-models "$default" "$stages/6" --share 0.45 -o "$out"
exec "$vin_batch" train --data "$data" --cards 4000 --calibrate-only -o "$out"
