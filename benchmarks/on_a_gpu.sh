#!/usr/bin/env bash
# For a GPU that is lent for minutes: benchmarks/on_a_gpu.sh SECONDS DATA OUT [DEVICE]
#
# DATA is a data root with the public packs, OUT gets the results: first all notebooks at smoke size, then what a step
# costs, then profile `paper` at a fraction, then the lessons on real images as long as there is time. After each part
# what is finished is in OUT, runs as zip files that `retina-kit store import` takes on another machine; half a minute
# is kept for the last one.
set -uo pipefail
end=$((SECONDS + $1 - 30)) data=$(realpath "$2") out=$(realpath -m "$3") device=${4:-cuda}
cd "$(dirname "$0")/.." && mkdir -p "$out/logs"
export PYTHONUNBUFFERED=1 MPLBACKEND=agg PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
papers=(hu2018 melinscak2020 ortiz2022 huang2023)
python=${PYTHON:-python3}

left() { local seconds=$((end - SECONDS)); echo $((seconds > 1 ? seconds : 1)); } # timeout 0 would never stop
say() { echo "$(left) s left: $*"; }
run() { # NAME COMMAND...: within what is left; the log is kept
    timeout "$(left)" "${@:2}" >"$out/logs/$1.log" 2>&1
    say "$1 ended with $?: $(tail -n 1 "$out/logs/$1.log")"
}
keep() { # NAME OUTPUT_ROOT
    [ -d "$2/runs" ] && "$python" -m retina_kit store export "$out/$1.zip" --no-weights --output-root "$2"
}

for paper in "${papers[@]}"; do
    run "smoke_$paper" "$python" -m retina_kit run "$paper" --profile smoke --device "$device" --output-root "$out/smoke" &
done
wait
run steps_lesson "$python" -m benchmarks.gpu_steps --device "$device" --save gpu_steps_lesson
run steps_paper "$python" -m benchmarks.gpu_steps huang2023 --profile paper --steps 10 --device "$device" --save gpu_steps_paper
cp benchmarks/results/gpu_steps_*.json "$out"

for cell in "ortiz2022 public" "huang2023 public" "huang2023 paper" "huang2023 synthetic"; do
    read -r paper choice <<<"$cell"
    run "cell_${paper}_$choice" "$python" -m benchmarks.paper_profile "$paper" --data "$choice" --data-root "$data" \
        --device "$device" --workers 2 --save "$out/cell_${paper}_$choice.csv" &
done
wait

for paper in huang2023 hu2018 ortiz2022 melinscak2020; do
    run "lesson_$paper" "$python" -m retina_kit train "$paper" --data public --data-root "$data" --device "$device" \
        --output-root "$out/$paper"
    keep "$paper" "$out/$paper"
done
say "the end"
