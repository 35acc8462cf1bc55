import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PackedBatch } from '../lib/data/index.js'
import { RowTally, readConlluTags, readSquad } from '../lib/data/index.js'
import { StrataError } from '../lib/errors.js'
import { scoreTask, type TaskPrediction } from '../lib/evaluation/index.js'
import type { HeadConfig, HeadEvaluation, Model } from '../lib/model/index.js'
import {
  type OpenedTask,
  openRankingTask,
  openSpanTask,
  openTaggingTask,
  openTask,
  QNLI,
  QNLI_RANKING,
  qnliTable,
  type RankingSet,
  type RankingTaskDefinition,
  SQUAD_11,
  SQUAD_20,
  SQUAD_RANKING,
  sentencePairs,
  type TaggingSet,
  type TaggingTaskDefinition,
  UPOS_EWT,
} from '../lib/tasks/index.js'
import { Tokenizer } from '../lib/text/index.js'
import { keepsScores } from './helpers/kept-scores.js'
import { SHARED_DATA } from './helpers/shared-data.js'
import { adamw, smallModel } from './helpers/small-model.js'

const CONTEXT = 'The cat sat. The dog ran home! Where is the bird?'

/** The typed error that `work` throws. */
async function failure(work: Promise<unknown>): Promise<StrataError> {
  const error = await work.then(
    () => assert.fail('an error was expected'),
    (reason) => reason,
  )
  assert.ok(error instanceof StrataError, String(error?.stack ?? error))
  return error
}

/** A model that answers each batch with scores made from it; the figures follow from known scores. */
function answering(
  head: { name: string; kind: string; classes?: number },
  width: number,
  scoresOf: (batch: PackedBatch, index: number) => number[],
): Model {
  let index = 0
  const model = {
    config: { heads: [head] },
    async evaluate(batch: PackedBatch): Promise<Record<string, HeadEvaluation>> {
      const values = Float32Array.from(scoresOf(batch, index++))
      const count = batch.labels[head.name].labels.length
      const logits = { shape: [values.length / width, width], values }
      return { [head.name]: { lossSum: count, count, correct: 0, logits } }
    },
  }
  return model as unknown as Model
}

const squad = (context: string, questions: { id: string; answer?: string; question?: string }[]) =>
  JSON.stringify({
    version: 'v2.0',
    data: [
      {
        title: 't',
        paragraphs: [
          {
            context,
            qas: questions.map(({ id, answer, question = `Question ${id}?` }) => ({
              id,
              question,
              answers: answer === undefined ? [] : [{ text: answer, answer_start: context.indexOf(answer) }],
            })),
          },
        ],
      },
    ],
  })

let folder: string
let tokenizer: Tokenizer
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'stratabert-ranking-'))
  const vocabulary = readFileSync(join(__dirname, 'golden/tokenizer-vocab.txt'), 'utf8')
  tokenizer = Tokenizer.fromVocabulary(vocabulary.trimEnd().split('\n'))
})
after(() => rmSync(folder, { recursive: true }))
function file(name: string, content: string): string {
  writeFileSync(join(folder, name), content)
  return join(folder, name)
}

describe('Ranking tasks', () => {
  const questions = [
    { id: 'cat', answer: 'cat' },
    { id: 'home', answer: 'ran home!' },
    { id: 'bird', answer: ' the bird?' },
    { id: 'both', answer: 'sat. The dog' },
    { id: 'none' },
  ]

  it('pairs a question with each sentence of its paragraph; causes of leaving out are counted', async () => {
    const set = await readSquad(file('pairs.json', squad(CONTEXT, questions)))
    const { questions: pairs, leftOut } = sentencePairs(set)
    assert.deepEqual(
      pairs.map(({ id, right }) => [id, right]),
      [
        ['cat', 0],
        ['home', 1],
        ['bird', 2],
      ],
    )
    assert.deepEqual(pairs[0].candidates, ['The cat sat.', 'The dog ran home!', 'Where is the bird?'])
    assert.deepEqual(leftOut, { crossing: 1, single: 0, withoutAnswer: 1 })
    const single = await readSquad(file('single.json', squad('One cat only.', [{ id: 'a', answer: 'cat' }])))
    assert.deepEqual(sentencePairs(single), { questions: [], leftOut: { crossing: 0, single: 1, withoutAnswer: 0 } })
  })

  it('all candidates of a question stand in one batch, one of them right', async () => {
    const data = { train: file('train.json', squad(CONTEXT, questions)) }
    const options = { definition: SQUAD_RANKING, data, tokenizer, name: 'rank', seed: 3 }
    const task = await openRankingTask({ ...options, sequences: 7 })
    const set = task.train as RankingSet
    assert.deepEqual([set.examples, set.batchCount(0)], [3, 2])
    for (let epoch = 0; epoch < 3; epoch++) {
      const seen: number[] = []
      for (let index = 0; index < 2; index++) {
        const { labels, sequenceOffsets, segmentIds } = set.build(epoch, index)
        const { groups, labels: right } = labels.rank
        const size = index === 0 ? 6 : 3
        assert.deepEqual([groups!.length, sequenceOffsets.length - 1], [size, size])
        for (let first = 0; first < size; first += 3) {
          assert.equal(new Set(groups!.subarray(first, first + 3)).size, 1)
          assert.equal(right.subarray(first, first + 3).indexOf(1), set.questions[groups![first]].right)
          assert.equal(right.subarray(first, first + 3).filter((label) => label === 1).length, 1)
          seen.push(groups![first])
        }
        assert.equal(segmentIds[0], 0)
        assert.equal(segmentIds[sequenceOffsets[1] - 1], 1)
      }
      assert.deepEqual(seen.sort(), [0, 1, 2])
    }
    // A question with more candidates than a batch has is a batch of its own.
    const small = await openRankingTask({ ...options, sequences: 2 })
    assert.equal(small.train!.batchCount(0), 3)
    assert.match(task.notes.join('\n'), /1 of 5 questions whose answer crosses.*\n.*1 of 5 questions without an answer/)
  })

  it('the pairs as QNLI’s table give the same questions, and a classification of pairs', async () => {
    const set = await readSquad(file('table.json', squad(CONTEXT, questions)))
    const path = file('table.tsv', qnliTable(sentencePairs(set).questions))
    const ranking = await openTask({ definition: QNLI_RANKING, data: { dev: path }, tokenizer, seed: 1 })
    const dev = ranking.evaluation.dev as RankingSet
    assert.deepEqual(
      dev.questions.map(({ right }, example) => [right, dev.place(example).line]),
      [
        [0, 2],
        [1, 5],
        [2, 8],
      ],
    )
    const pairs = await openTask({ definition: QNLI, data: { dev: path }, tokenizer, seed: 1 })
    assert.equal(pairs.evaluation.dev.examples, 9)
  })

  it('QNLI rows by question: questions without one right and one wrong sentence are counted', async () => {
    const rows = [
      ['q1', 'yes', 'entailment'],
      ['q2', 'no', 'not_entailment'],
      ['q3', 'a', 'entailment'],
      ['q1', 'no', 'not_entailment'],
      ['q3', 'b', 'entailment'],
      ['q3', 'c', 'not_entailment'],
      ['q4', 'lone', 'entailment'],
    ]
    const table = (list: string[][]) =>
      `index\tquestion\tsentence\tlabel\n${list.map((row, i) => [i, ...row].join('\t')).join('\n')}\n`
    const data = { dev: file('qnli.tsv', table(rows)) }
    const task = await openRankingTask({ definition: QNLI_RANKING, data, tokenizer, seed: 1 })
    assert.equal(task.evaluation.dev.examples, 1)
    assert.match(
      task.notes[0],
      /3 of 4 questions are left out: 1 without a right candidate, 1 with several, 1 without a wrong/,
    )
    const wrong = { dev: file('wrong.tsv', table([...rows, ['q1', 'x', 'entailmnt']])) }
    const error = await failure(openRankingTask({ definition: QNLI_RANKING, data: wrong, tokenizer, seed: 1 }))
    assert.equal(error.code, 'BAD_DATA')
    assert.match(error.message, /wrong.tsv:9: label "entailmnt"; entailment, 0, not_entailment, 1 were expected/)
    const none = { dev: file('none.tsv', table(rows.slice(1, 2))) }
    const empty = await failure(openRankingTask({ definition: QNLI_RANKING, data: none, tokenizer, seed: 1 }))
    assert.match(empty.message, /split dev has no question with one right and one wrong candidate/)
  })

  it('a table without header by numbers of columns: its first row is a candidate too', async () => {
    const definition: RankingTaskDefinition = {
      ...{ name: 'own', kind: 'ranking', metrics: ['accuracyAt1'] },
      question: { position: 0 },
      candidate: { position: 1 },
      label: { position: 2 },
      positive: ['good'],
      negative: ['bad'],
    }
    const rows = ['q1\tyes\tgood', 'q1\tno\tbad', 'q2\tno\tbad', 'q2\tyes\tgood']
    const dev = file('numbers.tsv', `${rows.join('\n')}\n`)
    const open = (more: object = {}) =>
      openRankingTask({ definition: { ...definition, ...more }, data: { dev }, tokenizer, seed: 1 })
    const set = (await open()).evaluation.dev as RankingSet
    assert.deepEqual(
      set.questions.map(({ candidates, right }, example) => [candidates, right, set.place(example).line]),
      [
        [['yes', 'no'], 0, 1],
        [['no', 'yes'], 1, 3],
      ],
    )
    assert.equal((await open({ header: true })).evaluation.dev.examples, 1)
  })

  it('rows with a blank group are bad rows, not one question', async () => {
    const definition: RankingTaskDefinition = {
      ...{ name: 'own', kind: 'ranking', metrics: ['accuracyAt1'] },
      ...{ question: { names: ['q'] }, candidate: { names: ['c'] }, label: { names: ['l'] }, group: { names: ['g'] } },
    }
    const rows = ['who?\tyes\t1\ta', 'who?\tno\t0\ta', 'where?\tyes\t1\t', 'where?\tno\t0\t ', 'who?\tno\t0\tb']
    const dev = file('groups.tsv', `q\tc\tl\tg\n${rows.join('\n')}\n`)
    const task = await openRankingTask({ definition, data: { dev }, tokenizer, seed: 1, maxBadShare: 0.5 })
    assert.equal(task.evaluation.dev.examples, 1)
    const notes = task.notes.join('\n')
    assert.match(notes, /2 of 5 rows cannot be used.*\n.*groups\.tsv:4: the group is blank\n.*groups\.tsv:5: the group/)
    assert.match(notes, /1 of 2 questions are left out: 1 without a right candidate, 0 with several/)
  })

  it('one file is split by contexts, wherever they come again', async () => {
    const rows = ['first', 'again'].flatMap((time) =>
      Array.from({ length: 5 }, (_, i) => ({
        id: `${time}${i}`,
        question: 'What?',
        context: `The answer is number ${i}. Another sentence follows.`,
        answers: [{ text: 'answer', answer_start: 4 }],
      })),
    )
    const data = file('contexts.jsonl', rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
    const task = await openRankingTask({ definition: SQUAD_RANKING, data, tokenizer, seed: 1, devShare: 2 })
    const contexts = (set: unknown) => new Set((set as RankingSet).questions.map(({ candidates }) => candidates[0]))
    const held = contexts(task.evaluation.dev)
    assert.deepEqual([held.size, task.evaluation.dev.examples, task.train!.examples], [2, 4, 6])
    for (const context of contexts(task.train)) assert.ok(!held.has(context), context)
  })

  it('scores: first places and reciprocal ranks over the whole set', async () => {
    const data = { dev: file('dev.json', squad(CONTEXT, questions.slice(0, 3))) }
    const task = await openTask({ definition: SQUAD_RANKING, data, tokenizer, seed: 1, name: 'rank', sequences: 6 })
    // Right candidates are 0, 1, 2: first, second and third place.
    const answers = [
      [3, 1, 2, 3, 2, 1],
      [3, 2, 1],
    ]
    const predictions: TaskPrediction[] = []
    const model = answering({ name: 'rank', kind: 'ranker' }, 1, (_, index) => answers[index])
    const scores = await scoreTask(model, task, 'dev', { predictions: (prediction) => predictions.push(prediction) })
    assert.deepEqual(scores.metrics, { accuracyAt1: 1 / 3, meanReciprocalRank: (1 + 1 / 2 + 1 / 3) / 3 })
    assert.equal(scores.main, 1 / 3)
    assert.deepEqual(
      predictions.map(({ id, predicted, expected }) => [id, predicted, expected]),
      [
        ['cat', 'The cat sat.', 'The cat sat.'],
        ['home', 'The cat sat.', 'The dog ran home!'],
        ['bird', 'The cat sat.', 'Where is the bird?'],
      ],
    )
    assert.deepEqual(
      predictions.map(({ predictedIndex, expectedIndex }) => [predictedIndex, expectedIndex]),
      [
        [0, 0],
        [0, 1],
        [0, 2],
      ],
    )
    keepsScores(predictions, scores.metrics)
  })

  it('the real files: every question is paired or counted, and the right sentence holds the answer', async function () {
    const path = join(SHARED_DATA, 'squad/dev-v1.1.rebuilt.json')
    if (!existsSync(path)) return this.skip()
    const set = await readSquad(path)
    const { questions: pairs, leftOut } = sentencePairs(set)
    assert.equal(set.bad, 0)
    assert.equal(pairs.length + leftOut.crossing + leftOut.single + leftOut.withoutAnswer, 10570)
    assert.ok(leftOut.crossing + leftOut.single < 0.05 * 10570, JSON.stringify(leftOut))
    const answers = new Map(set.questions.map(({ id, answers }) => [id, answers[0].text.trim()]))
    for (const { id, candidates, right } of pairs) assert.ok(candidates[right].includes(answers.get(id!)!), id)
  })
})

describe('Tagging tasks', () => {
  const row = (id: string, form: string, upos: string) => [id, form, '_', upos, '_', '_', '_', '_', '_', '_'].join('\t')
  const CONLLU = [
    '# text = don’t go',
    row('1-2', "don't", '_'),
    row('1', 'do', 'AUX'),
    row('2', "n't", 'PART'),
    row('3', 'go', 'VERB'),
    row('3.1', 'there', 'ADV'),
    row('4', '\u200b', 'X'),
    row('5', 'the', '_'),
    '',
    row('1', 'international', 'ADJ'),
    row('2', 'dog', 'NOUN'),
    '',
  ].join('\n')
  const definition: TaggingTaskDefinition = { name: 'pos', kind: 'tagging', metrics: ['accuracy', 'f1Macro'] }

  it('CoNLL-U: multi-word ranges and empty nodes are left out, bad sentences are counted with their line', async () => {
    const collect = async (path: string, tally?: RowTally, maxBadShare?: number) => {
      const all = []
      for await (const block of readConlluTags(path, { tally, maxBadShare })) all.push(...block)
      return all
    }
    const sentences = await collect(file('tags.conllu', CONLLU))
    assert.deepEqual(sentences, [
      { line: 2, words: ['do', "n't", 'go', '\u200b', 'the'], tags: ['AUX', 'PART', 'VERB', 'X', undefined] },
      { line: 10, words: ['international', 'dog'], tags: ['ADJ', 'NOUN'] },
    ])
    const bad = file('bad.conllu', `${row('1', 'a', 'X')}\n\n${row('2', 'b', 'X')}\n\n1\tc\n\nx${row('', 'd', 'X')}\n`)
    const tally = new RowTally(bad)
    assert.equal((await collect(bad, tally, 1)).length, 1)
    assert.deepEqual(tally.problems, [
      { line: 3, problem: 'word number 2, 1 was expected' },
      { line: 5, problem: '2 columns, 10 were expected with one tab between two' },
      { line: 7, problem: '"x" is no word number; 1, a range (1-2) or an empty node (0.1) was expected' },
    ])
    const error = await failure(collect(bad))
    assert.equal(error.code, 'BAD_DATA')
    assert.match(error.message, /bad.conllu:3: word number 2/)
  })

  it('the label stands at a word’s first piece; what has none is counted', async () => {
    const data = { train: file('train.conllu', CONLLU) }
    const task = await openTaggingTask({ definition, data, tokenizer, seed: 1, sequenceTokens: 8 })
    assert.deepEqual(task.labels, ['ADJ', 'AUX', 'NOUN', 'PART', 'VERB', 'X'])
    const set = task.train as TaggingSet
    const { cls, sep } = { cls: tokenizer.specialTokens.clsId, sep: tokenizer.specialTokens.sepId }
    const batch = set.build(0, 0)
    const order = [...set.exampleNumbers(0, 0)]
    const second = order.indexOf(1)
    const from = batch.sequenceOffsets[second]
    const to = batch.sequenceOffsets[second + 1]
    assert.deepEqual([batch.tokenIds[from], batch.tokenIds[to - 1]], [cls, sep])
    const pieces = (await tokenizer.encode('international', { addSpecialTokens: false })).tokenIds.length
    const { positions, labels } = batch.labels.pos
    const own = [...positions!]
      .map((position, i) => [position - from, labels[i]])
      .filter(([place]) => place > 0 && place < to - from)
    const expected = [[1, 0], ...(pieces < 6 ? [[1 + pieces, 2]] : [])]
    assert.deepEqual(own.slice(0, expected.length), expected)
    const notes = task.notes.join('\n')
    assert.match(notes, /train: 2 sentences with 7 words/)
    assert.match(notes, /1 of 7 words become no piece/)
    assert.match(notes, /1 of 7 words have no tag in the data|words lie beyond 8 tokens/)
  })

  it('the fingerprint of a set is that of its words and tags', async () => {
    const of = async (name: string, tags: string[]) => {
      const data = { train: file(name, `${JSON.stringify({ tokens: ['the', 'cat', 'is'], tags })}\n`) }
      const labels = ['a', 'b']
      return (
        await openTaggingTask({ definition: { ...definition, labels }, data, tokenizer, seed: 1 })
      ).train!.fingerprint()
    }
    const own = await of('tags.jsonl', ['a', 'b', 'a'])
    assert.equal(await of('moved-tags.jsonl', ['a', 'b', 'a']), own)
    assert.notEqual(await of('other-tags.jsonl', ['a', 'b', 'b']), own)
  })

  it('a test set without any tag serves for predictions, of another the words with a tag are judged', async () => {
    const train = file('tagged.conllu', CONLLU)
    const open = async (test: string) => {
      const { prediction, notes } = await openTaggingTask({ definition, data: { train, test }, tokenizer, seed: 1 })
      const { labelled, sentences } = prediction.test as TaggingSet
      return { labelled, judged: sentences.map(({ judged }) => judged.length), notes: notes.join('\n') }
    }
    const hidden = await open(file('hidden.conllu', CONLLU.replaceAll(/\t[A-Z]+\t/g, '\t_\t')))
    assert.deepEqual([hidden.labelled, hidden.judged], [false, [5, 2]])
    const shown = await open(train)
    assert.deepEqual([shown.labelled, shown.judged], [true, [4, 2]])
    const some = [{ tokens: ['the'] }, { tokens: ['go'], tags: ['VERB'] }].map((entry) => JSON.stringify(entry))
    const mixed = await open(file('mixed.jsonl', some.join('\n')))
    assert.deepEqual([mixed.labelled, mixed.judged], [true, [1]])
    assert.match(mixed.notes, /test: 1 sentences without a word to tag are left out/)
  })

  it('a file has more sentences than a call takes arguments', async () => {
    const lines = ['VERB', 'DET'].map((tag) => `${JSON.stringify({ tokens: ['go'], tags: [tag] })}\n`)
    const data = { train: file('many.jsonl', lines.join('').repeat(65_000)) }
    const task = await openTaggingTask({ definition, data, tokenizer, seed: 1, fraction: 0.001 })
    assert.equal(task.train!.examples, 130)
  })

  it('held-out sentences are judged whole, in the windows that serving reads', async () => {
    const words = Array.from({ length: 300 }, (_, i) => (i === 150 ? '\u200b' : ['the', 'cat', 'international'][i % 3]))
    const sentences = [words, ['the', 'cat'], ['in']]
    const tagged = sentences.map((tokens) => ({ tokens, tags: tokens.map((_, i) => 'ab'[i % 2]) }))
    const path = file('whole.jsonl', tagged.map((row) => `${JSON.stringify(row)}\n`).join(''))
    const options = { definition: { ...definition, labels: ['a', 'b'] }, tokenizer, seed: 1, sequenceTokens: 16 }
    const task = await openTaggingTask({ ...options, data: { dev: path }, sequences: 3 })
    assert.deepEqual([task.evaluation.dev.examples, task.evaluation.dev.truncated], [3, 0])
    const says = (batch: PackedBatch) => Array.from(batch.labels.pos.labels, (label) => (label === 0 ? [1, 0] : [0, 1]))
    const predictions: TaskPrediction[] = []
    let longest = 0
    const model = answering({ name: 'pos', kind: 'tagger', classes: 2 }, 2, (batch) => {
      batch.sequenceOffsets.forEach((offset, i, all) => {
        longest = Math.max(longest, offset - (all[i - 1] ?? 0))
      })
      return says(batch).flat()
    })
    const scores = await scoreTask(model, task, 'dev', { predictions: (one) => predictions.push(one) })
    assert.deepEqual([scores.count, scores.metrics.accuracy, longest <= 16], [303, 1, true])
    assert.deepEqual(
      predictions.map(({ predicted }) => predicted),
      tagged.map(({ tags }) => tags),
    )
    assert.match(task.notes.join('\n'), /1 of 303 words become no piece of the vocabulary and are read as \[UNK\]/)
    assert.deepEqual(task.warnings, [])
    const trained = await openTaggingTask({ ...options, data: { train: path } })
    assert.equal((trained.train as TaggingSet).sequenceNumbers(0, 0).length, 3)
    assert.match(trained.warnings.join('\n'), /2\d\d of 303 words lie beyond 16 tokens and are left out/)
  })

  it('words beyond the length have no label', async () => {
    const lines = JSON.stringify({ tokens: ['the', 'cat', 'is', 'in', 'the'], tags: ['a', 'b', 'a', 'b', 'a'] })
    const data = { train: file('long.jsonl', `${lines}\n`) }
    const task = await openTaggingTask({ definition, data, tokenizer, seed: 1, sequenceTokens: 4 })
    const { tokenIds, labels } = task.train!.build(0, 0)
    assert.equal(tokenIds.length, 4)
    assert.deepEqual(
      [...labels.pos.positions!].every((place) => place < 3),
      true,
    )
    assert.match(task.notes.join('\n'), /[34] of 5 words lie beyond 4 tokens/)
    assert.equal(task.train!.truncated, 1)
  })

  it('JSON lines: lists of different lengths, unknown tags and a task of one class are refused with their place', async () => {
    const lines = (...rows: object[]) => rows.map((entry) => `${JSON.stringify(entry)}\n`).join('')
    const good = { tokens: ['the', 'of'], tags: ['a', 'b'] }
    const open = (content: string, more: object = {}, dev?: string) =>
      openTaggingTask({
        definition: { ...definition, ...more },
        data: { train: file('a.jsonl', content), ...(dev && { dev: file('b.jsonl', dev) }) },
        tokenizer,
        seed: 1,
      })
    const uneven = await failure(open(lines(good, { tokens: ['x'], tags: [] })))
    assert.match(uneven.message, /a.jsonl:2: 1 words and 0 tags/)
    const unknown = await failure(open(lines(good), {}, lines(good, { tokens: ['x'], tags: ['c'] })))
    assert.match(unknown.message, /b.jsonl:2: task pos: unknown tag "c"; known are a, b/)
    const single = await failure(open(lines({ tokens: ['x'], tags: ['a'] })))
    assert.match(single.message, /task pos has 1 class/)
    const metric = await failure(open(lines(good), { metrics: ['matthews'] }))
    assert.match(metric.message, /metric matthews does not fit tagging/)
    const same = lines({ tokens: ['the', 'of'], tags: ['O', 'O'] })
    const listed = await failure(open(same, { labels: ['O', 'B-X'] }))
    assert.equal(listed.code, 'BAD_DATA')
    assert.match(listed.message, /task pos: all 2 training words \(.*a.jsonl\) have the tag "O"; at least two classes/)
    const numbers = await open(lines({ tokens: ['the', 'of'], tags: [1, 0] }), { labels: ['O', 'B-X'] })
    assert.deepEqual((numbers.train as TaggingSet).sentences[0].classes, [1, 0])
  })

  it('scores: accuracy, macro F1 and spans over the words with a label', async () => {
    const rows = [
      { tokens: ['the', 'of', 'in'], tags: ['B-X', 'I-X', 'O'] },
      { tokens: ['the', 'of'], tags: ['O', 'B-X'] },
    ]
    const data = { dev: file('spans.jsonl', rows.map((entry) => `${JSON.stringify(entry)}\n`).join('')) }
    const spans = { ...definition, labels: ['O', 'B-X', 'I-X'], metrics: ['spanF1', 'accuracy', 'f1Macro'] as const }
    const task = await openTask({ definition: spans, data, tokenizer, seed: 1, sequences: 1 })
    // Predicted: B-X I-X O, then O O.
    const classes = [
      [1, 2, 0],
      [0, 0],
    ]
    const predictions: TaskPrediction[] = []
    const model = answering({ name: 'pos', kind: 'tagger', classes: 3 }, 3, (_, index) =>
      classes[index].flatMap((best) => [0, 1, 2].map((c) => (c === best ? 2 : -1))),
    )
    const { metrics, main } = await scoreTask(model, task, 'dev', { predictions: (one) => predictions.push(one) })
    assert.equal(main, 2 / 3)
    assert.deepEqual([metrics.spanF1, metrics.accuracy], [2 / 3, 4 / 5])
    // O: 2 right, 1 too many; B-X: 1 right, 1 missed; I-X: right.
    assert.ok(Math.abs(metrics.f1Macro - (4 / 5 + 2 / 3 + 1) / 3) < 1e-12)
    assert.deepEqual(predictions[1].predicted, ['O', 'O'])
    assert.deepEqual(predictions[1].expected, ['O', 'B-X'])
    keepsScores(predictions, metrics)
    // A word that the model does not see is not judged.
    keepsScores([{ ...predictions[0], expected: ['O', 'O'], predicted: ['O', ''] }], { accuracy: 1 })
  })

  it('spans are those of the words with a label alone', async () => {
    const rows = ['the B-X', 'of _', 'in O'].map((row, index) => {
      const [form, tag] = row.split(' ')
      return [index + 1, form, form, tag, ...'______'].join('\t')
    })
    const spans = { ...definition, labels: ['O', 'B-X'], metrics: ['spanF1', 'accuracy'] as const }
    const data = { dev: file('gaps.conllu', `${rows.join('\n')}\n\n`) }
    const task = await openTask({ definition: spans, data, tokenizer, seed: 1 })
    const model = answering({ name: 'pos', kind: 'tagger', classes: 2 }, 2, () => [0, 1, 1, 0])
    assert.deepEqual((await scoreTask(model, task, 'dev')).metrics, { spanF1: 1, accuracy: 1 })
  })

  it('the real treebank: counts', async function () {
    const treebank = join(SHARED_DATA, 'ud_ewt')
    if (!existsSync(treebank)) return this.skip()
    this.timeout(60_000)
    const real = await Tokenizer.load(join(SHARED_DATA, 'minilm_l6'))
    const task = await openTask({
      definition: UPOS_EWT,
      data: treebank,
      tokenizer: real,
      seed: 1,
      splits: ['dev', 'test'],
    })
    const dev = task.evaluation.dev as TaggingSet
    // Treebanks publish their test tags: a run does not read them, `evaluate` scores them.
    const { test } = task.prediction
    assert.deepEqual([dev.examples, test.examples, test.labelled], [2001, 2077, true])
    assert.equal(
      dev.sentences.reduce((sum, { words }) => sum + words.length, 0),
      // grep -cP '^\d+\t' en_ewt-ud-dev.conllu
      25147,
    )
  })
})

describe('Scores of span tasks', () => {
  const questions = [
    { id: 'cat', answer: 'cat' },
    { id: 'home', answer: 'ran home' },
  ]

  it('windows of a question come together; exact match and F1 over the set', async () => {
    const data = { dev: file('spans.json', squad(CONTEXT, questions)) }
    const definition = { ...SQUAD_11, sequenceTokens: 20, stride: 4, questionTokens: 6 }
    const task = await openSpanTask({ definition, data, tokenizer, seed: 1, name: 'qa', sequences: 1 })
    const windows = task.evaluation.dev.batchCount(0)
    assert.ok(windows > 2)
    // The right places score highest wherever they are seen, windows without the answer score nothing.
    const model = answering({ name: 'qa', kind: 'span' }, 2, ({ tokenIds, labels }) => {
      const { spanStarts, spanEnds } = labels.qa
      return Array.from({ length: tokenIds.length }, (_, token) => [
        token > 0 && spanStarts![0] === token ? 5 : 0,
        token > 0 && spanEnds![0] - 1 === token ? 5 : 0,
      ]).flat()
    })
    const predictions: TaskPrediction[] = []
    const scores = await scoreTask(model, task, 'dev', { predictions: (one) => predictions.push(one) })
    // The loss is a mean over windows, the examples are questions.
    assert.deepEqual(scores, {
      task: 'qa',
      split: 'dev',
      count: 2,
      loss: 1,
      metrics: { f1: 1, exactMatch: 1 },
      main: 1,
    })
    assert.equal(predictions[1].span!.start, CONTEXT.indexOf('ran home'))
    assert.deepEqual(
      predictions.map(({ id, predicted, expected }) => [id, predicted, expected]),
      [
        ['cat', 'cat', ['cat']],
        ['home', 'ran home', ['ran home']],
      ],
    )
    keepsScores(predictions, scores.metrics)
  })

  it('a test set is labelled when its questions have answers, in every file', async () => {
    const answered = file('answered.json', squad(CONTEXT, questions))
    const open = file('open.json', squad(CONTEXT, [{ id: 'open' }]))
    const labelled = async (definition: typeof SQUAD_11, ...test: string[]) => {
      const task = await openSpanTask({ definition, data: { test }, tokenizer, seed: 1, name: 'qa' })
      return [task.prediction.test.labelled, task.prediction.test.examples]
    }
    assert.deepEqual(await labelled(SQUAD_11, answered), [true, 2])
    assert.deepEqual(await labelled(SQUAD_11, open), [false, 1])
    assert.deepEqual(await labelled(SQUAD_11, answered, open), [false, 3])
    const some = file('some.json', squad(CONTEXT, [questions[0], { id: 'none' }]))
    assert.deepEqual(await labelled(SQUAD_20, some), [true, 2])
  })

  it('2.0: the threshold decides, the best one is found', async () => {
    const data = { dev: file('spans2.json', squad(CONTEXT, [questions[0], { id: 'none' }])) }
    const open = (noAnswerThreshold: number) => {
      const definition = { ...SQUAD_20, noAnswerThreshold }
      return openSpanTask({ definition, data, tokenizer, seed: 1, name: 'qa', sequences: 1 })
    }
    // [CLS] beats the best span by 2 for the first question (which has an answer), by 6 for the second.
    const model = () =>
      answering({ name: 'qa', kind: 'span' }, 2, ({ tokenIds, labels }, index) => {
        const { spanStarts, spanEnds } = labels.qa
        const start = spanStarts![0] || 12
        const end = spanEnds![0] > 1 ? spanEnds![0] - 1 : 12
        return Array.from({ length: tokenIds.length }, (_, token) => [
          token === 0 ? (index === 0 ? 6 : 8) : token === start ? 5 : 0,
          token === 0 ? (index === 0 ? 6 : 8) : token === end ? 5 : 0,
        ]).flat()
      })
    const said: TaskPrediction[] = []
    const strict = (await scoreTask(model(), await open(0), 'dev', { predictions: (one) => said.push(one) })).metrics
    const { bestF1, bestF1Threshold, ...kept } = strict
    keepsScores(said, kept)
    assert.deepEqual([strict.exactMatch, strict.hasAnswerF1, strict.noAnswerAccuracy], [0.5, 0, 1])
    assert.deepEqual([bestF1, bestF1Threshold], [1, 2])
    const lenient = (await scoreTask(model(), await open(3), 'dev')).metrics
    assert.deepEqual([lenient.exactMatch, lenient.f1], [1, 1])
    const never = (await scoreTask(model(), await open(10), 'dev')).metrics
    assert.deepEqual([never.hasAnswerF1, never.noAnswerAccuracy], [1, 0])
  })
})

describe('Tasks that a small model learns by heart', function () {
  this.timeout(60_000)
  const tap = { layer: 2 }

  /** Trains one head on the task's training set until nothing is left to learn, and scores that set. */
  async function learn(task: OpenedTask, head: HeadConfig, passes: number) {
    const encoder = { vocabSize: tokenizer.vocabSize, maxPositions: 64 }
    await using model = await smallModel({}, encoder, [head])
    await using optimizer = await adamw(model)
    for (let epoch = 0; epoch < passes; epoch++) {
      for (let index = 0; index < task.train!.batchCount(epoch); index++) {
        await model.step(task.train!.build(epoch, index))
        await optimizer.step({ learningRate: 2e-3, maxGradNorm: 1 })
      }
    }
    return await scoreTask(model, task, 'train')
  }
  const common = { seed: 1, sequences: 4, sequenceTokens: 64 }

  it('span: every answer', async () => {
    const texts = [
      ['The cat sat.', 'cat'],
      ['A dog ran home!', 'ran home'],
      ['Where is the bird?', 'Where'],
    ]
    const train = texts.map(([context, answer], i) => file(`learn${i}.json`, squad(context, [{ id: `q${i}`, answer }])))
    const definition = { ...SQUAD_11, questionTokens: 6 }
    const task = await openTask({ ...common, definition, data: { train }, tokenizer, name: 'qa' })
    const head: HeadConfig = { name: 'qa', kind: 'span', tap, weight: 1, dropout: 0 }
    const { metrics, count } = await learn(task, head, 150)
    assert.deepEqual(metrics, { exactMatch: 1, f1: 1 })
    assert.equal(count, 3)
  })

  it('ranking: the right sentence first', async () => {
    const answers = ['cat', 'ran home', 'bird']
    const questions = answers.map((answer, i) => ({ id: `q${i}`, answer, question: `${'ABC'[i]} ?` }))
    const data = { train: file('learn-ranking.json', squad(CONTEXT, questions)) }
    const task = await openTask({ ...common, definition: SQUAD_RANKING, data, tokenizer, name: 'rank' })
    const head: HeadConfig = { name: 'rank', kind: 'ranker', tap, weight: 1, dropout: 0, pooler: 'own' }
    const { metrics } = await learn(task, head, 100)
    assert.deepEqual(metrics, { accuracyAt1: 1, meanReciprocalRank: 1 })
  })

  it('tagging: every word', async () => {
    const rows = [
      { tokens: ['the', 'cat', 'is', 'international'], tags: ['D', 'N', 'V', 'A'] },
      { tokens: ['is', 'the', 'dog', 'international', 'the'], tags: ['V', 'D', 'N', 'A', 'D'] },
    ]
    const data = { train: file('learn.jsonl', rows.map((row) => `${JSON.stringify(row)}\n`).join('')) }
    const definition: TaggingTaskDefinition = { name: 'pos', kind: 'tagging', metrics: ['accuracy', 'f1Macro'] }
    const task = await openTask({ ...common, definition, data, tokenizer })
    const head: HeadConfig = { name: 'pos', kind: 'tagger', classes: 4, tap, weight: 1, dropout: 0 }
    const { metrics, count } = await learn(task, head, 100)
    assert.deepEqual([metrics.accuracy, metrics.f1Macro, count], [1, 1, 9])
  })
})
