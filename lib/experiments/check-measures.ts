/** Measures and criteria that nothing of the experiment can give, found before anything runs. */
import { StrataError } from '../errors.js'
import { nearest, type RecipeProblem, recipeError, relationNames } from '../recipes/index.js'
import type { LoadedExperiment, Measure } from './load-experiment.js'
import { COSTS } from './load-experiment.js'
import { type ExperimentPlan, type Job, variablesOf } from './plan.js'
import { fillVariables } from './variables.js'

/** Names that a run's numbers can begin with; undefined where the command alone knows. */
function beginnings(job: Job): string[] | undefined {
  if (job.kind === 'probe') return undefined
  const training = job.kind === 'train' ? job : job.parent?.kind === 'train' ? job.parent : undefined
  if (!training) return undefined
  const { heads, tasks } = training.recipe
  const scored = [...Object.keys(heads), ...relationNames(training.recipe), ...Object.keys(tasks)]
  return job.kind === 'train' ? [...scored, ...COSTS, 'mean', 'sum'] : [...scored, 'mean', 'sum']
}

/** Throws BAD_RECIPE for a measure that begins with no head, task or figure of its step in any variant. */
export function checkMeasures(experiment: LoadedExperiment, { runs }: ExperimentPlan): void {
  const problems: RecipeProblem[] = []
  const check = (key: string, step: string, names: (run: ExperimentPlan['runs'][number]) => string) => {
    const known = new Set<string>()
    for (const run of runs) {
      const possible = beginnings(run.jobs[step])
      if (possible === undefined || possible.includes(names(run).split('.')[0])) return
      for (const name of possible) known.add(name)
    }
    const [begins] = names(runs[0]).split('.')
    const near = nearest(begins, [...known])
    problems.push({
      key,
      message: `step ${step} gives nothing of "${begins}"${near ? `; did you mean "${near}"?` : ''}, expected one of ${[...known].join(', ')}`,
    })
  }
  experiment.measures.forEach((measure, index) => {
    check(`measures.${index}`, measure.step, (run) => valueNameOf(experiment, measure, run))
  })
  experiment.learned.forEach(({ step, head, task }, index) => {
    check(`learned.${index}`, step, () => head ?? task!)
  })
  if (problems.length > 0) throw recipeError(problems, experiment.label)
}

/** Name of the number that a measure means for a variant and seed. */
export function valueNameOf(
  experiment: LoadedExperiment,
  { value }: Measure,
  place: { variant: string; seed: number },
): string {
  return fillVariables(value, variablesOf(experiment, place))
}

/** A measure whose step is done and gave no such number, not even one that is not finite. */
export function unknownMeasure(
  { label }: LoadedExperiment,
  { step, value, stage }: Measure,
  known: readonly string[],
): StrataError {
  const near = nearest(value, known)
  return new StrataError(
    'BAD_RECIPE',
    `${label}: measures: no run of step ${step} gives ${value}${stage === undefined ? '' : ` in stage ${stage}`}${near ? `; did you mean "${near}"?` : ''} (it gives ${[...known].sort().join(', ')})`,
    { details: { step, value, known } },
  )
}
