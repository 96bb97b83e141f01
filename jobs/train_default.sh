#!/bin/sh
# Trains the shipped model: sh jobs/train_default.sh DATA [OUT]
# DATA holds train/*.npz, evaluate/*.npz and, for the third and fourth stage, fonts/. Perhaps two
# and a half hours on two idle cores; interrupted, the same command goes on. The same files and
# versions draw the same images; the weights agree only as far as parallel floating-point sums do.
set -eu
data=${1:?usage: sh jobs/train_default.sh DATA [OUT]}
out=${2:-models/default}
jobs=$(dirname "$0")
vin_batch=${VIN_BATCH:-vin-batch}
stages=$(dirname "$out")/.$(basename "$out")-stages
start=
for stage in 1 2 3 4; do
  if [ ! -f "$stages/$stage/README.md" ]; then
    "$vin_batch" train --data "$data" --config "$jobs/train_stage$stage.toml" --cards 500 \
      ${start:+--start "$start"} --work "$stages/work$stage" -o "$stages/$stage"
  fi
  start=$stages/$stage
done
"$vin_batch" average-models "$stages/2" "$stages/4" --share 0.4 -o "$out"
exec "$vin_batch" train --data "$data" --cards 4000 --calibrate-only -o "$out"
