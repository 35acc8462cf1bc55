/**
 * Wrong input of labelled tasks, as a user meets it: the command line ends with code 2 and a message that names the file and line, the
 * recipe's key, or the head. What only a program can get wrong is asked of the library.
 */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BatchSource, packSequences, prefetch } from '../lib/data/index.js'
import {
  type AdapterConfig,
  computeThreads,
  encoderConfig,
  type HeadConfig,
  Model,
  type SavedTask,
  saveModelFolder,
} from '../lib/model/index.js'
import { customDefinition, definitionOf, openTask } from '../lib/tasks/index.js'
import { Tokenizer } from '../lib/text/index.js'
import { runHere } from './helpers/cli-here.js'
import { createSource } from './helpers/counting-source.js'
import { refuses } from './helpers/refuses.js'

const WORDS = 'the a man woman is dancing riding horse hat city of river . ! yes no'.split(' ')
const tokenizer = Tokenizer.fromVocabulary(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...WORDS])
const ENCODER = encoderConfig({ vocabSize: tokenizer.vocabSize, layers: 2, hiddenSize: 16, heads: 2, maxPositions: 64 })
const part = { tap: { layer: 2 }, weight: 1, dropout: 0 }
const TONE: HeadConfig = { ...part, kind: 'classifier', name: 'tone', classes: 2, pooler: 'own' }
const ints = (...values: number[]) => Int32Array.from(values)

describe('bad input of tasks', function () {
  this.timeout(60_000)
  let folder: string
  let init: string
  let tuned: string
  before(async () => {
    computeThreads(1)
    folder = mkdtempSync(join(tmpdir(), 'stratabert-bad-tasks-'))
    init = join(folder, 'init')
    tuned = join(folder, 'tuned')
    const save = { tokenizer: { save: async (path: string) => void (await tokenizer.save(path)) } }
    await using plain = await Model.create({ encoder: ENCODER, heads: [] }, { device: 'cpu', seed: 1 })
    await saveModelFolder(plain, init, save)
    await using headed = await Model.create({ encoder: ENCODER, heads: [TONE] }, { device: 'cpu', seed: 1 })
    const definition = { ...customDefinition('tone', { text: 'text', label: 'label' }) }
    const tone = {
      name: 'tone',
      kind: 'classification',
      head: 'tone',
      labels: ['no', 'yes'],
      pair: false,
      sequenceTokens: 16,
    }
    await saveModelFolder(headed, tuned, {
      ...save,
      tasks: [{ ...tone, kind: 'classification', metrics: ['accuracy'], definition }],
    })
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  function file(name: string, lines: readonly string[]): string {
    const path = join(folder, name)
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(path, lines.map((line) => `${line}\n`).join(''))
    return path
  }

  /** A run of a command that has to be refused as a wrong request; every part stands in what it says. */
  async function refused(args: readonly string[], parts: readonly string[]): Promise<void> {
    const { code, stdout, stderr } = await runHere(...args)
    assert.equal(code, 2, `${stdout}\n${stderr}`)
    for (const one of parts) assert.ok(stderr.includes(one), `"${stderr}" should name "${one}"`)
    assert.doesNotMatch(stderr, /\n\s+at /, 'no stack')
  }

  let made = 0
  /** A fine-tuning recipe in YAML; `tasks` is the text below `tasks:`. */
  function recipe(tasks: string, data: Record<string, string>, more = ''): string[] {
    const slots = Object.entries(data).flatMap(([name, path]) => ['--data', `${name}=${path}`])
    const path = file(`recipe-${made++}.yaml`, [
      'extends: fine-tune',
      `init: ${JSON.stringify(init)}`,
      'device: cpu',
      'precision: fp32',
      'threads: 1',
      'prefetchWorkers: 0',
      'budget: { steps: 1 }',
      'batch: { sequences: 4, sequenceTokens: 16 }',
      ...(more ? [more] : []),
      'tasks:',
      ...tasks.split('\n').map((line) => `  ${line}`),
    ])
    return ['train', path, '--output', join(folder, `run-${made}`), ...slots]
  }

  const MOOD = 'mood: { definition: { text: text, label: mood, labels: [yes, no] } }'.replace(
    '[yes, no]',
    '["yes", "no"]',
  )
  const PAIR = 'pairs: { definition: { text: [first, second], label: same } }'
  const LIKENESS = 'like: { definition: { kind: regression, text: [first, second], label: score, range: [0, 5] } }'
  const rows = (count: number) => Array.from({ length: count }, (_, i) => `the man is ${i},${i % 2 ? 'yes' : 'no'}`)

  describe('train: data', () => {
    it('a good file trains, so that the refusals below are those of what is wrong', async () => {
      const mood = file('good.csv', ['text,mood', ...rows(20)])
      const { code, stderr } = await runHere(...recipe(MOOD, { mood }))
      assert.equal(code, 0, stderr)
    })
    it('an unknown label', () => {
      const mood = file('label.csv', ['text,mood', ...rows(20), 'a hat,maybe'])
      return refused(recipe(MOOD, { mood }), [
        ...[`${mood}:22`, 'task mood', 'unknown label "maybe"', '"yes", "no"'],
        'list the class in labels',
      ])
    })
    it('a missing column', () => {
      const mood = file('column.csv', ['review,mood', ...rows(20)])
      return refused(recipe(MOOD, { mood }), [`${mood}:1`, 'no column "text"', '"review", "mood": name the one'])
    })
    it('a label in the wrong range', () => {
      const like = file('range.csv', ['first,second,score', 'the,a,2.5', 'a,the,5.5'])
      return refused(recipe(LIKENESS, { like }), [
        `${like}:3`,
        'task like',
        'label 5.5 is out of range',
        '0 … 5',
        'correct',
      ])
    })
    it('a label that is no number', () => {
      const like = file('number.csv', ['first,second,score', 'the,a,much'])
      return refused(recipe(LIKENESS, { like }), [
        `${like}:2`,
        'task like',
        'label "much" is no number',
        'label column',
      ])
    })
    it('an empty data set: a header alone, and no byte at all', async () => {
      const header = file('header.csv', ['text,mood'])
      await refused(recipe(MOOD, { mood: header }), [header, 'task mood', 'no usable example', 'give a file with rows'])
      const nothing = file('nothing.csv', [])
      await refused(recipe(MOOD, { mood: nothing }), [nothing, 'is empty', 'check the path'])
    })
    it('a task with one class', () => {
      const mood = file('class.csv', ['text,mood', 'the man,yes', 'a hat,yes', 'a horse,yes'])
      return refused(recipe(MOOD, { mood }), [
        mood,
        'task mood',
        'have the label "yes"',
        'at least two classes',
        'add rows',
      ])
    })
    it('a pair task with one sentence: a blank one, and a row without it', async () => {
      const blank = file('blank.csv', ['first,second,same', 'the,a,yes', 'the,,no', 'a,the,no'])
      await refused(recipe(PAIR, { pairs: blank }), [`${blank}:3`, 'text 2 of the pair is blank', 'maxBadShare'])
      const short = file('short.csv', ['first,second,same', 'the,a,yes', 'the,no', 'a,the,no'])
      await refused(recipe(PAIR, { pairs: short }), [`${short}:3`, '2 columns, 3 were expected'])
    })
    it('a file too small to hold a part of it out', () => {
      const mood = file('single.csv', ['text,mood', 'the man,yes'])
      return refused(recipe(MOOD, { mood }), [mood, 'task mood', 'there are 1', 'leaves none for training'])
    })
    it('a file that is not there', () =>
      refused(recipe(MOOD, { mood: join(folder, 'none.csv') }), [join(folder, 'none.csv'), 'does not exist']))
  })

  describe('train: recipe', () => {
    const good = () => ({ mood: file('good.csv', ['text,mood', ...rows(20)]) })

    it('two tasks of one name', () => {
      const args = recipe(`${MOOD}\n${MOOD}`, good())
      return refused(args, [`${args[1]} line 11`, 'mood stands here a second time'])
    })
    it('a task named like a head', () =>
      refused(recipe(MOOD, good(), 'heads: { mood: { kind: masked-lm, layer: 2 } }'), [
        ...['tasks.mood', 'name of a head, heads.mood', 'another name'],
      ]))
    it('a task named like what the run needs', () =>
      refused(recipe(MOOD.replace('mood:', 'mean:'), { mean: 'x.csv' }), ['tasks.mean', '"mean"', 'another one']))
    it('a SAN for single sentences', () =>
      refused(recipe(MOOD.replace(' } }', ' }, head: { kind: san } }'), good()), [
        'tasks.mood.head.kind',
        '"san"',
        'classifier',
        'single texts',
      ]))
    it('a span head for a classification', () =>
      refused(recipe(MOOD.replace(' } }', ' }, head: { kind: span } }'), good()), [
        'tasks.mood.head.kind',
        '"span"',
        'expected classifier',
      ]))
    it('a classifier for a regression', () =>
      refused(recipe(LIKENESS.replace(' } }', ' }, head: { kind: classifier } }'), { like: 'x.csv' }), [
        'tasks.like.head.kind',
        'expected regressor for a regression task',
      ]))
    it('inputs longer than the encoder has positions', () =>
      refused(recipe(MOOD.replace(' } }', ' }, sequenceTokens: 65 }'), good()), [
        'tasks.mood.sequenceTokens',
        'came 65',
        'encoder.maxPositions = 64',
      ]))
    it('an adapter whose heads do not divide its size', () =>
      refused(recipe(MOOD, good(), 'adapter: { kind: pal, size: 100, heads: 6 }'), [
        'adapter.size',
        'came 100',
        'adapter.heads = 6',
      ]))
    it('one class, three texts, a metric of another kind', async () => {
      await refused(recipe(MOOD.replace('"yes", "no"', '"yes"'), good()), [
        'tasks.mood.definition.labels',
        'a list of 1',
        'at least 2 entries',
      ])
      await refused(recipe(MOOD.replace('text: text', 'text: [a, b, c]'), good()), [
        'tasks.mood.definition.text',
        'a list of 3',
        'a string or a number or at most 2 entries',
      ])
      await refused(recipe(MOOD.replace('label: mood,', 'label: mood, metrics: [pearson],'), good()), [
        'task mood',
        'pearson',
        'accuracy',
      ])
    })
    it('data of a task that the recipe has not, a task without data', async () => {
      await refused(recipe(MOOD, { ...good(), moods: 'x.csv' }), ['data.moods', 'did you mean "mood"'])
      await refused(recipe(MOOD, {}), ['data.mood', '--data mood=PATH'])
    })
  })

  describe('a question whose answer lies beyond the length', () => {
    const long = `${'the man is riding a horse of the city . '.repeat(20)}the hat`
    const paragraphs = [
      {
        context: long,
        qas: [
          { id: 'far', question: 'the hat ?', answers: [{ text: 'hat', answer_start: long.length - 3 }] },
          { id: 'wide', question: 'who ?', answers: [{ text: long.slice(0, 300), answer_start: 0 }] },
          { id: 'near', question: 'who ?', answers: [{ text: 'man', answer_start: 4 }] },
        ],
      },
    ]
    const squad = (name = 'squad.json') =>
      file(name, [JSON.stringify({ version: '1.1', data: [{ title: 't', paragraphs }] })])
    const options = { definition: definitionOf('squad'), tokenizer, seed: 1, sequenceTokens: 32, name: 'squad' }

    it('is counted and shown, while one at the end of the context is found in a later window', async () => {
      const opened = await openTask({
        ...options,
        definition: { ...options.definition, stride: 8, questionTokens: 8 } as never,
        data: { train: squad() },
        maxBadShare: 0.5,
      })
      assert.equal(opened.train!.examples, 2)
      const note = opened.notes.find((one) => one.includes('cannot be used'))!
      assert.match(note, /train: 1 of 3 questions cannot be used/)
      assert.match(note, /squad\.json: question wide: the answer ".*" has \d+ tokens and fits into no window of 32/)
    })
    it('is refused when there are too many of them', () =>
      refused(
        recipe('squad: { sequenceTokens: 32, definition: { stride: 8, questionTokens: 8 } }', {
          squad: join(squad('squad/train.json'), '..'),
        }),
        ['train.json: question wide', 'fits into no window of 32', 'maxBadShare'],
      ))
  })

  describe('a checkpoint without what is asked for', () => {
    it('evaluate --task', () =>
      refused(
        ['evaluate', tuned, '--task', 'mood'],
        ['no head is named "mood"', 'the checkpoint has tone', 'name one'],
      ))
    it('evaluate of a folder without heads', () => refused(['evaluate', init], [init, 'has no head']))
    it('evaluate without the data of a task', () =>
      refused(['evaluate', tuned, '--task', 'tone', '--device', 'cpu'], [tuned, 'task tone', '--data tone=PATH']))
    it('evaluate --submissions of two tasks that GLUE knows by one name', async () => {
      const heads = ['rte', 'again'].map((name): HeadConfig => ({ ...TONE, name }))
      const { kind, labels = [], metrics } = definitionOf('rte')
      const settings = { kind, labels: [...labels], metrics: [...metrics], pair: true, sequenceTokens: 16 }
      const definition = { ...definitionOf('rte') }
      const tasks = heads.map(({ name }): SavedTask => ({ ...settings, name, head: name, definition }))
      const twins = join(folder, 'twins')
      await using model = await Model.create({ encoder: ENCODER, heads }, { device: 'cpu', seed: 1 })
      await saveModelFolder(model, twins, {
        tokenizer: { save: async (path) => void (await tokenizer.save(path)) },
        tasks,
      })
      const test = file('rte-test/test.tsv', ['index\tsentence1\tsentence2', '0\tthe man\ta hat'])
      const slots = tasks.flatMap(({ name }) => ['--data', `${name}=${join(test, '..')}`])
      const submissions = join(folder, 'submissions')
      const evaluate = ['evaluate', twins, ...slots, '--submissions', submissions, '--device', 'cpu']
      await refused(evaluate, ['tasks rte and again', 'RTE.tsv', '--task'])
      assert.ok(!existsSync(submissions))
      const { code, stderr } = await runHere(...evaluate, '--task', 'again')
      assert.deepEqual([code, existsSync(join(submissions, 'RTE.tsv'))], [0, true], stderr)
    })
    it('classify --task', () =>
      refused(
        ['classify', tuned, '--task', 'mood', '--text', 'the man', '--device', 'cpu'],
        ['"mood"', 'tone', 'name one'],
      ))
    it('classify of a folder without heads', () =>
      refused(
        ['classify', init, '--text', 'the man', '--device', 'cpu'],
        ['classify needs a head of kind', 'no heads', 'use one that was trained'],
      ))
    it('answer and tag with a classifier', async () => {
      const asked = ['--question', 'the ?', '--context', 'the man', '--device', 'cpu']
      await refused(['answer', tuned, ...asked], ['head of kind span', 'tone (classifier)'])
      await refused(
        ['tag', tuned, '--text', 'the man', '--device', 'cpu'],
        ['head of kind tagger', 'tone (classifier)'],
      )
    })
    it('a pair for a task of single texts', () =>
      refused(
        ['classify', tuned, '--text', 'the man', '--second', 'a hat', '--device', 'cpu'],
        ['text 1 came as a pair', 'task tone reads one text', 'leave the second out'],
      ))
  })

  describe('the library: batches and models', () => {
    const HEADS: HeadConfig[] = [
      TONE,
      { ...part, kind: 'san', name: 'nli', classes: 3, steps: 2, predictionDropout: 0 },
      { ...part, kind: 'ranker', name: 'rank', pooler: 'none' },
    ]
    const ADAPTERS: AdapterConfig[] = [{ name: 'tone', kind: 'lora', size: 2 }]
    const batch = {
      ...packSequences([
        [2, 5, 6, 3],
        [2, 7, 3],
      ]),
      labels: {},
    }
    let model: Model
    before(async () => {
      model = await Model.create({ encoder: ENCODER, heads: HEADS, adapters: ADAPTERS }, { device: 'cpu', seed: 1 })
    })
    after(() => model.dispose())

    it('a SAN batch without segment 1', () =>
      assert.rejects(
        model.step({ ...batch, labels: { nli: { labels: ints(0, 1) } } }),
        refuses('BAD_ARGUMENT', "'nli'", 'sequence 0', 'segment'),
      ))
    it('a ranker’s group without a positive, and with two', async () => {
      const rank = (...labels: number[]) =>
        model.step({ ...batch, labels: { rank: { labels: ints(...labels), groups: ints(7, 7) } } })
      await assert.rejects(rank(0, 0), refuses('BAD_ARGUMENT', "'rank'", 'group 7'))
      await assert.rejects(rank(1, 1), refuses('BAD_ARGUMENT', "'rank'", 'group 7'))
    })
    it('an adapter that the model has not', () =>
      assert.rejects(
        model.step({ ...batch, adapter: 'mood', labels: { tone: { labels: ints(0, 1) } } }),
        refuses('NOT_FOUND', "adapter 'mood'", 'tone'),
      ))
    it('a class beyond the head’s', () =>
      assert.rejects(
        model.step({ ...batch, labels: { tone: { labels: ints(0, 2) } } }),
        refuses('BAD_ARGUMENT', "'tone'", 'labels[1]', '2', '0 to 1'),
      ))
    it('an adapter whose heads do not divide its size', () =>
      assert.rejects(
        Model.create(
          { encoder: ENCODER, heads: [TONE], adapters: [{ name: 'tone', kind: 'pal', size: 10 }] },
          { device: 'cpu' },
        ),
        refuses('BAD_ARGUMENT', 'tone', 'size 10', '6 heads'),
      ))
    it('a source that breaks: the batch and its pass are named, in this thread and in a worker', async () => {
      const take = async (source: BatchSource, workers: number) => {
        for await (const _ of prefetch(source, { workers, epoch: 1 }));
      }
      for (const workers of [0, 1]) {
        const built = new Int32Array(new SharedArrayBuffer(4))
        const broken = createSource({ batches: 5, built, failAt: 2 })
        await assert.rejects(take(broken, workers), refuses('NATIVE_ERROR', 'batch 2 of pass 1', 'batch 2 is broken'))
      }
    })
  })
})
