/** Hours of an experiment's step as optimiser steps, for comparisons at equal time. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { stepsIn, withStepBudgets } from '../benchmarks/equal-time-steps.js'
import { openRecipe, stagesOf } from '../lib/recipes/index.js'

describe('equal time in steps', () => {
  const alone = { name: 'pretrain', milliseconds: 100 }
  const stages = [
    { name: 'agreements', milliseconds: 50 },
    { name: 'pretrain', milliseconds: 110 },
  ]

  it('gives each stage its share of the time, as the recipe then cuts the steps', async () => {
    assert.deepEqual(stepsIn(0.25, [alone], 0), { steps: 9000 })
    const { steps, budgetShare } = stepsIn(0.25, stages, 0.1)
    // 90 s and 810 s.
    assert.equal(steps, 1800 + 7364)
    const recipe = await openRecipe('dacbert', { overlay: { budget: { steps }, agreements: { budgetShare } } })
    assert.deepEqual(
      stagesOf(recipe).map(({ budget }) => budget.steps),
      [1800, 7364],
    )
    assert.throws(() => stepsIn(1, [], 0), /0 stages; one or two were expected/)
  })

  it("writes them into the experiment's own text", () => {
    const text = readFileSync(join(__dirname, '../examples/experiments/dacbert.yaml'), 'utf8')
    const budgets = { crammed: stepsIn(0.27, [alone], 0), dacbert: stepsIn(0.27, stages, 0.1) }
    const written = withStepBudgets(text, 'pretrain', budgets, 'how they came about')
    const [before, after] = [parse(text), parse(written)]
    const { crammed, dacbert } = after.variants
    assert.deepEqual(crammed.steps.pretrain, { set: { agreements: null }, budget: { steps: 9720 } })
    const { steps, budgetShare } = budgets.dacbert
    assert.deepEqual(dacbert.steps.pretrain, { budget: { steps }, set: { 'agreements.budgetShare': budgetShare } })
    assert.deepEqual({ ...after, variants: before.variants }, before)
    assert.match(written, /# how they came about\n/)
    assert.match(written, /# one encoder that all runs start from\n/)
  })
})
