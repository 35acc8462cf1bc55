/** comparison.csv, comparison-costs.csv and comparison-scores.csv: every digit, empty where there is no figure. */
import type { Comparison } from './comparison.js'
import type { RunEvaluations } from './evaluated-scores.js'
import type { ComparisonTableRow } from './table-rows.js'
import type { ArmCosts } from './training-costs.js'

type Value = string | number | undefined
type Columns<Row> = Record<string, (row: Row) => Value>

const TABLE: Columns<ComparisonTableRow> = {
  measure: (row) => row.measure,
  variant: (row) => row.variant,
  n: (row) => row.n,
  mean: (row) => row.mean,
  median: (row) => row.median,
  standardDeviation: (row) => row.standardDeviation,
  low: (row) => row.interval?.[0],
  high: (row) => row.interval?.[1],
  notLearned: (row) => row.notLearned,
  reference: (row) => row.reference,
  referenceDifference: (row) => row.referenceDifference,
  against: (row) => row.against,
  pairs: (row) => row.pairs,
  difference: (row) => row.difference,
  differenceLow: (row) => row.differenceInterval?.[0],
  differenceHigh: (row) => row.differenceInterval?.[1],
  pValue: (row) => row.pValue,
  adjustedPValue: (row) => row.adjustedPValue,
  signFlipP: (row) => row.signFlip?.p,
  tTestP: (row) => row.tTest?.p,
  smallestDetectable: (row) => row.smallestDetectable,
  bootstrapLow: (row) => row.bootstrap?.low,
  bootstrapHigh: (row) => row.bootstrap?.high,
  convergenceFactor: (row) => row.convergenceFactor,
  convergenceLow: (row) => row.convergence?.interval?.[0],
  convergenceHigh: (row) => row.convergence?.interval?.[1],
  comparable: (row) => row.convergence?.comparable,
  notComparable: (row) => row.convergence?.notComparable,
  referenceDetectable: (row) => row.referenceDetectable,
  examples: (row) => row.examples,
  smallestByExamples: (row) => row.smallestByExamples,
  notFinite: (row) => row.notFinite ?? 0,
  convergenceCoverage: (row) => row.convergence?.coverage,
}

/** One row a measure and variant. */
export function comparisonCsv({ table }: Comparison): string {
  return csv(table, TABLE)
}

type CostRow = ArmCosts & { task?: string }

const COSTS: Columns<CostRow> = {
  variant: (row) => row.variant,
  step: (row) => row.step,
  task: (row) => row.task,
  runs: (row) => row.runs,
  seconds: (row) => row.seconds,
  shortest: (row) => row.secondsRange[0],
  longest: (row) => row.secondsRange[1],
  evaluationSeconds: (row) => row.evaluationSeconds,
  examplesPerSecond: (row) => row.examplesPerSecond,
  tokensPerSecond: (row) => row.tokensPerSecond,
  parameters: (row) => row.parameters,
  trainedParameters: (row) => (row.task === undefined ? row.trainedParameters : row.tasks?.[row.task].trained),
  ownParameters: (row) => (row.task === undefined ? undefined : row.tasks?.[row.task].own),
}

/** One row a variant and training step; then one for each of its tasks, of which only the parameters are the task's. */
export function costsCsv({ costs }: Comparison): string {
  const rows = costs.flatMap((row): CostRow[] => [
    row,
    ...Object.keys(row.tasks ?? {}).map((task) => ({ ...row, task })),
  ])
  return csv(rows, COSTS)
}

interface ScoreRow {
  run: RunEvaluations
  stage: string
  evaluation: number
  at: number
  name: string
  value: number
}

const SCORES: Columns<ScoreRow> = {
  variant: ({ run }) => run.variant,
  step: ({ run }) => run.step,
  seed: ({ run }) => run.seed,
  stage: (row) => row.stage,
  evaluation: (row) => row.evaluation,
  optimizerStep: (row) => row.at,
  name: (row) => row.name,
  value: (row) => (Number.isNaN(row.value) ? undefined : row.value),
}

/** One row a number of an evaluation; `evaluation` counts within the stage, from 1. */
export function scoresCsv(runs: readonly RunEvaluations[]): string {
  const rows = runs.flatMap((run) => {
    const counts = new Map<string, number>()
    return run.evaluations.flatMap(({ stage, step: at, scores }) => {
      const evaluation = (counts.get(stage) ?? 0) + 1
      counts.set(stage, evaluation)
      return [...scores].map(([name, value]): ScoreRow => ({ run, stage, evaluation, at, name, value }))
    })
  })
  return csv(rows, SCORES)
}

function csv<Row>(rows: readonly Row[], columns: Columns<Row>): string {
  const cell = (value: Value) => {
    const text = value === undefined ? '' : String(value)
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
  }
  const lines = rows.map((row) =>
    Object.values(columns)
      .map((read) => cell(read(row)))
      .join(','),
  )
  return `${[Object.keys(columns).join(','), ...lines].join('\n')}\n`
}
