#!/usr/bin/env bash
# The benchmarks and the recipe experiment=camvid on a machine with one NVIDIA GPU and no network, in pieces.
#
#   benchmarks/gpu.sh pack DATA WEIGHTS [PACKAGE ...]   where there is a network: fills benchmarks/gpu/, which travels
#                                                       along; PACKAGE: what that machine lacks
#   benchmarks/gpu.sh run [SECONDS [KEY=VALUE ...]]     there: goes on for SECONDS (520); keys are of train.py
#   benchmarks/gpu.sh dry                               the same on the CPU with tiny settings, in a temporary folder
#
# Exit codes of run: 0 all is done, 75 call it again, 1 a step failed (benchmarks/gpu/results/summary.md says which).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=benchmarks/gpu
python=${PYTHON:-python3}
if [[ -z ${PYTHON:-} && -x .venv/bin/python ]]; then
    python=.venv/bin/python
fi

dry() {
    local code=75
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    "$python" -m benchmarks.gpu_pack --tiny "$folder"
    while [[ $code == 75 ]]; do
        code=0
        "$python" -m benchmarks.gpu_run --dry --folder "$folder" "${@:-600}" || code=$?
    done
    return "$code"
}

case ${1:-} in
    pack) "$python" -m benchmarks.gpu_pack --folder "$folder" "${@:2}" ;;
    run) "$python" -m benchmarks.gpu_run --folder "$folder" "${@:2}" ;;
    dry) dry "${@:2}" ;;
    *)
        sed -n 's/^# \{0,1\}//p' "${BASH_SOURCE[0]}" | tail -n +2
        exit 2
        ;;
esac
