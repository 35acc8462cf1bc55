import assert from 'node:assert/strict'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Encoder } from '../lib/inference/index.js'
import { productRates, readModelFolder } from '../lib/model/index.js'
import {
  evaluateCheckpoint,
  expandFiles,
  mergeValues,
  openRecipe,
  openRunData,
  type Prediction,
  planRun,
  type RunResult,
  recipeSource,
  runRecipe,
  type Values,
} from '../lib/recipes/index.js'
import { bf16Notes } from '../lib/recipes/precision-note.js'
import { TrainingEvents } from '../lib/training/index.js'
import { tinyValues, writeSmallCorpus } from './helpers/tiny-recipe.js'

describe('running a recipe', function () {
  this.timeout(120_000)
  let folder: string
  let corpus: string
  let cacheDirectory: string
  let whole: RunResult

  const recipe = (more: Values = {}, name = 'hierarchical-pretrain') =>
    openRecipe(name, { overlay: mergeValues(tinyValues(corpus), more) })
  const output = (name: string) => join(folder, name)
  const weights = (checkpoint: string | undefined) => readFileSync(join(checkpoint!, 'model.safetensors'))

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-run-'))
    corpus = join(folder, 'text.txt')
    cacheDirectory = join(folder, 'cache')
    writeSmallCorpus(corpus)
    whole = await runRecipe(await recipe(), { output: output('whole'), cacheDirectory })
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  it('hints at bf16 where the processor is quicker at it, and only there', () => {
    assert.match(bf16Notes({ fp32: 100, bf16: 250 }).join(), /multiplies bf16 2\.5 times as fast: --precision bf16/)
    assert.deepEqual(bf16Notes({ fp32: 100, bf16: 120 }), [])
    for (const rate of Object.values(productRates())) assert.ok(rate > 0.1 && rate < 1e6, `${rate} GFLOP/s`)
  })

  it('trains to its budget and scores every head at its own layer', () => {
    assert.deepEqual([whole.status, whole.state.step], ['completed', 6])
    const layers = Object.fromEntries(whole.heldOut.map(({ head, layer }) => [head, layer]))
    assert.deepEqual(layers, { bshift: 2, bshiftToken: 2, mlm: 2, nsp: 2 })
    const mlm = whole.heldOut.find(({ head }) => head === 'mlm')!
    // Six steps from a random start: near ln(400) = 5.99, above the unigram level.
    assert.ok(mlm.loss > 4.5 && mlm.loss < 6.3, `${mlm.loss}`)
    assert.ok(mlm.unigramLoss! > 3 && mlm.unigramLoss! < Math.log(400))
    const nsp = whole.heldOut.find(({ head }) => head === 'nsp')!
    assert.ok(nsp.chance! >= 0.5 && nsp.chance! < 0.56, `${nsp.chance}`)
    assert.ok(nsp.accuracyInterval![0] < nsp.accuracy && nsp.accuracy < nsp.accuracyInterval![1])
  })

  it('the run folder holds recipe, environment, metrics, events, tokenizer and checkpoints that are model folders', async () => {
    for (const name of [
      'recipe.resolved.json',
      'environment.json',
      'metrics.jsonl',
      'tensorboard',
      'tokenizer/tokenizer.json',
      'latest',
    ]) {
      assert.ok(existsSync(join(output('whole'), name)), name)
    }
    assert.deepEqual(readdirSync(join(output('whole'), 'checkpoints')).sort(), ['step-3', 'step-6'])
    const found = await readModelFolder(whole.checkpoint!)
    assert.deepEqual(
      found.config.heads.map(({ name }) => name),
      Object.keys((await recipe()).heads),
    )
    assert.equal((found.strata!.extra.recipe as Values).name, 'hierarchical-pretrain')
    const settings = JSON.parse(readFileSync(join(whole.checkpoint!, 'tokenizer_config.json'), 'utf8'))
    assert.equal(settings.model_max_length, 64)
  })

  it('says what the inputs leave out of the text', async () => {
    const plan = planRun(await recipe(), await openRunData(await recipe(), { cacheDirectory }))
    const { cutTokens, singleSentenceDocuments } = plan.stages[0].textInputs!
    assert.ok(cutTokens > 0)
    const note = whole.notes.find((line) => line.startsWith('of a pass over the text: '))
    assert.ok(
      note?.includes(`${cutTokens.toLocaleString('en-US')} tokens cut off at the length limit`),
      whole.notes.join('\n'),
    )
    assert.ok(
      note?.includes(`${singleSentenceDocuments} of ${plan.data.training!.documents} documents with one sentence`),
    )
  })

  it('the same recipe gives the same weights, another seed does not', async () => {
    const again = await runRecipe(await recipe(), { output: output('again'), cacheDirectory })
    assert.ok(weights(again.checkpoint).equals(weights(whole.checkpoint)))
    const other = await runRecipe(await recipe({ seed: 2 }), { output: output('other'), cacheDirectory })
    assert.ok(!weights(other.checkpoint).equals(weights(whole.checkpoint)))
  })

  it('an interrupted run that is resumed ends in the same weights', async () => {
    const stop = new AbortController()
    const events = new TrainingEvents().on('step', ({ step }) => {
      if (step >= 4) stop.abort()
    })
    const first = await runRecipe(await recipe(), {
      output: output('resumed'),
      cacheDirectory,
      events,
      signal: stop.signal,
    })
    assert.equal(first.status, 'interrupted')
    assert.ok(first.state.step < 6)
    // As if the run had been started by a version that did not know a key yet: it counts as its default.
    const file = join(output('resumed'), 'recipe.resolved.json')
    const before = JSON.parse(readFileSync(file, 'utf8'))
    assert.equal(before.masking.exact, false)
    delete before.masking.exact
    writeFileSync(file, JSON.stringify(before))
    const second = await runRecipe(await recipe(), { output: output('resumed'), cacheDirectory, resume: true })
    assert.deepEqual([second.status, second.state.step], ['completed', 6])
    assert.ok(weights(second.checkpoint).equals(weights(whole.checkpoint)))
  })

  it('refuses a folder with a run, and a resumed run with another recipe', async () => {
    await assert.rejects(runRecipe(await recipe(), { output: output('whole'), cacheDirectory }), {
      code: 'BAD_ARGUMENT',
      message: /already holds a run/,
    })
    const changed = await recipe({ optimizer: { learningRate: 1e-4 }, log: { everySteps: 1 } })
    await assert.rejects(
      runRecipe(changed, { output: output('whole'), cacheDirectory, resume: true }),
      (error: any) => {
        assert.equal(error.code, 'BAD_RECIPE')
        assert.deepEqual(error.details.changed, [
          'optimizer.learningRate: the run was started with 0.001, now came 0.0001',
        ])
        return true
      },
    )
  })

  it('starts from a checkpoint: its encoder and heads go on, a new head starts fresh and this is said', async () => {
    const { encoder: _, tokenizer: __, ...values } = tinyValues(corpus)
    const changes = {
      init: output('whole'),
      heads: { extra: { kind: 'bigram-shift', layer: 2 }, nsp: { layer: 1 }, bshift: null },
      bigramShift: { level: 'token' },
    }
    const base = await openRecipe('hierarchical-pretrain', { overlay: mergeValues(values, changes) })
    assert.deepEqual([base.encoder.layers, base.encoder.hiddenSize, base.init], [2, 32, whole.checkpoint])
    const result = await runRecipe(base, { output: output('continued'), cacheDirectory })
    assert.ok(
      result.notes.some((note) => /head extra is not in .*: it starts fresh/.test(note)),
      result.notes.join('\n'),
    )
    assert.ok(!result.notes.some((note) => /head (nsp|bshiftToken) is not in/.test(note)), result.notes.join('\n'))
    assert.deepEqual(result.heldOut.map(({ head, layer }) => `${head}@${layer}`).sort(), [
      'bshiftToken@2',
      'extra@2',
      'mlm@2',
      'nsp@1',
    ])
  })

  it('stages train one after the other, each its own heads', async () => {
    const staged = await recipe({
      budget: null,
      stages: [
        { name: 'order', heads: ['bshift', 'bshiftToken'], budget: { steps: 2 }, optimizer: { learningRate: 1e-3 } },
        { name: 'all', budget: { steps: 2 } },
      ],
    })
    const seen: string[] = []
    const events = new TrainingEvents().on('step', (event) => {
      seen.push(`${event.stage}: ${Object.keys(event.losses).sort().join(' ')}`)
    })
    const result = await runRecipe(staged, { output: output('staged'), cacheDirectory, events })
    assert.equal(result.state.step, 4)
    assert.deepEqual(seen, ['order: bshift bshiftToken', 'all: bshift bshiftToken mlm nsp'])
  })

  it('a second stage over the same text meets batches that the first has not', async () => {
    const budget = { steps: 2 }
    const staged = await recipe({
      budget: null,
      encoder: { hiddenDropout: 0, attentionDropout: 0 },
      // Weights that stay as they are: what a step's loss is follows from its batch.
      optimizer: { learningRate: 1e-12 },
      log: { everySteps: 1 },
      stages: [
        { name: 'first', budget },
        { name: 'second', heads: ['mlm'], budget: { steps: 1 } },
        { name: 'third', budget },
      ],
    })
    const losses: Record<string, number[]> = { first: [], second: [], third: [] }
    const events = new TrainingEvents().on('step', ({ stage, loss }) => void losses[stage].push(loss))
    await runRecipe(staged, { output: output('batches'), cacheDirectory, events })
    assert.equal(losses.third.length, 2)
    losses.third.forEach((loss, step) => void assert.ok(Math.abs(loss - losses.first[step]) > 1e-4, `${loss}`))
  })

  it('evaluates a checkpoint as the run did, on what the run held out', async () => {
    const predictions: Prediction[] = []
    const report = await evaluateCheckpoint(output('whole'), {
      cacheDirectory,
      device: 'cpu',
      precision: 'fp32',
      onPrediction: (one) => void predictions.push(one),
    })
    assert.equal(report.text?.documents, 4)
    for (const row of report.rows) {
      const before = whole.heldOut.find(({ head }) => head === row.head)!
      assert.ok(Math.abs(row.loss - before.loss) < 1e-6, `${row.head}: ${row.loss} ${before.loss}`)
      const told = predictions.filter(({ head }) => head === row.head)
      assert.equal(told.length, row.count)
      const right = told.filter(({ label, predicted }) => label === predicted).length
      assert.ok(
        Math.abs(right / told.length - row.accuracy) < 1e-9,
        `${row.head}: ${right} of ${told.length}, ${row.accuracy}`,
      )
    }
    const other = join(folder, 'other.txt')
    writeSmallCorpus(other, 5)
    const onText = await evaluateCheckpoint(whole.checkpoint!, {
      data: { corpus: other },
      heads: ['nsp'],
      cacheDirectory,
      device: 'cpu',
    })
    assert.deepEqual([onText.text?.documents, onText.rows.map(({ head }) => head)], [5, ['nsp']])
    await assert.rejects(
      evaluateCheckpoint(output('whole'), { heads: ['nps'] }),
      /no head is named "nps", the checkpoint has/,
    )
  })

  it("the plan's parameter count is the model's, its steps are the run's", async () => {
    const resolved = await recipe({ budget: { epochs: 0.04 } })
    const plan = planRun(resolved, await openRunData(resolved, { cacheDirectory }))
    const start: number[] = []
    const events = new TrainingEvents().on('start', ({ parameters }) => void start.push(parameters))
    const result = await runRecipe(resolved, { output: output('epochs'), cacheDirectory, events })
    assert.deepEqual(start, [plan.parameters.total])
    assert.equal(result.state.step, plan.stages[0].steps)
  })

  it('masked tokens have a label at the token level of bigram shift unless the recipe leaves them out', async () => {
    const labelled = async (bigramShift: Values) => {
      const resolved = await recipe({ bigramShift })
      const { text, tokenizer } = await openRunData(resolved, { cacheDirectory })
      const { batch } = resolved
      const heads = Object.keys(resolved.heads)
      const source = recipeSource(resolved, { view: text!.training, tokenizer, heads, batch, evaluation: false })
      const { mlm, bshiftToken } = source.build(0, 0).labels
      const places = new Set(bshiftToken.positions)
      return mlm.positions!.filter((position) => places.has(position)).length / mlm.positions!.length
    }
    assert.deepEqual([await labelled({}), await labelled({ labelMaskedTokens: false })], [1, 0])
  })

  it('a damaged newest checkpoint is passed over with a warning by whoever loads the run', async () => {
    const run = output('damaged')
    cpSync(output('whole'), run, { recursive: true, verbatimSymlinks: true })
    truncateSync(join(run, 'checkpoints', 'step-6', 'model.safetensors'), 1000)
    const said: string[] = []
    const listen = ({ name, message }: Error) => void said.push(`${name}: ${message}`)
    process.on('warning', listen)
    try {
      await (await Encoder.load(run, { device: 'cpu' })).dispose()
      const { init } = await recipe({ init: run, encoder: null, tokenizer: null })
      assert.equal(init, join(run, 'checkpoints', 'step-3'))
    } finally {
      process.off('warning', listen)
    }
    const told =
      /^StratabertWarning: .*step-6 is not whole \(model\.safetensors has 1000 bytes, .* the one before it is taken$/
    assert.equal(said.filter((line) => told.test(line)).length, 2, said.join('\n'))
  })

  it('data that do not do', async () => {
    await assert.rejects(
      openRunData(await recipe({ data: { corpus: null } }), { cacheDirectory }),
      /data\.corpus: is missing/,
    )
    await assert.rejects(
      openRunData(await recipe({ evaluation: { documents: 40 } }), { cacheDirectory }),
      /evaluation\.documents: came 40, but the corpus has 40 documents/,
    )
    await assert.rejects(
      openRunData(await recipe({ data: { corpus: join(folder, 'none.txt') } }), { cacheDirectory }),
      { code: 'NOT_FOUND' },
    )
    const mixed = join(folder, 'mixed')
    mkdirSync(mixed)
    await assert.rejects(expandFiles([mixed]), { code: 'BAD_DATA', message: /no \.txt, .*\.conll file/ })
    for (const name of ['b.conll', 'a.conllu.gz', 'c.txt', 'notes.md', 'd.conlluu'])
      writeFileSync(join(mixed, name), '')
    const found = ['a.conllu.gz', 'b.conll', 'c.txt'].map((name) => join(mixed, name))
    assert.deepEqual(await expandFiles([mixed]), found)
  })
})
