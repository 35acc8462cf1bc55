import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import * as zlib from 'node:zlib'
import fc from 'fast-check'
import { RowTally, readTable, type TableOptions, type TableRow } from '../lib/data/table-reader.js'
import { refuses } from './helpers/refuses.js'

const GOLDEN = resolve(__dirname, 'golden')

describe('Table reader', () => {
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-tables-'))
  })
  after(() => rmSync(folder, { recursive: true }))

  let files = 0
  function file(content: string | Buffer, ending: string): string {
    const path = join(folder, `table-${files++}.${ending}`)
    writeFileSync(path, content)
    return path
  }
  async function rowsOf(options: TableOptions): Promise<TableRow[]> {
    const rows: TableRow[] = []
    for await (const block of readTable(options)) rows.push(...block)
    return rows
  }
  const named = (...names: string[]) => names.map((name) => ({ names: [name] }))

  it('takes TSV columns by name: quotes are plain, the byte-order mark and carriage returns go', async () => {
    const source = file('\ufeffid\ttext\tlabel\r\n1\t"half a quote\tyes\r\n\r\n2\ta "b" c\u2028d\t\r\n', 'tsv')
    const tally = new RowTally(source)
    const rows = await rowsOf({ source, columns: named('label', 'text'), tally })
    assert.deepEqual(rows, [
      { line: 2, cells: ['yes', '"half a quote'] },
      { line: 4, cells: ['', 'a "b" c\u2028d'] },
    ])
    assert.deepEqual([tally.rows, tally.bad, tally.blankLines], [2, 0, 1])
  })

  it('takes the first of several names, and nothing for an optional column that is not there', async () => {
    const source = file('sentence2\tsentence1\ttext\na\tb\tc\n', 'tsv')
    const columns = [{ names: ['text1', 'sentence1', 'text'] }, { names: ['score'], optional: true }]
    assert.deepEqual(await rowsOf({ source, columns }), [{ line: 2, cells: ['b', undefined] }])
  })

  it('takes columns by place where the table has no header, and detects which it is', async () => {
    const plain = file('s\t1\t*\tone\ns\t0\t\ttwo\n', 'tsv')
    const headed = file('sentence\tlabel\none\t1\n', 'tsv')
    const columns = [
      { names: ['sentence'], position: 3 },
      { names: ['label'], position: 1 },
    ]
    const expected = ['one', '1']
    assert.deepEqual((await rowsOf({ source: plain, columns, header: 'detect' }))[0], { line: 1, cells: expected })
    assert.deepEqual((await rowsOf({ source: headed, columns, header: 'detect' }))[0], { line: 2, cells: expected })
    assert.equal((await rowsOf({ source: plain, columns, header: false })).length, 2)
    await assert.rejects(
      rowsOf({ source: headed, columns: [{ position: 2 }], header: false }),
      refuses('BAD_DATA', `${headed}:1`, 'number 2', '"sentence", "label"'),
    )
  })

  it('reads CSV as RFC 4180 says', async () => {
    const text = 'a,b\r\n"x, ""y""","line\r\nbreak"\r\n,\r\nplain "quote",z\r\n"q",""\r\n'
    const rows = await rowsOf({ source: file(text, 'csv'), columns: named('a', 'b') })
    assert.deepEqual(rows, [
      { line: 2, cells: ['x, "y"', 'line\nbreak'] },
      { line: 4, cells: ['', ''] },
      { line: 5, cells: ['plain "quote"', 'z'] },
      { line: 6, cells: ['q', ''] },
    ])
    const semicolons = file('a;b\n1;"2;3"\n', 'csv')
    assert.deepEqual((await rowsOf({ source: semicolons, columns: named('b'), delimiter: ';' }))[0].cells, ['2;3'])
  })

  it('gives back every CSV table that was written with quotes', async () => {
    const cell = fc.string({ unit: fc.constantFrom('"', ',', '\n', 'a', ' ', '\u00e9', '\u{1F600}') })
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(cell, cell), { minLength: 1 }), async (table) => {
        const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`
        const source = file(table.map(([a, b]) => `${quoted(a)},${quoted(b)}`).join('\n'), 'csv')
        const rows = await rowsOf({ source, columns: [{ position: 0 }, { position: 1 }], header: false })
        assert.deepEqual(
          rows.map((row) => row.cells),
          table,
        )
      }),
      { numRuns: 50 },
    )
  })

  it('names the place of a quote that nobody closes', async () => {
    const source = file('a,b\n1,2\n3,"4\n5,6\n', 'csv')
    await assert.rejects(rowsOf({ source, columns: named('a') }), refuses('BAD_DATA', `${source}:3`, 'not closed'))
    const long = file(`a,b\n1,"${'x\n'.repeat(600_000)}`, 'csv')
    await assert.rejects(rowsOf({ source: long, columns: named('a') }), refuses('BAD_DATA', `${long}:2`))
  })

  it('reads JSON lines: numbers and booleans become text, lists stay lists', async () => {
    const source = file(
      '{"text": "a", "label": 2, "words": ["x", "y"]}\n\n{"label": true, "text": "b", "words": []}\n',
      'jsonl',
    )
    const columns = [...named('text', 'label'), { names: ['words'], list: true }]
    assert.deepEqual(await rowsOf({ source, columns }), [
      { line: 1, cells: ['a', '2', undefined], lists: [undefined, undefined, ['x', 'y']] },
      { line: 3, cells: ['b', 'true', undefined], lists: [undefined, undefined, []] },
    ])
  })

  it('counts bad rows, shows the first five with file and line, and refuses beyond a share', async () => {
    const good = Array.from({ length: 94 }, (_, i) => `text ${i}\t1`)
    const bad = ['one cell', 'a\tb\tc', 'nul \0\t1', '', '\t', `${'x'.repeat(2 ** 20 + 1)}\t1`]
    const bytes = Buffer.concat([
      Buffer.from(['text\tlabel', ...good, ...bad].join('\n')),
      Buffer.from('\ncaf\xe9\t1\n', 'latin1'),
    ])
    const source = file(bytes, 'tsv')
    const tally = new RowTally(source)
    const rows = await rowsOf({ source, columns: named('text', 'label'), tally })
    assert.equal(rows.length, 95)
    assert.deepEqual([tally.rows, tally.bad, tally.blankLines], [100, 5, 1])
    assert.deepEqual(
      tally.problems.map(({ line }) => line),
      [96, 97, 98, 101, 102],
    )
    assert.match(
      tally.shown(),
      /:96: 1 columns, 2 were expected\n.*:97: 3 columns.*\n.*NUL.*\n.*characters.*\n.*:102: invalid UTF-8/,
    )
    await assert.rejects(
      rowsOf({ source, columns: named('text', 'label'), maxBadShare: 0.049 }),
      refuses('BAD_DATA', '5 of 100 rows', `${source}:96: 1 columns, 2 were expected`),
    )
  })

  it('counts rows that the caller rejects', async () => {
    const source = file('text\na\nb\nc\nd\n', 'tsv')
    const tally = new RowTally(source)
    const reading = (async () => {
      for await (const rows of readTable({ source, columns: named('text'), tally }))
        tally.reject(rows[1].line, 'no good')
    })()
    await assert.rejects(reading, refuses('BAD_DATA', '1 of 4 rows', `${source}:3: no good`))
  })

  it('names the columns there are when one is missing', async () => {
    const columns = named('text', 'stars')
    const tsv = file('text\tlabel\na\t1\n', 'tsv')
    await assert.rejects(
      rowsOf({ source: tsv, columns }),
      refuses('BAD_DATA', `${tsv}:1`, '"stars"', '"text", "label"'),
    )
    const json = file('{"text": "a", "label": 1}\n', 'jsonl')
    await assert.rejects(
      rowsOf({ source: json, columns }),
      refuses('BAD_DATA', `${json}:1`, '"stars"', '"text", "label"'),
    )
    const parquet = join(GOLDEN, 'table-snappy.parquet')
    await assert.rejects(
      rowsOf({ source: parquet, columns }),
      refuses('BAD_DATA', '"stars"', '"text", "label", "small"'),
    )
  })

  it('counts broken JSON lines', async () => {
    const lines = [
      '{"text": "a"}',
      '{"text": ',
      '[1]',
      '{"other": 1}',
      '{"text": {"b": 1}}',
      '{"text": null}',
      '{"text": "a\\u0000"}',
    ]
    const source = file(lines.join('\n'), 'jsonl')
    const tally = new RowTally(source)
    await rowsOf({ source, columns: named('text'), tally, maxBadShare: 1 })
    assert.deepEqual([tally.rows, tally.bad], [7, 6])
    assert.match(
      tally.shown(),
      /:2: no JSON[\s\S]*:3: \[1\]; a JSON object[\s\S]*:4: .*is missing[\s\S]*:5: .*an object[\s\S]*:6: .*is null\n {2}and 1 more/,
    )
  })

  it('unpacks gzip and refuses an unknown ending', async () => {
    const source = file(zlib.gzipSync('text\na\n'), 'tsv.gz')
    assert.deepEqual(await rowsOf({ source, columns: named('text') }), [{ line: 2, cells: ['a'] }])
    await assert.rejects(
      rowsOf({ source: file('x', 'dat'), columns: named('x') }),
      refuses('BAD_ARGUMENT', 'tsv, csv, jsonl, parquet'),
    )
    await assert.rejects(
      rowsOf({ source: join(folder, 'none.tsv'), columns: named('x') }),
      refuses('NOT_FOUND', 'none.tsv'),
    )
  })

  const codecs = ['snappy', 'gzip', 'brotli', 'none']
  if ('zstdDecompressSync' in zlib) codecs.push('zstd')
  for (const codec of codecs) {
    it(`reads Parquet (${codec}), row group after row group`, async () => {
      const source = join(GOLDEN, `table-${codec}.parquet`)
      const tally = new RowTally(source)
      const columns = [...named('text', 'label', 'small', 'score', 'good'), { names: ['tokens'], list: true }]
      const rows = await rowsOf({ source, columns, tally })
      assert.equal(rows.length, 299)
      assert.deepEqual(tally.problems, [{ line: 8, problem: 'column "text" is null' }])
      const row = rows[298]
      assert.equal(row.line, 300)
      assert.deepEqual(row.cells.slice(0, 5), [
        'row 299: caf\u00e9 \u4e2d \u{1F600} "quoted"',
        '2',
        '2',
        '74.75',
        'false',
      ])
      assert.deepEqual(row.lists![5], ['t0', 't1', 't2'])
    })
  }

  it('finds invalid UTF-8 and damage in Parquet', async () => {
    const tally = new RowTally('t')
    const source = join(GOLDEN, 'table-invalid-utf8.parquet')
    const rows = await rowsOf({ source, columns: named('text'), tally, maxBadShare: 0.5 })
    assert.deepEqual(
      rows.map(({ line }) => line),
      [1, 3],
    )
    assert.deepEqual(tally.problems, [{ line: 2, problem: 'column "text" holds invalid UTF-8' }])
    const bytes = readFileSync(join(GOLDEN, 'table-snappy.parquet'))
    for (const damaged of [bytes.subarray(0, 2000), Buffer.from('text\na\n'), Buffer.alloc(0)]) {
      await assert.rejects(
        rowsOf({ source: file(damaged, 'parquet'), columns: named('text') }),
        refuses('BAD_FILE', 'Parquet'),
      )
    }
    if (!('zstdDecompressSync' in zlib)) {
      const zstd = join(GOLDEN, 'table-zstd.parquet')
      await assert.rejects(
        rowsOf({ source: zstd, columns: named('text') }),
        refuses('UNSUPPORTED', 'zstd', 'snappy or gzip'),
      )
    }
  })
})
