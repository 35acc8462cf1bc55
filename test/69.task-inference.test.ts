/** Trained heads at work: classify, score, answer and tag, as methods and as commands. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { StrataError } from '../lib/errors.js'
import { Encoder } from '../lib/inference/index.js'
import type { Session } from '../lib/inference/loaded-parts.js'
import { tagWindows } from '../lib/inference/tag.js'
import {
  computeThreads,
  encoderConfig,
  type HeadConfig,
  loadModel,
  type MixConfig,
  Model,
  type SavedTask,
  saveModelFolder,
} from '../lib/model/index.js'
import { decodeSpans } from '../lib/tasks/span-decoding.js'
import { Tokenizer } from '../lib/text/index.js'
import { writeFormula } from './golden/golden.js'
import { runHere } from './helpers/cli-here.js'
import { runCli } from './helpers/cli-process.js'
import { inShortestTurns } from './helpers/event-loop-turns.js'

const WORDS = 'the a man woman is dancing riding horse hat hard river city of in , . ! ##s where'.split(' ')
const tokenizer = Tokenizer.fromVocabulary(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...WORDS])
const head = { tap: { layer: 2 }, weight: 1, dropout: 0.1 }
const HEADS: HeadConfig[] = [
  { ...head, kind: 'classifier', name: 'tone', classes: 3, pooler: 'own' },
  { ...head, kind: 'san', name: 'nli', classes: 2, steps: 3, predictionDropout: 0.1 },
  { ...head, kind: 'regressor', name: 'likeness', pooler: 'own' },
  { ...head, kind: 'ranker', name: 'search', pooler: 'none' },
  { ...head, kind: 'span', name: 'squad' },
  { ...head, kind: 'tagger', name: 'words', classes: 3, tap: { layer: 1 } },
]
const task = (name: string, kind: SavedTask['kind'], more: Partial<SavedTask> = {}): SavedTask => ({
  name,
  kind,
  head: name,
  sequenceTokens: 16,
  metrics: [],
  ...more,
})
const TASKS: SavedTask[] = [
  task('tone', 'classification', { labels: ['bad', 'plain', 'good'], pair: false }),
  task('nli', 'classification', { labels: ['no', 'yes'], pair: true, hypothesisFirst: true }),
  task('likeness', 'regression', { pair: true, range: [0, 5], definition: { targetDivisor: 5 } }),
  task('search', 'ranking', { pair: false }),
  task('squad', 'span', { definition: { stride: 4, questionTokens: 5 } }),
  task('words', 'tagging', { labels: ['O', 'NOUN', 'VERB'] }),
]
const TEXTS = ['the man is riding a horse .', 'hat', 'the city of the river , the man in a hard hat !', 'a woman']
const PAIRS = TEXTS.map((text, index): [string, string] => [text, TEXTS[(index + 1) % TEXTS.length]])

async function writeModel(folder: string, heads: HeadConfig[], tasks: SavedTask[], mixes?: MixConfig[]): Promise<void> {
  const { vocabSize } = tokenizer
  const encoder = encoderConfig({ vocabSize, layers: 2, hiddenSize: 16, heads: 2, maxPositions: 24 })
  await using model = await Model.create({ encoder, heads, mixes }, { device: 'cpu', seed: 3 })
  await writeFormula(model, () => true)
  await saveModelFolder(model, folder, {
    tasks,
    tokenizer: { save: async (path) => void (await tokenizer.save(path)) },
  })
}

/** Softmax of the logits that the model gives for one input. */
async function probabilities(folder: string, name: string, first: string, second?: string): Promise<number[]> {
  const { tokenIds, segmentIds } =
    second === undefined ? await tokenizer.encode(first) : await tokenizer.encodePair(first, second)
  const { model: loaded } = await loadModel(folder, { device: 'cpu' })
  await using model = loaded
  const labels = { [name]: { labels: Int32Array.of(0) } }
  const batch = { tokenIds, segmentIds, sequenceOffsets: Int32Array.of(0, tokenIds.length), labels }
  const { logits } = (await model.evaluate(batch))[name]
  const powers = [...logits!.values].map(Math.exp)
  const sum = powers.reduce((total, power) => total + power, 0)
  return powers.map((power) => power / sum)
}

function close(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) < 1e-5, `${actual} is not ${expected}`)
}

describe('heads at work', function () {
  this.timeout(120_000)
  let folder: string
  let all: string
  let encoder: Encoder
  before(async () => {
    computeThreads(1)
    folder = mkdtempSync(join(tmpdir(), 'stratabert-heads-'))
    all = join(folder, 'all')
    await writeModel(all, HEADS, TASKS)
    encoder = await Encoder.load(all, { device: 'cpu' })
  })
  after(async () => {
    await encoder?.dispose()
    rmSync(folder, { recursive: true, force: true })
  })

  it('classifies with the head’s own probabilities, labels by name, most probable first', async () => {
    const results = await encoder.classify(TEXTS, { task: 'tone' })
    for (const [index, { label, score, labels, truncated }] of results.entries()) {
      const expected = await probabilities(all, 'tone', TEXTS[index])
      assert.equal(truncated, false)
      assert.deepEqual([labels[0].label, labels[0].score], [label, score])
      assert.ok(labels[0].score >= labels[1].score && labels[1].score >= labels[2].score)
      for (const one of labels) close(one.score, expected[['bad', 'plain', 'good'].indexOf(one.label)])
    }
    const [first] = await encoder.classify(TEXTS[0], { task: 'tone', topK: 1 })
    assert.deepEqual(
      first.labels.map(({ label }) => label),
      [results[0].label],
    )
    assert.deepEqual(await encoder.classify([], { task: 'tone' }), [])
  })

  it('a text has the same classes alone and in any batch', async () => {
    await using small = await Encoder.load(all, { device: 'cpu', maxBatchTokens: 1 })
    const together = await encoder.classify(PAIRS, { task: 'nli' })
    const alone = await small.classify(PAIRS, { task: 'nli' })
    together.forEach(({ label, score }, index) => {
      assert.equal(alone[index].label, label)
      close(alone[index].score, score)
    })
  })

  it('lays a pair out as the task was trained: hypothesis first', async () => {
    const [{ labels }] = await encoder.classify([PAIRS[0]], { task: 'nli' })
    const expected = await probabilities(all, 'nli', PAIRS[0][1], PAIRS[0][0])
    for (const { label, score } of labels) close(score, expected[['no', 'yes'].indexOf(label)])
    const other = await probabilities(all, 'nli', PAIRS[0][0], PAIRS[0][1])
    assert.ok(Math.abs(other[0] - expected[0]) > 2e-5)
  })

  it('gives the number of a regression in the units of its labels, and that of a ranking', async () => {
    const numbers = await encoder.score(PAIRS, { task: 'likeness' })
    const classes = await encoder.classify(PAIRS, { task: 'likeness' })
    const { tokenIds, segmentIds } = await tokenizer.encodePair(...PAIRS[3])
    const { model: loaded } = await loadModel(all, { device: 'cpu' })
    await using model = loaded
    const labels = { likeness: { labels: Int32Array.of(0), values: Float32Array.of(0) } }
    const batch = { tokenIds, segmentIds, sequenceOffsets: Int32Array.of(0, tokenIds.length), labels }
    close(numbers[3].score, 5 * (await model.evaluate(batch)).likeness.logits!.values[0])
    assert.deepEqual(
      classes.map(({ label, labels, score }) => [label, labels, score]),
      numbers.map(({ score }) => [undefined, [], score]),
    )
    const ranked = await encoder.score(
      [TEXTS[0], TEXTS[2]].map((text): [string, string] => ['where', text]),
      { task: 'search' },
    )
    assert.notEqual(ranked[0].score, ranked[1].score)
  })

  it('reads the unit of a regression out of config.json, where a folder has lost stratabert.json', async () => {
    const alone = join(folder, 'alone')
    await writeModel(
      alone,
      [{ ...head, kind: 'regressor', name: 'task', pooler: 'own' }],
      [{ ...TASKS[2], name: 'task', head: 'task' }],
    )
    await using ours = await Encoder.load(alone, { device: 'cpu' })
    const expected = await ours.score(PAIRS)
    rmSync(join(alone, 'stratabert.json'))
    await using published = await Encoder.load(alone, { device: 'cpu' })
    assert.deepEqual(await published.score(PAIRS, { maxTokens: 16 }), expected)
    const [{ range, targetDivisor }] = published.tasks
    assert.deepEqual([range, targetDivisor], [[0, 5], 5])
  })

  it('cuts at the task’s length and says so', async () => {
    const long = 'the man '.repeat(12)
    const [cut, short] = await encoder.classify([long, 'hat'], { task: 'tone' })
    assert.deepEqual([cut.truncated, short.truncated], [true, false])
    const [same] = await encoder.classify('the man '.repeat(7), { task: 'tone' })
    close(cut.score, same.score)
    const [whole] = await encoder.classify(long, { task: 'tone', maxTokens: 24 })
    assert.ok(Math.abs(whole.score - cut.score) > 1e-6)
  })

  it('answers with a part of the context, in windows when it is long', async () => {
    const context = '  The man in a hard hat , the woman is dancing in the city of the river ! A horse is riding .  '
    const question = 'where is the hat'
    const found = await encoder.answer(question, context, { task: 'squad', topK: 4 })
    assert.equal(found.text, context.slice(found.start, found.end))
    assert.ok(found.text.length > 0 && found.windows > 2)
    assert.equal(found.candidates.length, 4)
    assert.deepEqual([found.candidates[0].text, found.candidates[0].score], [found.text, found.score])
    for (const { text, start, end } of found.candidates) assert.equal(text, context.slice(start, end))
    assert.equal(found.noAnswerScore, undefined)
    // One window by hand.
    const short = 'the hard hat of a man'
    const one = await encoder.answer(question, short, { task: 'squad', topK: 1 })
    assert.equal(one.windows, 1)
    const { tokenIds, segmentIds } = await tokenizer.encodePair(question, short)
    const { model: loaded } = await loadModel(all, { device: 'cpu' })
    await using model = loaded
    const labels = { squad: { labels: Int32Array.of(0), spanStarts: Int32Array.of(0), spanEnds: Int32Array.of(1) } }
    const batch = { tokenIds, segmentIds, sequenceOffsets: Int32Array.of(0, tokenIds.length), labels }
    const { values } = (await model.evaluate(batch)).squad.logits!
    const [pieces] = await tokenizer.encodeWithOffsets([short])
    const column = (which: number) => Array.from(tokenIds, (_, place) => values[2 * place + which])
    const window = { firstToken: 0, tokens: pieces.tokenIds.length, contextPlace: 6 }
    const windows = [{ window, startLogits: column(0), endLogits: column(1) }]
    const expected = decodeSpans({ context: short, ...pieces, windows })
    assert.equal(one.text, expected.text)
    close(one.score, expected.probability)
  })

  it('answers with whole words, unless it is told not to', async () => {
    const context = 'the manly hatless citys of a riverman , hatmen'
    const [{ starts, ends, tokenIds }] = await tokenizer.encodeWithOffsets([context])
    const whole = (text: string, start: number) =>
      !/\w/.test(context[start - 1] ?? ' ') && !/\w/.test(context[start + text.length] ?? ' ')
    const options = { task: 'squad', topK: 20 }
    const { candidates } = await encoder.answer('where is the hat', context, options)
    for (const { text, start, end } of candidates)
      assert.ok(text === context.slice(start, end) && whole(text, start), text)
    const cut = await encoder.answer('where is the hat', context, { ...options, wholeWords: false })
    assert.ok(tokenIds.length > 9 && cut.candidates.some(({ text, start }) => !whole(text, start)))
    for (const { start, end } of cut.candidates) assert.ok(starts.includes(start) && ends.includes(end))
  })

  it('answers lists and streams of questions as one by one, each from its own windows', async () => {
    const contexts = [
      'the hard hat of a man',
      `the woman is dancing in the city of the river ${'! a horse '.repeat(9)}`,
    ]
    const asked = ['where is the hat', 'where is the woman', 'the horse'].flatMap((question) =>
      contexts.map((context) => ({ question, context })),
    )
    const list = await encoder.answer(asked, { task: 'squad', topK: 2 })
    const streamed = []
    for await (const one of encoder.answer(Readable.from(asked), { task: 'squad', topK: 2 })) streamed.push(one)
    assert.deepEqual([list.length, streamed.length], [6, 6])
    assert.ok(list[0].windows === 1 && list[1].windows > 2)
    for (const [index, { question, context }] of asked.entries()) {
      const alone = await encoder.answer(question, context, { task: 'squad', topK: 2 })
      for (const found of [list[index], streamed[index]]) {
        assert.deepEqual([found.text, found.start, found.windows], [alone.text, alone.start, alone.windows])
        close(found.score, alone.score)
      }
    }
    assert.deepEqual(await encoder.answer([], { task: 'squad' }), [])
    // What is wrong with one question names its place, in a list and in a stream.
    const unreadable = Object.defineProperty({ context: 'a' }, 'question', {
      get() {
        throw new Error('gone')
      },
    })
    const bad: [unknown, RegExp][] = [
      ['where', /^asked\[2\] came as "where", expected \{ question, context \}$/],
      [undefined, /^asked\[2\] came as missing, expected \{ question, context \}$/],
      [{ question: 'where' }, /^asked\[2\]\.context came as undefined, expected a string$/],
      [{ question: 3, context: 'a' }, /^asked\[2\]\.question came as number, expected a string$/],
      [{ question: ' ', context: 'a' }, /^asked\[2\]\.question has no token, expected some words$/],
      [{ question: 'where', context: '' }, /^asked\[2\]\.context has no token, expected some text$/],
      [unreadable, /^asked\[2\] cannot be read: gone$/],
    ]
    for (const [one, message] of bad) {
      const given = [asked[0], asked[1], one] as typeof asked
      const refused = { code: 'BAD_ARGUMENT', message, details: { index: 2 } }
      await assert.rejects(encoder.answer(given, { task: 'squad' }), refused)
      let answers = 0
      async function* each() {
        yield* given
      }
      const stream = async () => {
        for await (const _ of encoder.answer(each(), { task: 'squad' })) answers++
      }
      await assert.rejects(stream(), refused)
      assert.equal(answers, 2)
    }
  })

  it('asks several tasks about a stream text by text', async () => {
    const options = { tasks: ['tone', 'words'], embed: { normalize: true } }
    const whole = await encoder.ask(TEXTS, options)
    let index = 0
    for await (const { classes, tags, embeddings } of encoder.ask(Readable.from(TEXTS), options)) {
      assert.deepEqual([classes.tone.length, tags.words.length, embeddings?.vectors.length], [1, 1, 1])
      assert.equal(classes.tone[0].label, whole.classes.tone[index].label)
      close(classes.tone[0].score, whole.classes.tone[index].score)
      embeddings!.vectors[0].forEach((value, unit) => {
        close(value, whole.embeddings!.vectors[index][unit])
      })
      index++
    }
    assert.equal(index, TEXTS.length)
  })

  it('answers in the windows, and with the longest answer and list, of its own task', async () => {
    const own = join(folder, 'own-windows')
    const definition = { stride: 2, questionTokens: 9, maxAnswerTokens: 2, nBest: 16 }
    await writeModel(own, [HEADS[4]], [task('squad', 'span', { definition })])
    await using asked = await Encoder.load(own, { device: 'cpu' })
    const question = 'where is the hard hat of the man in the city'
    const context = 'the man in a hard hat is riding a horse'
    const { windows, candidates } = await asked.answer(question, context, { topK: 16 })
    // 16 tokens less 9 of the question and 3 special ones show 4 of the context's 10.
    assert.equal(windows, 4)
    const words = candidates.map(({ text }) => text.split(' ').length)
    assert.deepEqual([Math.max(...words), words.length], [2, 16])
    // All that was on the list.
    close(
      candidates.reduce((sum, { score }) => sum + score, 0),
      1,
    )
    const longer = await asked.answer(question, context, { topK: 16, maxAnswerTokens: 4 })
    assert.ok(longer.candidates.some(({ text }) => text.split(' ').length > 2))
    // In shorter windows than its own at least half is the context's: 6 of 14.
    assert.equal((await asked.answer(question, context, { maxTokens: 14 })).windows, 3)
  })

  it('may say that there is no answer', async () => {
    const ask = (noAnswerThreshold: number) =>
      encoder.answer('where is the hat', 'the man is dancing', { task: 'squad', noAnswer: true, noAnswerThreshold })
    const [never, always] = [await ask(1e9), await ask(-1e9)]
    assert.notEqual(never.text, '')
    assert.deepEqual([always.text, always.start, always.end], ['', 0, 0])
    close(never.noAnswerScore!, always.noAnswerScore!)
  })

  it('tags every word of a text and says where it stands', async () => {
    const text = ' The mans, riding   Horses\u{1f600}!'
    const [words] = await encoder.tag([text], { task: 'words' })
    assert.deepEqual(
      words.map(({ word }) => word),
      ['The', 'mans', ',', 'riding', 'Horses\u{1f600}', '!'],
    )
    for (const { word, start, end, tag, score } of words) {
      assert.equal(text.slice(start, end), word)
      assert.ok(['O', 'NOUN', 'VERB'].includes(tag) && score > 1 / 3 - 1e-6 && score <= 1)
    }
    assert.deepEqual(await encoder.tag(['', []], { task: 'words' }), [[], []])
  })

  it('tags given words as they are, and long texts in several sequences', async () => {
    const list = ['hard-hat', 'mans', '\u0301', 'city']
    const [tagged] = await encoder.tag([list], { task: 'words' })
    assert.deepEqual(
      tagged.map(({ word, start, end }) => [word, start, end]),
      [
        ['hard-hat', 0, 8],
        ['mans', 9, 13],
        ['\u0301', 14, 15],
        ['city', 16, 20],
      ],
    )
    const long = 'the man is riding a horse in the city of the river '.repeat(4).trim()
    const [words] = await encoder.tag(long, { task: 'words' })
    assert.deepEqual(
      words.map(({ word }) => word),
      long.split(' '),
    )
    // A window of 14 words: the first is tagged as the text of these words alone.
    const [first] = await encoder.tag(long.split(' ').slice(0, 14).join(' '), { task: 'words' })
    words.slice(0, 14).forEach(({ tag, score }, index) => {
      assert.equal(tag, first[index].tag)
      close(score, first[index].score)
    })
  })

  it('reads many short texts in turns with the event loop, and the words of many lists at once', async () => {
    const own = Tokenizer.fromVocabulary(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...WORDS])
    const session = { parts: { tokenizer: own }, announce: async () => {} } as unknown as Session
    const readIn = new Set<number>()
    await inShortestTurns((turn) => {
      own.wordStarts = (ids) => {
        readIn.add(turn())
        return Tokenizer.prototype.wordStarts.call(own, ids)
      }
      return tagWindows(session, new Array(50).fill('the man'), 16)
    })
    assert.ok(readIn.size >= 45, `50 texts are read in ${readIn.size} turns`)

    let encoded = 0
    own.encode = (text, options) => {
      encoded++
      return Tokenizer.prototype.encode.call(own, text, options)
    }
    const windows = await tagWindows(session, new Array(50).fill(['the', 'mans', 'the']), 16)
    assert.equal(encoded, 2)
    const { clsId, sepId } = own.specialTokens
    const [the, man, plural] = ['the', 'man', '##s'].map((token) => own.tokenToId(token))
    assert.deepEqual([...windows[49].tokenIds], [clsId, the, man, plural, the, sepId])
  })

  const wrong: [string, (one: Encoder) => Promise<unknown>, string, RegExp][] = [
    [
      'a task that must be named',
      (one) => one.classify('a'),
      'BAD_ARGUMENT',
      /several tasks .*tone, nli, likeness, search; name one/,
    ],
    [
      'a task that is none',
      (one) => one.classify('a', { task: 'mood' }),
      'BAD_ARGUMENT',
      /no task is named "mood".*tone, nli/,
    ],
    [
      'a head of another kind',
      (one) => one.tag('a', { task: 'tone' }),
      'UNSUPPORTED',
      /"tone" has a classifier head; tag needs a head of kind tagger/,
    ],
    [
      'a pair task with one sentence',
      (one) => one.classify(['a'], { task: 'nli' }),
      'BAD_ARGUMENT',
      /texts\[0\] came as one text, expected a pair/,
    ],
    [
      'a pair where one text is read',
      (one) => one.classify([['a', 'b']], { task: 'tone' }),
      'BAD_ARGUMENT',
      /texts\[0\] came as a pair, expected a string/,
    ],
    [
      'a number for a text',
      (one) => one.classify(['a', 3 as any], { task: 'tone' }),
      'BAD_ARGUMENT',
      /texts\[1\] came as number/,
    ],
    [
      'a list of three',
      (one) => one.classify([['a', 'b', 'c'] as any], { task: 'nli' }),
      'BAD_ARGUMENT',
      /texts\[0\] came as a list of 3/,
    ],
    ['topK 0', (one) => one.classify('a', { task: 'tone', topK: 0 }), 'BAD_ARGUMENT', /topK came as 0/],
    [
      'more tokens than positions',
      (one) => one.tag('a', { maxTokens: 25 }),
      'BAD_ARGUMENT',
      /maxTokens came as 25, expected at most the encoder's 24/,
    ],
    ...[1, 2].flatMap((maxTokens): (typeof wrong)[number][] => [
      [
        `${maxTokens} tokens, which leave a word no room`,
        (one) => one.tag('a', { maxTokens }),
        'BAD_ARGUMENT',
        /maxTokens came as [12], expected a whole number ≥ 3/,
      ],
      [
        `${maxTokens} tokens of several tasks`,
        (one) => one.ask('a', { tasks: ['words'], maxTokens }),
        'BAD_ARGUMENT',
        /maxTokens came as [12], expected a whole number ≥ 3/,
      ],
    ]),
    ['an empty question', (one) => one.answer(' ', 'the man'), 'BAD_ARGUMENT', /the question has no token/],
    ['an empty context', (one) => one.answer('where', ''), 'BAD_ARGUMENT', /the context has no token/],
    [
      'a context that is none',
      (one) => one.answer('where', undefined as any),
      'BAD_ARGUMENT',
      /context came as undefined/,
    ],
    ['texts that are none', (one) => one.tag(7 as any), 'BAD_ARGUMENT', /texts came as number/],
  ]
  for (const [title, run, code, pattern] of wrong) {
    it(`refuses ${title}`, async () => {
      await assert.rejects(
        run(encoder),
        (error: Error) => error instanceof StrataError && error.code === code && pattern.test(error.message),
      )
    })
  }

  it('a checkpoint without the head asked for names those that it has', async () => {
    const other = join(folder, 'tagger')
    await writeModel(other, [HEADS[5]], [])
    await using tagger = await Encoder.load(other, { device: 'cpu' })
    await assert.rejects(tagger.classify('a'), {
      code: 'UNSUPPORTED',
      message:
        'classify needs a head of kind classifier or san or regressor or ranker; the checkpoint has: words (tagger); use one that was trained with such a task',
    })
    await assert.rejects(tagger.answer('where', 'a'), { code: 'UNSUPPORTED', message: /kind span/ })
    // A head without a task is asked by its own name; its classes are numbers.
    const [[word]] = await tagger.tag('hat')
    assert.match(word.tag, /^LABEL_[012]$/)
    await assert.rejects(encoder.classify('a', { task: 'tone', signal: AbortSignal.abort() }), { code: 'ABORTED' })
  })

  it('embeds by a learned mix: what a head on the mix reads', async () => {
    const mixes: MixConfig[] = [
      { name: 'plain', includeEmbeddings: false, layerNorm: false, init: 'uniform' },
      { name: 'normed', includeEmbeddings: true, layerNorm: true, init: 'uniform' },
    ]
    const heads = mixes.map(
      ({ name }): HeadConfig => ({ ...head, tap: { mix: name }, kind: 'regressor', name, pooler: 'none' }),
    )
    const path = join(folder, 'mixes')
    await writeModel(path, heads, [], mixes)
    await using mixed = await Encoder.load(path, { device: 'cpu' })
    const { model: loaded } = await loadModel(path, { device: 'cpu' })
    await using model = loaded
    for (const { name } of mixes) {
      const { vectors } = await mixed.embed(TEXTS, { layer: `mix:${name}`, pooling: 'cls' })
      const [weight, bias] = [`heads.${name}.classifier.weight`, `heads.${name}.classifier.bias`]
      const values = await model.readTensors('value', [weight, bias])
      const numbers = await mixed.score(TEXTS, { task: name })
      vectors.forEach((vector, index) => {
        const product = vector.reduce((sum, value, unit) => sum + value * values[weight][unit], 0)
        close(product + values[bias][0], numbers[index].score)
      })
      const unit = await mixed.embed(TEXTS, { layer: `mix:${name}`, normalize: true })
      for (const vector of unit.vectors) close(Math.hypot(...vector), 1)
    }
    // γ Σ softmax(w) h over both blocks, then the mean or the largest over the tokens of each text.
    const { 'mixes.plain.weights': w, 'mixes.plain.gamma': gamma } = await model.readTensors('value', [
      'mixes.plain.weights',
      'mixes.plain.gamma',
    ])
    const factors = Array.from(w, (value) => (gamma[0] * Math.exp(value)) / (Math.exp(w[0]) + Math.exp(w[1])))
    const texts = await mixed.hiddenStates(TEXTS, { layers: [1, 2] })
    const [means, most] = await Promise.all(
      (['mean', 'max'] as const).map((pooling) => mixed.embed(TEXTS, { layer: 'mix:plain', pooling })),
    )
    texts.forEach(({ tokenIds, states }, text) => {
      for (let unit = 0; unit < 16; unit++) {
        const values = Array.from(tokenIds, (_, token) =>
          states.reduce((sum, layer, at) => sum + factors[at] * layer[16 * token + unit], 0),
        )
        close(means.vectors[text][unit], values.reduce((sum, value) => sum + value, 0) / values.length)
        close(most.vectors[text][unit], Math.max(...values))
      }
    })
    await assert.rejects(mixed.embed('a', { layer: 'mix' }), { code: 'BAD_ARGUMENT', message: /plain, normed/ })
    const wrong = mixed.embed('a', { layer: 'mix:normed:x' })
    await assert.rejects(wrong, {
      code: 'BAD_ARGUMENT',
      message: /no mix is named "normed:x"; name one of plain, normed/,
    })
    await assert.rejects(encoder.embed('a', { layer: 'mix' }), { code: 'UNSUPPORTED', message: /no learned layer mix/ })
    const lines = await runCli(['embed', path, '--input', '-', '--layer', 'mix:normed', '--pooling', 'max'], {
      input: 'hat\n',
    })
    const [vector] = (await mixed.embed('hat', { layer: 'mix:normed', pooling: 'max' })).vectors
    JSON.parse(lines.stdout).forEach((value: number, index: number) => {
      close(value, vector[index])
    })
  })

  describe('stratabert classify, answer and tag', () => {
    const run = (args: string[], input?: string) =>
      runCli([args[0], all, '--device', 'cpu', ...args.slice(1)], { input, cwd: folder })

    it('classify prints a class a text, or one JSON document', async () => {
      const plain = await run(['classify', '--task', 'tone', '--text', 'hat', '--top-k', '1'])
      const [{ label, score }] = await encoder.classify('hat', { task: 'tone' })
      assert.deepEqual([plain.code, plain.stdout, plain.stderr], [0, `${label} ${score.toFixed(3)}\that\n`, ''])
      const json = await run(['classify', '--task', 'nli', '--text', PAIRS[0][0], '--second', PAIRS[0][1], '--json'])
      const [pair] = await encoder.classify([PAIRS[0]], { task: 'nli' })
      const [told] = JSON.parse(json.stdout)
      assert.deepEqual([told.text, told.second, told.label], [...PAIRS[0], pair.label])
      close(told.score, pair.score)
    })

    it('reads pairs from lines with a tab, and counts cut texts', async () => {
      const lines = `${PAIRS.map((pair) => pair.join('\t')).join('\n')}\n${'the man '.repeat(20)}\thorse\n`
      const { code, stdout, stderr } = await run(['classify', '--task', 'likeness', '--input', '-'], lines)
      const expected = await encoder.score(PAIRS, { task: 'likeness' })
      assert.equal(code, 0)
      assert.deepEqual(
        stdout
          .trimEnd()
          .split('\n')
          .slice(0, 4)
          .map((line) => line.split('\t')[0]),
        expected.map(({ score }) => score.toFixed(4)),
      )
      assert.match(stderr, /note: 3 of 5 texts were cut/)
    })

    it('answer takes a question or JSON lines', async () => {
      const context = 'the man in a hard hat'
      const found = await encoder.answer('where', context)
      const plain = await run(['answer', '--question', 'where', '--question', ' ', '--context', context])
      assert.deepEqual([plain.code, plain.stdout], [2, `${found.text}\t${found.score.toFixed(3)}\n`])
      assert.match(plain.stderr, /^error\[BAD_ARGUMENT\]: question 2: the question has no token, expected some words/)
      writeFileSync(join(folder, 'questions.jsonl'), `${JSON.stringify({ id: 'q1', question: 'where', context })}\n`)
      const json = await run(['answer', '--input', 'questions.jsonl', '--no-answer', '--top-k', '2', '--json'])
      const [told] = JSON.parse(json.stdout)
      assert.deepEqual([told.id, told.candidates.length, typeof told.noAnswerScore], ['q1', 2, 'number'])
      writeFileSync(join(folder, 'bad.jsonl'), '{"question": "where"}\n')
      const bad = await run(['answer', '--input', 'bad.jsonl'])
      assert.deepEqual([bad.code, bad.stdout], [2, ''])
      assert.match(bad.stderr, /^error\[BAD_DATA\]: bad\.jsonl:1: expected a JSON object/)
    })

    it('answer takes a longest answer, and how much better "no answer" must be', async () => {
      const context = 'the man in a hard hat'
      const ask = ['answer', all, '--device', 'cpu', '--question', 'where', '--context', context]
      const textOf = async (...flags: string[]) => (await runHere(...ask, ...flags)).stdout.split('\t')[0]
      const { text } = await encoder.answer('where', context)
      assert.match(await textOf('--max-answer-tokens', '1'), /^(the|man|in|a|hard|hat)$/)
      assert.equal(await textOf('--no-answer-threshold', '-1000'), '(no answer)')
      assert.equal(await textOf('--no-answer-threshold', '1000'), text)
      const word = await runHere(...ask, '--no-answer-threshold', 'high')
      assert.deepEqual([word.code, /came "high", expected a number/.test(word.stderr)], [2, true])
    })

    it('tag prints words with their tags', async () => {
      const [words] = await encoder.tag('the man !')
      const plain = await run(['tag', '--text', 'the man !'])
      assert.equal(plain.stdout, `${words.map(({ word, tag }) => `${word}/${tag}`).join(' ')}\n`)
      const [told] = JSON.parse((await run(['tag', '--text', 'the man !', '--json'])).stdout)
      assert.deepEqual(
        told.words.map((one: { word: string }) => one.word),
        ['the', 'man', '!'],
      )
    })

    it('a wrong request gives 2 and leaves stdout empty', async () => {
      const requests: [string[], RegExp][] = [
        [['classify', '--text', 'a'], /error\[BAD_ARGUMENT\]: the checkpoint has several tasks/],
        [['classify', '--task', 'nli', '--text', 'a'], /error\[BAD_ARGUMENT\]: text 1 came as one text/],
        [['classify', '--task', 'nli', '--text', 'a', '--text', 'b', '--second', 'c'], /1 --second came with 2 --text/],
        [['tag'], /error\[BAD_ARGUMENT\]: no text came/],
        [['answer', '--question', 'where'], /one of --context/],
      ]
      for (const [args, pattern] of requests) {
        const { code, stdout, stderr } = await run(args)
        assert.deepEqual([code, stdout], [2, ''])
        assert.match(stderr, pattern)
      }
    })
  })
})
