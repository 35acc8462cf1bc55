/**
 * Which checkpoint of a run is a task's own. After several stages the newest checkpoint still holds every head, but those of tasks that its
 * stage did not train are not what the run made of them: of a joint stage and one stage a task after it, each task has its own.
 */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { StrataError } from '../errors.js'
import { shownValue } from '../shown-value.js'
import { checkpointProblem, listSteps, type ResolvedCheckpoint, resolveCheckpoint } from './checkpoints.js'
import { readTrainingState, STATE_FILE } from './training-state.js'
import type { StageOutline, TrainingState } from './types.js'

/** So many tasks are named in a warning. */
const MOST_NAMED = 10

/**
 * As {@link resolveCheckpoint}, but of a run folder the newest whole checkpoint of the last stage that has trained the task (or the head of
 * that name). Where that stage has none left, one of the last stage before it that also trained the task is taken, else the run's
 * newest, and a warning tells so. A checkpoint folder is taken as it is; of a task that no stage has trained, the newest. Throws as
 * resolveCheckpoint, BAD_CHECKPOINT for a training state that cannot be read.
 */
export async function resolveTaskCheckpoint(path: string, task: string): Promise<ResolvedCheckpoint> {
  const newest = await resolveCheckpoint(path)
  if (newest.kind !== 'run' || !existsSync(join(newest.folder, STATE_FILE))) return newest
  const state = await readTrainingState(newest.folder)
  const trained = stagesOf(state).filter((stage) => stage.isBegun && stage.names.has(task))
  const last = trained.at(-1)
  if (!last || last.index === state.stage.index) return newest
  const parent = dirname(newest.folder)
  const warnings = [...newest.warnings]
  let taken = newest
  for (const stage of trained.reverse()) {
    const found = await newestOfStage(parent, state, stage.index)
    warnings.push(...found.warnings)
    if (found.step === undefined) continue
    taken = { ...newest, folder: join(parent, `step-${found.step}`), step: found.step }
    break
  }
  if (taken.step !== last.endedWith) {
    warnings.push(
      `the checkpoint step-${last.endedWith} of ${dirname(parent)}, with which stage ${shown(last.name)} ended the training of ${shown(task)}, is gone or damaged: ` +
        `step-${taken.step} is taken; checkpoint.keepStages keeps what every stage ended with`,
    )
  }
  return { ...taken, warnings }
}

/** The newest whole checkpoint that a finished stage wrote; a warning names each newer one that is damaged. */
async function newestOfStage(
  parent: string,
  { finished }: TrainingState,
  index: number,
): Promise<{ step?: number; warnings: string[] }> {
  const [before, end] = [finished[index - 1]?.step ?? 0, finished[index].step]
  const warnings: string[] = []
  for (const step of await listSteps(parent)) {
    if (step <= before || step > end) continue
    const path = join(parent, `step-${step}`)
    const problem = await checkpointProblem(path)
    if (problem === undefined) return { step, warnings }
    warnings.push(`${path} is not whole (${problem})`)
  }
  return { warnings }
}

/**
 * Which of the tasks a checkpoint's own stage has not trained, in one warning for all of them: what their heads answer there is not what the
 * run reached. None for a folder without a training state.
 */
export async function untrainedTaskWarnings(folder: string, tasks: readonly string[]): Promise<string[]> {
  if (tasks.length === 0 || !existsSync(join(folder, STATE_FILE))) return []
  let state: TrainingState
  try {
    state = await readTrainingState(folder)
  } catch (error) {
    // The weights are whole all the same.
    if (!(error instanceof StrataError)) throw error
    return [`which tasks the stage of this checkpoint has trained is not known: ${error.message}`]
  }
  const stages = stagesOf(state)
  const own = stages[state.stage.index]
  const untrained = tasks.filter((task) => !own?.isBegun || !own.names.has(task))
  if (!own || untrained.length === 0) return []
  const places = untrained.slice(0, MOST_NAMED).map((task) => {
    const last = stages.findLast(({ isBegun, names }) => isBegun && names.has(task))
    return last ? `${shown(task)} (stage ${shown(last.name)} ended with step-${last.endedWith})` : shown(task)
  })
  if (untrained.length > MOST_NAMED) places.push(`${untrained.length - MOST_NAMED} more`)
  const stage = `stage ${shown(own.name)}`
  const is = own.isBegun ? `is of ${stage}, which does not train` : `was written before ${stage} trained`
  return [
    `${folder} ${is} ${places.join(', ')}: what their heads say here is not what the run reached; give the run folder and one task (task, --task) for the task's own checkpoint`,
  ]
}

interface RunStage {
  index: number
  name: string
  /** Of its tasks and their heads. */
  names: ReadonlySet<string>
  /** It has made a step. */
  isBegun: boolean
  /** Step of the run; missing for the running stage and those to come. */
  endedWith?: number
}

function stagesOf(state: TrainingState): RunStage[] {
  const { stage, finished, stages = outlinesOfOld(state) } = state
  return stages.map(({ name, tasks }, index) => ({
    index,
    name,
    names: new Set([...Object.keys(tasks), ...Object.values(tasks).flat()]),
    isBegun: index < finished.length || (index === stage.index && stage.step > 0),
    endedWith: finished[index]?.step,
  }))
}

/** What a state without outlines tells: of finished stages, the tasks and heads that were scored. */
function outlinesOfOld({ stage, finished }: TrainingState): StageOutline[] {
  const outline = (name: string, tasks: object[]): StageOutline => ({
    name,
    tasks: Object.fromEntries(tasks.flatMap(Object.keys).map((task) => [task, []])),
  })
  return [
    ...finished.map(({ name, scores }) => outline(name, [scores.tasks, scores.heads])),
    outline(stage.name, [stage.tasks]),
  ]
}

/** A name of a file for a message: short, and without what would steer a terminal. */
const shown = (name: string): string => shownValue(name).slice(1, -1)
