# shellcheck shell=bash
# What the job scripts share: each sources this file, and a script that `thresher submit` writes holds a copy of it.
#
#   run_step <verb> <options...>   runs one step over all tasks of the job, hands a stop signal on to it, requeues the job
#                                  where the step asks for that, and returns the step's exit code
#   walltime_left                  prints the seconds after which a step should stop by itself; 0 = never
#   tasks_of <component>           prints the tasks of a component of a heterogeneous job, which count from 0

# Options of srun that a site or a script adds.
srun_options=("${srun_options[@]}")
if [ -n "${slurm:-}" ] && [ -e "$slurm/site.sh" ]; then
    # shellcheck source=slurm/site.example.sh
    . "$slurm/site.sh"
fi
# Until a step runs, a stop signal has nobody to go to.
trap : USR1

# More parts than any run has.
never=1000000000

# What stopping may take: the step's last update, its checkpoint, and the way down.
stopping_s=240

walltime_left() {
    local end left
    end=$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%e 2>/dev/null | head -n 1)
    # NONE, N/A: without a limit. No answer: nobody knows, and the stop signal will tell.
    end=$(date --date="${end:-N/A}" +%s 2>/dev/null) || end=0
    left=$((end - $(date +%s) - stopping_s))
    if [ "$end" -eq 0 ]; then
        left=0
    elif [ "$left" -lt 60 ]; then
        left=60
    fi
    echo "$left"
}

# Slurm 23.11 tells the tasks of a component only where the job asked by --ntasks, older ones always.
tasks_of() {
    local tasks=SLURM_NTASKS_HET_GROUP_$1 nodes=SLURM_JOB_NUM_NODES_HET_GROUP_$1 each=SLURM_NTASKS_PER_NODE_HET_GROUP_$1
    echo "${!tasks:-$((${!nodes} * ${!each}))}"
}

# of_run NAME OTHERWISE: a number that the run tells of itself, or OTHERWISE where it cannot be asked. `parts`: how often it was
# begun; `exit_code`: how its last part ended, -1 where it did not come to say.
of_run() {
    local number
    number=$(thresher status "${run:?}" --json 2>/dev/null | sed -n "s/.*\"$1\":\(-\?[0-9]*\).*/\1/p")
    echo "${number:-$2}"
}

# end_hanging_srun PROCESS PARTS: ends the srun of a heterogeneous step that hangs although the step is over, as it can under Slurm
# 22.05, where the components stop one and the same PMIx agent. Only where the controller answers, three times, that there is no
# step, and the step was there: the controller listed it once, or the run has more parts than it had.
end_hanging_srun() {
    local steps began=0 gone=0
    while kill -0 "$1" 2>/dev/null && [ "$gone" -lt 3 ]; do
        sleep 2
        steps=$(squeue --noheader --steps --jobs="$SLURM_JOB_ID" --format=%i 2>/dev/null) || continue
        if [[ $steps =~ [.][0-9] ]]; then
            began=1 gone=0
        else
            [ "$began" -eq 1 ] || [ "$(of_run parts "$2")" -le "$2" ] || began=1
            gone=$((gone + began))
        fi
    done
    kill -KILL "$1" 2>/dev/null
}

run_step() {
    local step code told parts=0 threads=(--threads "${SLURM_CPUS_PER_TASK:-1}")
    [[ " $* " != *" --threads"* ]] || threads=()
    echo "thresher: job $SLURM_JOB_ID, part $((${SLURM_RESTART_COUNT:-0} + 1)), nodes $SLURM_JOB_NODELIST: thresher $*"
    if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then
        export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
        srun_options+=(--cpus-per-task="$SLURM_CPUS_PER_TASK")  # srun does not ask for it by itself
    fi
    # A run that does not answer now is not asked later: nobody could tell its parts from this step's.
    [ -z "${SLURM_HET_SIZE:-}" ] || [ ! -e "${run:?}" ] || parts=$(of_run parts "$never")
    # A task that dies takes the others with it, instead of leaving them waiting for it.
    srun --mpi=pmix --kill-on-bad-exit=1 "${srun_options[@]}" \
        thresher "$@" "${threads[@]}" &
    step=$!
    # shellcheck disable=SC2064  # the process that is known now
    trap "kill -USR1 $step 2>/dev/null" USR1
    [ -z "${SLURM_HET_SIZE:-}" ] || end_hanging_srun "$step" "$parts" &
    # A signal ends a wait early; the last one gives the step's own code.
    while kill -0 "$step" 2>/dev/null; do
        wait "$step"
    done
    wait "$step"
    code=$?
    trap : USR1
    # An srun that was ended here is not the step: what counts is what the run says of the part that this step was.
    if [ -n "${SLURM_HET_SIZE:-}" ] && [ "$code" -eq 137 ] && [ "$(of_run parts "$parts")" -gt "$parts" ]; then
        told=$(of_run exit_code -1)
        [ "$told" -lt 0 ] || code=$told
    fi
    # 85: it wrote a checkpoint and asks for more time. 138: the signal came before it could catch it, so nothing was begun.
    if [ "$code" -eq 85 ] || [ "$code" -eq 138 ]; then
        echo "thresher: job $SLURM_JOB_ID is requeued"
        scontrol requeue "$SLURM_JOB_ID"
    fi
    return "$code"
}
