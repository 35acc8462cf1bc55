import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readSquad, stream } from '../lib/data/index.js'
import { StrataError } from '../lib/errors.js'
import { normalizeAnswer, scoreSquad11, scoreSquad20 } from '../lib/evaluation/index.js'
import { type DecodedSpan, decodeSpans, writeSpanPredictions } from '../lib/tasks/span-decoding.js'
import { openSpanTask, type SpanSet, SQUAD_11, SQUAD_20 } from '../lib/tasks/span-task.js'
import { windowsOf } from '../lib/tasks/span-windows.js'
import { Tokenizer } from '../lib/text/index.js'
import { SHARED_DATA } from './helpers/shared-data.js'

interface GoldenQuestion {
  id: string
  answers: string[]
  prediction: string | null
  noAnswer?: number | null
}
const scores = JSON.parse(readFileSync(join(__dirname, 'golden/squad_score.json'), 'utf8')) as {
  normalized: { text: string; normalized: string }[]
  squad11: { questions: GoldenQuestion[]; exactMatch: number; f1: number; official: Record<string, number> }[]
  squad20: { questions: GoldenQuestion[]; threshold: number; official: Record<string, number> }[]
}

const gold = (questions: GoldenQuestion[]) =>
  questions.map(({ id, answers }) => ({ id, answers: answers.map((text) => ({ text })) }))
const predictionsOf = (questions: GoldenQuestion[]): Map<string, string> =>
  new Map(questions.flatMap(({ id, prediction }) => (prediction === null ? [] : [[id, prediction] as const])))

describe('SQuAD scores', () => {
  it('texts are normalised as Python does, whatever character stands around an article', () => {
    assert.ok(scores.normalized.length > 1000)
    for (const { text, normalized } of scores.normalized) {
      assert.equal(normalizeAnswer(text), normalized, JSON.stringify(text))
    }
  })

  it('SQuAD 1.1: the official script’s figures to the last digit', () => {
    for (const { questions, exactMatch, f1, official } of scores.squad11) {
      const predictions = predictionsOf(questions)
      const result = scoreSquad11(gold(questions), predictions)
      assert.deepEqual(result.official, official)
      assert.deepEqual([result.exactMatch, result.f1], [exactMatch, f1])
      assert.equal(result.missing, questions.length - predictions.size)
    }
  })

  it('SQuAD 2.0: the official script’s figures to the last digit, with the best thresholds', () => {
    for (const { questions, threshold, official } of scores.squad20) {
      const noAnswer = new Map(questions.map(({ id, noAnswer }) => [id, noAnswer as number]))
      const options = questions[0].noAnswer === null ? { threshold } : { noAnswer, threshold }
      const result = scoreSquad20(gold(questions), predictionsOf(questions), options)
      assert.deepEqual(result.official, official)
    }
  })

  it('two texts without a word: exact in both versions, F1 0 in 1.1 and 1 in 2.0', () => {
    const questions = [{ id: 'q', answers: [{ text: 'The' }] }]
    const first = scoreSquad11(questions, { q: '!' })
    assert.deepEqual([first.exactMatch, first.f1], [1, 0])
    const second = scoreSquad20(questions, { q: '!' })
    assert.deepEqual([second.exactMatch, second.f1], [1, 1])
  })

  it('what cannot be scored is refused with the question’s id', () => {
    const open = [
      { id: 'has', answers: [{ text: 'x' }] },
      { id: 'none', answers: [] },
    ]
    assert.throws(() => scoreSquad11(open, {}), /question none has no answer.*SQuAD 2.0/)
    assert.throws(() => scoreSquad20(open, { has: 'x' }), /1 of 2 questions have no prediction \(none\)/)
    assert.throws(
      () => scoreSquad20(open, { has: 'x', none: '' }, { noAnswer: { none: 1 } }),
      /1 of 2 questions have no no-answer probability \(has\)/,
    )
    assert.throws(() => scoreSquad11([], {}), /no question/)
  })
})

interface GoldenWindow {
  tokenIds: number[]
  segmentIds: number[]
  start: number
  end: number
  startLogits: number[]
  endLogits: number[]
}
interface GoldenCandidate {
  text: string
  probability: number
  start_logit: number
  end_logit: number
}
const spans = JSON.parse(readFileSync(join(__dirname, 'golden/span_decoding.json'), 'utf8')) as {
  sizes: { sequenceTokens: number; stride: number; questionTokens: number }
  maxAnswerTokens: number
  nBest: number
  examples: {
    id: string
    question: string
    context: string
    answer: string | null
    answerStart: number | null
    windows: GoldenWindow[]
  }[]
  decoded: Record<
    string,
    {
      threshold: number
      predictions: Record<string, string>
      nBest: Record<string, GoldenCandidate[]>
      odds: Record<string, number> | null
    }
  >
}

/** The typed error that `work` throws. */
async function failure(work: Promise<unknown>): Promise<StrataError> {
  const error = await work.then(
    () => assert.fail('an error was expected'),
    (reason) => reason,
  )
  assert.ok(error instanceof StrataError, String(error?.stack ?? error))
  return error
}

interface RawQuestion {
  id?: unknown
  question?: unknown
  answers?: unknown
  is_impossible?: unknown
}
const squad = (paragraphs: { context?: unknown; qas: RawQuestion[] }[], version = '1.1') =>
  JSON.stringify({ version, data: [{ title: 't', paragraphs }] })
const ask = (id: string, text: string, start: number, question = 'Where is it?'): RawQuestion => ({
  id,
  question,
  answers: [{ text, answer_start: start }],
})

describe('SQuAD data', () => {
  let folder: string
  let tokenizer: Tokenizer
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-squad-'))
    tokenizer = Tokenizer.fromVocabulary(
      readFileSync(join(__dirname, 'golden/tokenizer-vocab.txt'), 'utf8').trimEnd().split('\n'),
    )
  })
  after(() => rmSync(folder, { recursive: true }))
  const file = (content: string, name = 'data.json'): string => {
    writeFileSync(join(folder, name), content)
    return join(folder, name)
  }

  it('places of answers are code points, as Python counts them', async () => {
    const context = '\u{1f600}\u{1f600} in Paris'
    const set = await readSquad(file(squad([{ context, qas: [ask('a', 'Paris', 6), ask('b', 'Paris', 8)] }])))
    assert.deepEqual(
      set.questions.map(({ answers }) => answers),
      [[{ text: 'Paris', start: 8 }], [{ text: 'Paris', start: 8 }]],
    )
  })

  it('tokens know their characters in UTF-16 units, accents and wide characters included', async () => {
    const text = 'the \u{1f600} Z\u00fcrich e\u0301x  of'
    const [{ tokenIds, starts, ends }] = await tokenizer.encodeWithOffsets([text])
    assert.deepEqual(tokenIds, (await tokenizer.encode(text, { addSpecialTokens: false })).tokenIds)
    assert.equal(text.slice(starts[0], ends[0]), 'the')
    assert.equal(text.slice(starts[1], ends[1]), '\u{1f600}')
    assert.equal(text.slice(starts.at(-1), ends.at(-1)), 'of')
    const z = starts.indexOf(text.indexOf('Z'))
    const last = ends.indexOf(text.indexOf('rich') + 4)
    assert.ok(z >= 0 && last >= z)
  })

  it('bad questions are counted, shown with their id and refused beyond a share', async () => {
    const good = Array.from({ length: 95 }, (_, i) => ask(`good${i}`, 'cat', 4))
    const bad: RawQuestion[] = [
      ask('moved', 'cat', 5),
      ask('behind', 'cat', 500),
      ask('good0', 'cat', 4),
      { id: 'open', question: 'x', answers: [] },
      { id: 'blank', question: ' ', answers: [] },
    ]
    const path = file(squad([{ context: 'The cat sat.', qas: [...good, ...bad] }]))
    const set = await readSquad(path)
    assert.deepEqual([set.entries, set.bad, set.questions.length], [100, 5, 95])
    assert.deepEqual(set.problems, [
      'question moved: answer "cat" does not stand at 5, where the context has "at "',
      'question behind: answer "cat" does not stand at 500, where the context has ""',
      'question good0: the id came before',
      'question open: no answer, which only SQuAD 2.0 allows',
      'question blank: no text "question"',
    ])
    const error = await failure(readSquad(path, { maxBadShare: 0.04 }))
    assert.equal(error.code, 'BAD_DATA')
    assert.match(error.message, /5 of 100 questions cannot be used, at most 4 %.*question moved/s)
  })

  it('a paragraph without context spoils its questions; a file of another make is refused', async () => {
    const paragraphs = [{ qas: [ask('a', 'x', 0)] }, { context: '', qas: [ask('b', 'x', 0)] }]
    const error = await failure(readSquad(file(squad(paragraphs))))
    assert.match(error.message, /question a: its context is missing or empty\n {2}question b/)
    for (const [content, message] of [
      ['{"data": {}}', /no list "data"/],
      ['{"data": [{}]}', /article 1 has no list "paragraphs"/],
      ['{"data": [', /is no JSON/],
      ['[]', /no list "data"/],
    ] as const) {
      const wrong = await failure(readSquad(file(content)))
      assert.equal(wrong.code, 'BAD_FILE')
      assert.match(wrong.message, message)
    }
    assert.equal((await failure(readSquad(file(squad([]))))).code, 'BAD_DATA')
    assert.equal((await failure(readSquad(join(folder, 'none.json')))).code, 'NOT_FOUND')
  })

  it('2.0: questions without an answer are taken', async () => {
    const qas = [ask('a', 'cat', 4), { id: 'b', question: 'x', answers: [], is_impossible: true }]
    const set = await readSquad(file(squad([{ context: 'The cat sat.', qas }], 'v2.0')))
    assert.deepEqual([set.version, set.withoutAnswer, set.questions.length], ['v2.0', 1, 2])
    const contradictory = [{ ...ask('c', 'cat', 4), is_impossible: true }]
    const path = file(squad([{ context: 'The cat sat.', qas: contradictory }], 'v2.0'))
    assert.match((await failure(readSquad(path))).message, /question c: "is_impossible" is true, yet there are answers/)
  })

  it('rows in JSON lines and Parquet, as the hub’s copies have them, are the same questions', async () => {
    const context = 'Caf\u00e9 \u{1f600} of the city. The man rode a horse.'
    // Places count code points: the wide character is one.
    const start = context.indexOf('The man') - 1
    const answers = [
      { text: 'The man', answer_start: start },
      { text: 'man', answer_start: start + 4 },
    ]
    const qas = [
      { id: 'who', question: 'Who rode?', answers },
      { id: 'none', question: 'Who swam?', answers: [], is_impossible: true },
    ]
    const json = await readSquad(file(squad([{ context, qas }], 'v2.0')))
    const rows = qas.map(({ id, question, answers: own }) => ({
      ...{ id, title: 'City', context, question },
      answers: { text: own.map(({ text }) => text), answer_start: own.map((one) => one.answer_start) },
    }))
    const path = join(folder, 'rows.jsonl')
    const write = (lines: readonly string[]) => writeFileSync(path, `${lines.join('\n')}\n`)
    write(rows.map((one) => JSON.stringify(one)))
    for (const source of [path, join(__dirname, 'golden/squad.parquet')]) {
      const set = await readSquad(source)
      assert.deepEqual(set.questions, json.questions, source)
      assert.deepEqual(set.contexts, [{ title: 'City', text: context }])
      assert.equal(set.withoutAnswer, 1)
    }
    const one = await failure(readSquad(path, { noAnswer: false }))
    assert.match(one.message, /1 of 2 questions .*question none: no answer, which only SQuAD 2\.0 allows/s)
    const flat = { ...rows[0], id: 'flat', answers: { text: ['The man'], answer_start: [] } }
    write([JSON.stringify(rows[0]), '{"id": ', JSON.stringify({ ...rows[0], id: 7 }), JSON.stringify(flat)])
    const bad = await failure(readSquad(path))
    assert.match(bad.message, /3 of 4 questions/)
    assert.match(bad.message, /question 1 of the rows from line 2: no JSON/)
    assert.match(bad.message, /question 1 of the rows from line 3: no text "id"/)
    assert.match(bad.message, /question flat: no list "answers"/)
  })

  it('windows and training places are those of transformers’ SQuAD program', async () => {
    const paragraphs = spans.examples.map(({ id, question, context, answer, answerStart }) => ({
      context,
      qas: [{ id, question, answers: answer === null ? [] : [{ text: answer, answer_start: answerStart }] }],
    }))
    const definition = { ...SQUAD_20, ...spans.sizes }
    const data = { dev: file(squad(paragraphs, 'v2.0')) }
    const task = await openSpanTask({ definition, data, tokenizer, seed: 1, sequences: 7, head: 'qa' })
    const set = task.evaluation.dev as SpanSet
    const windows = spans.examples.flatMap((example) => example.windows)
    assert.equal(set.batchCount(0), Math.ceil(windows.length / 7))
    let sequence = 0
    for (let index = 0; index < set.batchCount(0); index++) {
      const { tokenIds, segmentIds, sequenceOffsets, labels } = set.build(0, index)
      const { spanStarts, spanEnds, labels: counted } = labels.qa
      for (let i = 0; i + 1 < sequenceOffsets.length; i++) {
        const [from, to] = [sequenceOffsets[i], sequenceOffsets[i + 1]]
        const window = windows[sequence++]
        assert.deepEqual([...tokenIds.subarray(from, to)], window.tokenIds)
        assert.deepEqual([...segmentIds.subarray(from, to)], window.segmentIds)
        assert.deepEqual([spanStarts![i] - from, spanEnds![i] - from], [window.start, window.end + 1])
        assert.equal(counted[i], 0)
      }
    }
    assert.equal(sequence, windows.length)
    assert.deepEqual([set.examples, set.truncated], [6, 2])
    assert.match(task.notes.join('\n'), /dev: 6 questions \(1 without an answer\) in 38 windows of at most 64 tokens/)
  })

  it('decoded answers, candidates and no-answer scores are those of transformers’ SQuAD program', async () => {
    const paragraphs = spans.examples.map(({ id, question, context }) => ({
      context,
      qas: [{ id, question, answers: [] }],
    }))
    const definition = { ...SQUAD_20, ...spans.sizes }
    const data = { dev: file(squad(paragraphs)) }
    const task = await openSpanTask({ definition, data, tokenizer, seed: 1 })
    const { questions } = task.evaluation.dev as SpanSet
    for (const [name, { threshold, predictions, nBest, odds }] of Object.entries(spans.decoded)) {
      const answers = new Map<string, DecodedSpan>()
      spans.examples.forEach((example, number) => {
        const { context, starts, ends, windows } = questions[number]
        const decoded = decodeSpans({
          context,
          starts,
          ends,
          windows: windows.map((window, i) => ({ window, ...example.windows[i] })),
          maxAnswerTokens: spans.maxAnswerTokens,
          nBest: spans.nBest,
          noAnswer: odds !== null,
          noAnswerThreshold: threshold,
        })
        answers.set(example.id, decoded)
        assert.equal(decoded.text, predictions[example.id])
        assert.equal(context.slice(decoded.start, decoded.end), decoded.text)
        const expected = nBest[example.id]
        assert.deepEqual(
          decoded.candidates.map(({ text, startLogit, endLogit }) => [text, startLogit, endLogit]),
          expected.map(({ text, start_logit: start, end_logit: end }) => [text, start, end]),
          `${name} ${example.id}`,
        )
        decoded.candidates.forEach(({ probability }, i) => {
          assert.ok(Math.abs(probability - expected[i].probability) < 1e-12)
        })
        assert.equal(decoded.noAnswerScore, odds?.[example.id])
      })
      const names = await writeSpanPredictions(folder, answers)
      assert.equal(names.includes('null_odds.json'), odds !== null)
      assert.deepEqual(JSON.parse(readFileSync(join(folder, 'predictions.json'), 'utf8')), predictions)
      const written = JSON.parse(readFileSync(join(folder, 'nbest_predictions.json'), 'utf8'))
      assert.deepEqual(Object.keys(written), Object.keys(nBest))
      assert.deepEqual(Object.keys(written.q0[0]), ['text', 'probability', 'start_logit', 'end_logit'])
    }
  })

  it('answers of whole words are those of transformers’ pipeline', async () => {
    const golden: { context: string; tokenIds: number[]; spans: number[][] }[] = JSON.parse(
      readFileSync(join(__dirname, 'golden/whole_word_spans.json'), 'utf8'),
    )
    let widened = 0
    for (const { context, tokenIds: expected, spans } of golden) {
      const [{ tokenIds, starts, ends }] = await tokenizer.encodeWithOffsets([context])
      assert.deepEqual([...tokenIds], expected)
      const tokens = tokenIds.length
      const peakAt = (token: number) => Array.from({ length: tokens + 1 }, (_, place) => Number(place === token + 1))
      for (const [first, last, start, end] of spans) {
        const window = { firstToken: 0, tokens, contextPlace: 1 }
        const windows = [{ window, startLogits: peakAt(first), endLogits: peakAt(last) }]
        const found = decodeSpans({ context, starts, ends, windows, wordStarts: tokenizer.wordStarts(tokenIds) })
        assert.deepEqual([found.start, found.end], [start, end], context.slice(start, end))
        assert.equal(found.text, context.slice(start, end))
        if (starts[first] !== start || ends[last] !== end) widened++
      }
    }
    assert.ok(widened > 100, `${widened} were widened`)
  })

  it('windows leave no token out, also where the stride is longer than their room', () => {
    const sizes = { sequenceTokens: 9, stride: 6, questionTokens: 4 }
    assert.deepEqual(
      windowsOf(10, 2, sizes).map(({ firstToken, tokens, contextPlace }) => [firstToken, tokens, contextPlace]),
      [
        [0, 4, 4],
        [4, 4, 4],
        [8, 2, 4],
      ],
    )
  })

  it('no answer is said only where its score exceeds the threshold', () => {
    const window = { firstToken: 0, tokens: 1, contextPlace: 3 }
    const windows = [{ window, startLogits: [1, 0, 0, 2, 0], endLogits: [1, 0, 0, 1, 0] }]
    const said = (noAnswerThreshold: number) =>
      decodeSpans({ context: 'x', starts: [0], ends: [1], windows, noAnswer: true, noAnswerThreshold })
    assert.equal(said(0).noAnswerScore, 1 + 1 - (2 + 1))
    assert.deepEqual([said(-1).text, said(-1.25).text], ['x', ''])
  })

  it('an answer without any span is empty', () => {
    const window = { firstToken: 0, tokens: 1, contextPlace: 3 }
    const logits = [9, 8, 7, 0, 0]
    const windows = [{ window, startLogits: logits, endLogits: logits }]
    const common = { context: 'x', starts: [0], ends: [1], windows, nBest: 2 }
    assert.equal(decodeSpans(common).text, '')
    assert.deepEqual(decodeSpans({ ...common, noAnswer: true }).text, '')
  })

  it('many windows decode as all pairs of all windows sorted at once, and in time linear in their number', () => {
    const random = stream(11)
    const [tokens, room, stride, nBest] = [1200, 24, 8, 5]
    const context = 'ab ba '.repeat(tokens / 2)
    const starts = Array.from({ length: tokens }, (_, token) => 3 * token)
    const ends = starts.map((start) => start + 2)
    let reads = 0
    const windows = Array.from({ length: (tokens - room) / stride + 1 }, (_, index) => {
      // Few values: many are equal.
      const logits = () => Float32Array.from({ length: room + 4 }, () => random.below(12))
      const window = { firstToken: index * stride, tokens: room, contextPlace: 3 }
      return {
        get window() {
          reads++
          return window
        },
        startLogits: logits(),
        endLogits: logits(),
      }
    })
    const { candidates } = decodeSpans({ context, starts, ends, windows, nBest, maxAnswerTokens: 6 })
    assert.ok(reads < 40 * windows.length, `${reads} reads of ${windows.length} windows`)

    const highest = (logits: Float32Array) => [...logits.keys()].sort((a, b) => logits[b] - logits[a]).slice(0, nBest)
    const most = (token: number) => {
      const shown = windows.map(({ window: { firstToken } }) =>
        Math.min(token - firstToken, firstToken + room - 1 - token),
      )
      return shown.indexOf(Math.max(...shown))
    }
    const pairs = windows.flatMap(({ window: { firstToken }, startLogits, endLogits }, index) =>
      highest(startLogits).flatMap((start) =>
        highest(endLogits).flatMap((end) => {
          const [first, last] = [start, end].map((place) => firstToken + place - 3)
          const inside = start >= 3 && end < room + 3 && end >= start && end - start < 6
          if (!inside || most(first) !== index) return []
          return [
            {
              text: context.slice(starts[first], ends[last]),
              start: starts[first],
              logits: [startLogits[start], endLogits[end]],
            },
          ]
        }),
      ),
    )
    pairs.sort((a, b) => b.logits[0] + b.logits[1] - a.logits[0] - a.logits[1])
    const expected = pairs.filter(({ text }, index) => pairs.findIndex((pair) => pair.text === text) === index)
    assert.deepEqual(
      candidates.map(({ text, start, startLogit, endLogit }) => ({ text, start, logits: [startLogit, endLogit] })),
      expected.slice(0, nBest),
    )
    assert.equal(candidates.length, nBest)
  })

  it('training: another order every pass, the same for the same seed; evaluation keeps the order', async () => {
    const words = 'alpha beta gamma delta epsilon zeta eta theta iota kappa'.split(' ')
    const context = words.join(' ')
    const qas = words.map((word, i) => ask(`q${i}`, word, context.indexOf(word), `where is ${word}?`))
    const content = squad([{ context, qas }])
    const data = { train: file(content, 'train.json'), dev: file(content, 'dev.json') }
    const options = { definition: SQUAD_11, data, tokenizer, sequences: 4, name: 'qa' }
    const first = (await openSpanTask({ ...options, seed: 1 })).train!
    const again = (await openSpanTask({ ...options, seed: 1 })).train!
    const other = (await openSpanTask({ ...options, seed: 2 })).train!
    const order = (set: typeof first, epoch: number): number[] =>
      Array.from({ length: set.batchCount(epoch) }, (_, index) => [...set.exampleNumbers(epoch, index)]).flat()
    assert.deepEqual(order(first, 3), order(again, 3))
    assert.notDeepEqual(order(first, 0), order(first, 1))
    assert.notDeepEqual(order(first, 0), order(other, 0))
    assert.deepEqual([...order(first, 0)].sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    assert.deepEqual(first.build(1, 2), again.build(1, 2))
    const { evaluation } = await openSpanTask({ ...options, seed: 1 })
    assert.deepEqual(order(evaluation.dev, 5), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    assert.deepEqual(evaluation.dev.place(3), { file: join(folder, 'dev.json'), line: 4, id: 'q3' })
    const share = await openSpanTask({ ...options, seed: 1, fraction: 0.3, drawSeed: 5 })
    assert.equal(share.train!.examples, 3)
    assert.match(share.notes.join(), /train: 3 of 10 questions \(fraction 0.3, drawn by seed 5\)/)
  })

  it('one file is split by contexts', async () => {
    const paragraphs = Array.from({ length: 10 }, (_, p) => ({
      context: `Text ${p} has a cat.`,
      qas: [ask(`a${p}`, 'cat', 13), ask(`b${p}`, 'Text', 0)],
    }))
    const data = file(squad(paragraphs))
    const task = await openSpanTask({ definition: SQUAD_11, data, tokenizer, seed: 4, devShare: 0.2 })
    const contexts = (set: SpanSet) => new Set(set.questions.map(({ context }) => context))
    const held = contexts(task.evaluation.dev as SpanSet)
    assert.equal(held.size, 2)
    for (const context of contexts(task.train as SpanSet)) assert.ok(!held.has(context))
    assert.equal(task.train!.examples + task.evaluation.dev.examples, 20)
  })

  it('training answers that no window can hold are refused with the question’s id', async () => {
    const context = Array.from({ length: 60 }, () => 'cat').join(' ')
    const data = { train: file(squad([{ context, qas: [ask('long', context.slice(0, 151), 0)] }])) }
    const definition = { ...SQUAD_11, sequenceTokens: 24, questionTokens: 8 }
    const opening = (changed: object) =>
      failure(openSpanTask({ definition: { ...definition, ...changed }, data, tokenizer, seed: 1 }))
    const error = await opening({})
    assert.equal(error.code, 'BAD_DATA')
    assert.match(
      error.message,
      /1 of 1 questions.*question long: the answer "cat .*tokens and fits into no window of 24/s,
    )
    assert.match((await opening({ sequenceTokens: 11 })).message, /sequenceTokens 11 leaves no room.*give at least 12/)
    assert.match((await opening({ metrics: ['accuracy'] })).message, /metric accuracy does not fit spans/)
  })

  it('held-out questions are scored by their texts, as the official script does; of a training set the same are bad', async () => {
    const context = 'The cat sat. The dog ran home.'
    const qas: RawQuestion[] = [
      ask('right', 'cat', 4),
      ask('moved', 'dog', 3),
      { id: 'placeless', question: 'Who?', answers: [{ text: 'dog' }] },
      ask('blank', 'cat', 4, ' '),
      { ...ask('impossible', 'dog', 17), is_impossible: true },
      ask('right', 'cat', 4),
      { id: 'open', question: 'Who?', answers: [] },
    ]
    const path = file(squad([{ context, qas }]))
    const options = { definition: SQUAD_11, tokenizer, seed: 1, maxBadShare: 0.9 }
    const { evaluation, warnings } = await openSpanTask({ ...options, data: { dev: path } })
    const { questions, examples } = evaluation.dev as SpanSet
    assert.deepEqual(
      questions.map(({ id }) => id),
      ['right', 'moved', 'placeless', 'blank', 'impossible'],
    )
    assert.deepEqual([examples, questions[1].answers[0].text], [5, 'dog'])
    const told = warnings.join('\n')
    assert.match(told, /dev: 2 of 7 questions .*left out:\n {2}question right: the id came before\n {2}question open/)
    assert.match(
      told,
      /dev: 4 of 5 questions have flaws and are scored.*question moved: answer "dog" does not stand at 3/s,
    )
    assert.match(
      told,
      /question placeless: answer "dog" without "answer_start"\n.*question blank.*question impossible/s,
    )
    const trained = await openSpanTask({ ...options, data: { train: path } })
    assert.equal(trained.train!.examples, 1)
    // Of one file the held-out part is scored, the other trained on.
    const other = { context: 'A bird.', qas: [ask('bird', 'bird', 1), ask('A', 'A', 0)] }
    const single = file(
      squad([{ context, qas: [ask('moved', 'dog', 3), ask('right', 'cat', 4)] }, other]),
      'single.json',
    )
    const { train, evaluation: held } = await openSpanTask({ ...options, data: single, devShare: 1 })
    assert.deepEqual([train!.examples, held.dev.examples], [1, 2])
  })

  it('a set without answers has windows all the same', async () => {
    const data = { test: file(squad([{ context: 'The cat sat.', qas: [{ id: 'a', question: 'Who?' }] }])) }
    const task = await openSpanTask({ definition: SQUAD_11, data, tokenizer, seed: 1, name: 'qa' })
    assert.equal(task.prediction.test.labelled, false)
    assert.deepEqual([...task.prediction.test.build(0, 0).labels.qa.spanEnds!], [1])
  })

  it('the real files: counts, and right answers read back from their tokens score in full', async function () {
    const squadFolder = join(SHARED_DATA, 'squad')
    if (!existsSync(squadFolder)) return this.skip()
    this.timeout(60_000)
    const data = { train: join(squadFolder, 'train-subset4330.json'), dev: join(squadFolder, 'dev-v1.1.rebuilt.json') }
    const real = await Tokenizer.load(join(SHARED_DATA, 'minilm_l6'))
    const task = await openSpanTask({ definition: SQUAD_11, data, tokenizer: real, seed: 1 })
    const train = task.train as SpanSet
    const dev = task.evaluation.dev as SpanSet
    assert.deepEqual([train.examples, dev.examples], [4330, 10570])
    assert.equal(
      dev.questions.reduce((sum, { answers }) => sum + answers.length, 0),
      34726,
    )
    // Perfect logits: the first answer's places, in the windows that hold it.
    const predictions = new Map<string, string>()
    let sequence = 0
    for (let index = 0; index < 16; index++) {
      const { sequenceOffsets, labels } = dev.build(0, index)
      const examples = dev.exampleNumbers(0, index)
      examples.forEach((example, i) => {
        const question = dev.questions[example]
        const window = question.windows[sequence++ - question.firstSequence]
        const start = labels['SQuAD-1.1'].spanStarts![i] - sequenceOffsets[i]
        if (start === 0) return
        const startLogits = new Float32Array(sequenceOffsets[i + 1] - sequenceOffsets[i])
        const endLogits = new Float32Array(startLogits.length)
        startLogits[start] = 5
        endLogits[labels['SQuAD-1.1'].spanEnds![i] - 1 - sequenceOffsets[i]] = 5
        const windows = [{ window, startLogits, endLogits }]
        predictions.set(question.id, decodeSpans({ ...question, windows, maxAnswerTokens: 60 }).text)
      })
    }
    const asked = dev.questions.filter(({ id }) => predictions.has(id))
    const { exactMatch, f1, count } = scoreSquad11(asked, predictions)
    assert.ok(count >= 400 && exactMatch > 0.98 && f1 > 0.99, `${count} ${exactMatch} ${f1}`)
  })
})
