/** An experiment whose variants have a budget in hours, with the steps that fit into it in place of the hours. */
import { type Document, parseDocument } from 'yaml'

/** A stage of a variant's training step, and what a step of it takes. */
export interface MeasuredStage {
  name: string
  milliseconds: number
}

export interface StepBudget {
  /** Of all stages together. */
  steps: number
  /** Share of the steps in the first of two stages. */
  budgetShare?: number
}

/**
 * Steps that fit into `hours`. Of two stages the first has `share` of the time; its share of the steps is another where a step of it takes
 * another time.
 */
export function stepsIn(hours: number, stages: readonly MeasuredStage[], share: number): StepBudget {
  const milliseconds = 3_600_000 * hours
  const count = (part: number, stage: MeasuredStage) =>
    Math.max(1, Math.round((part * milliseconds) / stage.milliseconds))
  if (stages.length === 1) return { steps: count(1, stages[0]) }
  if (stages.length !== 2) throw new Error(`a variant has ${stages.length} stages; one or two were expected`)
  const [first, second] = [count(share, stages[0]), count(1 - share, stages[1])]
  return { steps: first + second, budgetShare: first / (first + second) }
}

/** The experiment's text with these budgets; all else stays as it is written. */
export function withStepBudgets(
  text: string,
  step: string,
  budgets: Readonly<Record<string, StepBudget>>,
  comment: string,
): string {
  const document: Document = parseDocument(text)
  for (const [variant, { steps, budgetShare }] of Object.entries(budgets)) {
    const place = ['variants', variant, 'steps', step]
    document.setIn([...place, 'budget'], document.createNode({ steps }))
    if (budgetShare !== undefined) document.setIn([...place, 'set', 'agreements.budgetShare'], budgetShare)
  }
  document.commentBefore = [document.commentBefore, ` ${comment}`].filter(Boolean).join('\n')
  return document.toString({ lineWidth: 0 })
}
