/** `probe`: features of an encoder, all controls and cells, the files, and what is refused. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { stream } from '../lib/data/random.js'
import { bestLayer, layerCentroid, type ProbeReport, probeLines, unconvergedNote } from '../lib/evaluation/index.js'
import { bagOfWords } from '../lib/evaluation/probing/bag-of-words.js'
import { controlLabels } from '../lib/evaluation/probing/control-task.js'
import { encodeUnits } from '../lib/evaluation/probing/encoded-units.js'
import { cacheFeatures } from '../lib/evaluation/probing/feature-cache.js'
import { majorityAccuracy, type PlacedSet, placeSet, probeLayers } from '../lib/evaluation/probing/probe-set.js'
import { UnitPlan } from '../lib/evaluation/probing/units.js'
import { Encoder } from '../lib/inference/index.js'
import {
  computeThreads,
  encoderConfig,
  loadModel,
  Model,
  type Probe,
  type ProbeData,
  saveModelFolder,
} from '../lib/model/index.js'
import { probeCheckpoint } from '../lib/recipes/index.js'
import {
  type PairProbeSet,
  PROBE_SPLITS,
  type ProbeSet,
  type ProbeSplit,
  type SentenceProbeSet,
  type TokenProbeSet,
  writeProbeSets,
} from '../lib/tasks/index.js'
import { temporaryName } from '../lib/temporary-names.js'
import { Tokenizer } from '../lib/text/index.js'
import { runHere } from './helpers/cli-here.js'

const NOUNS = ['man', 'woman', 'horse', 'hat', 'river', 'city']
const VERBS = ['sees', 'likes', 'rides', 'finds']
const WORDS = [...NOUNS, ...VERBS, 'the', 'a', '.', '##s', '##man']
const SIZES: Record<ProbeSplit, number> = { train: 96, dev: 32, test: 40 }
const LAYERS = 2
const HIDDEN = 16

/** "the man sees a horse ." */
function sentence(split: ProbeSplit, index: number): string[] {
  const random = stream(11, split, index)
  const pick = (list: readonly string[]) => list[random.below(list.length)]
  return [pick(['the', 'a']), pick(NOUNS), pick(VERBS), pick(['the', 'a']), pick(NOUNS), '.']
}

const spaceAfter = [true, true, true, true, false, false]
const base = { source: 'a grammar of six words', notes: [] }
const each = <T>(make: (split: ProbeSplit, index: number) => T): Record<ProbeSplit, T[]> => {
  const list = (split: ProbeSplit) => Array.from({ length: SIZES[split] }, (_, index) => make(split, index))
  return { train: list('train'), dev: list('dev'), test: list('test') }
}

/** Does the sentence hold a river? */
const river: SentenceProbeSet = {
  ...base,
  name: 'River',
  kind: 'sentence',
  classes: ['no', 'yes'],
  splits: each((split, index) => {
    const words = sentence(split, index)
    if (index % 2 === 1) words[4] = 'river'
    else for (const place of [1, 4]) if (words[place] === 'river') words[place] = 'hat'
    return { text: `${words.slice(0, 5).join(' ')}.`, label: index % 2 }
  }),
}
/** Article, noun or verb. */
const kinds: TokenProbeSet = {
  ...base,
  name: 'Kind',
  kind: 'token',
  classes: ['article', 'noun', 'verb'],
  splits: each((split, index) => {
    const targets = [0, 1, 2].map((word) => ({ word, label: word }))
    return { words: sentence(split, index), spaceAfter, targets }
  }),
}
/** Is the second word the first one's head? */
const arcs: PairProbeSet = {
  ...base,
  name: 'Arc',
  kind: 'pair',
  classes: ['no', 'yes'],
  splits: each((split, index) => ({
    words: sentence(split, index),
    spaceAfter,
    pairs: [
      { first: 1, second: 2, label: 1 },
      { first: 2, second: 1, label: 0 },
    ],
  })),
}

describe('probe command', function () {
  this.timeout(60_000)
  let folder: string
  let model: string
  let probes: string
  const tokenizer = Tokenizer.fromVocabulary(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...WORDS])
  before(async () => {
    computeThreads(1)
    folder = mkdtempSync(join(tmpdir(), 'stratabert-probe-'))
    model = join(folder, 'model')
    probes = join(folder, 'probes')
    const { vocabSize } = tokenizer
    const encoder = encoderConfig({ vocabSize, layers: LAYERS, hiddenSize: HIDDEN, heads: 2, maxPositions: 12 })
    await using made = await Model.create({ encoder: { ...encoder, initializerRange: 0.3 }, heads: [] }, { seed: 4 })
    await saveModelFolder(made, model, { tokenizer: { save: async (path) => void (await tokenizer.save(path)) } })
    await writeProbeSets(probes, [river, kinds, arcs], { seed: 1 })
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  const run = (output: string, ...more: string[]) =>
    runHere('probe', model, '--data', `probes=${probes}`, '--output', join(folder, output), '--device', 'cpu', ...more)

  it('caches the states of sentences, words and pairs', async () => {
    const plan = new UnitPlan()
    const text = 'the woman sees a hatman .'
    const words = text.split(' ')
    const example = { words, spaceAfter: [true, true, true, true, true, false] }
    const one = <T>(list: T[]) => ({ train: list, dev: [], test: [] })
    const pooled = plan.add({ ...river, splits: one([{ text, label: 0 }]) })
    const word = plan.add({
      ...kinds,
      splits: one([{ ...example, targets: [4, 1].map((w) => ({ word: w, label: 0 })) }]),
    })
    const pair = plan.add({ ...arcs, splits: one([{ ...example, pairs: [{ first: 4, second: 2, label: 0 }] }]) })
    assert.equal(plan.texts.size, 1, 'the sentence is encoded once')
    assert.deepEqual([...word.splits.train.rows], [1, 2])
    assert.deepEqual([...pair.splits.train.rows], [1, 3], 'the word that both ask for is one unit')
    assert.deepEqual([...pooled.splits.train.rows], [0])

    const { model: loaded } = await loadModel(model, { device: 'cpu' })
    await using encoder = loaded
    await using whole = await Encoder.load(model, { device: 'cpu' })
    for (const pooling of ['mean', 'cls'] as const) {
      const encoded = await encodeUnits(plan, tokenizer, { maxTokens: 12, pooling })
      const path = join(folder, 'states')
      const { features, rowOf } = await cacheFeatures(encoder, encoded, { layers: [0, 2], path, maxBatchTokens: 64 })
      assert.deepEqual(features, { path, units: 4, layers: 2, width: HIDDEN })
      const bytes = readFileSync(path)
      const states = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))
      const state = (unit: number, layer: number) =>
        states.subarray((rowOf[unit] * 2 + layer) * HIDDEN, (rowOf[unit] * 2 + layer + 1) * HIDDEN)
      const expected = (await whole.embed(text, { layer: 2, pooling })).vectors[0]
      for (const [h, value] of state(0, 1).entries()) assert.ok(Math.abs(value - expected[h]) < 1e-5)
      // [CLS] the woman sees a hat ##man . [SEP]
      const batch = { tokenIds: encoded.sequences[0].tokenIds, segmentIds: new Int32Array(9), labels: {} }
      const [bottom] = await encoder.hiddenStates({ ...batch, sequenceOffsets: Int32Array.of(0, 9) }, [0])
      state(1, 0).forEach((value, h) => {
        assert.ok(Math.abs(value - (bottom[5 * HIDDEN + h] + bottom[6 * HIDDEN + h]) / 2) < 1e-5)
      })
      for (const [h, value] of state(3, 0).entries()) assert.ok(Math.abs(value - bottom[3 * HIDDEN + h]) < 1e-5)
    }
    // Behind the cut nothing is read.
    const cut = await encodeUnits(plan, tokenizer, { maxTokens: 7, pooling: 'mean' })
    assert.equal(cut.cut, 1)
    assert.deepEqual(
      cut.sequences[0].units.map(({ unit }) => unit),
      [0, 2, 3],
    )
  })

  it('writes every layer, the mix and all controls', async () => {
    const { code, stdout, stderr } = await run('all', '--classifier', 'both', '--json', '--predictions')
    assert.equal(code, 0, stderr)
    const report = JSON.parse(stdout) as ProbeReport
    const files = readdirSync(join(folder, 'all')).sort()
    assert.deepEqual(files, ['predictions', 'probes.csv', 'probes.json', 'probes.md'])
    assert.deepEqual(JSON.parse(readFileSync(join(folder, 'all', 'probes.json'), 'utf8')), report)
    assert.equal(report.format, 1)
    assert.equal(report.encoder.layers, LAYERS)
    assert.deepEqual(report.tasks.map(({ name }) => name).sort(), ['Arc', 'Kind', 'River'])
    for (const task of report.tasks) {
      const parts = task.kind === 'token' ? 3 : task.kind === 'pair' ? 2 : 1
      for (const split of PROBE_SPLITS) assert.equal(task[split], SIZES[split] * parts)
      for (const classifier of ['logistic', 'mlp']) {
        const layers = task.cells.filter((cell) => cell.classifier === classifier).map(({ layer }) => layer)
        assert.deepEqual(layers, [0, 1, 2, 'mix'])
      }
      assert.equal(task.majority, 1 / task.classes)
      assert.deepEqual(
        task.controls.randomEncoder?.map(({ layer, classifier }) => `${classifier} ${layer}`),
        ['logistic', 'mlp'].flatMap((classifier) => [0, 1, 2].map((layer) => `${classifier} ${layer}`)),
      )
      for (const cell of [...task.cells, task.controls.bagOfWords!, ...task.controls.randomEncoder!]) {
        const [low, high] = cell.interval
        assert.ok(low - 1e-12 <= cell.accuracy && cell.accuracy <= high + 1e-12 && low >= 0 && high <= 1)
      }
      for (const cell of task.cells) {
        assert.equal(cell.selectivity !== undefined, task.kind === 'token')
        if (cell.selectivity !== undefined) {
          assert.ok(Math.abs(cell.selectivity - (cell.accuracy - cell.controlAccuracy!)) < 1e-12)
        }
        assert.equal(cell.mixWeights?.length, cell.layer === 'mix' ? LAYERS : undefined)
        assert.equal(cell.epochs !== undefined, cell.classifier === 'mlp')
      }
      const file = join(folder, 'all', 'predictions', `${task.name}.1.logistic.tsv`)
      const rows = readFileSync(file, 'utf8').trim().split('\n').slice(1)
      const right = rows.filter((row) => row.split('\t')[1] === row.split('\t')[2]).length
      const cell = task.cells.find(({ layer, classifier }) => layer === 1 && classifier === 'logistic')!
      assert.equal(right / rows.length, cell.accuracy)
      assert.ok(report.summary.bestLayer[task.name] in [0, 1, 2])
    }
    const task = (name: string) => report.tasks.find((one) => one.name === name)!
    // A word is written in the sum of embeddings, in the counts, and in a random encoder's.
    assert.ok(task('River').cells[0].accuracy > 0.9)
    assert.ok(task('River').controls.bagOfWords!.accuracy > 0.9)
    assert.ok(task('River').controls.randomEncoder![0].accuracy > 0.9)
    // Kinds are a matter of the word; four verbs and two articles with random labels are learnt by heart as well.
    assert.equal(task('Kind').cells[0].accuracy, 1)
    assert.ok(task('Kind').cells[0].controlAccuracy! > 0.6)
    // The order of a pair is in its two halves.
    assert.ok(task('Arc').cells[0].accuracy > 0.95)

    const markdown = readFileSync(join(folder, 'all', 'probes.md'), 'utf8')
    for (const part of [
      '## logistic regression',
      '## MLP-50',
      '\n| River, random |',
      'Selectivity',
      'a grammar of six words',
    ])
      assert.ok(markdown.includes(part), part)
    // The terminal's two tables have the controls as well.
    const lines = probeLines(report).map((line) => line.split(/ {2,}/))
    const rowsOf = (name: string) => lines.filter(([first]) => first === name).map((cells) => cells.slice(1))
    const shares = (scores: readonly { accuracy: number }[]) =>
      scores.map(({ accuracy }) => (100 * accuracy).toFixed(1)).concat('–')
    const randomBy = (name: string) =>
      task('River').controls.randomEncoder!.filter(({ classifier }) => classifier === name)
    assert.deepEqual(rowsOf('River, random'), [shares(randomBy('logistic')), shares(randomBy('mlp'))])
    assert.deepEqual(
      rowsOf('Kind, selectivity').flat(),
      task('Kind').cells.map(({ selectivity }) => (100 * selectivity!).toFixed(1)),
    )
    const csv = readFileSync(join(folder, 'all', 'probes.csv'), 'utf8')
      .trim()
      .split('\n')
    assert.equal(csv.length, 1 + 3 * (1 + 1 + 2 * 3 + 8))
    const { accuracy } = task('River').cells[1]
    assert.ok(csv.some((line) => line.startsWith(`River,1,logistic,${accuracy},`)))
  })

  it('probes an encoder with its agreements, with some of them and without', async () => {
    const vocabSize = tokenizer.vocabSize
    const encoder = encoderConfig({ vocabSize, layers: 1, hiddenSize: HIDDEN, heads: 2, maxPositions: 12 })
    const agreements = { relations: ['subj', 'obj'], size: 8, layers: 1, heads: 2, intermediateSize: 16, gateInit: 4 }
    const [joined, alone] = [join(folder, 'joined'), join(folder, 'alone')]
    const files = { tokenizer: { save: async (path: string) => void (await tokenizer.save(path)) } }
    await using made = await Model.create({ encoder, agreements, heads: [] }, { seed: 4 })
    await saveModelFolder(made, joined, files)
    const { model: without } = await loadModel(joined, { agreements: null })
    await saveModelFolder(without, alone, files)
    await without.dispose()
    // Labels that no state holds: what is predicted depends on every number.
    const random = stream(12, 'labels')
    const splits = Object.fromEntries(
      PROBE_SPLITS.map((split) => [split, river.splits[split].map(({ text }) => ({ text, label: random.below(2) }))]),
    ) as SentenceProbeSet['splits']
    const sets = join(folder, 'chance')
    await writeProbeSets(sets, [{ ...river, name: 'Chance', splits }], { seed: 1 })
    const asked = async (checkpoint: string, output: string, ...more: string[]) => {
      const data = ['--data', `probes=${sets}`, '--output', join(folder, output), '--device', 'cpu']
      const options = ['--layers', '0,1', '--controls', 'none', '--predictions', '--json']
      const { code, stdout, stderr } = await runHere('probe', checkpoint, ...data, ...options, ...more)
      assert.equal(code, 0, stderr)
      const predictions = readFileSync(join(folder, output, 'predictions', 'Chance.1.logistic.tsv'), 'utf8')
      return { ...(JSON.parse(stdout) as ProbeReport), predictions }
    }
    const on = await asked(joined, 'joined-on')
    const some = await asked(joined, 'joined-some', '--agreements', 'obj')
    const off = await asked(joined, 'joined-off', '--agreements', 'off')
    const twin = await asked(alone, 'alone-on')
    assert.deepEqual(
      [on, some, off, twin].map(({ agreements }) => agreements),
      [{ on: ['subj', 'obj'], off: [] }, { on: ['obj'], off: ['subj'] }, { on: [], off: ['subj', 'obj'] }, undefined],
    )
    const cells = ({ tasks, predictions }: typeof on) => [tasks[0].cells, predictions]
    assert.deepEqual(cells(off), cells(twin))
    assert.equal(new Set([on, some, off].map(({ predictions }) => predictions)).size, 3)
    assert.match(readFileSync(join(folder, 'joined-some', 'probes.md'), 'utf8'), /; agreements: obj; sentences pooled/)
    for (const [checkpoint, which, message] of [
      [joined, 'nmod', /"nmod", expected some of subj, obj/],
      [alone, 'off', /has no agreements; leave the option out/],
    ] as const) {
      const data = ['--data', `probes=${sets}`, '--output', join(folder, 'no'), '--agreements', which]
      const { code, stderr } = await runHere('probe', checkpoint, ...data)
      assert.deepEqual([code, message.test(stderr)], [2, true], stderr)
    }
  })

  it('gives the same again, over what a killed run left', async () => {
    mkdirSync(join(folder, 'again'))
    const left = temporaryName('features').replace(`-${process.pid}-`, `-${2 ** 30}-`)
    writeFileSync(join(folder, 'again', left), 'left')
    const args = ['--tasks', 'kind', '--layers', '2,mix', '--json']
    const reports: ProbeReport[] = []
    for (const output of ['again', 'other']) reports.push(JSON.parse((await run(output, ...args)).stdout))
    const [one, other] = reports.map(({ tasks }) => tasks.map(({ seconds: _, ...task }) => task))
    assert.deepEqual(one, other)
    assert.deepEqual(
      one[0].cells.map(({ layer }) => layer),
      [2, 'mix'],
    )
    assert.deepEqual(readdirSync(join(folder, 'again')).sort(), ['probes.csv', 'probes.json', 'probes.md'])
  })

  it('two calls at the same time keep to their own states in one folder', async () => {
    const output = join(folder, 'shared')
    const probed = async (set: ProbeSet) => {
      const options = { folder: output, device: 'cpu', layers: [0, 2], controls: [] } as const
      const { tasks } = await probeCheckpoint(model, [set], options)
      return tasks.map(({ seconds: _, ...task }) => task)
    }
    const alone = [await probed(river), await probed(arcs)]
    assert.deepEqual(await Promise.all([probed(river), probed(arcs)]), alone)
    assert.deepEqual(readdirSync(output), [])
  })

  it('prints a table; without controls it has none', async () => {
    const { code, stdout } = await run('plain', '--layers', '1', '--controls', 'none', '--pooling', 'cls')
    assert.equal(code, 0)
    assert.match(stdout, /logistic regression, accuracy in %\ntask +majority +words +layer 1 +best\n/)
    assert.match(stdout, /\nRiver +– +– +\d+\.\d +1\n/)
    const report = JSON.parse(readFileSync(join(folder, 'plain', 'probes.json'), 'utf8')) as ProbeReport
    assert.equal(report.pooling, 'cls')
    assert.deepEqual(report.tasks[0].controls, {})
    assert.equal(report.tasks[0].majority, undefined)
  })

  it('builds tasks of a treebank and probes them', async () => {
    const treebank = resolve(__dirname, '../examples/data/upos/train.conllu.gz')
    const output = join(folder, 'treebank')
    const args = [
      '--data',
      `treebank=${treebank}`,
      '--tasks',
      'UPOS',
      '--train',
      '300',
      '--dev',
      '60',
      '--test',
      '60',
      '--layers',
      '1',
    ]
    const { code, stdout, stderr } = await runHere('probe', model, ...args, '--output', output, '--json')
    assert.equal(code, 0, stderr)
    const [task] = (JSON.parse(stdout) as ProbeReport).tasks
    assert.equal(task.kind, 'token')
    assert.ok(task.source.includes('train.conllu.gz'))
    assert.ok(task.cells.every(({ selectivity }) => selectivity !== undefined))
  })

  it('refuses what cannot be probed', async () => {
    const senteval = join(folder, 'senteval')
    mkdirSync(senteval)
    const lines = ['tr', 'va', 'te'].map((split) => `${split}\tO\tThe man sees the hat .`)
    writeFileSync(join(senteval, 'bigram_shift.txt'), `${lines.join('\n')}\n`)
    const cases: [string[], RegExp][] = [
      [['--data', `probes=${probes}`, '--layers', '3'], /BAD_ARGUMENT.*layer came as 3, expected 0 … 2 or mix/],
      [['--data', `probes=${probes}`, '--layers', 'top'], /BAD_ARGUMENT.*--layers came as "top"/],
      [['--data', `probes=${probes}`, '--controls', 'luck'], /BAD_ARGUMENT.*--controls came as "luck"/],
      [['--data', `probes=${probes}`, '--tasks', 'Rver'], /BAD_ARGUMENT.*Rver/],
      [['--data', `probe=${probes}`], /BAD_ARGUMENT.*--data came as "probe=/],
      [['--data', 'treebank=/no/such.conllu'], /NOT_FOUND.*\/no\/such\.conllu/],
      // Building tasks may take minutes: what it would be in vain for is told before.
      [['--data', 'treebank=/no/such.conllu', '--layers', '3'], /BAD_ARGUMENT.*layer came as 3/],
      [['--data', `senteval=${senteval}`], /BAD_DATA.*one/],
      [[], /BAD_ARGUMENT.*--data <name=path> is missing/],
    ]
    for (const [args, message] of cases) {
      const { code, stderr } = await runHere('probe', model, ...args, '--output', join(folder, 'refused'))
      assert.equal(code, 2, stderr)
      assert.match(stderr, message)
    }
    const taken = ['--data', 'treebank=/no/such.conllu', '--output', join(model, 'config.json')]
    assert.match((await runHere('probe', model, ...taken)).stderr, /cannot use the output folder: .*config\.json/)
    const missing = await runHere(
      'probe',
      '/no/model',
      '--data',
      `probes=${probes}`,
      '--output',
      join(folder, 'refused'),
    )
    assert.equal(missing.code, 2)
    assert.match(missing.stderr, /\/no\/model/)
  })

  it('leaves out what the encoder cannot read, but not a whole split', () => {
    const planned = new UnitPlan().add(arcs)
    const units = Math.max(...PROBE_SPLITS.flatMap((split) => [...planned.splits[split].rows])) + 1
    const rowOf = Int32Array.from({ length: units }, (_, unit) => unit)
    rowOf[planned.splits.dev.rows[1]] = -1
    const { data, dropped } = placeSet(planned, rowOf)
    assert.ok(dropped.dev > 0 && data.dev.labels.length === 2 * SIZES.dev - dropped.dev)
    for (const unit of planned.splits.test.rows) rowOf[unit] = -1
    assert.throws(() => placeSet(planned, rowOf), {
      code: 'BAD_DATA',
      message:
        /^task Arc \(a grammar of six words\): the encoder reads the words of none of its \d+ (?:train|dev|test) examples/,
    })
  })

  it('a control task gives each word one class, drawn as often as the classes are in training', () => {
    const train = Int32Array.from({ length: 100 }, (_, index) => (index < 80 ? 0 : index < 95 ? 1 : 2))
    const types = Array.from({ length: 2000 }, (_, index) => `word${index}`)
    const labels = controlLabels([...types, ...types], train, { seed: 1, task: 'Kind' })
    assert.deepEqual(labels.subarray(0, 2000), labels.subarray(2000))
    for (const [label, share] of [0.8, 0.15, 0.05].entries()) {
      const found = labels.filter((one) => one === label).length / labels.length
      assert.ok(Math.abs(found - share) < 5 * Math.sqrt((share * (1 - share)) / 2000), `class ${label}: ${found}`)
    }
    // Splits that are labelled one by one agree on a word; another task or seed draws anew.
    assert.equal(controlLabels(['word7'], train, { seed: 1, task: 'Kind' })[0], labels[7])
    for (const name of [
      { seed: 2, task: 'Kind' },
      { seed: 1, task: 'UPOS' },
    ]) {
      assert.notDeepEqual(controlLabels(types, train, name), labels.subarray(0, 2000))
    }
  })

  it('the words that a probe of pairs asks about count by their place in the pair', () => {
    const example = {
      words: ['the', 'man', 'the'],
      spaceAfter: [true, true, true],
      pairs: [
        { first: 0, second: 1, label: 1 },
        { first: 2, second: 1, label: 1 },
        { first: 1, second: 0, label: 0 },
        { first: 0, second: 2, label: 0 },
      ],
    }
    const splits = { train: [example], dev: [example], test: [example] }
    const set: PairProbeSet = { name: 'Arc', kind: 'pair', classes: ['0', '1'], source: 'here', notes: [], splits }
    const { train, width } = bagOfWords(set)
    const rows = [0, 1, 2, 3].map((row) => {
      const [from, to] = [train.offsets[row], train.offsets[row + 1]]
      const counts = Array.from(train.features.subarray(from, to), (feature, i) => [feature, train.values[from + i]])
      return counts.sort(([a], [b]) => a - b)
    })
    // "the" twice and "man"; first and second, each "the" or "man".
    assert.equal(width, 2 + 4)
    for (const row of rows) assert.deepEqual(row.map(([, count]) => count).sort(), [1, 1, 1, 2])
    assert.deepEqual(rows[1], rows[0])
    assert.equal(new Set(rows.map(String)).size, 3)
    assert.deepEqual([...train.labels], [1, 1, 0, 0])
  })

  it('the majority is that of training, judged on test', () => {
    const split = (...labels: number[]) => ({ rows: new Int32Array(labels.length), labels: Int32Array.from(labels) })
    const data = { train: split(0, 2, 2, 1, 2), dev: split(0), test: split(1, 1, 1, 2), parts: 1 as const }
    assert.equal(majorityAccuracy(data, 3), 1 / 4)
  })

  it('selectivity is accuracy less that of the control task; many classes try strengths near the last choice', async () => {
    const tried: (readonly number[])[] = []
    /** Chooses the first strength at layer 0 and the last one above; right 8 times of 10, with random labels 3 times. */
    const probe = {
      async logistic(data: ProbeData, place: number, { l2 }: { l2: readonly number[] }) {
        const isControl = data !== placed.data
        if (!isControl) tried.push(l2)
        const chosen = place === 0 ? l2[0] : l2[l2.length - 1]
        const grid = [{ l2: chosen, converged: true }]
        return { testRight: isControl ? 3 : 8, devAccuracy: 0.5, l2: chosen, grid, predictions: new Int32Array(10) }
      },
    } as unknown as Probe
    const split = {
      rows: Int32Array.from({ length: 10 }, (_, i) => i),
      labels: Int32Array.from({ length: 10 }, (_, i) => i),
    }
    const words = Array.from(split.labels, (label) => `word${label}`)
    const placed: PlacedSet = {
      name: 'WC',
      classes: 101,
      data: { train: split, dev: split, test: split, parts: 1 },
      dropped: { train: 0, dev: 0, test: 0 },
      words: { train: words, dev: words, test: words },
    }
    const layers = [0, 1, 2, 3].map((layer) => ({ layer, place: layer }))
    const options = { layers, mixed: [], classifiers: ['logistic' as const], controlTask: true, seed: 1 }
    for (const cell of await probeLayers(probe, placed, options)) {
      assert.deepEqual([cell.accuracy, cell.controlAccuracy, cell.selectivity], [0.8, 0.3, 0.5])
    }
    assert.deepEqual(tried, [
      [1e-5, 1e-4, 1e-3, 1e-2, 1e-1],
      [1e-5, 1e-4],
      [1e-5, 1e-4, 1e-3],
      [1e-4, 1e-3, 1e-2],
    ])
  })

  it('names the searches that their limit of steps ended', () => {
    const interval: [number, number] = [0.4, 0.6]
    const score = { classifier: 'logistic' as const, accuracy: 0.5, interval, devAccuracy: 0.5, l2: 1e-5 }
    const stopped = { ...score, converged: false }
    const cells = [
      { ...score, layer: 0 },
      { ...stopped, layer: 2 },
      { ...stopped, layer: 'mix' as const },
    ]
    const randomEncoder = [
      { ...score, layer: 0 },
      { ...stopped, layer: 1 },
    ]
    const note = unconvergedNote({ cells, controls: { randomEncoder } })
    assert.match(note!, /at layer 2, the mix, layer 1 of the random encoder$/)
    assert.equal(unconvergedNote({ cells: cells.slice(0, 1), controls: {} }), undefined)
  })

  it('finds the best layer on dev and the centroid of the gains', () => {
    const score = (layer: number, accuracy: number, devAccuracy = accuracy) => ({ layer, accuracy, devAccuracy })
    const scores = [score(2, 0.9, 0.7), score(0, 0.5), score(1, 0.7, 0.8), score(3, 0.8, 0.8)]
    assert.equal(bestLayer(scores), 1)
    // Gains 0.2 at layer 1, 0.2 at layer 2, none at layer 3.
    assert.ok(Math.abs(layerCentroid(scores)! - 1.5) < 1e-12)
    assert.equal(layerCentroid([score(0, 0.5), score(1, 0.4)]), undefined)
    assert.equal(bestLayer([]), undefined)
  })
})
