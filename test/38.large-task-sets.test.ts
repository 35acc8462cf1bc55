/** Labelled sets beyond a limit of memory: the same batches out of memory-mapped files, which are found again by what decides them. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { finished } from 'node:stream/promises'
import { promisify } from 'node:util'
import { prefetch } from '../lib/data/index.js'
import {
  customDefinition,
  definitionOf,
  type ExampleSet,
  type OpenedTask,
  type OpenTaskOptions,
  openTask,
  QNLI_RANKING,
  RankingSet,
  SQUAD_RANKING,
  type TaskSet,
} from '../lib/tasks/index.js'
import { Tokenizer } from '../lib/text/index.js'
import { refuses } from './helpers/refuses.js'

const VOCABULARY = resolve(__dirname, 'golden/tokenizer-vocab.txt')
const LONG = process.env.STRATABERT_LONG === '1'

describe('large task sets', function () {
  this.timeout(LONG ? 900_000 : 60_000)
  let folder: string
  let cacheDirectory: string
  let tokenizer: Tokenizer
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-large-tasks-'))
    tokenizer = await Tokenizer.load(VOCABULARY)
  })
  beforeEach(() => {
    cacheDirectory = mkdtempSync(join(folder, 'cache-'))
  })
  after(() => rmSync(folder, { recursive: true }))

  function table(name: string, rows: number, lineOf: (row: number) => string, header = 'first\tsecond\tlabel'): string {
    const path = join(folder, name)
    writeFileSync(path, `${header}\n${Array.from({ length: rows }, (_, row) => `${lineOf(row)}\n`).join('')}`)
    return path
  }
  const pairLine = (row: number): string =>
    row % 50 === 7
      ? 'one\tcell too few'
      : `${'the '.repeat(1 + (row % 40))}\t${'one '.repeat(1 + (row % 7))}${row}\t${['c', 'a', 'b'][row % 3]}`
  const PAIRS = customDefinition('pairs', { text: ['first', 'second'], label: 'label', noLabel: ['b'] })

  /** Opened in memory, and out of files. */
  async function both(options: Pick<OpenTaskOptions, 'data'> & Partial<OpenTaskOptions>): Promise<OpenedTask[]> {
    const common = { definition: PAIRS, tokenizer, seed: 5, sequences: 16, sequenceTokens: 24, cacheDirectory }
    return [await openTask({ ...common, ...options }), await openTask({ ...common, memoryBytes: 100, ...options })]
  }

  const setsOf = ({ train, evaluation, prediction }: OpenedTask): TaskSet[] =>
    [train, ...Object.values(evaluation), ...Object.values(prediction)].filter((set) => set !== undefined)

  function folderOf(set: TaskSet): string | undefined {
    return set instanceof RankingSet
      ? set.directory
      : ((set as ExampleSet).describe().options as { store: { directory?: string } }).store.directory
  }

  function same([inMemory, inFiles]: readonly OpenedTask[], splits: readonly string[]): void {
    const [left, right] = [setsOf(inMemory), setsOf(inFiles)]
    assert.deepEqual(
      right.map(({ split }) => split),
      splits,
    )
    assert.deepEqual([inFiles.labels, inFiles.notes], [inMemory.labels, inMemory.notes])
    right.forEach((set, index) => {
      assert.equal(folderOf(left[index]), undefined)
      assert.ok(folderOf(set)?.startsWith(cacheDirectory), set.split)
      assert.deepEqual([set.examples, set.truncated], [left[index].examples, left[index].truncated])
      assert.equal(set.fingerprint(), left[index].fingerprint())
      for (const epoch of [0, 3]) {
        for (let batch = 0; batch < set.batchCount(epoch); batch++) {
          assert.deepEqual(set.build(epoch, batch), left[index].build(epoch, batch))
        }
      }
      for (let example = 0; example < set.examples; example++) {
        assert.deepEqual(set.place(example), left[index].place(example))
      }
    })
  }

  it('has the same batches, labels, places and notes as in memory', async () => {
    const first = table('first.tsv', 230, pairLine)
    const second = table('second.tsv', 90, (row) => pairLine(row + 1))
    same(await both({ data: { train: [first, second], dev: second } }), ['train', 'dev'])
    same(await both({ data: first }), ['train', 'dev'])
    same(await both({ data: first, fraction: 0.3, drawSeed: 2 }), ['train', 'dev'])
    const values = table('values.tsv', 120, (row) => `the ${row}\t${(row * 7) % 11}`, 'text\tscore')
    const scores = customDefinition('scores', { kind: 'regression', text: 'text', label: 'score' })
    same(await both({ definition: scores, data: { train: values, dev: values } }), ['train', 'dev'])
  })

  it('keeps the rows’ own identifiers', async () => {
    const test = table('test.tsv', 60, (row) => `ü${row}\tthe one ${row}`, 'index\tsentence')
    const train = table('sst.tsv', 60, (row) => `the one ${row}\t${row % 2}`, 'sentence\tlabel')
    const sst = await both({ definition: definitionOf('SST-2'), data: { train, test } })
    same(sst, ['train', 'test'])
    assert.deepEqual(sst[1].prediction.test.place(7), { file: test, line: 9, id: 'ü7' })
  })

  it('ranks questions whose candidates lie in files as those in memory', async () => {
    // Rows of a question lie apart; some questions lack a right candidate, some rows their text.
    const row = (number: number): string => {
      const [question, place] = [number % 40, Math.floor(number / 40)]
      const label = place === question % 3 && question !== 7 ? 'entailment' : 'not_entailment'
      return `${number}\twhat is ${question} ?\t${number % 50 === 3 ? ' ' : `candidate ${number} ${'the '.repeat(number % 30)}`}\t${label}`
    }
    const pairs = (name: string, rows: number) => table(name, rows, row, 'index\tquestion\tsentence\tlabel')
    const [first, second] = [pairs('pairs.tsv', 160), pairs('more.tsv', 120)]
    const texts = (tasks: OpenedTask[]) => tasks.map((task) => setsOf(task).map((set) => (set as RankingSet).questions))
    const rankings = async (options: Parameters<typeof both>[0], splits: string[]) => {
      const tasks = await both({ definition: QNLI_RANKING, ...options })
      same(tasks, splits)
      const [inMemory, inFiles] = texts(tasks)
      assert.deepEqual(inFiles, inMemory)
      return tasks[1]
    }
    const { train, notes } = await rankings({ data: { train: [first, second], dev: second } }, ['train', 'dev'])
    assert.match(notes.join('\n'), /train: 4 of 160 rows cannot be used.*train: [1-9]\d* of 40 questions are left out/s)
    const [asked] = (train as RankingSet).questions
    assert.deepEqual(
      [asked.candidates[1].slice(0, 12), asked.right, train!.place(0)],
      ['candidate 40', 0, { file: first, line: 2 }],
    )
    await rankings({ data: first }, ['train', 'dev'])
    await rankings({ data: first, fraction: 0.3 }, ['train', 'dev'])
    const made = readdirSync(cacheDirectory)
    await rankings({ data: { dev: second } }, ['dev'])
    assert.deepEqual(readdirSync(cacheDirectory), made)
    const rows = Array.from({ length: 30 }, (_, i) => ({
      id: `q${i}`,
      question: `What is number ${i}?`,
      context: `The answer is ${i % 12}. Another sentence follows. And one.`,
      answers: [{ text: 'answer', answer_start: 4 }],
    }))
    const squad = join(folder, 'squad.jsonl')
    writeFileSync(squad, rows.map((one) => `${JSON.stringify(one)}\n`).join(''))
    const parts = await rankings({ definition: SQUAD_RANKING, data: squad }, ['train', 'dev'])
    assert.match(parts.train!.place(0).id!, /^q\d+$/)
  })

  it('builds the same batches in threads, which map the files themselves', async () => {
    const [, { train }] = await both({ data: { train: table('threads.tsv', 150, pairLine) } })
    const threads = prefetch(train!, { workers: 2, epochs: 2 })
    assert.equal(threads.workers, 2)
    let count = 0
    for await (const { epoch, index, batch } of threads) {
      assert.deepEqual(batch, train!.build(epoch, index))
      count++
    }
    assert.equal(count, 2 * train!.batchCount(0))
  })

  it('finds them again, and makes them anew for other rows, lengths or damaged files', async () => {
    const path = table('again.tsv', 200, pairLine)
    const times = () =>
      Object.fromEntries(readdirSync(cacheDirectory).map((name) => [name, statSync(join(cacheDirectory, name)).ino]))
    const open = (options: Partial<OpenTaskOptions> = {}) => both({ data: { train: path }, ...options })
    same(await open(), ['train'])
    const [[key, inode]] = Object.entries(times())
    same(await open(), ['train'])
    same(await open({ name: 'another', sequences: 7, seed: 9 }), ['train'])
    assert.deepEqual(times(), { [key]: inode })
    same(await open({ sequenceTokens: 16 }), ['train'])
    assert.equal(Object.keys(times()).length, 2)
    const tokens = join(cacheDirectory, key, 'token-ids.bin')
    const bytes = readFileSync(tokens)
    bytes[bytes.length - 1] ^= 1
    writeFileSync(tokens, bytes)
    const warned = new Promise<Error>((done) => process.once('warning', done))
    same(await open(), ['train'])
    assert.match((await warned).message, new RegExp(`${key} are made again: the content of token-ids.bin has changed`))
    assert.notEqual(times()[key], inode)
    table('again.tsv', 201, pairLine)
    same(await open(), ['train'])
    assert.equal(Object.keys(times()).length, 3)
  })

  it('leaves nothing behind when it is stopped or a row is wrong', async () => {
    const wrong = table('wrong.tsv', 200, (row) => `the\tone ${row}\t${row === 190 ? 'z' : 'a'}`)
    const definition = customDefinition('pairs', { text: ['first', 'second'], label: 'label', labels: ['a', 'b'] })
    const options = { definition, tokenizer, seed: 1, cacheDirectory, memoryBytes: 0 }
    await assert.rejects(openTask({ ...options, data: { dev: wrong } }), refuses('BAD_DATA', 'wrong.tsv:192', '"z"'))
    const signal = AbortSignal.abort()
    const right = table('right.tsv', 200, pairLine)
    await assert.rejects(
      openTask({ ...options, definition: PAIRS, data: { train: right }, signal }),
      refuses('ABORTED'),
    )
    assert.deepEqual(readdirSync(cacheDirectory), [])
    await assert.rejects(
      openTask({ ...options, definition: PAIRS, data: { train: right }, memoryBytes: -1 }),
      refuses('BAD_ARGUMENT', 'memoryBytes is -1'),
    )
    const noFolder = { ...options, definition: PAIRS, data: { train: right }, cacheDirectory: join(right, 'below') }
    await assert.rejects(openTask(noFolder), refuses('IO_ERROR', 'examples cache', 'right.tsv'))
  })

  it('needs little memory for a set of any size', async function () {
    if (process.platform !== 'linux') this.skip()
    const line = 'the one is of and in to a was for '.repeat(6)
    const write = async (name: string, megabytes: number): Promise<string> => {
      const path = join(folder, name)
      const file = createWriteStream(path)
      file.write('sentence\tlabel\n')
      const rows = Math.round((megabytes * 1e6) / (line.length + 8))
      for (let from = 0; from < rows; from += 10_000) {
        const block = Array.from(
          { length: Math.min(10_000, rows - from) },
          (_, row) => `${line}${from + row}\t${row % 2}`,
        )
        if (!file.write(`${block.join('\n')}\n`)) await once(file, 'drain')
      }
      file.end()
      await finished(file)
      return path
    }
    const [small, large] = [await write('small.tsv', LONG ? 100 : 2), await write('large.tsv', LONG ? 1000 : 16)]
    const child = resolve(__dirname, 'helpers/large-task-child.ts')
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...['--import', 'tsx', child, VOCABULARY, small, large, cacheDirectory, '1000000'],
    ])
    const told = JSON.parse(stdout)
    // The garbage of a thread that tokenises is what grows, up to some 250 MB; the store of the long form alone has 700.
    assert.ok(told.openingMegabytes < 350, stdout)
    assert.ok(told.passMegabytes < 64, stdout)
    if (LONG) assert.ok(told.storeMegabytes > 600, stdout)
  })
})
