import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import {
  emptyReadStatistics,
  parseOrigins,
  type ReadOptions,
  type ReadStatistics,
  readDocuments,
  type TextDocument,
} from '../lib/data/index.js'
import { StrataError, type StrataErrorCode } from '../lib/errors.js'

describe('Document reader', () => {
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-reader-'))
  })
  after(() => rmSync(folder, { recursive: true }))

  function write(name: string, content: string | Buffer): string {
    const path = join(folder, name)
    writeFileSync(path, content)
    return path
  }

  async function read(
    path: string,
    options: Partial<ReadOptions> = {},
  ): Promise<{ documents: TextDocument[]; statistics: ReadStatistics }> {
    const statistics = emptyReadStatistics()
    const documents: TextDocument[] = []
    for await (const document of readDocuments({ inputs: [path], statistics, ...options })) documents.push(document)
    return { documents, statistics }
  }

  async function refused(
    path: string,
    code: StrataErrorCode,
    message: RegExp,
    options: Partial<ReadOptions> = {},
  ): Promise<void> {
    await assert.rejects(read(path, options), (error) => {
      assert.ok(error instanceof StrataError, String((error as Error).stack))
      assert.equal(error.code, code, error.message)
      assert.match(error.message, message)
      assert.ok(error.message.includes(path), error.message)
      return true
    })
  }

  const TITLED = '= One =\nFirst paragraph.\nA heading.\nSecond.\n\n= Two =\n\n= Three (3) =\n= not a title =\nText.\n'

  it('reads titles and paragraphs; counts empty documents', async () => {
    const path = write('titled.txt', TITLED)
    const { documents, statistics } = await read(path)
    assert.deepEqual(documents, [
      { title: 'One', paragraphs: ['First paragraph.', 'A heading.', 'Second.'], source: path, line: 1 },
      { title: 'Three (3)', paragraphs: ['= not a title =', 'Text.'], source: path, line: 8 },
    ])
    assert.deepEqual(statistics, {
      files: 1,
      bytes: TITLED.length,
      lines: 10,
      documents: 2,
      emptyDocuments: 1,
      paragraphs: 5,
      characters: 53,
      replacedLines: 0,
      cutDocuments: 0,
    })
  })

  it('reads WikiText, whose articles hold blank lines and marked headings', async () => {
    const path = write(
      'wiki.tokens',
      ' \n = Robert = \n \n Robert is a man . \n \n = = Life = = \n \n He lives . \n \n = = = Late = = = \n He is old . \n \n = Next = \n \n Text . \n',
    )
    const { documents } = await read(path)
    assert.deepEqual(
      documents.map(({ title, paragraphs }) => [title, ...paragraphs]),
      [
        ['Robert', 'Robert is a man .', 'Life', 'He lives .', 'Late', 'He is old .'],
        ['Next', 'Text .'],
      ],
    )
  })

  it('reads plain text and JSON lines, each also gzipped, with BOM, CRLF and without a last line feed', async () => {
    const plain = 'First line.\nSecond line.\n\n\n \nOther document.'
    const jsonl = '{"text":"First line.\\nSecond line."}\n\n{"text":"  "}\n{"title":"T","text":"Other document."}'
    const expected = [['First line.', 'Second line.'], ['Other document.']]
    for (const [name, text] of Object.entries({
      'plain.txt': plain,
      'lines.jsonl': jsonl,
      'lines-by-content.txt': jsonl,
    })) {
      for (const bom of ['', '\ufeff']) {
        for (const lineEnd of ['\n', '\r\n']) {
          const content = Buffer.from(bom + text.replaceAll('\n', lineEnd))
          for (const path of [
            write(name, content),
            write(`${name}.gz`, gzipSync(content)),
            write(`packed-${name}`, gzipSync(content)),
          ]) {
            const { documents, statistics } = await read(path)
            assert.deepEqual(
              documents.map(({ paragraphs }) => paragraphs),
              expected,
              path,
            )
            assert.equal(statistics.emptyDocuments, name.startsWith('lines') ? 1 : 0)
            assert.equal(documents[1].line, name.startsWith('lines') ? 4 : 6)
            assert.equal(documents[1].title, name.startsWith('lines') ? 'T' : undefined)
          }
        }
      }
    }
    const twoMembers = Buffer.concat([gzipSync('First line.\nSec'), gzipSync('ond line.\n\nOther document.')])
    assert.deepEqual(
      (await read(write('members.gz', twoMembers))).documents.map(({ paragraphs }) => paragraphs),
      expected,
    )
  })

  it('takes a given format and field', async () => {
    const path = write('given.txt', TITLED)
    assert.equal((await read(path, { format: 'plain' })).documents[0].paragraphs[0], '= One =')
    const json = write('field.json', '{"body":"Text.","text":5}\n')
    assert.deepEqual((await read(json, { textField: 'body' })).documents[0].paragraphs, ['Text.'])
    assert.deepEqual((await read(json, { format: 'plain' })).documents[0].paragraphs, ['{"body":"Text.","text":5}'])
    await refused(json, 'BAD_DATA', /:1: "text" is no string but number/)
  })

  it('knows CoNLL-U by its name, else by its first lines', async () => {
    const rows = '1\tIt\t_\t_\t_\t_\t2\tnsubj\t_\t_\n2\trained\t_\t_\t_\t_\t0\troot\t_\t_\n\n'
    const parsed: [name: string, content: string][] = [
      ['treebank.conll', rows],
      ['treebank.txt', `\n# A treebank of ours\n# sent_id = 1\n${rows}`],
      ['windows.tsv', `\ufeff# letters\n${rows}`.replaceAll('\n', '\r\n')],
      ['treebank', rows],
    ]
    for (const [name, content] of parsed) {
      for (const path of [write(name, content), write(`${name}.gz`, gzipSync(content))]) {
        const { documents, statistics } = await read(path)
        assert.deepEqual(
          documents.map(({ paragraphs, sentences }) => [paragraphs, sentences?.length]),
          [[['It rained'], 1]],
          path,
        )
        assert.equal(statistics.bytes, readFileSync(path).length)
        assert.equal((await parseOrigins([path])).length, 1)
      }
    }
    const texts: [name: string, content: string, options?: Partial<ReadOptions>][] = [
      ['notes.txt', '# Notes\n\nIt rained.\n'],
      ['numbered.txt', '3\tItems were sold.\n'],
      ['hashes.txt', '# a\n'.repeat(1000) + rows],
      ['asked.txt', rows, { format: 'plain' }],
    ]
    for (const [name, content, options] of texts) {
      const path = write(name, content)
      const { documents } = await read(path, options)
      assert.ok(documents.length > 0 && documents.every(({ sentences }) => sentences === undefined), name)
      assert.deepEqual(await parseOrigins([path], options?.format), [], name)
    }
    assert.deepEqual(await parseOrigins([folder]), [], 'a folder is no file')
    await refused(write('ner.conll', 'EU NNP B-NP B-ORG\n'), 'BAD_DATA', /1 columns, 10 were expected/)
  })

  it('reads several files in order, each with its own format', async () => {
    const inputs = [write('a.jsonl', '{"text":"A."}\n'), write('b.txt', 'B.\n'), write('c.txt', '= C =\nC.\n')]
    const { documents, statistics } = await read('', { inputs })
    assert.deepEqual(
      documents.map(({ paragraphs }) => paragraphs[0]),
      ['A.', 'B.', 'C.'],
    )
    assert.equal(statistics.files, 3)
  })

  it('reads a line of 10 MB and cuts an overlong document between paragraphs', async function () {
    this.timeout(30_000)
    const line = 'Some words of a line. '.repeat(500_000).slice(0, 10_000_000).trimEnd()
    const { documents } = await read(write('long.txt', `${line}\n\nNext.\n`))
    assert.equal(documents.length, 2)
    assert.ok(documents[0].paragraphs[0] === line)
    const many = await read(write('many.txt', `${line}\n${line}\n${line}\n\nNext.\n`))
    assert.deepEqual(
      many.documents.map(({ paragraphs, line }) => [paragraphs.length, line]),
      [
        [1, 1],
        [1, 2],
        [1, 3],
        [1, 5],
      ],
    )
    assert.equal(many.statistics.cutDocuments, 1)
    await refused(write('endless.txt', Buffer.alloc(40 * 1024 * 1024, 'x')), 'BAD_DATA', /:1: the line is longer/)
  })

  it('refuses damaged and hostile files, naming file and line', async () => {
    const far = 'A line of text.\n'.repeat(100_000)
    await refused(join(folder, 'missing.txt'), 'NOT_FOUND', /does not exist/)
    await refused(folder, 'BAD_FILE', /folder/)
    await refused(write('empty.txt', ''), 'BAD_FILE', /is empty/)
    await refused(write('blank.txt', '\n \n\t\r\n'), 'BAD_DATA', /no usable document/)
    await refused(write('bom-only.txt', '\ufeff'), 'BAD_DATA', /no usable document/)
    await refused(write('titles-only.txt', '= A =\n\n= B =\n'), 'BAD_DATA', /no usable document \(2 empty/)
    await refused(write('nul.txt', `${far}a\0b\n`), 'BAD_DATA', /:100001: a NUL byte/)
    await refused(
      write('utf8.txt', Buffer.concat([Buffer.from(far), Buffer.from([0x61, 0xff, 10])])),
      'BAD_DATA',
      /:100001: invalid UTF-8/,
    )
    await refused(write('cut-utf8.txt', Buffer.from('Ünder ü').subarray(0, -1)), 'BAD_DATA', /:1: invalid UTF-8/)
    await refused(write('utf16.txt', Buffer.from('\ufeffText.', 'utf16le')), 'BAD_DATA', /UTF-16/)
    await refused(write('fake.txt.gz', 'plain text'), 'BAD_FILE', /not gzipped/)
    const packed = gzipSync(far)
    await refused(write('cut.gz', packed.subarray(0, packed.length - 20)), 'BAD_FILE', /damaged or cut gzip/)
    const flipped = Buffer.from(packed)
    flipped[flipped.length - 6] ^= 1
    await refused(write('flipped.gz', flipped), 'BAD_FILE', /damaged or cut gzip/)
    await refused(write('bad.jsonl', '{"text":"a"}\n{"text":\n'), 'BAD_DATA', /:2: is no JSON/)
    await refused(write('list.jsonl', '["a"]\n'), 'BAD_DATA', /:1: holds \["a"\]/)
    await refused(write('missing.jsonl', '{"texts":"a"}\n'), 'BAD_DATA', /:1: "text" is missing.*texts/)
    await refused(write('null.jsonl', '{"text":null}\n'), 'BAD_DATA', /null/)
    await refused(write('nul.jsonl', '{"text":"a\\u0000b"}\n'), 'BAD_DATA', /:1:.*NUL/)
    await refused(write('surrogate.jsonl', '{"text":"a\\ud800b"}\n'), 'BAD_DATA', /:1:.*surrogate/)
    await refused(write('proto.jsonl', '{"title":"x"}\n'), 'BAD_DATA', /"toString" is missing/, {
      textField: 'toString',
    })
    await refused(write('ok.txt', 'x\n'), 'ABORTED', /stopped/, { signal: AbortSignal.abort() })
    for (const options of [{ format: 'xml' }, { invalidUtf8: 'drop' }, { textField: '' }, { inputs: [] }]) {
      await assert.rejects(read(join(folder, 'ok.txt'), options as never), { code: 'BAD_ARGUMENT' })
    }
  })

  it('replaces invalid UTF-8 on request and counts the lines', async () => {
    const path = write(
      'replace.txt',
      Buffer.concat([
        Buffer.from('a'),
        Buffer.from([0xff]),
        Buffer.from('b\nok\n'),
        Buffer.from([0xc3]),
        Buffer.from('\n'),
      ]),
    )
    const { documents, statistics } = await read(path, { invalidUtf8: 'replace' })
    assert.deepEqual(documents[0].paragraphs, ['a\ufffdb', 'ok', '\ufffd'])
    assert.equal(statistics.replacedLines, 2)
    const json = await read(write('replace.jsonl', '{"text":"a\\ud800b"}\n'), { invalidUtf8: 'replace' })
    assert.deepEqual(json.documents[0].paragraphs, ['a\ufffdb'])
    assert.equal(json.statistics.replacedLines, 1)
  })

  it('gives documents or a typed error for any bytes', async function () {
    this.timeout(120_000)
    const path = join(folder, 'fuzz')
    const pieces = [
      '= A =\n',
      '\n',
      '\r\n',
      '{"text":"',
      '"}',
      'word ',
      '\\n',
      '\\u',
      '=',
      ' ',
      '\ufeff',
      'é',
      '\0',
      '{',
      '[',
      '\x1f\x8b\x08',
      '\xff',
    ]
    let good = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...pieces), { maxLength: 12 }),
        fc.constantFrom('latin1' as const, 'utf8' as const),
        fc.constantFrom('auto' as const, 'titled' as const, 'plain' as const, 'jsonl' as const),
        fc.constantFrom('error' as const, 'replace' as const),
        async (parts, encoding, format, invalidUtf8) => {
          writeFileSync(path, Buffer.from(parts.join(''), encoding))
          try {
            const { documents, statistics } = await read(path, { format, invalidUtf8 })
            assert.ok(documents.length > 0 && documents.length === statistics.documents)
            for (const { paragraphs } of documents) {
              assert.ok(paragraphs.length > 0)
              for (const paragraph of paragraphs)
                assert.ok(paragraph.trim() === paragraph && paragraph !== '' && !paragraph.includes('\n'))
            }
            good++
          } catch (error) {
            assert.ok(error instanceof StrataError, String((error as Error).stack))
            assert.equal(error.exitCode, 2, error.message)
          }
        },
      ),
      { numRuns: 3000, seed: 24 },
    )
    assert.ok(good > 600, `${good} could be read`)
  })
})
