#!/bin/sh
# Trains the shipped model: sh jobs/train_default.sh DATA [OUT]
# DATA holds train/*.npz and evaluate/*.npz. About 75 minutes on two cores; interrupted, the
# same command goes on. The same files and versions draw the same images; the weights agree
# only as far as parallel floating-point sums do.
set -eu
data=${1:?usage: sh jobs/train_default.sh DATA [OUT]}
out=${2:-models/default}
jobs=$(dirname "$0")
vin_batch=${VIN_BATCH:-vin-batch}
stage1=$(dirname "$out")/.$(basename "$out")-stage1
if [ ! -f "$stage1/model/README.md" ]; then
  "$vin_batch" train --data "$data" --config "$jobs/train_stage1.toml" --cards 500 \
    --work "$stage1/work" -o "$stage1/model"
fi
exec "$vin_batch" train --data "$data" --config "$jobs/train_stage2.toml" --cards 4000 \
  --start "$stage1/model" --work "$stage1/work2" -o "$out"
