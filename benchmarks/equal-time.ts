/**
 * Equal time in steps: `npm run bench:equal-time -- --experiment FILE.yaml --output NEW.yaml [--data NAME=PATH …] [--step pretrain]
 * [--rounds 9] [--steps 8] [--threads N] [--json]`. Where several runs share the machine (`compare --parallel`), N is what one of them has.
 *
 * A comparison at equal time is unfair where each run is timed by itself on a machine that is not quiet all day. Here every stage of every
 * variant of one training step, whose budget is in hours, runs a few real steps (its own model, objective, batch, optimiser and precision)
 * by turns in one process; the hours become steps by the median time of a step, and the experiment is written anew with them. What the
 * trainer does beside steps (evaluations, checkpoints) takes its time on top: it weighs little where it is seldom, but an evaluation with
 * submodels takes longer than one without. Batches are built before the clock starts, since prefetching does that in other threads.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import type { PackedBatch } from '../lib/data/packed-batch.js'
import { loadExperiment } from '../lib/experiments/index.js'
import { planExperiment, type TrainJob } from '../lib/experiments/plan.js'
import { chunkPlainBatches, computeThreads, Model, Optimizer } from '../lib/model/index.js'
import {
  modelConfigOf,
  openRunData,
  type ResolvedRecipe,
  type ResolvedStage,
  type RunData,
  recipeSource,
  runtimeChoice,
  stagesOf,
} from '../lib/recipes/index.js'
import { optimizerOptions, parameterGroups, reachedParameters } from '../lib/training/index.js'
import { type MeasuredStage, type StepBudget, stepsIn, withStepBudgets } from './equal-time-steps.js'
import { BUSY_SHARE, busyShare, commit, median, runFacts, say } from './rounds.js'

/** One stage of one variant at work. */
interface Arm {
  variant: string
  stage: string
  /** Milliseconds of each optimiser step. */
  run(steps: number): Promise<number[]>
  close(): Promise<void>
}

async function openArm(variant: string, recipe: ResolvedRecipe, stage: ResolvedStage, data: RunData): Promise<Arm> {
  const { tokenizer, text } = data
  const config = modelConfigOf(recipe, tokenizer.vocabSize)
  const model = await Model.create(config, { ...runtimeChoice(recipe), seed: 1 })
  chunkPlainBatches(model, tokenizer)
  const parameters = reachedParameters(model.parameters(), config, stage.heads)
  const groups = parameterGroups(parameters, stage.optimizer, stage.freeze, stage.train, model.parameters())
  const optimizer = await Optimizer.create(model, optimizerOptions(stage.optimizer, groups))
  const { accumulation } = stage.batch
  const source = recipeSource(recipe, {
    view: text!.training,
    tokenizer,
    heads: stage.heads,
    batch: stage.batch,
    evaluation: false,
  })
  let next = 0
  const step = async (batches: readonly PackedBatch[]): Promise<void> => {
    for (const batch of batches) await (await model.step(batch)).read()
    const { learningRate } = stage.optimizer
    await (await optimizer.step({ learningRate, maxGradNorm: stage.clip.maxGradNorm })).read()
  }
  return {
    variant,
    stage: stage.name,
    run: async (steps) => {
      const milliseconds: number[] = []
      for (let index = 0; index < steps; index++) {
        const batches = Array.from({ length: accumulation }, () => source.build(0, next++ % source.batchCount(0)))
        const begun = performance.now()
        await step(batches)
        milliseconds.push(performance.now() - begun)
      }
      return milliseconds
    },
    close: async () => {
      await optimizer.dispose()
      await model.dispose()
    },
  }
}

/** The recipe as it can run now: a checkpoint that it starts from changes no step's time, its vocabulary may still have to be learned. */
async function startable(job: TrainJob, scratch: string): Promise<ResolvedRecipe> {
  const { init: _, ...recipe } = job.recipe
  const { tokenizer } = recipe
  if (typeof tokenizer !== 'string' || existsSync(path.join(tokenizer, 'tokenizer.json'))) return recipe
  const trained = path.join(tokenizer, 'tokenizer')
  if (existsSync(path.join(trained, 'tokenizer.json'))) return { ...recipe, tokenizer: trained }
  if (job.parent?.kind !== 'train') throw new Error(`${tokenizer} has no tokenizer.json`)
  if (!existsSync(path.join(scratch, 'tokenizer.json'))) {
    say('learning the vocabulary of the step that this one starts from')
    const parent = await openRunData({ ...job.parent.recipe, init: undefined }, { onProgress: say })
    await parent.tokenizer.save(scratch)
  }
  return { ...recipe, tokenizer: scratch }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      experiment: { type: 'string' },
      output: { type: 'string' },
      data: { type: 'string', multiple: true, default: [] },
      step: { type: 'string', default: 'pretrain' },
      rounds: { type: 'string', default: '9' },
      steps: { type: 'string', default: '8' },
      threads: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  const { experiment: file, output, step } = values
  if (file === undefined || output === undefined) throw new Error('--experiment FILE and --output FILE were expected')
  const [rounds, steps] = [Number(values.rounds), Number(values.steps)]
  const threads = computeThreads(values.threads === undefined ? undefined : Number(values.threads))
  const paths = Object.fromEntries(
    values.data.map((slot) => [slot.split('=', 1)[0], slot.slice(slot.indexOf('=') + 1)]),
  )
  const experiment = await loadExperiment(file, paths)
  const plan = await planExperiment(experiment, { runsPath: path.resolve('runs'), existing: [] })
  const [seed] = experiment.seeds
  const jobs = plan.runs.filter((run) => run.seed === seed).map(({ variant, jobs }) => ({ variant, job: jobs[step] }))
  const scratch = mkdtempSync(path.join(tmpdir(), 'stratabert-equal-time-'))
  const arms: Arm[] = []
  try {
    const hours: Record<string, number> = {}
    const shares: Record<string, number> = {}
    for (const { variant, job } of jobs) {
      if (job?.kind !== 'train' || job.recipe.budget?.hours === undefined)
        throw new Error(`variant ${variant}: step ${step} trains for no number of hours, expected budget: { hours: … }`)
      const recipe = await startable(job, scratch)
      const data = await openRunData(recipe, { onProgress: say })
      hours[variant] = job.recipe.budget.hours
      shares[variant] = recipe.agreements?.budgetShare ?? 0
      for (const stage of stagesOf(recipe)) arms.push(await openArm(variant, recipe, stage, data))
    }
    const times = arms.map((): number[] => [])
    let disturbed = 0
    for (const arm of arms) await arm.run(2)
    for (let round = 0; round < rounds; round++) {
      if ((await busyShare()) > BUSY_SHARE) disturbed++
      for (let turn = 0; turn < arms.length; turn++) {
        const index = (turn + round) % arms.length
        times[index].push(median(await arms[index].run(steps)))
      }
      const told = arms.map(({ variant, stage }, index) => `${variant} ${stage} ${times[index].at(-1)!.toFixed(0)} ms`)
      say(`round ${round + 1}/${rounds}: ${told.join(', ')}`)
    }
    const measured: Record<string, MeasuredStage[]> = {}
    arms.forEach(({ variant, stage }, index) => {
      measured[variant] ??= []
      measured[variant].push({ name: stage, milliseconds: median(times[index]) })
    })
    const budgets: Record<string, StepBudget> = {}
    for (const [variant, stages] of Object.entries(measured))
      budgets[variant] = stepsIn(hours[variant], stages, shares[variant])
    const facts = runFacts({}, threads)
    const comment = `Budgets of the step ${step}: hours turned into steps by bench:equal-time, ${facts.date}, commit ${commit()}, threads: ${threads}, ${disturbed} of ${rounds} rounds disturbed.`
    writeFileSync(output, withStepBudgets(readFileSync(file, 'utf8'), step, budgets, comment))
    const result = {
      name: 'equal-time',
      ...facts,
      step,
      rounds,
      disturbedRounds: disturbed,
      hours,
      measured,
      budgets,
      output,
    }
    if (values.json) console.log(JSON.stringify(result, null, 2))
    else {
      console.table(arms.map(({ variant, stage }, index) => ({ variant, stage, milliseconds: median(times[index]) })))
      console.log(budgets)
    }
  } finally {
    for (const arm of arms) await arm.close()
    rmSync(scratch, { recursive: true, force: true })
  }
}

if (require.main === module)
  main().catch((error) => {
    console.error(error)
    process.exitCode = 1
  })
