/** The scores of every run on its way: what each evaluation found. */
import { valueNameOf } from './check-measures.js'
import { readResult } from './job-folder.js'
import type { LoadedExperiment } from './load-experiment.js'
import type { ExperimentPlan } from './plan.js'
import { type LoggedEvaluation, readRunLog } from './run-log.js'

/** A finished training run as a variant, a step and a seed have it. */
export interface RunEvaluations {
  variant: string
  step: string
  seed: number
  evaluations: LoggedEvaluation[]
}

/** A measure at the evaluations of one stage of a run, in order. */
export interface EvaluatedScore {
  measure: string
  variant: string
  seed: number
  stage: string
  /** Optimiser steps of the run. */
  steps: number[]
  /** null where the number was not finite. */
  values: (number | null)[]
}

/** Reads the logs of all finished training runs; one that several seeds share comes once a variant. */
export async function runEvaluations({ runs }: ExperimentPlan): Promise<RunEvaluations[]> {
  const found: RunEvaluations[] = []
  const seen = new Set<string>()
  for (const { variant, seed, jobs } of runs) {
    for (const [step, job] of Object.entries(jobs)) {
      const key = `${variant} ${step} ${job.id}`
      if (job.kind !== 'train' || seen.has(key) || !readResult(job)) continue
      seen.add(key)
      found.push({ variant, step, seed, evaluations: (await readRunLog(job.folder)).evaluations })
    }
  }
  return found
}

/** In the order of the measures, then of the variants; every stage that scored the measure's number has a row. */
export function evaluatedScores(experiment: LoadedExperiment, runs: readonly RunEvaluations[]): EvaluatedScore[] {
  const variants = Object.keys(experiment.variants)
  return experiment.measures.flatMap((measure) =>
    variants.flatMap((variant) =>
      runs
        .filter((run) => run.variant === variant && run.step === measure.step)
        .flatMap(({ seed, evaluations }) => {
          const name = valueNameOf(experiment, measure, { variant, seed })
          const scored = evaluations.filter(
            ({ stage, scores }) => scores.has(name) && (measure.stage === undefined || stage === measure.stage),
          )
          return [...new Set(scored.map(({ stage }) => stage))].map((stage): EvaluatedScore => {
            const own = scored.filter((evaluation) => evaluation.stage === stage)
            return {
              measure: measure.name,
              variant,
              seed,
              stage,
              steps: own.map(({ step }) => step),
              values: own.map(({ scores }) => finite(scores.get(name)!)),
            }
          })
        }),
    ),
  )
}

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null)
