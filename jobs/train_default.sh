#!/bin/sh
# Trains the shipped model: sh jobs/train_default.sh DATA [OUT [VINS]]
# DATA holds train/*.npz, evaluate/*.npz and, from the third stage on, fonts/. VINS is the list
# that `vin-batch learn-makers` learned from; without it made-up models calibrate. Perhaps four and
# a half hours on two idle cores; interrupted, the same command goes on. The same files and
# versions draw the same images; the weights agree only as far as parallel floating-point sums do.
set -eu
data=${1:?usage: sh jobs/train_default.sh DATA [OUT [VINS]]}
out=${2:-models/default}
vins=${3:-}
jobs=$(dirname "$0")
vin_batch=${VIN_BATCH:-vin-batch}
stages=$(dirname "$out")/.$(basename "$out")-stages

# stage NUMBER START [OPTION...]: one training that goes on from another; none where START is empty.
stage() {
  number=$1 start=$2
  shift 2
  if [ ! -f "$stages/$number/README.md" ]; then
    "$vin_batch" train --data "$data" --config "$jobs/train_stage$number.toml" --cards 500 \
      ${start:+--start "$start"} "$@" --work "$stages/work$number" -o "$stages/$number"
  fi
}

stage 1 ''
stage 2 "$stages/1"
stage 3 "$stages/2"
stage 4 "$stages/3"
"$vin_batch" average-models "$stages/2" "$stages/4" --share 0.4 -o "$stages/mean"
# Two more stages learn what the second and the fourth answer together.
set -- --teacher "$stages/2" --teacher "$stages/4"
stage 5 "$stages/mean" "$@"
stage 6 "$stages/5" "$@"
"$vin_batch" average-models "$stages/mean" "$stages/6" --share 0.45 -o "$out"
"$vin_batch" train --data "$data" ${vins:+--vins "$vins"} --cards 4000 --calibrate-only -o "$out"
"$vin_batch" export-engine --model "$out" --data "$data"
exec "$vin_batch" train-second-reader --data "$data" ${vins:+--vins "$vins"} --model "$out"
