import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { type RandomStream, stream } from '../lib/data/index.js'
import { wilsonInterval } from '../lib/evaluation/index.js'
import { checkMeasures } from '../lib/experiments/check-measures.js'
import { convergenceOf } from '../lib/experiments/curves.js'
import { bootstrapOf } from '../lib/experiments/example-bootstrap.js'
import { type ExampleScores, exampleScores } from '../lib/experiments/example-scores.js'
import { fileHash } from '../lib/experiments/file-hash.js'
import { Fingerprints } from '../lib/experiments/fingerprint.js'
import { Floors } from '../lib/experiments/floors.js'
import {
  type Comparison,
  compareExperiment,
  comparisonLines,
  estimateExperiment,
  loadExperiment,
} from '../lib/experiments/index.js'
import { jobArguments, PREDICTIONS_FILE } from '../lib/experiments/job-command.js'
import { readFolderNames, writeResult } from '../lib/experiments/job-folder.js'
import { JobMemory } from '../lib/experiments/job-memory.js'
import { findLearned } from '../lib/experiments/learned.js'
import type { LoadedExperiment, Measure } from '../lib/experiments/load-experiment.js'
import { withFewSteps } from '../lib/experiments/measure-training.js'
import { type CheckpointJob, type ExperimentPlan, planExperiment, type TrainJob } from '../lib/experiments/plan.js'
import { probeNumbers } from '../lib/experiments/probe-numbers.js'
import { readJobNumbers } from '../lib/experiments/read-results.js'
import { removeCheckpoints } from '../lib/experiments/retention.js'
import { type JobEvent, runJobs, runsAlone } from '../lib/experiments/run-jobs.js'
import { taskParameters } from '../lib/experiments/task-parameters.js'
import { trainId } from '../lib/experiments/train-id.js'
import { inspectSafetensors } from '../lib/model/index.js'
import {
  evaluateCheckpoint,
  openRecipe,
  type RunResult,
  runRecipe,
  stagesOf,
  type Values,
} from '../lib/recipes/index.js'
import { findLibtorch } from '../lib/runtime/index.js'
import { COMMAND_LINE } from './helpers/cli-process.js'
import { refuses } from './helpers/refuses.js'
import { SHARED_DATA } from './helpers/shared-data.js'
import { SMALL_DEFINITIONS, writeSmallTasks } from './helpers/small-tasks.js'
import { tinyValues, writeSmallCorpus } from './helpers/tiny-recipe.js'

/** Quantile of Student's t for 95 % and one degree of freedom: tan(0.475 π). */
const T1 = Math.tan(0.475 * Math.PI)

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: places that an experiment fills in
describe('stratabert compare', function () {
  this.timeout(240_000)
  let folder: string
  let file: string
  let experiment: any
  const runs: Record<string, RunResult> = {}
  const env: NodeJS.ProcessEnv = {}
  const RATES = { base: 2e-3, fast: 4e-3, stuck: 1e-9 }
  const SEEDS = [1, 2]

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-compare-'))
    const cacheDirectory = join(folder, 'cache')
    Object.assign(env, { XDG_CACHE_HOME: cacheDirectory, STRATABERT_LIBTORCH: findLibtorch().tree?.directory })
    writeSmallCorpus(join(folder, 'text.txt'))
    mkdirSync(join(folder, 'dev'))
    const mood = { train: writeSmallTasks(folder).mood, dev: writeSmallTasks(join(folder, 'dev'), 60).mood }
    const pretrain = await openRecipe('bert-pretrain', { overlay: tinyValues(join(folder, 'text.txt')) })
    const init = (await runRecipe(pretrain, { output: join(folder, 'init'), cacheDirectory })).checkpoint!
    const set: Values = {
      device: 'cpu',
      precision: 'fp32',
      threads: 1,
      prefetchWorkers: 0,
      tasks: { mood: SMALL_DEFINITIONS.mood },
      batch: { sequences: 16, sequenceTokens: 64 },
      log: { everySteps: 1 },
      evaluation: { everyEpochs: 0, everySteps: 8 },
      checkpoint: { everySteps: 10 },
    }
    experiment = {
      name: 'rates',
      seeds: SEEDS,
      budget: { steps: 40 },
      common: {
        recipe: 'fine-tune',
        init: '${start}',
        set,
        data: { mood: { train: '${moods}/mood.csv', dev: '${moods}/dev/mood.csv' } },
      },
      steps: { tune: {} },
      variants: Object.fromEntries(
        Object.entries(RATES).map(([name, rate]) => [name, { set: { 'optimizer.learningRate': rate } }]),
      ),
      measures: [
        { value: 'mood.accuracy', convergence: true, reference: [0.9, 1] },
        { name: 'loss', value: 'mood.loss' },
        'trainedParameters',
      ],
      learned: [{ task: 'mood' }],
      paths: { start: init },
    }
    file = join(folder, 'rates.json')
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(experiment))
    // The same runs, which nobody touches: what the table's numbers must come from.
    for (const seed of SEEDS) {
      for (const [name, learningRate] of Object.entries(RATES)) {
        const overlay = { ...set, optimizer: { learningRate }, init, seed, data: { mood }, budget: { steps: 40 } }
        const recipe = await openRecipe('fine-tune', { overlay })
        const output = join(folder, `whole-${name}-${seed}`)
        runs[`${name} ${seed}`] = await runRecipe(recipe, { output, cacheDirectory })
      }
    }
    Object.assign(process.env, env)
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  const output = () => join(folder, 'compared')
  const paths = () => ({ moods: folder })
  const runFolders = () => readdirSync(join(output(), 'runs'))
  const eventsOf = (log: string): any[] =>
    readFileSync(log, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
  const stepsOf = (run: string) =>
    eventsOf(join(output(), 'runs', run, 'metrics.jsonl'))
      .filter(({ type }) => type === 'step')
      .map(({ step }) => step)

  /** Starts the command and kills it as the system does, at a random moment after its first run is done. */
  async function killed(): Promise<{ code: number | null; told: string }> {
    const args = ['compare', file, '--output', output(), '--data', `moods=${paths().moods}`, '--parallel', '2']
    const child = spawn(process.execPath, [...COMMAND_LINE, ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let told = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      const before = told
      told += text
      if (/ done: /.test(told) && !/ done: /.test(before)) setTimeout(() => child.kill('SIGKILL'), 1500 * Math.random())
    })
    return new Promise((ended) => child.on('close', (code) => ended({ code, told })))
  }

  describe('killed at a random moment and started again', () => {
    let comparison: Comparison
    let doneBefore: Map<string, string>
    let told: string
    const started: string[] = []

    before(async () => {
      const end = await killed()
      told = end.told
      assert.equal(end.code, null, told)
      const content = (run: string) => readFileSync(join(output(), 'runs', run, 'result.json'), 'utf8')
      const done = runFolders().filter((run) => existsSync(join(output(), 'runs', run, 'result.json')))
      assert.ok(done.length >= 1 && done.length < 6, told)
      doneBefore = new Map(done.map((run) => [run, content(run)]))
      const result = await compareExperiment(file, {
        output: output(),
        paths: paths(),
        parallel: 2,
        onEvent: (event) => {
          if (event.type === 'start') started.push(event.job.folder.split('/').at(-1)!)
        },
      })
      assert.deepEqual(
        [result.status, result.failed, result.missing],
        ['completed', 0, 0],
        result.comparison.notes.join(),
      )
      comparison = result.comparison
    })

    it('repeats nothing that was done', () => {
      assert.equal(started.length, 6 - doneBefore.size)
      for (const [run, before] of doneBefore) {
        assert.ok(!started.includes(run), run)
        assert.equal(readFileSync(join(output(), 'runs', run, 'result.json'), 'utf8'), before)
      }
      const whole = Array.from({ length: 40 }, (_, index) => index + 1)
      for (const run of runFolders()) assert.deepEqual(stepsOf(run), whole, run)
    })

    it('ends with the numbers of runs that nobody touched', () => {
      for (const { name, runs: own } of comparison.variants) {
        for (const { seed, values, status, tokens, parts } of own) {
          const { tasks, state } = runs[`${name} ${seed}`]
          assert.equal(status, 'done')
          assert.deepEqual(
            [values['mood.accuracy'], values.loss, tokens],
            [tasks.mood.dev.metrics.accuracy, tasks.mood.dev.loss, state.tokens],
          )
          // Of a finished run only the newest checkpoint stays.
          assert.deepEqual(readdirSync(join(parts[0].folder, 'checkpoints')), ['step-40'])
        }
      }
    })

    it("the table's figures follow from them", () => {
      const loss = (name: string) => SEEDS.map((seed) => runs[`${name} ${seed}`].tasks.mood.dev.loss)
      const near = (found: number | undefined, expected: number) =>
        assert.ok(Math.abs(found! - expected) <= 1e-9 * Math.max(1, Math.abs(expected)), `${found} ${expected}`)
      const moments = ([a, b]: number[]) => ({ mean: (a + b) / 2, deviation: Math.abs(a - b) / Math.SQRT2 })
      const row = (variant: string) =>
        comparison.table.find((one) => one.variant === variant && one.measure === 'loss')!
      for (const name of ['base', 'fast']) {
        const { mean, deviation } = moments(loss(name))
        near(row(name).mean, mean)
        near(row(name).standardDeviation, deviation)
        near(row(name).interval?.[0], mean - (T1 * deviation) / Math.SQRT2)
        near(row(name).interval?.[1], mean + (T1 * deviation) / Math.SQRT2)
      }
      const differences = SEEDS.map((_, index) => loss('fast')[index] - loss('base')[index])
      const { mean, deviation } = moments(differences)
      const fast = row('fast')
      near(fast.difference, mean)
      near(fast.differenceInterval?.[1], mean + (T1 * deviation) / Math.SQRT2)
      // Of 4 ways to set two signs, the two that agree lie at least as far out; with unlike signs all 4 do.
      const p = differences[0] * differences[1] > 0 ? 0.5 : 1
      assert.deepEqual([fast.pairs, fast.pValue, fast.signFlip?.smallestP], [2, p, 0.5])
      // The distribution function of t with one degree of freedom is an arctangent.
      near(fast.tTest?.p, 1 - (2 / Math.PI) * Math.atan(Math.abs(mean) / (deviation / Math.SQRT2)))
      // Two tests in the table: accuracy and loss of "fast".
      const ps = comparison.table.flatMap(({ signFlip }) => (signFlip ? [signFlip.p] : []))
      assert.equal(ps.length, 2)
      near(
        fast.adjustedPValue,
        p === Math.min(...ps) ? Math.min(1, 2 * p) : Math.max(p, Math.min(1, 2 * Math.min(...ps))),
      )
      const [first] = comparison.table
      near(first.reference, 0.95)
      near(first.referenceDifference, first.mean! - 0.95)
    })

    it('marks runs that learned nothing; they support no comparison', () => {
      const stuck = comparison.variants.find(({ name }) => name === 'stuck')!
      for (const { learned, notLearned } of stuck.runs) {
        assert.equal(learned, false)
        assert.match(notLearned!.join(), /^mood\.accuracy 0\.\d+ is not above the majority's 0\.5\d* \(95 % up to 0\.6/)
      }
      for (const row of comparison.table.filter(({ variant }) => variant === 'stuck')) {
        assert.deepEqual([row.n, row.notLearned, row.pairs, row.difference], [2, 2, undefined, undefined])
      }
      const { convergence, convergenceFactor } = comparison.table.find(({ variant }) => variant === 'stuck')!
      assert.deepEqual([convergence?.comparable, convergence?.notComparable, convergenceFactor], [0, 2, undefined])
      assert.ok(comparison.variants[0].runs.every(({ learned }) => learned))
      assert.match(readFileSync(join(output(), 'comparison.md'), 'utf8'), /\| stuck \| 2 \(2 not learned\) \|/)
    })

    it('the convergence factor is that of the runs’ own curves', () => {
      const row = comparison.table.find(({ variant }) => variant === 'fast')!
      assert.equal(row.convergence!.comparable + row.convergence!.notComparable, 2)
      const factors = SEEDS.map((seed) => {
        const curve = (name: string) => {
          const log = readFileSync(join(folder, `whole-${name}-${seed}`, 'metrics.jsonl'), 'utf8')
          const events = log
            .trim()
            .split('\n')
            .map((line) => JSON.parse(line))
          const scores = events.filter(({ type }) => type === 'evaluation').map(({ tasks }) => tasks.mood.dev.main)
          return [1, 2, 3].map((at) => scores.slice(at - 1, at + 2).sort((a, b) => a - b)[1])
        }
        const [base, fast] = [curve('base'), curve('fast')]
        const target = Math.min(Math.max(...base), Math.max(...fast))
        return (base.findIndex((one) => one >= target) + 2) / (fast.findIndex((one) => one >= target) + 2)
      })
      if (row.convergence!.comparable === 2) assert.equal(row.convergenceFactor, (factors[0] + factors[1]) / 2)
    })

    it("what training cost is what the runs' logs say", () => {
      assert.deepEqual(
        comparison.costs.map(({ variant, step, runs: count }) => [variant, step, count]),
        Object.keys(RATES).map((name) => [name, 'tune', 2]),
      )
      for (const row of comparison.costs) {
        const own = comparison.variants.find(({ name }) => name === row.variant)!.runs
        const seconds = own.map((run) => run.seconds)
        assert.deepEqual(row.secondsRange, [Math.min(...seconds), Math.max(...seconds)])
        const rates = own.map(({ folder: run }) => {
          const lines = eventsOf(join(run, 'metrics.jsonl'))
          // Each line is one step of 16 examples.
          const steps = lines.filter(({ type }) => type === 'step').slice(1)
          const time = steps.reduce((sum, { millisecondsPerStep }) => sum + millisecondsPerStep / 1000, 0)
          const scored = lines.filter(({ type }) => type === 'evaluation')
          const tokens = steps.at(-1).tokens - lines.find(({ type }) => type === 'step').tokens
          return [(16 * 39) / time, tokens / time, scored.reduce((sum, line) => sum + line.seconds, 0)]
        })
        const mean = (at: number) => (rates[0][at] + rates[1][at]) / 2
        const found = [row.examplesPerSecond, row.tokensPerSecond, row.evaluationSeconds]
        found.forEach((value, at) => {
          assert.ok(Math.abs(value! - mean(at)) <= 1e-9 * mean(at), `${value} ${mean(at)}`)
        })
        assert.equal(row.trainedParameters, own[0].values.trainedParameters)
        assert.equal(row.tasks, undefined)
      }
      const [header, first] = readFileSync(join(output(), 'comparison-costs.csv'), 'utf8').split('\n')
      const cell = (name: string) => first.split(',')[header.split(',').indexOf(name)]
      assert.equal(Number(cell('examplesPerSecond')), comparison.costs[0].examplesPerSecond)
    })

    it('scores by evaluation are those of the logs, in a file of their own', () => {
      const rows = readFileSync(join(output(), 'comparison-scores.csv'), 'utf8').trim().split('\n').slice(1)
      for (const { name, runs: own } of comparison.variants) {
        for (const { seed, folder: run } of own) {
          const scored = eventsOf(join(run, 'metrics.jsonl')).filter(({ type }) => type === 'evaluation')
          assert.deepEqual(
            comparison.evaluations.find((one) => one.variant === name && one.seed === seed && one.measure === 'loss'),
            {
              measure: 'loss',
              variant: name,
              seed,
              stage: 'finetune',
              steps: [8, 16, 24, 32, 40],
              values: scored.map(({ tasks }) => tasks.mood.dev.loss),
            },
          )
          scored.forEach(({ step, tasks }, index) => {
            const row = `${name},tune,${seed},finetune,${index + 1},${step},mood.dev.accuracy,${tasks.mood.dev.metrics.accuracy}`
            assert.ok(rows.includes(row), row)
          })
        }
      }
      const page = readFileSync(join(output(), 'comparison.md'), 'utf8')
      assert.match(page, /\| loss \| base \| 1 \| every 8 \| 0\.\d{4}(, \d\.\d{4}){4} \|/)
    })

    it('says what the seeds, the set and the distance to a known figure could have shown', () => {
      const [base, fast] = comparison.table
      const [a, b] = SEEDS.map((seed) => runs[`base ${seed}`].tasks.mood.dev.metrics.accuracy)
      const all = ['base', 'fast'].flatMap((name) =>
        SEEDS.map((seed) => runs[`${name} ${seed}`].tasks.mood.dev.metrics.accuracy),
      )
      // (1.95996 + 0.84162) of standard errors of 60 examples each.
      const smallest = (accuracies: number[]) => {
        const p = accuracies.reduce((sum, one) => sum + one, 0) / accuracies.length
        return 2.801585 * Math.sqrt((2 * p * (1 - p)) / 60)
      }
      assert.equal(fast.examples, 60)
      assert.ok(Math.abs(fast.smallestByExamples! - smallest(all)) < 1e-6)
      // Of the baseline it is told beside the reference.
      assert.ok(Math.abs(base.smallestByExamples! - smallest([a, b])) < 1e-6)
      assert.ok(
        comparison.table.filter(({ measure }) => measure === 'loss').every(({ examples }) => examples === undefined),
      )
      if (a === b) assert.equal(base.referenceDetectable, undefined)
      // The same for any two values: their deviation times one number.
      else assert.ok(base.referenceDetectable! > 4 * Math.abs(a - b))
    })

    it('without the newer figures of a log the table says that they are missing', async () => {
      const log = join(comparison.variants[0].runs[0].folder, 'metrics.jsonl')
      const whole = readFileSync(log, 'utf8')
      const lines = whole.split('\n').filter((line) => !/^{"type":"(start|step)"/.test(line))
      writeFileSync(log, lines.join('\n'))
      const { comparison: table } = await compareExperiment(file, { output: output(), paths: paths(), tableOnly: true })
      const [row] = table.costs
      assert.deepEqual(
        [row.examplesPerSecond, row.tokensPerSecond, row.trainedParameters],
        [undefined, undefined, undefined],
      )
      assert.equal(row.seconds, comparison.costs[0].seconds)
      assert.match(
        readFileSync(join(output(), 'comparison.md'), 'utf8'),
        /\| base \| tune \| 2 \| .* \| – \| – \| – \| – \| – \|/,
      )
      writeFileSync(log, whole)
    })

    it('all runs done: the same command only writes the tables anew', async () => {
      rmSync(join(output(), 'comparison-costs.csv'))
      const result = await compareExperiment(file, {
        output: output(),
        paths: paths(),
        onEvent: (event) => assert.fail(event.type),
      })
      assert.deepEqual([result.status, result.missing], ['completed', 0])
      assert.ok(existsSync(join(output(), 'comparison-costs.csv')))
      assert.deepEqual(result.comparison.table, comparison.table)
    })

    it('after a change of one variant only that one is missing', async () => {
      const changed = structuredClone(experiment)
      changed.variants.fast.set['optimizer.learningRate'] = 5e-3
      const { comparison: table } = await compareExperiment(changed, {
        output: output(),
        paths: paths(),
        tableOnly: true,
      })
      const statuses = table.variants.map(({ name, runs: own }) => [name, ...own.map(({ status }) => status)])
      assert.deepEqual(statuses, [
        ['base', 'done', 'done'],
        ['fast', 'missing', 'missing'],
        ['stuck', 'done', 'done'],
      ])
    })

    it('refuses a measure that no run has, naming the near one', async () => {
      const wrong = { ...experiment, measures: ['mood.acuracy'] }
      await assert.rejects(
        compareExperiment(wrong, { output: output(), paths: paths(), tableOnly: true }),
        /no run of step tune gives mood\.acuracy; did you mean "mood\.accuracy"\?/,
      )
    })
  })

  it('a failed run is reported, what needs it is skipped, the rest goes on; predictions are bootstrapped', async () => {
    const answers = {
      name: 'answers',
      seeds: SEEDS,
      steps: {
        // Of runs that are there already.
        answer: { kind: 'evaluate', tasks: ['${task}'], predictions: true },
      },
      variants: {
        base: { variables: { task: 'mood' }, steps: { answer: { init: join(folder, 'whole-base-${seed}') } } },
        stuck: { variables: { task: 'mood' }, steps: { answer: { init: join(folder, 'whole-stuck-1') } } },
        wrong: { variables: { task: 'moood' }, steps: { answer: { init: join(folder, 'whole-stuck-1') } } },
      },
      measures: ['mood.accuracy'],
    }
    const { comparison, failed } = await compareExperiment(answers as any, {
      output: join(folder, 'answers'),
      parallel: 2,
    })
    // Whatever the seed, the latter two look at one run each: it counts once.
    assert.equal(failed, 1)
    const [base, stuck, wrong] = comparison.table
    assert.deepEqual([base.n, stuck.n, wrong.n, stuck.pairs, stuck.pValue], [2, 1, 0, 1, undefined])
    const accuracy = (name: string) => runs[`${name} 1`].tasks.mood.dev.metrics.accuracy
    const difference = accuracy('stuck') - accuracy('base')
    assert.equal(stuck.bootstrap!.layers, 'examples')
    assert.ok(Math.abs(stuck.bootstrap!.difference - difference) < 1e-12)
    assert.ok(stuck.bootstrap!.low <= difference && stuck.bootstrap!.high >= difference)
    assert.match(comparison.notes.join('\n'), /failed: wrong, step answer, seed 1: error\[BAD_ARGUMENT\]: .*moood/)
  })

  it('with a stage, convergence counts its own steps; the mean is over the last scores of every task', async () => {
    const stages = (scores: number[]) => [
      { type: 'stage', stage: 'before', step: 0 },
      {
        type: 'evaluation',
        stage: 'before',
        step: 1000,
        tasks: { a: { dev: { main: 0.5, loss: 1, metrics: { accuracy: 0.5 } } } },
      },
      { type: 'stage', stage: 'after', step: 1000 },
      ...scores.map((main, i) => {
        const dev = { main, loss: 1, metrics: { accuracy: main } }
        return { type: 'evaluation', stage: 'after', step: 1000 + 10 * (i + 1), tasks: { b: { dev } } }
      }),
    ]
    const job = (name: string, scores: number[]) => {
      const place = join(folder, `curve-${name}`)
      mkdirSync(place)
      const lines = stages(scores).map((event) => JSON.stringify({ seconds: 1, scores: {}, ...event }))
      writeFileSync(join(place, 'metrics.jsonl'), lines.join('\n'))
      writeFileSync(join(place, 'result.json'), JSON.stringify({ id: name, format: 1, values: {}, splits: {} }))
      return { id: name, folder: place, kind: 'train' } as TrainJob
    }
    const [baseline, own] = [job('slow', [0.1, 0.2, 0.3, 0.6, 0.6, 0.6]), job('quick', [0.3, 0.6, 0.6, 0.6, 0.6, 0.6])]
    const measure = { stage: 'after', better: 'higher' } as Measure
    const values = { own: 'b.accuracy', baseline: 'b.accuracy' }
    const outcome = await convergenceOf(measure, values, [{ seed: 1, own, baseline }], new Floors())
    assert.ok('found' in outcome, JSON.stringify(outcome))
    assert.equal(outcome.found.median, 40 / 20)

    const split = (main: number) => ({ dev: { main, loss: 1, count: 4, metrics: { accuracy: main } } })
    const stdout = join(folder, 'stages.out')
    const stage = (name: string, tasks: object) => ({ name, scores: {}, tasks })
    const run = {
      status: 'completed',
      stages: [
        stage('both', { a: split(0.1), b: split(0.2) }),
        stage('a', { a: split(0.5) }),
        stage('b', { b: split(0.9) }),
      ],
      state: { step: 3, tokens: 5, elapsedSeconds: 1 },
      heldOut: [],
    }
    writeFileSync(stdout, JSON.stringify(run))
    const found = await readJobNumbers(own, stdout, 1)
    assert.deepEqual([found.values.mean, found.values.sum, found.stages.both.mean], [0.7, 1.4, 0.15000000000000002])
    assert.deepEqual([found.values['a.accuracy'], found.values['b.accuracy']], [0.5, 0.9])
  })

  it('a run that started from one that did not learn is in no convergence factor', async () => {
    const { base, fast } = experiment.variants
    const value = 'mood.matthews'
    const chain = {
      ...experiment,
      steps: { first: {}, second: { from: 'first' } },
      variants: { base, fast },
      measures: [{ step: 'second', value, convergence: true }],
      learned: [{ step: 'first', task: 'mood' }],
    }
    const output = join(folder, 'unlearned')
    const { jobs } = await planExperiment(await loadExperiment(chain, paths()), readFolderNames(output))
    for (const { id, kind, variant, step, seed, folder: run } of jobs) {
      mkdirSync(run, { recursive: true })
      const hasLearned = variant === 'base' || step === 'second' || seed === 1
      const scores = variant === 'base' ? [0.1, 0.1, 0.1, 0.8, 0.8, 0.8] : [0.1, 0.8, 0.8, 0.8, 0.8, 0.8]
      const lines = scores.map((matthews, index) => {
        const dev = { main: matthews, loss: 1, metrics: { matthews } }
        return { type: 'evaluation', stage: 'finetune', step: 10 * (index + 1), seconds: 1, tasks: { mood: { dev } } }
      })
      writeFileSync(join(run, 'metrics.jsonl'), lines.map((line) => JSON.stringify(line)).join('\n'))
      await writeResult(run, {
        ...{ format: 1, id, kind, variant, step, seed, stages: {}, steps: 1, tokens: 1, seconds: 1 },
        ...{ commandSeconds: 1, finishedAt: '', splits: { mood: ['dev'] } },
        values: { 'mood.count': 100, [value]: hasLearned ? 0.8 : 0.01 },
      })
    }
    const { comparison } = await compareExperiment(chain, { output, paths: paths(), tableOnly: true })
    const row = comparison.table.find(({ variant }) => variant === 'fast')!
    assert.deepEqual([row.n, row.notLearned, row.pairs], [2, 1, 1])
    assert.deepEqual([row.convergence!.comparable, row.convergence!.notComparable], [1, 0])
    const told = comparison.notes.filter((note) => /seed 2/.test(note))
    assert.deepEqual(told, [
      `convergence of ${value}, fast, seed 2: left out, a run starts from one that did not learn`,
    ])
    const few = `convergence: a claim needs 5 comparable seeds, fewer have: ${value}, fast (1)`
    assert.ok(comparison.notes.includes(few), comparison.notes.join('\n'))
  })

  /** One task after the other, each from the same start. */
  const ALONE = { preset: 'alone', optimizer: { learningRate: 0.01 }, stages: { 0: { budget: { steps: 3 } } } }
  const ofTwoTasks = () => ({
    tasks: { mood: SMALL_DEFINITIONS.mood, rte: {} },
    batch: { sequences: 4, sequenceTokens: 64 },
    ...{ device: 'cpu', precision: 'fp32', threads: 1, prefetchWorkers: 0 },
  })
  const dataOfTwoTasks = () => ({ mood: join(folder, 'mood.csv'), rte: join(folder, 'RTE') })
  const runsOfTwoTasks = new Map<string, Promise<RunResult & { recipe: TrainJob['recipe']; run: string }>>()
  const trainTwoTasks = (name: string, own: Values) => {
    const train = async () => {
      const overlay = { ...ofTwoTasks(), data: dataOfTwoTasks(), init: join(folder, 'init'), ...own }
      const recipe = await openRecipe(name, { overlay })
      const run = join(folder, `tasks-${name}`)
      return { ...(await runRecipe(recipe, { output: run, cacheDirectory: join(folder, 'cache') })), recipe, run }
    }
    if (!runsOfTwoTasks.has(name)) runsOfTwoTasks.set(name, train())
    return runsOfTwoTasks.get(name)!
  }

  it('a task of a run with stages is scored by its own checkpoint, which stays until it is', async () => {
    const { run, stages } = await trainTwoTasks('fine-tune', ALONE)
    const chain = {
      ...experiment,
      common: { recipe: 'fine-tune', init: join(folder, 'init'), data: dataOfTwoTasks() },
      steps: {
        tune: { set: { ...ofTwoTasks(), ...ALONE } },
        mood: { kind: 'evaluate', from: 'tune', tasks: ['mood'] },
        both: { kind: 'evaluate', from: 'tune' },
      },
      variants: { one: {} },
      measures: ['mood', 'both'].map((step) => ({ name: step, step, value: 'mood.loss' })),
      ...{ budget: undefined, learned: [], paths: {} },
    }
    const output = join(folder, 'two-tasks')
    const { jobs } = await planExperiment(await loadExperiment(chain), readFolderNames(output))
    const [tune, mood, both] = jobs as [TrainJob, CheckpointJob, CheckpointJob]
    cpSync(run, tune.folder, { recursive: true, verbatimSymlinks: true })
    const done = (job: TrainJob | CheckpointJob, found: object) => {
      const { id, kind, variant, step, seed } = job
      mkdirSync(job.folder, { recursive: true })
      const rest = { stages: {}, splits: {}, steps: 1, tokens: 1, seconds: 1, commandSeconds: 1, finishedAt: '' }
      return writeResult(job.folder, { ...{ format: 1, id, kind, variant, step, seed, values: {} }, ...rest, ...found })
    }
    const checkpoints = () => readdirSync(join(tune.folder, 'checkpoints')).sort()
    /** What the step's command scores. */
    const scored = async (job: CheckpointJob) => {
      const [, place] = await jobArguments(job)
      const heads = job.tasks.length > 0 ? job.tasks : undefined
      const report = await evaluateCheckpoint(place, { heads, device: 'cpu', precision: 'fp32' })
      const stdout = join(folder, 'scored.out')
      writeFileSync(stdout, JSON.stringify(report))
      return { checkpoint: basename(report.checkpoint), ...(await readJobNumbers(job, stdout, 1)) }
    }

    await done(tune, {})
    await removeCheckpoints(jobs, 'newest')
    assert.deepEqual(checkpoints(), ['step-0', 'step-3', 'step-6'])
    const own = await scored(mood)
    assert.deepEqual([own.checkpoint, own.warnings], ['step-3', undefined])
    assert.ok(Math.abs(own.values['mood.loss'] - stages[0].tasks.mood.dev.loss) < 1e-6)
    // All of them are scored by one checkpoint: the table says of which it is not the own.
    const newest = await scored(both)
    assert.equal(newest.checkpoint, 'step-6')
    assert.notEqual(newest.values['mood.loss'], own.values['mood.loss'])
    await done(mood, own)
    await done(both, newest)
    const { comparison } = await compareExperiment(chain, { output, tableOnly: true })
    const [note] = comparison.notes.filter((text) => /which does not train/.test(text))
    assert.match(note, /^one, step both, seed 1: .*step-6 is of stage "?finetune-rte"?, which does not train "?mood"? /)
    await removeCheckpoints(jobs, 'newest')
    assert.deepEqual(checkpoints(), ['step-6'])
    // A step that comes later gets no figure of another task's weights.
    await assert.rejects(jobArguments(mood), refuses('BAD_CHECKPOINT', 'the checkpoint of task mood is gone'))
  })

  it('trained parameters by task are those of the model, shared or its own', async () => {
    const counted = async (name: string, overlay: Values) => {
      const { recipe, run, checkpoint } = await trainTwoTasks(name, overlay)
      const { tensors } = inspectSafetensors(join(checkpoint!, 'model.safetensors'))
      const of = (fits: (parameter: string) => boolean) =>
        tensors.reduce((sum, tensor) => sum + (fits(tensor.name) ? tensor.shape.reduce((a, b) => a * b, 1) : 0), 0)
      const [{ parameters, trainable }] = eventsOf(join(run, 'metrics.jsonl')).filter(({ type }) => type === 'start')
      const found = await taskParameters({ recipe, folder: run } as TrainJob, { parameters, trainable })
      // What was logged does not come out: nothing is said.
      assert.equal(await taskParameters({ recipe, folder: run } as TrainJob, { parameters, trainable: 7 }), undefined)
      return { found: found!, of }
    }
    const own = (task: string) => (name: string) => new RegExp(`^(heads|adapters)\\.${task}\\.`).test(name)
    const pals = await counted('pals', { adapter: { size: 4, heads: 2 }, budget: { steps: 1 } })
    const alone = await counted('fine-tune', ALONE)
    for (const [task, other] of [
      ['mood', 'rte'],
      ['rte', 'mood'],
    ]) {
      assert.deepEqual(pals.found[task], { trained: pals.of((name) => !own(other)(name)), own: pals.of(own(task)) })
      const all = alone.of((name) => !own(other)(name))
      assert.deepEqual(alone.found[task], { trained: all, own: all })
    }
  })

  it('runs of equal settings are one run: a step with its own seed, a step that no variant changes', async () => {
    const chain = {
      ...experiment,
      steps: { first: { seed: 7 }, second: { from: 'first' }, look: { kind: 'evaluate', from: 'second' } },
      variants: { base: {}, same: {}, other: { steps: { second: { set: { 'optimizer.learningRate': 1e-4 } } } } },
      measures: [{ step: 'look', value: 'mood.accuracy' }],
      learned: [],
    }
    const plan = await planExperiment(await loadExperiment(chain, paths()), { runsPath: folder, existing: [] })
    const names = plan.jobs.map(({ variant, step, seed }) => `${variant} ${step} ${seed}`)
    assert.deepEqual(names, [
      'base first 7',
      'base second 1',
      'base look 1',
      'other second 1',
      'other look 1',
      'base second 2',
      'base look 2',
      'other second 2',
      'other look 2',
    ])
    // So is one of an earlier version, whose recipe lacks a key; not where something else differs.
    const [job] = plan.jobs as TrainJob[]
    const { clip, ...older } = JSON.parse(JSON.stringify(job.recipe))
    const earlier = async (recipe: any, keptUnder = recipe) => {
      const id = await trainId(recipe, job, new Fingerprints())
      const name = `base.first.7.${id.slice(0, 12)}`
      mkdirSync(join(folder, 'earlier', name), { recursive: true })
      writeFileSync(join(folder, 'earlier', name, 'job.recipe.json'), JSON.stringify(keptUnder))
      const names = { runsPath: join(folder, 'earlier'), existing: [name] }
      const [found] = (await planExperiment(await loadExperiment(chain, paths()), names)).jobs
      return { id, name, found }
    }
    const before7 = await earlier({ ...older, clip: { maxGradNorm: clip.maxGradNorm } })
    assert.notEqual(before7.id, job.id)
    assert.deepEqual([before7.found.id, before7.found.folder], [before7.id, join(folder, 'earlier', before7.name)])
    assert.equal((await earlier({ ...older, clip: { maxGradNorm: 7 } })).found.id, job.id)
    assert.equal((await earlier({ ...older, clip }, { ...older, clip, batch: {} })).found.id, job.id)
    // Elsewhere, with other threads, they are the same runs; with another class weight they are not.
    const ids = async (change: (one: any) => void) => {
      const changed = structuredClone(chain)
      change(changed)
      const loaded = await loadExperiment(changed, paths())
      return (await planExperiment(loaded, { runsPath: '/elsewhere', existing: [] })).jobs.map(({ id }) => id)
    }
    const before = plan.jobs.map(({ id }) => id)
    assert.deepEqual(await ids((one) => (one.common.set.threads = 3)), before)
    const dev = join(folder, 'dev/mood.csv')
    const content = readFileSync(dev)
    writeFileSync(dev, `${content}a stone,sad\n`)
    const withOtherData = await ids(() => {})
    writeFileSync(dev, content)
    assert.ok(withOtherData.every((id) => !before.includes(id)))
    assert.deepEqual(await ids(() => {}), before)
    const changed = await ids((one) => (one.common.set.tasks.mood.weight = 0.5))
    assert.ok(changed.every((id) => !before.includes(id)))
  })

  it('a change in the middle of a large file is another file; runs that an earlier version made are found by its hash', async () => {
    const large = join(folder, 'large.csv')
    const rows = `${'the river runs,sad\na stone,happy\n'.repeat(1 << 17)}`
    writeFileSync(large, `text,mood\n${rows}`)
    const set = { ...experiment.common.set }
    const given = {
      ...experiment,
      variants: { base: {} },
      common: { ...experiment.common, set, data: { mood: large } },
      steps: { tune: {}, look: { kind: 'evaluate', init: `${folder}/whole-base-1`, data: { mood: large } } },
      ...{
        measures: [{ step: 'look', value: 'mood.accuracy' }],
        learned: [],
        paths: { start: experiment.paths.start },
      },
    }
    const runsPath = join(folder, 'by-ends')
    const planned = async () => {
      const names = { runsPath, existing: existsSync(runsPath) ? readdirSync(runsPath) : [] }
      const { jobs } = await planExperiment(await loadExperiment(given), names)
      return jobs.slice(0, 2).map((job) => job as TrainJob)
    }
    const whole = await planned()
    // What the version before called the first of them.
    const own = await trainId(whole[0].recipe, whole[0], new Fingerprints().earlier)
    const name = `base.tune.1.${own.slice(0, 12)}`
    mkdirSync(join(runsPath, name), { recursive: true })
    writeFileSync(join(runsPath, name, 'job.recipe.json'), JSON.stringify(whole[0].recipe))
    const found = await planned()
    assert.deepEqual(
      found.map(({ id }) => id),
      [own, whole[1].id],
    )
    const middle = rows.length >> 1
    writeFileSync(
      large,
      `text,mood\n${rows.slice(0, middle)}${rows[middle] === 'r' ? 's' : 'r'}${rows.slice(middle + 1)}`,
    )
    rmSync(runsPath, { recursive: true })
    const changed = await planned()
    assert.ok(changed.every(({ id }, index) => id !== whole[index].id))
    // The hash of a large file that stays is read from the cache, until the file is another.
    const cache = join(folder, 'file-hashes')
    truncateSync(large, 17 << 20)
    const before = await fileHash(large, cache)
    assert.equal(before, createHash('sha256').update(readFileSync(large)).digest('hex'))
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(large, { bigint: true })
    mkdirSync(cache, { recursive: true })
    writeFileSync(join(cache, [dev, ino, size, mtimeNs, ctimeNs].join('-')), 'a'.repeat(64))
    assert.equal(await fileHash(large, cache), 'a'.repeat(64))
    appendFileSync(large, '.')
    assert.equal(await fileHash(large, cache), createHash('sha256').update(readFileSync(large)).digest('hex'))
  })

  it('less is better of every loss, if the measure does not say', async () => {
    const values = ['mlm.ownChunksLoss', 'mlm.unigramLoss', 'mood.dev.loss', 'mlm.perplexity', 'mood.accuracy']
    const { measures } = await loadExperiment({ ...experiment, measures: values }, paths())
    assert.deepEqual(
      measures.map(({ better }) => better),
      ['lower', 'lower', 'lower', 'lower', 'higher'],
    )
  })

  it('a variant may prune by another method than the others', async () => {
    const set = { ...experiment.common.set, 'pruning.method': 'soft-movement', 'pruning.penalty': 10 }
    const variants = {
      base: {},
      movement: { set: { pruning: { finalDensity: 0.3, method: 'movement' } } },
      softer: { set: { 'pruning.penalty': 5 } },
    }
    const pruned = { ...experiment, seeds: [1, 2], common: { ...experiment.common, set }, variants }
    const plan = await planExperiment(await loadExperiment(pruned, paths()), { runsPath: folder, existing: [] })
    const told = plan.jobs.slice(0, 3).map((job) => (job as TrainJob).recipe.pruning as any)
    assert.deepEqual(
      told.map(({ method, penalty, finalDensity }) => [method, penalty, finalDensity]),
      [
        ['soft-movement', 10, undefined],
        ['movement', undefined, 0.3],
        ['soft-movement', 5, undefined],
      ],
    )
  })

  it('--dry-run measures real steps of what is missing and leaves nothing behind', async () => {
    const fresh = join(folder, 'fresh')
    // Tokens of labelled tasks are counted, pauses of pruning are longer than the measurement, and runs search for a penalty.
    const pruning = { method: 'soft-movement', finalDensity: 0.5, search: { runs: 6, share: 0.5 } }
    const set = { ...experiment.common.set, schedule: { warmup: 5 }, pruning }
    const asked = { ...experiment, common: { ...experiment.common, set }, budget: { tokens: 5000 } }
    const estimate = await estimateExperiment(asked, { output: fresh, paths: paths(), only: ['base'] })
    assert.deepEqual([estimate.missing, estimate.unknown, estimate.steps.length], [2, 0, 1])
    const [step] = estimate.steps
    const told =
      /^4 measured steps: (\d+) steps of (\d+) ms, 3 evaluations of \d+\.\d s, up to 3 times these steps to find the penalty of pruning; start \d+\.\d s$/
    const [, count, milliseconds] = (told.exec(step.from) ?? assert.fail(step.from)).map(Number)
    const { tokens, step: steps } = runs['base 1'].state
    assert.ok(Math.abs(count - 5000 / (tokens / steps)) < 2, step.from)
    assert.ok(step.secondsPerRun! > (4 * count * (milliseconds - 1)) / 1000)
    assert.ok(Math.abs(estimate.seconds - 2 * step.secondsPerRun!) < 1e-9)
    assert.deepEqual(existsSync(fresh) ? readdirSync(fresh) : [], [])
  })

  it('--dry-run measures as many steps of every stage, those inside one budget too', async () => {
    const overlay = { data: { corpus: 'parsed.conllu' }, budget: { hours: 1 } }
    for (const values of [{}, { agreements: { budgetShare: 0.02 } }, { agreements: null }]) {
      const stages = stagesOf(withFewSteps(await openRecipe('dacbert', { overlay: { ...overlay, ...values } })))
      const told = values.agreements === null ? ['pretrain 4'] : ['agreements 4', 'pretrain 4']
      assert.deepEqual(
        stages.map(({ name, budget }) => `${name} ${budget.steps}`),
        told,
      )
    }
    const refinement = await openRecipe('mt-dnn', {
      overlay: { init: experiment.paths.start, data: { rte: 'RTE', mrpc: 'MRPC' } },
    })
    for (const { name, budget } of stagesOf(withFewSteps(refinement))) assert.deepEqual(budget, { steps: 4 }, name)
  })

  it('--dry-run measures what looks at checkpoints too: an evaluation whole, probes with a tenth of the examples', async () => {
    const treebank = join(__dirname, '../examples/data/upos/train.conllu.gz')
    const options = { train: 600, dev: 200, test: 200, layers: '1', controls: 'majority' }
    const asked = {
      ...experiment,
      steps: {
        tune: {},
        look: { kind: 'evaluate', from: 'tune' },
        probes: { kind: 'probe', from: 'tune', tasks: ['UPOS'], data: { treebank }, options },
        // A tenth has fewer examples than classes, all of them have enough.
        scarce: { kind: 'probe', from: 'tune', tasks: ['UPOS'], data: { treebank }, options: { ...options, dev: 60 } },
        ready: { kind: 'probe', from: 'tune', data: { senteval: folder } },
      },
      measures: [{ step: 'tune', value: 'mood.accuracy' }],
      learned: [],
    }
    const fresh = join(folder, 'fresh-looks')
    const estimate = await estimateExperiment(asked, { output: fresh, paths: paths(), only: ['base'] })
    const [tune, look, probes, scarce, ready] = estimate.steps
    assert.deepEqual([tune.kind, look.from, estimate.unknown], ['train', 'one whole evaluation', 4])
    const told = /^probes of a tenth of the examples took (\d+\.\d) s, ten times that for all; start (\d+\.\d) s$/
    const [, growing, start] = (told.exec(probes.from) ?? assert.fail(probes.from)).map(Number)
    assert.ok(start > 0.1, probes.from)
    assert.ok(Math.abs(probes.secondsPerRun! - start - 10 * growing) < 0.6, `${probes.secondsPerRun}: ${probes.from}`)
    assert.match(scarce.from, /^known when it has run once: measuring probe failed: .*6 dev examples for \d+ classes/)
    assert.match(ready.from, /^probing sets that are ready cannot be cut/)
    const known = [tune, look, probes].reduce((sum, { secondsPerRun, missing }) => sum + secondsPerRun! * missing, 0)
    assert.ok(Math.abs(estimate.seconds - known) < 1e-9)
    assert.deepEqual(existsSync(fresh) ? readdirSync(fresh) : [], [])
  })

  it("a probing run's numbers: by layer and classifier, at the layer that dev chooses, beside the controls", () => {
    const cell = (layer: number | string, accuracy: number, devAccuracy: number, classifier = 'logistic') => ({
      layer,
      classifier,
      accuracy,
      devAccuracy,
    })
    const numbers = probeNumbers({
      format: 1,
      tasks: [
        {
          name: 'SentLen',
          test: 1000,
          majority: 0.17,
          controls: { bagOfWords: { accuracy: 0.4 } },
          cells: [cell(0, 0.9, 0.6), cell(1, 0.7, 0.8), cell('mix', 0.95, 0.99), cell(1, 0.75, 0.85, 'mlp')],
        },
      ],
      summary: { centroid: { SentLen: 1.5 } },
    })
    assert.deepEqual(
      ['best.accuracy', 'best.layer', '0.accuracy', '1.mlp.accuracy', 'mix.devAccuracy', 'majority', 'count'].map(
        (name) => numbers[`SentLen.${name}`],
      ),
      [0.7, 1, 0.9, 0.75, 0.99, 0.17, 1000],
    )
    assert.deepEqual([numbers['SentLen.bagOfWords'], numbers['SentLen.centroid']], [0.4, 1.5])
    assert.throws(() => probeNumbers({ format: 2, tasks: [] }), /probes\.json: format: /)
    // A control that was not asked for is not there.
    const bare = probeNumbers({ format: 1, tasks: [{ name: 'WC', test: 9, controls: {}, cells: [cell(1, 0.7, 0.8)] }] })
    assert.deepEqual([bare['WC.best.accuracy'], bare['WC.majority']], [0.7, undefined])
  })

  it("the hierarchy experiments: their probes ask for the majority, and give every measure of a probe's result", async () => {
    for (const name of ['hierarchy', 'hierarchy-from-encoder']) {
      const given = Object.fromEntries(['glue', 'nli', 'squad', 'treebank'].map((path) => [path, folder]))
      const encoder: Record<string, string> = name === 'hierarchy' ? {} : { encoder: folder }
      const path = join(__dirname, `../examples/experiments/${name}.yaml`)
      const { steps, measures, learned } = await loadExperiment(path, { ...given, ...encoder })
      assert.equal(steps.probes.options?.controls, 'majority')
      const criteria = learned.filter(({ step }) => step === 'probes')
      assert.equal(criteria.length, 1)
      const probed = measures.filter(({ step }) => step === 'probes').map(({ value }) => value)
      const tasks = probed.map((value) => ({
        ...{ name: value.split('.')[0], kind: 'sentence', classes: 2, test: 1000, majority: 0.5, controls: {} },
        cells: [0, 1].map((layer) => ({ layer, classifier: 'logistic', accuracy: 0.6 + layer / 10, devAccuracy: 0.6 })),
      }))
      const report = { format: 1, device: 'cpu', precision: 'fp32', tasks, summary: { centroid: {} }, leftOut: [] }
      const place = join(folder, `probe-${name}`)
      mkdirSync(place)
      writeFileSync(join(place, 'probes.json'), JSON.stringify(report))
      const job = { kind: 'probe', step: 'probes', folder: place } as CheckpointJob
      const result = await readJobNumbers(job, join(place, 'none'), 1)
      assert.equal(probed.length, 10)
      for (const value of probed) assert.equal(result.values[value], 0.6, value)
      const floor = await new Floors().floorOf(job, result as any, criteria[0].task!)
      assert.match('what' in floor ? floor.what : '', /^the majority's 0\.5000 .* 1000 examples/)
    }
  })

  describe('the floor of a task', () => {
    let recipe: TrainJob['recipe']
    const trained = (own = recipe) =>
      ({ id: 'a', kind: 'train', step: 'tune', recipe: own, folder: join(folder, 'whole-base-1') }) as TrainJob
    const result = (values: Record<string, number>, task = 'mood') =>
      ({ id: 'a', format: 1, values, splits: { [task]: ['dev'] } }) as any
    const tuned = (overlay: Values) =>
      openRecipe('fine-tune', { overlay: { ...experiment.common.set, init: experiment.paths.start, ...overlay } })
    before(async () => {
      recipe = await tuned({ data: { mood: join(folder, 'mood.csv') }, budget: { steps: 1 } })
    })

    it('an evaluation of one file is held against all of that file', async () => {
      const file = join(folder, 'skewed.csv')
      const rows = Array.from({ length: 30 }, (_, index) => `the river ${index},${index < 24 ? 'sad' : 'happy'}`)
      writeFileSync(file, `text,mood\n${rows.join('\n')}\n`)
      const look = { kind: 'evaluate', step: 'look', data: { mood: file }, parent: trained() } as any as CheckpointJob
      const floors = new Floors()
      const scored = result({ 'mood.accuracy': 0.8 })
      const found = await floors.floorOf(look, scored, 'mood')
      assert.match('what' in found ? found.what : found.unknown, /^the majority's 0\.8000 .* 30 examples\)$/)
      // Of the run's own file its held-out tenth.
      const own = await floors.floorOf({ ...look, data: {} }, scored, 'mood')
      assert.match('what' in own ? own.what : own.unknown, / 16 examples\)$/)
      const alone = await floors.floorOf({ ...look, parent: undefined }, scored, 'mood')
      assert.deepEqual(alone, { unknown: 'step look looks at a checkpoint that no step trained' })
    })

    it('of a ranking it is a random candidate', async () => {
      const lines = [2, 4, 4].flatMap((count, question) =>
        Array.from({ length: count }, (_, i) => `what ${question},the river ${i},${i === 1 ? 1 : 0}`),
      )
      const file = join(folder, 'pairs.csv')
      writeFileSync(file, `q,c,l\n${lines.join('\n')}\n`)
      const definition = { kind: 'ranking', question: 'q', candidate: 'c', label: 'l' }
      const data = { pairs: { train: file, dev: file } }
      const ranking = await tuned({ tasks: { pairs: { definition } }, data, budget: { steps: 1 } })
      const scored = result({ 'pairs.accuracyAt1': 0.4, 'pairs.meanReciprocalRank': 0.5, 'pairs.count': 3 }, 'pairs')
      const floor = await new Floors().floorOf(trained(ranking), scored, 'pairs')
      assert.ok('value' in floor, JSON.stringify(floor))
      assert.equal(floor.value, 'pairs.accuracyAt1')
      assert.match(floor.what, /^a random candidate's 0\.3333 .* 3 examples\)$/)
      assert.ok(floor.score > 0.4)
    })

    /** A finished run of the recipe with these scores of `mood`, held against a criterion. */
    const floors = new Floors()
    const verdict = async (own: TrainJob['recipe'], scores: Record<string, number>, criterion = {}) => {
      const job = { ...trained(own), folder: join(folder, 'verdict') }
      // Its tokenizer.
      if (!existsSync(job.folder))
        cpSync(join(trained().folder, 'latest/'), join(job.folder, 'latest'), { recursive: true })
      const values = Object.fromEntries(Object.entries(scores).map(([name, value]) => [`mood.${name}`, value]))
      await writeResult(job.folder, result(values))
      const learned = [{ step: 'tune', task: 'mood', nats: 0.5, ...criterion }]
      const plan = { runs: [{ jobs: { tune: job } }] } as any as ExperimentPlan
      const { reasons, judged } = await findLearned({ learned } as any, plan, floors)
      assert.equal(judged.size, 1)
      return reasons.get(job)?.join() ?? 'learned'
    }

    it("is judged by the task's main metric, or by the one that the criterion names", async () => {
      const definition = { ...SMALL_DEFINITIONS.mood.definition, labels: ['sad', 'happy'], kind: 'classification' }
      const withMain = (metrics: string[]) =>
        tuned({
          tasks: { mood: { definition: { ...definition, metrics } } },
          data: { mood: join(folder, 'skewed-mood.csv') },
          budget: { steps: 1 },
        } as Values)
      const rows = Array.from({ length: 200 }, (_, index) => `the river ${index},${index % 10 < 7 ? 'happy' : 'sad'}`)
      writeFileSync(join(folder, 'skewed-mood.csv'), `text,mood\n${rows.join('\n')}\n`)
      const correlated = await withMain(['matthews', 'accuracy'])
      assert.equal(await verdict(correlated, { matthews: 0.27, accuracy: 0.7, count: 1043 }), 'learned')
      const stuck = await verdict(correlated, { matthews: 0.03, accuracy: 0.99, count: 1043 })
      assert.match(
        stuck,
        /^mood\.matthews 0\.0300 is not above a correlation of 0 \(95 % up to 0\.0607, 1043 examples\)$/,
      )
      const named = await verdict(correlated, { matthews: 0.9, accuracy: 0.7, count: 20 }, { metric: 'accuracy' })
      assert.match(named, /^mood\.accuracy 0\.7000 is not above the majority's 0\.\d+ /)
      // Of class 1 everywhere: 2p / (1 + p) of its share, and of the share's upper bound.
      const f1 = await withMain(['f1', 'accuracy'])
      const found = await new Floors().floorOf(trained(f1), result({ 'mood.f1': 0.8, 'mood.accuracy': 0.9 }), 'mood')
      const [, share, count] = /^class 1 everywhere: (\S+) .* (\d+) examples\)$/.exec(
        ('what' in found && found.what) || '',
      )!
      const p = Number(share) / (2 - Number(share))
      const [, upper] = wilsonInterval(p * Number(count), Number(count))
      assert.ok('score' in found && Math.abs(found.score - (2 * upper) / (1 + upper)) < 1e-4)
      assert.match(await verdict(f1, { f1: 0.8, accuracy: 0.9 }), /^mood\.f1 0\.8000 is not above class 1 everywhere/)
      const macro = await floors.floorOf(trained(f1), result({ 'mood.f1Macro': 0.5 }), 'mood', 'f1Macro')
      assert.match('what' in macro ? macro.what : macro.unknown, /^classes drawn by their shares: 0\.5000 /)
      await assert.rejects(
        verdict(f1, { f1: 0.8 }, { metric: 'matthews' }),
        refuses('BAD_RECIPE', 'step tune gives no mood.matthews, expected a metric of the task: f1'),
      )
    })

    it('of answers it is to answer nothing, of which SQuAD 2.0 has a share', async () => {
      const file = join(folder, 'questions.json')
      const qas = Array.from({ length: 40 }, (_, index) => {
        const hasAnswer = index % 4 === 0
        const answers = hasAnswer ? [{ text: 'river', answer_start: 4 }] : []
        return { id: `q${index}`, question: 'what is it', is_impossible: !hasAnswer, answers }
      })
      const paragraphs = [{ context: 'the river runs', qas }]
      writeFileSync(file, JSON.stringify({ version: 'v2.0', data: [{ title: 'one', paragraphs }] }))
      const questions = await tuned({
        tasks: { squad2: { definition: { questionTokens: 16 } } },
        data: { squad2: { train: file, dev: file } },
        budget: { steps: 1 },
      } as Values)
      const scored = result({ 'squad2.f1': 0.8, 'squad2.exactMatch': 0.8 }, 'squad2')
      const floor = await new Floors().floorOf(trained(questions), scored, 'squad2')
      assert.ok('value' in floor, JSON.stringify(floor))
      assert.equal(floor.value, 'squad2.f1')
      assert.match(floor.what, /^no answer anywhere: 0\.7500 .* 40 examples\)$/)
      assert.ok(floor.score > 0.8)
    })

    it('convergence leaves a run out that never left the floor of the measured score', async () => {
      const job = (name: string, score: (step: number) => number) => {
        const place = join(folder, `level-${name}`)
        mkdirSync(place)
        const lines = [1, 2, 3, 4, 5].map((step) => {
          const dev = { main: score(step), loss: 1, count: 1043, metrics: { matthews: score(step), accuracy: 0.69 } }
          return { type: 'evaluation', stage: 'finetune', step: 10 * step, seconds: 1, tasks: { mood: { dev } } }
        })
        writeFileSync(join(place, 'metrics.jsonl'), lines.map((line) => JSON.stringify(line)).join('\n'))
        const values = { 'mood.matthews': score(5), 'mood.accuracy': 0.69, 'mood.count': 1043 }
        writeFileSync(join(place, 'result.json'), JSON.stringify(result(values)))
        return { ...trained(), folder: place }
      }
      const pair = { seed: 1, own: job('climbs', (step) => step / 20), baseline: job('stays', () => 0) }
      const values = { own: 'mood.matthews', baseline: 'mood.matthews' }
      const outcome = await convergenceOf({ better: 'higher' } as Measure, values, [pair], new Floors())
      assert.ok('found' in outcome, JSON.stringify(outcome))
      assert.deepEqual([outcome.found.notComparable, outcome.found.pairs[0].stuck], [1, ['baseline']])
      assert.deepEqual(outcome.notes, [])
    })

    it('where none is known it is said, and nobody is called learned for it', async () => {
      const job = { ...trained(), folder: join(folder, 'floors') }
      const learned = async (values: Record<string, number>, notFinite: string[] = []) => {
        mkdirSync(job.folder, { recursive: true })
        await writeResult(job.folder, { ...result(values), notFinite: { values: notFinite, stages: {} } })
        const criteria = { learned: [{ step: 'tune', task: 'mood', nats: 0.5 }] } as any as LoadedExperiment
        const plan = { runs: [{ jobs: { tune: job } }] } as any as ExperimentPlan
        return findLearned(criteria, plan, new Floors())
      }
      const spans = await learned({ 'mood.LAS': 0.1 })
      assert.deepEqual([spans.judged.size, spans.reasons.size], [0, 0])
      assert.deepEqual(spans.notes, ['whether step tune learned mood is not told: no floor of LAS is known'])
      // A constant answer has no correlation: that is no more than a guess.
      const constant = await learned({ 'mood.count': 50 }, ['mood.pearson'])
      assert.deepEqual([[...constant.reasons.values()], constant.notes], [[['mood.pearson is not finite']], []])
      const probe = { kind: 'probe', step: 'probes' } as CheckpointJob
      const bare = await new Floors().floorOf(probe, result({ 'WC.count': 9, 'WC.best.accuracy': 0.5 }), 'WC')
      assert.match('unknown' in bare ? bare.unknown : '', /no majority control/)
      const typo = new Floors().floorOf(trained(), result({ 'mood.accuracy': 0.5 }), 'moood')
      await assert.rejects(typo, /step tune gives no score of task moood, expected one of mood/)
    })
  })

  it('a value that is not finite stands in the table as such, and in no mean; other devices are told', async () => {
    const place = join(folder, 'not-finite')
    const stdout = join(folder, 'nan.out')
    const split = { dev: { main: Number.NaN, loss: 1, count: 4, metrics: { accuracy: 0.5, pearson: Number.NaN } } }
    const other = { dev: { main: 0.5, loss: 1, count: 4, metrics: { accuracy: 0.5 } } }
    const stages = [{ name: 'both', scores: {}, tasks: { mood: split, rte: other } }]
    const state = { step: 3, tokens: 5, elapsedSeconds: 1 }
    // As the command prints it: null.
    writeFileSync(stdout, JSON.stringify({ status: 'completed', stages, state, heldOut: [] }))
    const read = await readJobNumbers({ kind: 'train', folder } as TrainJob, stdout, 1)
    assert.deepEqual([read.values['mood.accuracy'], 'mood.pearson' in read.values], [0.5, false])
    // Without one of them there is no mean of the tasks.
    const lost = ['mood.pearson', 'mood.dev.pearson', 'mean', 'sum']
    assert.deepEqual(read.notFinite, { values: lost, stages: { both: lost } })

    const measures = ['mood.accuracy', 'mood.pearson', { name: 'never', value: 'mood.f1' }]
    const { base, fast: quick } = experiment.variants
    const broken = { ...experiment, seeds: [1, 2, 3], variants: { base, fast: quick }, measures, learned: [] }
    const plan = await planExperiment(await loadExperiment(broken, paths()), readFolderNames(place))
    for (const { id, kind, variant, step, seed, folder: run } of plan.jobs) {
      mkdirSync(run, { recursive: true })
      const isLost = variant === 'fast' && seed === 2
      await writeResult(run, {
        ...{ format: 1, id, kind, variant, step, seed, stages: {}, splits: {}, steps: 1, tokens: 1, seconds: 1 },
        ...{ commandSeconds: 1, finishedAt: '' },
        values: { 'mood.accuracy': 0.5, ...(!isLost && { 'mood.pearson': seed / 10 }) },
        notFinite: { values: ['mood.f1', ...(isLost ? ['mood.pearson'] : [])], stages: {} },
      })
      const device = variant === 'fast' && seed > 1 ? 'cuda' : 'cpu'
      const versions = { stratabert: variant === 'fast' && seed === 3 ? '0.2.0' : '0.1.0' }
      const git = { commit: variant === 'fast' && seed === 1 ? 'b234567890' : 'a234567890', dirty: false }
      const place = { device, precision: 'fp32', computeThreads: variant === 'fast' ? 1 : 2 }
      writeFileSync(join(run, 'environment.json'), JSON.stringify([{ ...place, versions, git }]))
    }
    const { comparison } = await compareExperiment(broken, { output: place, paths: paths(), tableOnly: true })
    const row = (variant: string, measure: string) =>
      comparison.table.find((one) => one.variant === variant && one.measure === measure)!
    const fast = row('fast', 'mood.pearson')
    assert.deepEqual([fast.n, fast.notFinite, fast.mean, fast.pairs], [2, 1, 0.2, 2])
    assert.deepEqual(
      [row('base', 'never').n, row('base', 'never').notFinite, row('base', 'never').mean],
      [0, 3, undefined],
    )
    const [, run] = comparison.variants[1].runs
    assert.deepEqual([run.notFinite, run.learned], [['mood.pearson', 'never'], undefined])
    assert.deepEqual(
      comparison.notes.filter((note) => /fast/.test(note)),
      [
        'not finite: mood.pearson of fast, seed 2: in no mean and no test of the table',
        'not finite: never of fast (mood.f1), seeds 1, 2, 3: in no mean and no test of the table',
        'fast, step tune, ran on cuda fp32, base on cpu fp32 (seeds 2, 3): that may be part of their difference',
        'fast, step tune, computed with 1 thread, base with 2 threads (seed 1): that may be part of their difference',
        'fast, step tune, was made by stratabert 0.1.0, commit b234567, base by stratabert 0.1.0, commit a234567 (seed 1): that may be part of their difference',
        'fast, step tune, was made by stratabert 0.2.0, commit a234567, base by stratabert 0.1.0, commit a234567 (seed 3): that may be part of their difference',
      ],
    )
    const page = readFileSync(join(place, 'comparison.md'), 'utf8')
    assert.match(page, /\| mood\.pearson \| fast \| 2 \(1 more not finite\) \| 0\.2000 \|/)
    assert.match(page, /\| never \| base \| 0 \(3 more not finite\) \| not finite \|/)
    assert.match(page, /\| fast \| 2 \| done \| 0\.5000 \| not finite \| not finite \|/)
  })

  it('an overview has the median of the seeds, a row a variant, and the average of the columns', async () => {
    const place = join(folder, 'overview')
    const { base, fast } = experiment.variants
    const measures = [{ value: 'mood.accuracy', reference: 0.7 }, 'mood.pearson']
    const overviews = [
      { name: 'Moods', measures: ['mood.accuracy', 'mood.pearson'] },
      { name: 'Means', measures: ['mood.pearson', 'mood.accuracy'], statistic: 'mean' as const },
    ]
    const five = { ...experiment, seeds: 5, variants: { base, fast }, measures, overviews, learned: [] }
    const plan = await planExperiment(await loadExperiment(five, paths()), readFolderNames(place))
    const pearson = [0.1, 0.9, 0.2, 0.8, 0.3]
    for (const { id, kind, variant, step, seed, folder: run } of plan.jobs) {
      if (variant === 'fast' && seed > 3) continue
      mkdirSync(run, { recursive: true })
      const values = { 'mood.accuracy': 0.5, ...(variant === 'base' && { 'mood.pearson': pearson[seed - 1] }) }
      await writeResult(run, {
        ...{ format: 1, id, kind, variant, step, seed, stages: {}, splits: {}, steps: 1, tokens: 1, seconds: 1 },
        ...{ commandSeconds: 1, finishedAt: '', values },
      })
    }
    const { comparison } = await compareExperiment(five, { output: place, paths: paths(), tableOnly: true })
    const [moods, means] = comparison.overviews
    assert.deepEqual(moods, {
      name: 'Moods',
      statistic: 'median',
      measures: overviews[0].measures,
      rows: [
        { variant: 'base', values: [0.5, 0.3], runs: [5, 5], average: 0.4 },
        { variant: 'fast', values: [0.5, null], runs: [3, 0], average: null },
      ],
      reference: { values: [0.7, null], average: null },
    })
    assert.ok(Math.abs(means.rows[0].values[0]! - 0.46) < 1e-12)
    const page = readFileSync(join(place, 'comparison.md'), 'utf8')
    assert.match(page, /## Moods\n\n\| variant \| mood\.accuracy \| mood\.pearson \| average \|/)
    assert.match(
      page,
      /\| base \| 0\.5000 \| 0\.3000 \| 0\.4000 \|\n\| fast \| 0\.5000 \(3\) \| – \| – \|\n\| reference \| 0\.7000 \| – /,
    )
    const lines = comparisonLines(comparison)
    assert.match(lines[lines.indexOf('Moods, medians') + 2], /^base +0\.5000 +0\.3000 +0\.4000$/)
    const unknown = { ...five, overviews: [{ name: 'Moods', measures: ['mood.accuracy', 'mood.pearsn'] }] }
    await assert.rejects(
      loadExperiment(unknown, paths()),
      /overviews\.0\.measures\.1: came "mood\.pearsn", expected a measure of the file; did you mean "mood\.pearson"\?/,
    )
  })

  it('jobs start beside others only with the memory that they are expected to take', async () => {
    const plan = await planExperiment(await loadExperiment(experiment, paths()), { runsPath: folder, existing: [] })
    const [first, second, third, ...others] = plan.jobs
    // By the recipe's shapes: a tiny encoder is little beside the process.
    const one = new JobMemory([], () => 1e12).expected(first)
    assert.ok(one > 0.7e9 && one < 1.2e9, String(one))
    let free = 2.5 * one
    const memory = new JobMemory([], () => free)
    assert.deepEqual([memory.claim(first), memory.claim(second), memory.claim(third)], [true, true, false])
    assert.match(memory.shortage(third), /^needs about 0\.\d GB of memory, 0\.\d GB are left/)
    memory.release(first)
    // Somebody else has taken it.
    free = 0.5 * one
    assert.equal(memory.claim(third), false)
    free = 2 * one
    assert.equal(memory.claim(third), true)
    // The only one always starts, and finished runs tell more than shapes.
    assert.equal(new JobMemory([], () => 0).claim(first), true)
    const kept = join(folder, 'memory')
    mkdirSync(kept)
    writeFileSync(join(kept, 'result.json'), JSON.stringify({ id: 'a', format: 1, values: { memoryBytes: 8e9 } }))
    const done = { ...others[0], id: 'a', folder: kept }
    assert.equal(new JobMemory([done]).expected(first), 10e9)
    // Jobs that end at once: their checkpoint is not there.
    const told = async (free: number) => {
      const all = ['a', 'b', 'c'].map((id) => {
        const settings = { init: join(folder, 'nowhere'), tasks: [], data: {}, options: {}, predictions: false }
        const place = { variant: id, step: 'look', seed: 1, folder: join(kept, `${id}-${free}`), fromBest: false }
        return { id, kind: 'evaluate', ...place, ...settings } as CheckpointJob
      })
      const events: string[] = []
      const onEvent = ({ type, job }: JobEvent) => events.push(`${type} ${job.id}`)
      await runJobs(all, { all, parallel: 3, keep: 'all', freeMemory: () => free, onEvent })
      return events
    }
    assert.deepEqual((await told(1e12)).slice(0, 3), ['start a', 'start b', 'start c'])
    const alone = ['start a', 'wait b', 'end a', 'start b', 'wait c', 'end b', 'start c', 'end c']
    assert.deepEqual(await told(1), alone)
  })

  it('a step that all others wait for has all threads, those that run side by side share them', async function () {
    const { base, fast } = experiment.variants
    const { init, ...common } = experiment.common
    const value = {
      ...experiment,
      common: { ...common, set: { ...common.set, threads: 0 } },
      steps: { shared: { init, seed: 1 }, tune: { from: 'shared' } },
      budget: { steps: 2 },
      variants: { base: { steps: { tune: base } }, fast: { steps: { tune: fast } } },
      measures: [{ step: 'tune', value: 'mood.accuracy' }],
      learned: [],
    }
    const output = join(folder, 'threads')
    const { jobs } = await planExperiment(await loadExperiment(value, paths()), readFolderNames(output))
    const alone = jobs.map((job) => `${job.step}: ${runsAlone(job, jobs)}`)
    assert.deepEqual(alone, ['shared: true', ...Array(4).fill('tune: false')])
    // Two variants that share no step: the first can always run beside the second.
    const own = { ...value, steps: { shared: { init }, tune: { from: 'shared' } } }
    const apart = await planExperiment(await loadExperiment(own, paths()), readFolderNames(output))
    assert.ok(apart.jobs.every((job) => !runsAlone(job, apart.jobs)))

    const half = Math.max(1, Math.floor(availableParallelism() / 2))
    // A process of its own: tests beside this one choose other numbers here.
    const asked = `console.log(require(${JSON.stringify(join(__dirname, '../lib/model'))}).computeThreads())`
    const all = Number(execFileSync(process.execPath, ['--import=tsx', '-e', asked], { encoding: 'utf8' }))
    // One processor, or a machine of which libtorch takes a part by itself: nothing to see, or other numbers.
    if (all === half || all !== availableParallelism()) this.skip()
    const { failed, missing } = await compareExperiment(value, { output, paths: paths(), parallel: 2 })
    assert.deepEqual([failed, missing], [0, 0])
    for (const { step, folder: run } of jobs) {
      const [{ computeThreads }] = JSON.parse(readFileSync(join(run, 'environment.json'), 'utf8'))
      assert.equal(computeThreads, step === 'shared' ? all : half, run)
    }
  })

  it('the example files resolve', async () => {
    const examples = join(__dirname, '../examples/experiments')
    const own = {
      glue: 'glue',
      nli: 'nli',
      squad: 'squad',
      encoder: 'minilm_l6',
      treebank: 'ud_ewt/en_ewt-ud-dev.conllu',
      corpus: 'ud_ewt/en_ewt-ud-train.conllu',
      heldOut: 'ud_ewt/en_ewt-ud-dev.conllu',
    }
    // GLUE's large tasks are not among the shared data: a few rows each.
    const whole = join(folder, 'whole-glue')
    const pair =
      'index\tsentence1\tsentence2\tquestion\tsentence\tquestion1\tquestion2\tgold_label\tlabel\tis_duplicate\n'
    const rows = (label: string, binary: string) =>
      `${pair}0\ta b\tc d\ta b\tc d\ta b\tc d\t${label}\t${label}\t${binary}\n`
    const files: Record<string, string> = {
      'MNLI/train.tsv': rows('neutral', '0'),
      'MNLI/dev_matched.tsv': rows('neutral', '0'),
      'MNLI/dev_mismatched.tsv': rows('neutral', '0'),
      'QNLI/train.tsv': rows('entailment', '0'),
      'QNLI/dev.tsv': rows('entailment', '0'),
      'QQP/train.tsv': rows('1', '1'),
      'QQP/dev.tsv': rows('1', '1'),
    }
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(whole, dirname(name)), { recursive: true })
      writeFileSync(join(whole, name), text)
    }
    for (const task of existsSync(SHARED_DATA) ? ['RTE', 'MRPC', 'CoLA', 'STS-B', 'SST-2'] : [])
      symlinkSync(join(SHARED_DATA, 'glue', task), join(whole, task))
    const names = readdirSync(examples).filter((name) => name === 'tiny.yaml' || existsSync(SHARED_DATA))
    for (const name of names) {
      const text = readFileSync(join(examples, name), 'utf8')
      const asked = Object.entries(own).filter(([key]) => text.includes(`\${${key}}`))
      const given = Object.fromEntries(asked.map(([key, path]) => [key, join(SHARED_DATA, path)]))
      if (name === 'cramming-glue.yaml') given.glue = whole
      // One seed of each is enough to see that every key is known.
      const loaded = await loadExperiment(join(examples, name), given)
      // The relations of agreements are scored as heads are.
      if (name === 'dacbert.yaml')
        loaded.measures.push({ ...loaded.measures[0], stage: 'agreements', value: 'subj.accuracy', step: 'pretrain' })
      const plan = await planExperiment({ ...loaded, seeds: [1] }, { runsPath: folder, existing: [] })
      checkMeasures(loaded, plan)
    }
  })

  describe('refuses', () => {
    const cases: [string, (experiment: any) => void, RegExp][] = [
      ['an unknown key', (one) => (one.sedes = 2), /sedes: unknown key; did you mean "seeds"\?/],
      [
        'an unknown key of a variant',
        (one) => (one.variants.base.sett = {}),
        /variants\.base\.sett: unknown key; did you mean "set"\?/,
      ],
      [
        'an unknown baseline',
        (one) => (one.baseline = 'bas'),
        /baseline: came "bas", expected one of the variants base, fast, stuck; did you mean "base"\?/,
      ],
      ['one seed', (one) => (one.seeds = [3]), /seeds: came one seed, expected at least 2/],
      ['a seed twice', (one) => (one.seeds = [3, 3]), /seeds: came 3, 3, expected each once/],
      ['no variant', (one) => (one.variants = {}), /variants: has none/],
      ['no measure', (one) => (one.measures = []), /measures: .*expected at least 1 entry/],
      [
        'a step from nowhere',
        (one) => (one.steps.tune.from = 'pretrain'),
        /steps\.tune\.from: came "pretrain", expected an earlier training step: there is none/,
      ],
      [
        'a step that no one has',
        (one) => (one.variants.base.steps = { tun: {} }),
        /variants\.base\.steps\.tun: is no step, expected one of tune; did you mean "tune"\?/,
      ],
      [
        'a measure of no step',
        (one) => (one.measures = [{ step: 'tun', value: 'x' }]),
        /measures\.0\.step: came "tun"/,
      ],
      [
        'a place without a path',
        (one) => (one.common.init = '${strat}'),
        /common\.init: names \$\{strat\}, .*give --data strat=PATH/,
      ],
      [
        'a budget of two kinds of step',
        (one) => (one.steps.look = { kind: 'evaluate', from: 'tune', budget: { steps: 1 } }),
        /steps\.look\.budget: means nothing to a step of kind evaluate/,
      ],
    ]
    for (const [name, change, message] of cases) {
      it(name, async () => {
        const wrong = structuredClone(experiment)
        change(wrong)
        await assert.rejects(loadExperiment(wrong, paths()), (error: Error & { code: string }) => {
          assert.equal(error.code, 'BAD_RECIPE', error.message)
          assert.match(error.message, message)
          return true
        })
      })
    }

    it('a measure of no head or task, before anything runs', async () => {
      const wrong = { ...experiment, measures: ['moood.accuracy'] }
      await assert.rejects(
        compareExperiment(wrong, { output: join(folder, 'never'), paths: paths() }),
        /measures\.0: step tune gives nothing of "moood"; did you mean "mood"\?/,
      )
    })

    it('a path that no setting names', async () => {
      await assert.rejects(
        loadExperiment(experiment, { ...paths(), mods: 'x' }),
        /paths\.mods: came by --data, but no setting/,
      )
    })

    it('a wrong recipe, naming variant and step', async () => {
      const wrong = structuredClone(experiment)
      wrong.variants.fast.set.optimiser = {}
      await assert.rejects(
        estimateExperiment(wrong, { output: join(folder, 'never'), paths: paths() }),
        /variant fast, step tune: .*optimiser: unknown key; did you mean "optimizer"\?/,
      )
      assert.ok(!existsSync(join(folder, 'never')))
    })
  })
})
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: places that an experiment fills in

describe('bootstrap of kept predictions', () => {
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-bootstrap-'))
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  /** Jobs of two seeds whose predictions are those of `answer`, from its own stream. */
  function pairsOf(name: string, examples: number, answer: (random: RandomStream, example: number) => object) {
    const job = (run: string, seed: number) => {
      const place = join(folder, `${name}-${run}-${seed}`)
      mkdirSync(place)
      const random = stream(seed, run)
      const lines = Array.from({ length: examples }, (_, example) =>
        JSON.stringify({ task: 'one', split: 'dev', example, ...answer(random, example) }),
      )
      // Batches come in another order than the examples.
      writeFileSync(join(place, PREDICTIONS_FILE), `${lines.reverse().join('\n')}\n`)
      return { id: name, folder: place, kind: 'evaluate' } as CheckpointJob
    }
    return [1, 2].map((seed) => ({ seed, own: job('own', seed), baseline: job('baseline', seed) }))
  }

  /** The same replicates by hand: seeds, then examples, are drawn for both runs. */
  function replicated(
    seeds: number,
    examples: number,
    draws: number,
    score: (run: string, seed: number, of: number[]) => number,
  ) {
    const random = stream(0, 'paired-bootstrap')
    const draw = (count: number) => Array.from({ length: count }, () => random.below(count))
    const replicates = Array.from({ length: draws }, () => {
      const chosen = draw(seeds)
      const drawn = draw(examples)
      const differences = chosen.map((seed) => score('own', seed + 1, drawn) - score('baseline', seed + 1, drawn))
      return differences.reduce((sum, one) => sum + one) / seeds
    }).sort((a, b) => a - b)
    const at = (share: number) => {
      const place = share * (draws - 1)
      const [below, above] = [replicates[Math.floor(place)], replicates[Math.ceil(place)]]
      return below + (place - Math.floor(place)) * (above - below)
    }
    return { low: at(0.025), high: at(0.975) }
  }

  async function isReplicated(
    metric: string,
    pairs: ReturnType<typeof pairsOf>,
    examples: number,
    score: (lines: any[]) => number,
  ) {
    const lines = new Map(
      pairs.flatMap((pair) =>
        (['own', 'baseline'] as const).map((run): [string, any[]] => {
          const text = readFileSync(join(pair[run].folder, PREDICTIONS_FILE), 'utf8').trim()
          return [
            `${run} ${pair.seed}`,
            text
              .split('\n')
              .map((line) => JSON.parse(line))
              .reverse(),
          ]
        }),
      ),
    )
    const found = await bootstrapOf(`one.${metric}`, pairs)
    assert.ok(found && 'draws' in found, JSON.stringify(found))
    const of = (run: string, seed: number, drawn: number[]) => score(drawn.map((i) => lines.get(`${run} ${seed}`)![i]))
    const expected = replicated(pairs.length, examples, found.draws, of)
    assert.ok(Math.abs(found.low - expected.low) < 1e-12, `${metric}: ${found.low}, expected ${expected.low}`)
    assert.ok(Math.abs(found.high - expected.high) < 1e-12, `${metric}: ${found.high}, expected ${expected.high}`)
    assert.ok(found.low < found.high)
  }
  const mean = (values: number[]) => values.reduce((sum, one) => sum + one, 0) / values.length

  it('F1 is of class 1, whatever the classes are called', async () => {
    const classes = ['not_equivalent', 'equivalent']
    const pairs = pairsOf('f1', 12, (random, example) => {
      const [expectedIndex, predictedIndex] = [Number(example % 3 !== 0), random.below(2)]
      return { expected: classes[expectedIndex], predicted: classes[predictedIndex], expectedIndex, predictedIndex }
    })
    await isReplicated('f1', pairs, 12, (lines) => {
      const count = (of: (line: any) => boolean) => lines.filter(of).length
      const hits = count((line) => line.expected === 'equivalent' && line.predicted === 'equivalent')
      const all = count((line) => line.expected === 'equivalent') + count((line) => line.predicted === 'equivalent')
      return all === 0 ? 0 : (2 * hits) / all
    })
    const older = pairsOf('older', 3, () => ({ expected: 'equivalent', predicted: 'equivalent' }))
    const found = await bootstrapOf('one.f1', older)
    assert.match((found as { problem: string }).problem, /lack the numbers of their classes/)
    assert.ok('draws' in (await bootstrapOf('one.accuracy', older))!)
    assert.equal(await bootstrapOf('one.pearson', older), undefined)
  })

  it('accuracy at 1 and reciprocal ranks: ties count against the right candidate', async () => {
    const pairs = pairsOf('rank', 8, (random, example) => {
      const scores = Array.from({ length: 4 }, () => random.below(5))
      const predictedIndex = scores.indexOf(Math.max(...scores))
      // Candidates of one text are told apart by their number.
      return { expected: 'same', predicted: 'same', expectedIndex: example % 4, predictedIndex, scores }
    })
    const placeOf = ({ scores, expectedIndex }: any) =>
      scores.filter((one: number) => one >= scores[expectedIndex]).length
    await isReplicated('accuracyAt1', pairs, 8, (lines) => mean(lines.map((line) => Number(placeOf(line) === 1))))
    await isReplicated('meanReciprocalRank', pairs, 8, (lines) => mean(lines.map((line) => 1 / placeOf(line))))
    const older = pairsOf('older-rank', 3, () => ({ expected: 'a', predicted: 'a', scores: [1, 0] }))
    const found = await bootstrapOf('one.accuracyAt1', older)
    assert.match((found as { problem: string }).problem, /lack the number of the right candidate/)
  })

  it('exact match and F1 of answers, question by question', async () => {
    const words = ['red', 'blue', 'green']
    const pairs = pairsOf('answers', 6, (random, example) => ({
      expected: [words[example % 3], 'red blue'],
      predicted: `${words[random.below(3)]} ${words[random.below(3)]}`,
      scores: { probability: 1 },
    }))
    const known = new Map<string, number>()
    const f1 = (answer: string, gold: string): number => {
      const key = `${answer}|${gold}`
      if (known.has(key)) return known.get(key)!
      const [said, right] = [answer.split(' '), gold.split(' ')]
      const same = words.reduce((sum, word) => {
        const count = (list: string[]) => list.filter((one) => one === word).length
        return sum + Math.min(count(said), count(right))
      }, 0)
      known.set(key, (2 * same) / (said.length + right.length))
      return known.get(key)!
    }
    await isReplicated('exactMatch', pairs, 6, (lines) =>
      mean(lines.map(({ predicted, expected }) => Number(expected.includes(predicted)))),
    )
    await isReplicated('f1', pairs, 6, (lines) =>
      mean(lines.map(({ predicted, expected }) => Math.max(...expected.map((gold: string) => f1(predicted, gold))))),
    )
    // Two texts without a word: F1 1 by the rules of SQuAD 2.0, whose predictions have a score for "no answer"; 0 by those of 1.1.
    const [rules11, rules20] = ([{ probability: 1 }, { probability: 1, noAnswer: 0 }] as Record<string, number>[]).map(
      (scores) => exampleScores('f1', [{ expected: ['the'], predicted: '!', scores }]),
    ) as ExampleScores[]
    assert.deepEqual([rules11.each, rules20.each], [[0], [1]])
  })

  it('tags and trees are drawn by sentence, words counted', async () => {
    const pairs = pairsOf('tags', 6, (random, example) => {
      const word = () => ['O', 'B-X'][random.below(2)]
      const expected = Array.from({ length: 2 + example }, (_, i) => ['B-X', 'O', ''][(example + i) % 3])
      return { expected, predicted: expected.map((_, i) => (i === 4 ? '' : word())) }
    })
    const judged = (lines: any[]): string[][] =>
      lines.flatMap(({ expected, predicted }) =>
        expected.flatMap((name: string, i: number) => (name && predicted[i] ? [[name, predicted[i]]] : [])),
      )
    await isReplicated('accuracy', pairs, 6, (lines) =>
      mean(judged(lines).map(([expected, predicted]) => Number(expected === predicted))),
    )
    // Every B-X is a span of one word.
    await isReplicated('spanF1', pairs, 6, (lines) => {
      const words = judged(lines)
      const hits = words.filter(([expected, predicted]) => expected === 'B-X' && predicted === 'B-X').length
      return (2 * hits) / words.flat().filter((word) => word === 'B-X').length
    })
    const tree = { expected: ['2:nsubj:pass', '0:root', '2:obj'], predicted: ['2:nsubj', '0:root', '2:obl'] }
    const of = (metric: string) => (exampleScores(metric, [tree]) as ExampleScores).of(Int32Array.of(0))
    assert.deepEqual([of('LAS'), of('UAS')], [2 / 3, 1])
    assert.equal(exampleScores('CLAS', [tree]), undefined)
  })

  it('is of the same examples only', async () => {
    const answers = (right: string) => () => ({ expected: [right], predicted: 'a', scores: {} })
    const [one] = pairsOf('same', 2, answers('a'))
    const [two] = pairsOf('else', 2, answers('b'))
    const problemOf = async (pairs: Parameters<typeof bootstrapOf>[1]) =>
      ((await bootstrapOf('one.f1', pairs)) as { problem: string }).problem
    assert.match(await problemOf([{ own: one.own, baseline: two.baseline }]), /other examples than the baseline's/)
    assert.match(await problemOf([one, two]), /every seed has other held-out examples/)
    assert.equal(await bootstrapOf('two.f1', [one]), undefined)
    assert.equal(await bootstrapOf('one.loss', [{ own: one.own, baseline: two.baseline }]), undefined)
  })
})

describe('checkpoints that are not kept', () => {
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-retention-'))
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  it('stay until every later step is done with them', async () => {
    const job = (id: string, more: object) => ({ id, folder: join(folder, id), ...more }) as TrainJob | CheckpointJob
    const tune = job('tune', { kind: 'train', recipe: await openRecipe('cramming') })
    const jobs = [tune, ...['one', 'two'].map((id) => job(id, { kind: 'evaluate', parent: tune }))]
    const done = ({ id, folder: place }: TrainJob | CheckpointJob) => {
      mkdirSync(place, { recursive: true })
      writeFileSync(join(place, 'result.json'), JSON.stringify({ id, format: 1 }))
    }
    const step = join(tune.folder, 'checkpoints', 'step-5')
    mkdirSync(step, { recursive: true })
    symlinkSync('checkpoints/step-5', join(tune.folder, 'latest'))
    for (const one of [undefined, tune, jobs[1]]) {
      if (one) done(one)
      await removeCheckpoints(jobs, 'none')
      assert.ok(existsSync(step), one?.id)
    }
    done(jobs[2])
    await removeCheckpoints(jobs, 'all')
    assert.ok(existsSync(step))
    await removeCheckpoints(jobs, 'none')
    assert.deepEqual(readdirSync(tune.folder), ['result.json'])
  })
})

describe('convergence by a loss', () => {
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-convergence-'))
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  it('is of its fall; a run that stays above the unigram entropy learned nothing', async () => {
    const job = (name: string, losses: number[]) => {
      const place = join(folder, name)
      mkdirSync(place)
      const lines = losses.map((loss, index) => {
        return { type: 'evaluation', stage: 'main', step: 10 * (index + 1), seconds: 1, scores: { mlm: { loss } } }
      })
      writeFileSync(join(place, 'metrics.jsonl'), lines.map((line) => JSON.stringify(line)).join('\n'))
      const values = { 'mlm.loss': losses.at(-1), 'mlm.unigramLoss': 6.5 }
      writeFileSync(join(place, 'result.json'), JSON.stringify({ id: name, format: 1, values, splits: {} }))
      return { id: name, folder: place, kind: 'train' } as TrainJob
    }
    const baseline = job('slow', [7, 6.8, 6.4, 6, 5, 5])
    const pairs = [
      { seed: 1, own: job('quick', [6.8, 6, 5, 5, 5, 5]), baseline },
      { seed: 2, own: job('stays', [6.6, 6.6, 6.6, 6.6, 6.6, 6.6]), baseline },
    ]
    const values = { own: 'mlm.loss', baseline: 'mlm.loss' }
    const outcome = await convergenceOf({ better: 'lower' } as Measure, values, pairs, new Floors())
    assert.ok('found' in outcome, JSON.stringify(outcome))
    // Medians of three: 5 is first seen at step 50 of the baseline, at step 30 of the other.
    assert.deepEqual(
      outcome.found.pairs.map(({ factor, target, stuck }) => [factor, target, stuck]),
      [
        [50 / 30, -5, []],
        [undefined, -6.6, ['other']],
      ],
    )
    assert.deepEqual(outcome.notes, [])
  })
})
