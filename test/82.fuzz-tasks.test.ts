/**
 * Generated task data for the readers of tables, SQuAD files and tagged sentences, and generated task definitions: whatever comes, the
 * answer is a value or a StrataError that names the file and the place; what is well formed comes back as it was written. 6,000
 * cases by default, 120,000 with STRATABERT_LONG=1.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import {
  RowTally,
  readConlluTags,
  readSquad,
  readTable,
  type TableOptions,
  type TaggedWords,
} from '../lib/data/index.js'
import type { StrataError } from '../lib/errors.js'
import { parseRecipeText, resolveRecipe } from '../lib/recipes/index.js'
import { taskDefinition } from '../lib/recipes/recipe-tasks.js'
import { type CustomTask, customDefinition, openTask } from '../lib/tasks/index.js'
import { Tokenizer } from '../lib/text/index.js'
import { FACTOR, Fuzzing, mutate, mutations, odd } from './helpers/fuzz.js'

const fuzzing = new Fuzzing(0.5)
const check = fuzzing.check.bind(fuzzing)

/** A refusal of a file's rows says where: `FILE:LINE`; one of the whole file names it. */
function namesPlace(error: StrataError): void {
  if (error.code === 'BAD_DATA') assert.match(error.message, /in\.[a-z.]+:\d+/)
  else assert.match(error.message, /in\.[a-z.]+/)
}

/** A cell's text without line ends, tabs and NUL. */
const cell = fc
  .oneof(
    fc.string({ unit: 'grapheme', maxLength: 12 }),
    fc.constantFrom('"', '""', 'a,b', '" ,"', "it's", ' x ', '', 'größe', '𝕏 "y"', 'null', '0'),
  )
  .map((text) => text.replaceAll(/[\r\n\t\0]/g, ' '))

describe('fuzzing task data', function () {
  this.timeout(120_000 * FACTOR)
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-fuzz-tasks-'))
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  function write(name: string, bytes: Uint8Array | string): string {
    const file = join(folder, name)
    writeFileSync(file, bytes)
    return file
  }

  async function cellsOf(options: TableOptions): Promise<(string | undefined)[][]> {
    const rows: (string | undefined)[][] = []
    for await (const block of readTable(options)) for (const { cells } of block) rows.push(cells)
    return rows
  }

  describe('tables', () => {
    const row = fc.tuple(cell, cell, cell)
    // A first cell that is never empty: a line of nothing is a blank line.
    const rows = fc.array(
      row.map(([a, b, c]) => [`${a}.`, b, c]),
      { maxLength: 6 },
    )
    const columns = ['a', 'b', 'c'].map((name) => ({ names: [name] }))

    it('tab-separated cells come back as they were, quotes included', () =>
      check(rows, 700, async (table) => {
        const source = write('in.tsv', ['a\tb\tc', ...table.map((cells) => cells.join('\t')), ''].join('\n'))
        assert.deepEqual(await cellsOf({ source, columns }), table)
      }))

    it('comma-separated cells come back as they were, with quotes, commas and line ends inside', () => {
      const inner = fc.oneof(
        cell,
        fc.tuple(cell, cell).map(([a, b]) => `${a}\n${b}`),
      )
      const table = fc.array(fc.tuple(inner, inner, inner), { maxLength: 5 })
      const quoting = fc.infiniteStream(fc.boolean())
      return check(fc.tuple(table, quoting, fc.constantFrom(',', ';')), 1000, async ([cells, quote, delimiter]) => {
        const written = (text: string) => {
          const needed = /["\n\r]/.test(text) || text.includes(delimiter)
          return needed || quote.next().value ? `"${text.replaceAll('"', '""')}"` : text
        }
        // A row whose only sign of life is its delimiters is a row.
        const lines = [['a', 'b', 'c'], ...cells].map((line) => line.map(written).join(delimiter))
        const source = write('in.csv', `${lines.join('\n')}\n`)
        assert.deepEqual(await cellsOf({ source, columns, delimiter }), cells)
      })
    })

    it('JSON lines come back as they were', () =>
      check(fc.array(fc.tuple(cell, fc.string({ unit: 'grapheme' })), { maxLength: 5 }), 500, async (table) => {
        const lines = table.map(([a, b]) => JSON.stringify({ x: 1, b: b.replaceAll('\0', ''), a }))
        const source = write('in.jsonl', `${lines.join('\n')}\n`)
        const picked = lines.length === 0 ? [] : await cellsOf({ source, columns: columns.slice(0, 2) })
        assert.deepEqual(
          picked,
          table.map(([a, b]) => [a, b.replaceAll('\0', '')]),
        )
      }))

    const line = fc.oneof(
      cell,
      fc.array(cell, { maxLength: 4 }).map((cells) => cells.join('\t')),
      fc.array(cell, { maxLength: 4 }).map((cells) => cells.join(',')),
      fc.constantFrom(
        'a\tb\tc',
        'a,b,c',
        '"',
        '"a\nb",c,d',
        '{"a":"x","b":1,"c":null}',
        '{"a":',
        '[]',
        '\r',
        '\ufeffa,b,c',
      ),
      fc.record({ a: odd, b: odd, c: odd }, { requiredKeys: [] }).map((value) => JSON.stringify(value)),
    )
    const text = fc.array(line, { maxLength: 8 }).map((lines) => Buffer.from(lines.join('\n')))
    const content = fc.oneof(
      { weight: 3, arbitrary: text },
      fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes)),
      fc.tuple(text, mutations).map(([bytes, changes]) => mutate(bytes, changes)),
    )

    it('any text as any table: every row is given or counted', () => {
      const options = fc.record({
        format: fc.constantFrom('tsv', 'csv', 'jsonl'),
        header: fc.constantFrom(true, false, 'detect'),
        columnCount: fc.constantFrom(undefined, 'any', 3),
        optional: fc.boolean(),
        maxBadShare: fc.constantFrom(0, 0.5, 1),
      })
      return check(
        fc.tuple(content, options),
        1800,
        async ([bytes, { format, optional, ...more }]) => {
          const source = write(`in.${format}`, bytes)
          const tally = new RowTally(source)
          const chosen = columns.map((choice, position) => ({
            ...choice,
            ...(format !== 'jsonl' && { position }),
            optional: optional && position > 0,
          }))
          const given = await cellsOf({ source, columns: chosen, tally, ...more } as TableOptions)
          assert.equal(given.length, tally.rows - tally.bad)
          for (const cells of given) {
            assert.equal(cells.length, 3)
            for (const value of cells) assert.ok(value === undefined || !value.includes('\0'))
          }
        },
        namesPlace,
      )
    })

    it('gzipped tables with changed bytes', () =>
      check(
        fc.tuple(rows, mutations),
        500,
        async ([table, changes]) => {
          const whole = gzipSync(['a\tb\tc', ...table.map((cells) => cells.join('\t'))].join('\n'))
          await cellsOf({ source: write('in.tsv.gz', mutate(whole, changes)), columns })
        },
        namesPlace,
      ))

    for (const codec of ['none', 'snappy', 'gzip']) {
      it(`Parquet (${codec}) with changed bytes`, async () => {
        const whole = readFileSync(join(__dirname, 'golden', `table-${codec}.parquet`))
        await check(
          mutations,
          400,
          async (changes) => {
            const source = write('in.parquet', mutate(whole, changes))
            await cellsOf({ source, columns: [{ names: ['text'] }], maxBadShare: 1 })
          },
          namesPlace,
        )
      })
    }
  })

  describe('SQuAD', () => {
    /** What comes before and after an answer, with characters of two UTF-16 units. */
    const piece = fc.string({ unit: fc.constantFrom('a', 'ü', ' ', '𝕏', '.', '"', '\\'), maxLength: 10 })
    const answered = fc
      .tuple(piece, piece, piece)
      .map(([before, answer, after]) => ({ before, answer: `[${answer}]`, after }))

    it('answers come back with their places, counted in code points', () =>
      check(fc.array(answered, { minLength: 1, maxLength: 4 }), 700, async (all) => {
        const paragraphs = all.map(({ before, answer, after }, i) => ({
          context: `${before}${answer}${after}`,
          qas: [{ id: `q${i}`, question: 'What?', answers: [{ text: answer, answer_start: [...before].length }] }],
        }))
        const file = write('in.json', JSON.stringify({ version: '1.1', data: [{ title: 't', paragraphs }] }))
        const { questions, contexts, bad } = await readSquad(file)
        assert.equal(bad, 0)
        questions.forEach(({ context, answers: [{ text, start }] }, i) => {
          assert.equal(text, all[i].answer)
          assert.equal(start, all[i].before.length)
          assert.equal(contexts[context].text.slice(start, start + text.length), text)
        })
      }))

    const answer = fc.record(
      { text: fc.oneof(fc.constantFrom('the', 'one'), odd), answer_start: fc.oneof(fc.nat(12), odd) },
      { requiredKeys: [] },
    )
    const question = fc.record(
      {
        id: fc.oneof(fc.constantFrom('a', 'b'), odd),
        question: fc.oneof(fc.constant('What?'), odd),
        answers: fc.oneof({ weight: 3, arbitrary: fc.array(answer, { maxLength: 2 }) }, odd),
        is_impossible: fc.oneof(fc.boolean(), odd),
      },
      { requiredKeys: [] },
    )
    const paragraph = fc.record(
      {
        context: fc.oneof(fc.constantFrom('the one 𝕏', ' ', 'one'), odd),
        qas: fc.oneof({ weight: 4, arbitrary: fc.array(fc.oneof(question, odd), { maxLength: 3 }) }, odd),
      },
      { requiredKeys: [] },
    )
    const root = fc.record(
      {
        version: fc.oneof(fc.constantFrom('1.1', 'v2.0', '2'), odd),
        data: fc.oneof(
          {
            weight: 6,
            arbitrary: fc.array(
              fc.record(
                {
                  title: odd,
                  paragraphs: fc.oneof(
                    { weight: 6, arbitrary: fc.array(fc.oneof(paragraph, odd), { maxLength: 2 }) },
                    odd,
                  ),
                },
                { requiredKeys: [] },
              ),
              { minLength: 1, maxLength: 2 },
            ),
          },
          odd,
        ),
      },
      { requiredKeys: [] },
    )
    const options = fc.record({ unlabelled: fc.boolean(), maxBadShare: fc.constantFrom(0, 0.5, 1) })
    const namesQuestion = (error: StrataError) => {
      assert.match(error.message, /in\.json/)
      if (error.code === 'BAD_DATA') assert.match(error.message, /question|paragraph/)
    }

    it('files of odd values: every question is given or counted', () =>
      check(
        fc.tuple(root, options),
        1300,
        async ([value, more]) => {
          const set = await readSquad(write('in.json', JSON.stringify(value)), more)
          assert.equal(set.questions.length + set.bad, set.entries)
          for (const { context, answers } of set.questions)
            for (const { text, start } of answers) assert.ok(set.contexts[context].text.startsWith(text, start))
        },
        namesQuestion,
      ))

    it('files with changed bytes', () => {
      const qas = [{ id: 'q', question: 'What?', answers: [{ text: 'one', answer_start: 4 }], is_impossible: false }]
      const whole = Buffer.from(
        JSON.stringify({ version: 'v2.0', data: [{ title: 't', paragraphs: [{ context: 'the one', qas }] }] }),
      )
      return check(mutations, 700, (changes) => readSquad(write('in.json', mutate(whole, changes))), namesQuestion)
    })
  })

  describe('tagged sentences', () => {
    const form = cell.map((text) => text || 'x')
    const tag = fc.constantFrom('NOUN', 'VERB', '_')
    const sentence = fc.array(fc.tuple(form, tag), { minLength: 1, maxLength: 5 })
    const row = (number: string, word: string, mark: string) =>
      [number, word, '_', mark, ...Array(6).fill('_')].join('\t')

    async function read(file: string, tally?: RowTally, maxBadShare?: number): Promise<TaggedWords[]> {
      const all: TaggedWords[] = []
      for await (const block of readConlluTags(file, { tally, maxBadShare })) all.push(...block)
      return all
    }

    it('words and tags come back as they were, without ranges and empty nodes', () =>
      check(fc.array(sentence, { minLength: 1, maxLength: 4 }), 700, async (sentences) => {
        const blocks = sentences.map((words) =>
          [
            '# text = x',
            row('1-2', 'both', '_'),
            ...words.map(([word, mark], i) => row(String(i + 1), word, mark)),
            row('1.1', 'no', '_'),
            '',
          ].join('\n'),
        )
        const found = await read(write('in.conllu', `${blocks.join('\n')}\n`))
        assert.deepEqual(
          found.map(({ words, tags }) => words.map((word, i) => [word, tags[i] ?? '_'])),
          sentences,
        )
      }))

    it('any lines: every sentence is given or counted', () => {
      const line = fc.oneof(
        {
          weight: 3,
          arbitrary: fc
            .tuple(fc.constantFrom('1', '2', '3', '1-2', '2.1', 'x', ''), cell, tag)
            .map(([n, word, mark]) => row(n, word, mark)),
        },
        fc.constantFrom('', '# comment', '\r', '1\tword', '\ufeff', '1\tword\t_\tNOUN\t_\t_\t_\t_\t_\t_\textra'),
        fc.string({ unit: 'binary', maxLength: 20 }),
      )
      const text = fc.array(line, { maxLength: 10 }).map((lines) => Buffer.from(lines.join('\n')))
      const content = fc.oneof(
        { weight: 3, arbitrary: text },
        fc.tuple(text, mutations).map(([bytes, changes]) => mutate(bytes, changes)),
      )
      return check(
        fc.tuple(content, fc.constantFrom(0, 0.5, 1)),
        1000,
        async ([bytes, maxBadShare]) => {
          const file = write('in.conllu', bytes)
          const tally = new RowTally(file)
          const found = await read(file, tally, maxBadShare)
          assert.equal(found.length, tally.rows - tally.bad)
          for (const { words, tags } of found) {
            assert.equal(words.length, tags.length)
            assert.ok(words.every((word) => word !== ''))
          }
        },
        namesPlace,
      )
    })
  })

  describe('task definitions', () => {
    const column = fc.oneof(fc.constantFrom<unknown>('text', 'label', 'a', 0, 1, ['text'], ['text', 'a'], [0, 1]), odd)
    const definition = fc.record(
      {
        kind: fc.oneof(fc.constantFrom('classification', 'regression', 'ranking', 'span', 'tagging'), odd),
        text: column,
        label: column,
        labels: fc.oneof(fc.constantFrom(['x', 'y'], ['x', 'x'], ['y'], ['0', '1']), odd),
        range: fc.oneof(fc.constantFrom([0, 5], [5, 0]), odd),
        metrics: fc.oneof(fc.constantFrom(['accuracy'], ['f1'], ['pearson'], ['spanF1'], ['exactMatch']), odd),
        format: fc.oneof(fc.constantFrom('tsv', 'csv', 'jsonl', 'parquet'), odd),
        delimiter: fc.oneof(fc.constantFrom(',', '\t', '"', '\n'), odd),
        header: fc.oneof(fc.boolean(), odd),
        noLabel: fc.oneof(fc.constantFrom(['x'], ['y', 'x']), odd),
        hypothesisFirst: fc.boolean(),
        question: column,
        candidate: column,
        group: column,
        words: column,
        tags: column,
        stride: fc.oneof(fc.nat(500), odd),
        targetDivisor: fc.oneof(fc.constantFrom(5, 1e-300), odd),
      },
      { requiredKeys: [] },
    )
    const head = fc.record(
      {
        kind: fc.oneof(fc.constantFrom('auto', 'classifier', 'san', 'span'), odd),
        layer: fc.oneof(fc.nat(6), odd),
        mix: fc.oneof(fc.constant('m'), odd),
        dropout: odd,
      },
      { requiredKeys: [] },
    )
    const task = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record(
          {
            definition: fc.oneof({ weight: 6, arbitrary: definition }, odd),
            use: fc.constantFrom('rte', 'squad', 'none'),
            head,
            devShare: odd,
            fraction: odd,
          },
          { requiredKeys: [] },
        ),
      },
      odd,
    )
    const name = fc.constantFrom('mine', 'rte', 'mlm', '__proto__', 'constructor', 'a b', '')

    it('in a recipe: a rejection names the key', () =>
      check(
        fc.dictionary(name, task, { maxKeys: 2, noNullPrototype: true }),
        1500,
        (tasks) => {
          const data = Object.fromEntries(Object.keys(tasks).map((slot) => [slot, 'x.csv']))
          const text = JSON.stringify({ extends: 'fine-tune', init: 'x', budget: { steps: 1 }, tasks, data })
          const recipe = resolveRecipe(parseRecipeText(text, 'recipe.json').values, { label: 'recipe.json' })
          for (const each of Object.keys(recipe.tasks)) assert.equal(typeof taskDefinition(recipe, each).kind, 'string')
        },
        ({ code, message }) => {
          assert.equal(code, 'BAD_RECIPE')
          assert.match(message, /tasks|data|heads|task /)
        },
      ))

    it('opened with small data: an opened task or a refusal that names the task or the file', async () => {
      const tokenizer = Tokenizer.fromVocabulary(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'the', 'one', 'x', 'y'])
      write('in.csv', 'text,a,label\nthe one,the,x\none,y,y\nthe,"x, y",x\n')
      write('in.tsv', 'the\tone\tx\none\ty\ty\n')
      const columns = fc.record({
        text: fc.constantFrom<any>('text', 'text', 'a', ['text', 'a'], 'none', 0, 1, 7, [0, 1]),
        label: fc.constantFrom<any>('label', 'label', 'label', 2, 2, 'none', 9),
      })
      const odds = fc.record({
        kind: fc.constantFrom('classification', 'regression'),
        labels: fc.constantFrom(['x', 'y'], ['x', 'z'], ['x'], ['a', 'b', 'c']),
        range: fc.constantFrom<any>([0, 5], [5, 0]),
        metrics: fc.constantFrom(['accuracy'], ['f1'], ['pearson'], ['none']),
        delimiter: fc.constantFrom(',', ';', '\t'),
        header: fc.boolean(),
        noLabel: fc.constantFrom(['x'], ['y']),
        hypothesisFirst: fc.boolean(),
      })
      const some = fc.subarray(
        ['kind', 'labels', 'range', 'metrics', 'delimiter', 'header', 'noLabel', 'hypothesisFirst'] as const,
        { maxLength: 2 },
      )
      // At most two of them at once: most definitions open.
      const usual = fc
        .tuple(columns, odds, some)
        .map(
          ([named, all, keys]): CustomTask =>
            ({ ...named, ...Object.fromEntries(keys.map((key) => [key, all[key]])) }) as CustomTask,
        )
      let openedCount = 0
      const more = fc.record({
        devShare: fc.constantFrom(undefined, 0.5, 1, 2, 3, 7),
        fraction: fc.constantFrom(undefined, 0.01, 0.7),
        sequenceTokens: fc.constantFrom(undefined, 3, 4, 8),
        split: fc.boolean(),
        file: fc.constantFrom('in.csv', 'in.tsv'),
      })
      await check(
        fc.tuple(usual, more),
        400,
        async ([custom, { file, split, ...options }]) => {
          const path = join(folder, file)
          const data = split ? { train: path, dev: path } : path
          const opened = await openTask({
            definition: customDefinition('mine', custom),
            data,
            tokenizer,
            seed: 1,
            ...options,
          })
          openedCount++
          for (const set of [opened.train, ...Object.values(opened.evaluation)]) {
            if (!set) continue
            let count = 0
            for (let index = 0; index < set.batchCount(0); index++) count += set.exampleNumbers(0, index).length
            assert.equal(count, set.examples)
          }
        },
        ({ message }) => assert.match(message, /task mine|in\.[ct]sv/),
      )
      assert.ok(openedCount > 20, `${openedCount} opened`)
    })
  })

  // In a suite of its own: a suite's tests run before those of the suites inside it.
  describe('altogether', () => {
    it(`at least ${10_000 * fuzzing.factor} cases ran, and a good part of them was refused`, function () {
      if (fuzzing.cases === 0) this.skip() // only this test was chosen
      fuzzing.ranAtLeast(10_000)
    })
  })
})
