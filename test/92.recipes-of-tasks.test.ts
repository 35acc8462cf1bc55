import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { Encoder } from '../lib/inference/index.js'
import { type HeadConfig, loadModel, readModelFolder, type SavedTask, saveModelFolder } from '../lib/model/index.js'
import {
  evaluateCheckpoint,
  mergeValues,
  openRecipe,
  openRunData,
  planRun,
  type RunResult,
  resolveRecipe,
  runRecipe,
  stagesOf,
  type Values,
} from '../lib/recipes/index.js'
import { startNotes } from '../lib/recipes/start-notes.js'
import { Tokenizer } from '../lib/text/index.js'
import { TrainingEvents } from '../lib/training/index.js'
import { runHere } from './helpers/cli-here.js'
import { SMALL_DEFINITIONS, type SmallTasks, writeSmallTasks } from './helpers/small-tasks.js'
import { tinyValues, writeSmallCorpus } from './helpers/tiny-recipe.js'

describe('recipes of labelled tasks', function () {
  this.timeout(240_000)
  let folder: string
  let corpus: string
  let init: string
  let cacheDirectory: string
  let files: SmallTasks

  const output = (name: string) => join(folder, name)
  const weights = (checkpoint: string | undefined) => readFileSync(join(checkpoint!, 'model.safetensors'))
  /** A small recipe on top of a named one. */
  const recipe = (name: string, more: Values) =>
    openRecipe(name, {
      overlay: mergeValues(
        {
          init,
          device: 'cpu',
          precision: 'fp32',
          seed: 3,
          prefetchWorkers: 0,
          encoder: { hiddenDropout: 0, attentionDropout: 0 },
          batch: { sequences: 16, sequenceTokens: 64 },
          optimizer: { learningRate: 2e-3 },
          evaluation: { everyEpochs: 0, everySteps: 0 },
        },
        more,
      ),
    })

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-tasks-'))
    corpus = join(folder, 'text.txt')
    cacheDirectory = join(folder, 'cache')
    writeSmallCorpus(corpus)
    files = writeSmallTasks(folder)
    const pretrain = await openRecipe('bert-pretrain', { overlay: tinyValues(corpus) })
    init = (await runRecipe(pretrain, { output: output('init'), cacheDirectory })).checkpoint!
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  it("fine-tune learns a user's own CSV, keeps its classes, and the folder classifies and evaluates by itself", async () => {
    const tuned = await recipe('fine-tune', {
      data: { mood: files.mood },
      tasks: { mood: SMALL_DEFINITIONS.mood },
      budget: { steps: 40 },
    })
    const result = await runRecipe(tuned, { output: output('mood'), cacheDirectory })
    const { dev } = result.tasks.mood
    assert.equal(dev.count, 16)
    assert.ok(dev.metrics.accuracy >= 0.9, `${dev.metrics.accuracy}`)

    const found = await readModelFolder(result.checkpoint!)
    assert.deepEqual(found.strata?.tasks?.[0].labels, ['happy', 'sad'])
    const report = await evaluateCheckpoint(output('mood'), { device: 'cpu', precision: 'fp32' })
    assert.deepEqual(
      report.tasks.map(({ task, split }) => [task, split]),
      [['mood', 'dev']],
    )
    assert.equal(report.tasks[0].metrics.accuracy, dev.metrics.accuracy)
    assert.ok(Math.abs(report.tasks[0].loss - dev.loss) < 1e-5, `${report.tasks[0].loss} ${dev.loss}`)

    await using encoder = await Encoder.load(result.checkpoint!, { device: 'cpu' })
    const answers = await encoder.classify(['the music of the river', 'a stone in the forest'])
    assert.deepEqual(
      answers.map((one) => one.label),
      ['happy', 'sad'],
    )
  })

  it('fine-tuned again with other classes, the head starts fresh and both lists are told', async () => {
    const three = join(folder, 'three-moods.csv')
    writeFileSync(three, `${readFileSync(files.mood, 'utf8')}${'the night,calm\n'.repeat(8)}`)
    const again = await recipe('fine-tune', {
      init: output('mood'),
      data: { mood: three },
      tasks: { mood: SMALL_DEFINITIONS.mood },
      budget: { steps: 1 },
    })
    const { notes } = await runRecipe(again, { output: output('moods-again'), cacheDirectory })
    const told = /^head mood of .*step-40 has the classes happy, sad and now come calm, happy, sad: it starts fresh$/
    assert.equal(notes.filter((note) => told.test(note)).length, 1, notes.join('\n'))
  })

  it('a head that goes on for classes of other names tells so', () => {
    const saved = (labels: string[]) =>
      ({ name: 'mood', head: 'mood', kind: 'classification', labels, sequenceTokens: 8, metrics: [] }) as SavedTask
    const notes = (head: string, labels: string[]) =>
      startNotes(
        'INIT',
        { fresh: [], continued: { 'heads.mood': `heads.${head}` }, resized: {}, unused: [] },
        [{ ...saved(['happy', 'sad']), head }],
        [saved(labels)],
      )
    const told = 'head mood goes on from INIT, where its classes were happy, sad; now they are sad, happy'
    assert.deepEqual(notes('mood', ['happy', 'sad']), [])
    assert.deepEqual(notes('mood', ['sad', 'happy']), [told])
    // Of a folder from elsewhere the head has another name.
    assert.deepEqual(notes('task', ['sad', 'happy']), [told])
  })

  it('a mistyped watched metric is refused before there is a run folder, with the one that was meant', async () => {
    const tuned = await recipe('fine-tune', {
      data: { mood: files.mood },
      tasks: { mood: SMALL_DEFINITIONS.mood },
      checkpoint: { best: { metric: 'mood.acuracy', mode: 'max' } },
    })
    await assert.rejects(runRecipe(tuned, { output: output('mistyped'), cacheDirectory }), {
      code: 'BAD_ARGUMENT',
      message: /checkpoint\.best\.metric is mood\.acuracy, one of .*mood\.dev\.accuracy.*did you mean mood\.accuracy\?/,
    })
    assert.ok(!existsSync(output('mistyped')))
  })

  it('a run does not read test sets, a plan does', async () => {
    const test = join(folder, 'moods-test.csv')
    writeFileSync(test, 'text,mood\nthe music of the river,angry\n')
    const resolved = await recipe('fine-tune', {
      data: { mood: { train: files.mood, dev: files.mood, test } },
      tasks: { mood: SMALL_DEFINITIONS.mood },
    })
    const [{ train, evaluation, prediction }] = (await openRunData(resolved, { cacheDirectory })).tasks
    assert.deepEqual([train!.examples, Object.keys(evaluation), prediction], [160, ['dev'], {}])
    await assert.rejects(openRunData(resolved, { cacheDirectory, planOnly: true }), {
      code: 'BAD_DATA',
      message: /moods-test\.csv:2: task mood: unknown label "angry"/,
    })
  })

  it('one file of another set is evaluated whole', async () => {
    const report = await evaluateCheckpoint(output('mood'), {
      device: 'cpu',
      precision: 'fp32',
      heads: ['mood'],
      data: { mood: files.mood },
    })
    assert.equal(report.tasks[0].count, 160)
  })

  it('evaluate tells the rows that it cannot use', async () => {
    const path = join(folder, 'blank.csv')
    const rows = readFileSync(files.mood, 'utf8').trimEnd()
    writeFileSync(path, `${rows}\n ,happy\n`)
    const told = await runHere('evaluate', output('mood'), '--data', `mood=${path}`, '--device', 'cpu', '--json')
    const { tasks, warnings } = JSON.parse(told.stdout)
    assert.equal(tasks[0].count, 160)
    assert.match(warnings[0], /^task mood, dev: 1 of 161 rows cannot be used.*\n.*blank\.csv:162: the text is blank/)
    assert.match(told.stderr, /blank\.csv:162: the text is blank/)
  })

  it('evaluate scores a test split that has labels, too', async () => {
    const unlabelled = join(folder, 'no-moods.csv')
    writeFileSync(unlabelled, 'text\nthe music of the river\n')
    const data = { mood: { dev: files.mood, test: files.mood, 'test-other': unlabelled } }
    const report = await evaluateCheckpoint(output('mood'), { device: 'cpu', precision: 'fp32', data })
    const [dev, test, ...rest] = report.tasks
    assert.deepEqual([dev.split, test.split, rest], ['dev', 'test', []])
    assert.deepEqual({ ...test, split: 'dev' }, dev)
  })

  describe('evaluate, of a folder that keeps no definition', () => {
    const evaluated = (path: string, data: Record<string, string>) =>
      evaluateCheckpoint(path, { device: 'cpu', precision: 'fp32', data, cacheDirectory })
    const task = (labels: string[]): SavedTask => ({
      name: 'tone',
      head: 'tone',
      kind: 'classification',
      labels,
      sequenceTokens: 64,
      metrics: ['accuracy'],
    })
    /** A head for RTE's classes on the pre-trained encoder; `theirs`: as transformers leaves it. */
    async function written(name: string, labels: string[], theirs: boolean): Promise<string> {
      const tone: HeadConfig = {
        kind: 'classifier',
        name: 'tone',
        tap: { layer: 2 },
        weight: 1,
        dropout: 0,
        classes: 2,
        pooler: 'own',
      }
      const { model: loaded } = await loadModel(init, { device: 'cpu', seed: 5, heads: [tone] })
      await using model = loaded
      const tokenizer = await Tokenizer.load(init)
      const save = async (path: string) => void (await tokenizer.save(path))
      await saveModelFolder(model, output(name), { tasks: [task(labels)], tokenizer: { save } })
      if (theirs) rmSync(join(output(name), 'stratabert.json'))
      return output(name)
    }

    it('reads the rows as those of the known task that its data are given as', async () => {
      const [same] = (
        await evaluated(await written('theirs', ['entailment', 'not_entailment'], true), { rte: files.rte })
      ).tasks
      assert.deepEqual([same.task, same.split, same.count], ['rte', 'dev', 40])
      const numbers = await evaluated(await written('numbers', ['LABEL_0', 'LABEL_1'], true), { rte: files.rte })
      assert.deepEqual(numbers.tasks, [same])
      // The same head with its classes called the other way round is right where it was wrong.
      const turned = await evaluated(await written('turned', ['not_entailment', 'entailment'], true), {
        rte: files.rte,
      })
      assert.ok(Math.abs(turned.tasks[0].metrics.accuracy + same.metrics.accuracy - 1) < 1e-9)
    })

    it('refuses data of no known task, and those of a task with other classes', async () => {
      const refused = (path: string, data: Record<string, string>, message: RegExp) =>
        assert.rejects(evaluated(path, data), { code: 'BAD_ARGUMENT', message })
      const theirs = await written('tones', ['bad', 'good'], true)
      await refused(
        theirs,
        {},
        /tones keeps no definition of task task \(classification\).* data came for no task; .*cola=PATH/,
      )
      await refused(theirs, { rte: files.rte }, /task has the classes bad, good, RTE has entailment, not_entailment/)
      const own = await written('own-tones', ['bad', 'good'], false)
      await refused(
        own,
        { tone: files.mood },
        /keeps no definition of task tone .* data came for tone; give those of one known/,
      )
    })
  })

  it('evaluate --predictions keeps the old file until the new one is whole', async () => {
    const said = join(folder, 'said.jsonl')
    writeFileSync(said, 'before')
    const evaluate = (...more: string[]) =>
      runHere(
        'evaluate',
        output('mood'),
        '--device',
        'cpu',
        '--data',
        `mood=${files.mood}`,
        '--predictions',
        said,
        ...more,
      )
    assert.equal((await evaluate('--task', 'none')).code, 2)
    assert.equal(readFileSync(said, 'utf8'), 'before')
    const { code, stdout } = await evaluate()
    assert.equal(code, 0)
    assert.match(stdout, /mood +dev +160 /)
    assert.equal(readFileSync(said, 'utf8').trimEnd().split('\n').length, 160)
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.endsWith('.part')),
      [],
    )
  })

  it('fine-tune alone: each task from the same start, in one run', async () => {
    const resolved = await recipe('fine-tune', {
      preset: 'alone',
      data: { rte: files.rte, mood: files.mood },
      tasks: { mood: SMALL_DEFINITIONS.mood, rte: { head: { dropout: 0 } } },
      stages: { 0: { budget: { steps: 4 } } },
    })
    const result = await runRecipe(resolved, { output: output('alone'), cacheDirectory })
    assert.deepEqual(
      result.stages.map(({ name, tasks }) => [name, Object.keys(tasks)]),
      [
        ['finetune-mood', ['mood']],
        ['finetune-rte', ['rte']],
      ],
    )
    // The second one's encoder knows nothing of the first: it is what a run of its own makes of it.
    const single = await recipe('fine-tune', {
      preset: 'alone',
      data: { rte: files.rte, mood: files.mood },
      tasks: { mood: SMALL_DEFINITIONS.mood, rte: { head: { dropout: 0 } } },
      stages: [{ name: 'finetune-rte', tasks: ['rte'], budget: { steps: 4 } }],
    })
    const { tasks } = await runRecipe(single, { output: output('alone-rte'), cacheDirectory })
    assert.deepEqual(result.tasks.rte.dev.metrics, tasks.rte.dev.metrics)
    assert.ok(Math.abs(result.tasks.rte.dev.loss - tasks.rte.dev.loss) < 1e-6)

    // The last stage's checkpoint holds both heads: one of them has not been trained on the way to it.
    const evaluated = (heads: string[]) =>
      evaluateCheckpoint(output('alone'), { device: 'cpu', precision: 'fp32', heads })
    assert.deepEqual((await evaluated(['rte'])).warnings, [])
    const { checkpoint, tasks: own, warnings } = await evaluated(['mood'])
    assert.deepEqual([checkpoint, warnings], [result.stages[0].checkpoint, []])
    assert.ok(Math.abs(own[0].loss - result.stages[0].tasks.mood.dev.loss) < 1e-5, `${own[0].loss}`)
    assert.match(
      (await evaluated(['mood', 'rte'])).warnings.join(),
      /of stage finetune-rte, which does not train mood \(stage finetune-mood ended with step-4\)/,
    )
  })

  it('resumed with other labels in as many rows it is refused by the name of the task', async () => {
    const path = join(folder, 'changing.csv')
    const rows = readFileSync(files.mood, 'utf8')
    const run = async (steps: number) => {
      writeFileSync(path, steps === 2 ? rows : rows.replace(/happy$/m, 'sad'))
      const values = { data: { mood: { train: path, dev: files.mood } }, tasks: { mood: SMALL_DEFINITIONS.mood } }
      const resolved = await recipe('fine-tune', { ...values, budget: { steps } })
      return runRecipe(resolved, { output: output('changing'), cacheDirectory, resume: true })
    }
    await run(2)
    await assert.rejects(run(4), { code: 'BAD_CHECKPOINT', message: /step-2 was written with training rows of mood / })
  })

  it('a second stage meets the rows of a task in other orders, and explicit weights are those of its tasks', async () => {
    const losses = async (name: string, stages: Values[]) => {
      const resolved = await recipe('fine-tune', {
        data: { rte: files.rte, mood: files.mood },
        tasks: { mood: SMALL_DEFINITIONS.mood, rte: { head: { dropout: 0 } } },
        taskDefaults: { head: { dropout: 0 } },
        // Weights that stay as they are: what a step's loss is follows from its rows.
        optimizer: { learningRate: 1e-12 },
        sampler: { kind: 'weights', weights: { rte: 1, mood: 0 } },
        log: { everySteps: 1 },
        stages,
      })
      const seen: number[] = []
      const events = new TrainingEvents().on('step', ({ loss }) => void seen.push(loss))
      await runRecipe(resolved, { output: output(name), cacheDirectory, events })
      return seen
    }
    const each = 10 // batches of a pass over RTE's rows
    const budget = { steps: each }
    const both = { name: 'both', budget }
    const [first, ...rest] = [
      await losses('orders', [both, { name: 'again', tasks: ['rte'], budget }]),
      await losses('order', [both]),
    ]
    assert.deepEqual(first.slice(0, each), rest[0])
    const total = (list: number[]) => list.reduce((sum, loss) => sum + loss, 0)
    const again = first.slice(each)
    assert.ok(Math.abs(total(again) - total(rest[0])) < 1e-3, 'the same rows')
    assert.ok(again.filter((loss, i) => Math.abs(loss - rest[0][i]) > 1e-5).length > each / 2, 'in another order')
  })

  describe('mt-dnn', () => {
    const values = () => ({
      data: { rte: files.rte, mood: files.mood, likeness: files.likeness },
      tasks: SMALL_DEFINITIONS,
      stages: [
        { name: 'refine', budget: { epochs: 1 } },
        { name: 'finetune', eachTask: true, startFrom: 'refine', budget: { epochs: 1 } },
      ],
      checkpoint: { everySteps: 7, keep: 1 },
    })
    let whole: RunResult

    it('refines on all tasks, then tunes each from there; scores after both', async () => {
      const resolved = await recipe('mt-dnn', values())
      assert.deepEqual(
        stagesOf(resolved).map(({ name, startFrom, tasks }) => [name, startFrom, tasks.join()]),
        [
          ['refine', undefined, 'mood,likeness,rte'],
          ['finetune-mood', 'refine', 'mood'],
          ['finetune-likeness', 'refine', 'likeness'],
          ['finetune-rte', 'refine', 'rte'],
        ],
      )
      whole = await runRecipe(resolved, { output: output('mt-dnn'), cacheDirectory })
      assert.deepEqual(
        whole.stages.map(({ name }) => name),
        stagesOf(resolved).map(({ name }) => name),
      )
      assert.deepEqual(Object.keys(whole.stages[0].tasks), ['mood', 'likeness', 'rte'])
      assert.deepEqual(Object.keys(whole.stages[3].tasks), ['rte'])
      const { heads } = (await readModelFolder(whole.checkpoint!)).config
      assert.deepEqual(heads.map(({ name, kind }) => `${name} ${kind}`).sort(), [
        'likeness regressor',
        'mood classifier',
        'rte san',
      ])
      // Every task's own checkpoint is there to be used.
      for (const stage of whole.stages) assert.ok(stage.checkpoint && existsSync(stage.checkpoint), stage.name)
    })

    describe("a task's own checkpoint", () => {
      const text = 'the music of the river'
      /** What the mood head says of the text, and the warnings of loading. */
      async function moodOf(path: string | undefined, task?: string) {
        const told: string[] = []
        const listen = ({ message }: Error) => void told.push(message)
        process.on('warning', listen)
        try {
          await using encoder = await Encoder.load(path!, { device: 'cpu', task })
          await setImmediate()
          return { score: (await encoder.classify(text, { task: 'mood' }))[0].score, told }
        } finally {
          process.off('warning', listen)
        }
      }
      const foreign =
        /step-\d+ is of stage finetune-rte, which does not train mood \(stage finetune-mood ended with step-\d+\)/

      it('is taken of a run for the task that is named, else the newest with a warning', async () => {
        const [, tuned, , newest] = whole.stages.map(({ checkpoint }) => checkpoint)
        const [own, run, none] = [
          await moodOf(tuned, 'mood'),
          await moodOf(output('mt-dnn'), 'mood'),
          await moodOf(output('mt-dnn')),
        ]
        assert.deepEqual(run, own)
        assert.deepEqual(run.told, [])
        assert.notEqual(none.score, own.score)
        assert.equal(none.told.length, 1)
        assert.match(none.told[0], foreign)
        assert.match(none.told[0], /, likeness \(stage finetune-likeness ended with/)
        // A checkpoint folder is what was asked for, whatever it is.
        const named = await moodOf(newest, 'mood')
        assert.equal(named.score, none.score)
        assert.match(named.told.join(), foreign)
        assert.ok(!named.told.join().includes('likeness'))
      })

      it('is taken by replace as well, for the task that it names or that load did', async () => {
        const own = await moodOf(whole.stages[1].checkpoint, 'mood')
        await using encoder = await Encoder.load(whole.stages[1].checkpoint!, { device: 'cpu', task: 'mood' })
        const score = async () => (await encoder.classify(text, { task: 'mood' }))[0].score
        await encoder.replace(output('mt-dnn'))
        assert.equal(await score(), own.score)
        await encoder.replace(output('mt-dnn'), { task: 'rte' })
        assert.notEqual(await score(), own.score)
      })

      it('answers on the command line', async () => {
        const classify = (path: string) =>
          runHere('classify', path, '--task', 'mood', '--text', text, '--device', 'cpu', '--json')
        const [run, own, newest] = [
          await classify(output('mt-dnn')),
          await classify(whole.stages[1].checkpoint!),
          await classify(whole.checkpoint!),
        ]
        assert.deepEqual([run.code, run.stdout], [0, own.stdout])
        assert.notEqual(run.stdout, newest.stdout)
      })

      it('is evaluated, when the task is the only one asked for', async () => {
        const evaluated = (...heads: string[]) =>
          evaluateCheckpoint(output('mt-dnn'), { device: 'cpu', precision: 'fp32', heads })
        const one = await evaluated('likeness')
        assert.deepEqual([one.checkpoint, one.warnings], [whole.stages[2].checkpoint, []])
        const two = await evaluated('likeness', 'rte')
        assert.equal(two.checkpoint, whole.checkpoint)
        assert.match(two.warnings.join(), /does not train likeness/)
      })

      it('is not there for a task that nobody has trained: the tasks are named', async () => {
        const refused = { code: 'BAD_ARGUMENT', message: /^no task is named "tone"; .* has: mood, likeness, rte; name/ }
        await assert.rejects(moodOf(output('mt-dnn'), 'tone'), refused)
        await assert.rejects(moodOf(whole.checkpoint, 'tone'), refused)
        await assert.rejects(moodOf(output('mt-dnn'), 3 as never), { code: 'BAD_ARGUMENT', message: /^task came as/ })
        const { code, stderr } = await runHere('classify', output('mt-dnn'), '--task', 'tone', '--text', text)
        assert.deepEqual([code, /^error\[BAD_ARGUMENT\]: no task is named "tone"/.test(stderr)], [2, true])
      })
    })

    it('as init is taken at its newest, with a warning that names the ends of its other stages', async () => {
      const told: string[] = []
      const listen = ({ message }: Error) => void told.push(message)
      process.on('warning', listen)
      try {
        const { init: newest } = await recipe('fine-tune', { init: output('mt-dnn'), tasks: { rte: {} } })
        await setImmediate()
        assert.equal(newest, whole.checkpoint)
        assert.equal(told.length, 1, told.join('\n'))
        assert.match(told[0], /^init: the run's newest checkpoint .*step-\d+ is of stage finetune-rte, /)
        assert.ok(
          told[0].includes(`${whole.stages[0].checkpoint} (refine), ${whole.stages[1].checkpoint} (finetune-mood)`),
        )
        await recipe('fine-tune', { init: whole.stages[0].checkpoint, tasks: { rte: {} } })
        await recipe('fine-tune', { init: output('mood'), tasks: { rte: {} } })
        await setImmediate()
        assert.equal(told.length, 1, told.join('\n'))
      } finally {
        process.off('warning', listen)
      }
    })

    it('writes the submission of an unlabelled test file under its official name', async () => {
      const test = join(folder, 'rte-test.tsv')
      const rows = [0, 1, 2].map((index) => `${index}\tthe music is by the river\ta house of the forest`)
      writeFileSync(test, `index\tsentence1\tsentence2\n${rows.join('\n')}\n`)
      const written: string[] = []
      await evaluateCheckpoint(whole.checkpoint!, {
        device: 'cpu',
        precision: 'fp32',
        heads: ['rte'],
        data: { rte: { test } },
        submissions: output('submissions'),
        onSubmission: (file) => void written.push(file),
      })
      assert.deepEqual(written, [join(output('submissions'), 'RTE.tsv')])
      const lines = readFileSync(written[0], 'utf8').trim().split('\n')
      assert.equal(lines[0], 'index\tprediction')
      assert.match(lines.slice(1).join(' '), /^0\t(not_)?entailment 1\t(not_)?entailment 2\t(not_)?entailment$/)
    })

    it('stopped in the refinement and in a fine-tuning, it ends bit for bit the same', async () => {
      const resolved = await recipe('mt-dnn', values())
      const stops = [12, 41]
      let interrupted = 0
      for (;;) {
        const stop = new AbortController()
        const at = stops[interrupted]
        const events = new TrainingEvents().on(
          'step',
          ({ step }) => void (at !== undefined && step >= at && stop.abort()),
        )
        const part = await runRecipe(
          { ...resolved, log: { everySteps: 1 } },
          { output: output('mt-dnn-parts'), cacheDirectory, resume: true, events, signal: stop.signal },
        )
        if (part.status === 'completed') {
          assert.equal(interrupted, 2)
          assert.ok(weights(part.checkpoint).equals(weights(whole.checkpoint)), 'final weights differ')
          break
        }
        interrupted++
      }
    })
  })

  it('pals, a mix and hierarchical taps beside pre-training heads run in one recipe', async () => {
    const resolved = await recipe('pals', {
      data: { corpus, rte: files.rte, mood: files.mood },
      heads: {
        nsp: { kind: 'next-sentence', layer: 1 },
        mlm: { kind: 'masked-lm', layer: 'top', transfer: { from: 'nsp' } },
      },
      mixes: { deep: { init: 'last' } },
      adapter: { size: 12, heads: 2 },
      tasks: { mood: { ...SMALL_DEFINITIONS.mood, head: { layer: 1 } }, rte: { head: { mix: 'deep' } } },
      optimizer: { learningRate: 1e-3 },
      budget: { steps: 30 },
      evaluation: { everySteps: 15 },
      batch: { tokens: 512 },
    })
    const mixes: unknown[] = []
    const events = new TrainingEvents().on('evaluation', (event) => void mixes.push(event.mixes))
    const result = await runRecipe(resolved, { output: output('joined'), cacheDirectory, events })
    assert.deepEqual(Object.keys(result.tasks).sort(), ['mood', 'rte'])
    assert.deepEqual(result.heldOut.map(({ head, layer }) => `${head}@${layer}`).sort(), ['mlm@2', 'nsp@1'])
    const { config, strata } = await readModelFolder(result.checkpoint!)
    assert.deepEqual(
      config.adapters?.map(({ name, kind, size }) => `${name} ${kind} ${size}`),
      ['mood pal 12', 'rte pal 12'],
    )
    assert.deepEqual(
      config.mixes?.map(({ name }) => name),
      ['deep'],
    )
    assert.deepEqual(
      strata?.tasks?.map(({ name, adapter }) => [name, adapter]),
      [
        ['mood', 'mood'],
        ['rte', 'rte'],
      ],
    )
    const seen = mixes as Record<string, { weights: number[]; gamma: number }>[]
    assert.ok(seen.length >= 2)
    const [first, last] = [seen[0].deep.weights, seen.at(-1)!.deep.weights]
    assert.ok(Math.abs(last.reduce((a, b) => a + b, 0) - 1) < 1e-6)
    assert.ok(
      last.some((share, index) => share !== first[index]),
      'the mix never moved',
    )
    const report = await evaluateCheckpoint(result.checkpoint!, { device: 'cpu', precision: 'fp32', cacheDirectory })
    for (const { task, split, loss } of report.tasks) {
      assert.ok(Math.abs(loss - result.tasks[task][split].loss) < 1e-5, `${task}: ${loss}`)
    }
  })

  it('train: adapters leaves the encoder as it was, but for its LayerNorms', async () => {
    const resolved = await recipe('pals', {
      data: { mood: files.mood },
      tasks: { mood: SMALL_DEFINITIONS.mood },
      adapter: { size: 12, heads: 2 },
      train: 'adapters',
      budget: { steps: 5 },
    })
    const trainable: number[] = []
    const events = new TrainingEvents().on('start', (event) => void trainable.push(event.trainable))
    const result = await runRecipe(resolved, { output: output('adapters-only'), cacheDirectory, events })
    const plan = planRun(resolved, await openRunData(resolved, { cacheDirectory }))
    const { hiddenSize, layers } = resolved.encoder
    const layerNorms = (1 + 2 * layers) * 2 * hiddenSize
    assert.deepEqual(trainable, [plan.parameters.added + layerNorms])
    assert.equal(result.status, 'completed')
  })

  it('pre-trains on the texts of its tasks alone', async () => {
    const resolved = await recipe('fine-tune', {
      data: { corpus: { fromTasks: ['rte'] }, rte: files.rte },
      stages: [{ name: 'texts', heads: ['mlm'], tasks: [], budget: { steps: 2 } }],
      heads: { mlm: { kind: 'masked-lm' } },
      batch: { tokens: 512 },
    })
    const result = await runRecipe(resolved, { output: output('from-tasks'), cacheDirectory })
    assert.equal(result.state.step, 2)
    assert.ok(
      result.notes.some((note) => /documents from the texts of rte/.test(note)),
      result.notes.join('\n'),
    )
  })

  it('the memory of a plan is that of the largest batch, of examples as well as of text', () => {
    const activations = (tasks: Values, batch: Values) => {
      const encoder = { layers: 2, hiddenSize: 32, heads: 2 }
      const resolved = resolveRecipe({ extends: 'fine-tune', encoder, tasks, batch })
      const data = { tokenizer: { vocabSize: 100 } as never, tokenizerSource: '', tasks: [], notes: [] }
      return planRun(resolved, data).memoryBytes.activations
    }
    const text = activations({ rte: {} }, { tokens: 2048, sequences: 4, sequenceTokens: 64 })
    // 64 examples of 128 tokens; of a span task's 32 windows each has the 384 that it asks for.
    assert.equal(activations({ rte: {} }, { tokens: 2048, sequences: 64, sequenceTokens: 128 }) / text, 4)
    assert.equal(activations({ rte: {}, squad: {} }, { tokens: 2048, sequences: 32, sequenceTokens: 64 }) / text, 6)
  })

  it("counts a BERT-base's adapters for eight tasks as published", () => {
    // Stickland & Murray 2019 (arXiv 1902.02671): parameters a task, and the whole as a multiple of one BERT-base of 109.48 M.
    const published = {
      tasks: [1_819_836, '1.133'],
      'low-rank': [1_853_616, '1.135'],
      'top-attention': [1_320_444, '1.096'],
      houlsby: [1_862_832, '1.136'],
      'top-layer': [7_087_872, '1.518'],
    } as const
    const eight = Object.fromEntries(
      ['cola', 'mrpc', 'mnli', 'rte', 'sts-b', 'sst-2', 'qqp', 'qnli'].map((name) => [name, {}]),
    )
    for (const [preset, [perTask, ratio]] of Object.entries(published)) {
      const encoder = { layers: 12, hiddenSize: 768, heads: 12 }
      const base = resolveRecipe({ extends: 'pals', preset, encoder, tasks: eight }, {})
      const plan = planRun(base, {
        tokenizer: { vocabSize: 30522 } as never,
        tokenizerSource: '',
        tasks: [],
        notes: [],
      })
      assert.deepEqual(
        plan.tasks.map(({ parameters }) => parameters.adapter),
        Array(8).fill(perTask),
        preset,
      )
      assert.equal(plan.parameters.encoderWithPooler, 109_482_240)
      assert.equal(plan.parameters.adaptedRatio.toFixed(3), ratio, preset)
    }
  })

  describe('refuses, naming the key', () => {
    const cases: [string, string, Values, RegExp][] = [
      [
        'a slot without a task',
        'fine-tune',
        { data: { rtee: 'x' } },
        /data\.rtee: no task has this name; did you mean "rte"\?/,
      ],
      ['a task without data', 'fine-tune', { tasks: { rte: {} } }, /data\.rte: is missing.*--data rte=PATH/],
      ['an unknown task', 'fine-tune', { tasks: { rtte: {} } }, /tasks\.rtte: is no known task; did you mean "rte"\?/],
      [
        'the weight of a task that is not there',
        'fine-tune',
        { tasks: { rte: {}, cola: {} }, sampler: { kind: 'weights', weights: { rte: 1, cola: 1, colla: 2 } } },
        /sampler\.weights\.colla: is the weight of no task, expected rte, cola/,
      ],
      [
        'a task without a weight',
        'mt-dnn',
        { tasks: { rte: {}, cola: {} }, sampler: { kind: 'weights', weights: { rte: 1 } } },
        /sampler\.weights: lacks cola, which stage refine trains/,
      ],
      [
        'a mix that is not there',
        'fine-tune',
        { tasks: { rte: { head: { mix: 'deep' } } } },
        /tasks\.rte\.head\.mix: came "deep", expected one of the recipe's mixes: none/,
      ],
      [
        'a layer above the encoder',
        'fine-tune',
        { tasks: { rte: { head: { layer: 9 } } } },
        /tasks\.rte\.head\.layer: came 9, expected at most encoder\.layers = 2/,
      ],
      [
        'a task named like a head',
        'bert-pretrain',
        { tasks: { mlm: { use: 'rte' } } },
        /tasks\.mlm: is also the name of a head/,
      ],
      [
        'a stage from nowhere',
        'mt-dnn',
        { tasks: { rte: {} }, stages: { 1: { startFrom: 'refined' } } },
        /stages\.1\.startFrom: came "refined", expected initial or an earlier stage: refine/,
      ],
      [
        'each task first',
        'mt-dnn',
        { tasks: { rte: {}, cola: {} }, stages: [{ eachTask: true, budget: { steps: 1 } }] },
        /stages\.0\.eachTask: came true for the first stage/,
      ],
      [
        'a stage of an unknown task',
        'mt-dnn',
        { tasks: { rte: {} }, stages: { 0: { tasks: ['cola'] } } },
        /stages\.0\.tasks: names "cola", expected some of rte/,
      ],
      [
        'another batch in a stage',
        'mt-dnn',
        { tasks: { rte: {} }, stages: { 0: { batch: { sequences: 8 } } } },
        /stages\.0\.batch: came 8 sequences/,
      ],
      ['nothing to train', 'fine-tune', {}, /heads: has no head and there is no labelled task/],
      [
        'a watched score of nobody',
        'fine-tune',
        { tasks: { rte: {} }, checkpoint: { best: { metric: 'cola.matthews', mode: 'max' } } },
        /checkpoint\.best\.metric: came "cola\.matthews", expected .*one of rte/,
      ],
      [
        'texts of no task',
        'bert-pretrain',
        { data: { corpus: { fromTasks: ['rte'] } } },
        /data\.corpus\.fromTasks: names "rte", expected some of the tasks \(none\)/,
      ],
    ]
    for (const [name, base, values, message] of cases) {
      it(name, async () => {
        await assert.rejects(
          async () => {
            const resolved = await recipe(base, values)
            await openRunData(resolved, { cacheDirectory })
          },
          (error: Error & { code: string }) => {
            assert.equal(error.code, 'BAD_RECIPE', error.message)
            assert.match(error.message, message)
            return true
          },
        )
      })
    }
  })
})
