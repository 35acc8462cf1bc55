import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { gunzipSync, gzipSync } from 'node:zlib'
import { type ChunkRecord, chunkSentence, parseConllu, RawSentences, RELATION_PRESETS } from '../lib/text/index.js'
import { runHere } from './helpers/cli-here.js'
import { runCli } from './helpers/cli-process.js'

/** A multi-word token, an empty node, comments, all ten columns, CR LF on demand. */
const PARSED = [
  '# sent_id = one',
  "# text = The dog's owner saw it.",
  '1\tThe\tthe\tDET\tDT\tDefinite=Def\t4\tdet\t_\t_',
  "2-3\tdog's\t_\t_\t_\t_\t_\t_\t_\t_",
  '2\tdog\tdog\tNOUN\tNN\tNumber=Sing\t4\tnmod:poss\t4:nmod:poss\t_',
  "3\t's\t's\tPART\tPOS\t_\t2\tcase\t_\t_",
  '4\towner\towner\tNOUN\tNN\t_\t5\tnsubj\t_\tEntity=(e1)',
  '5\tsaw\tsee\tVERB\tVBD\t_\t0\troot\t_\tChunk=9:other|Note=old',
  '5.1\tseen\tsee\tVERB\t_\t_\t_\t_\t0:root\t_',
  '6\tit\tit\tPRON\tPRP\t_\t5\tobj\t_\tSpaceAfter=No',
  '7\t.\t.\tPUNCT\t.\t_\t5\tpunct\t_\t_',
  '',
  '# sent_id = two',
  '1\tRain\train\tNOUN\tNN\t_\t_\t_\t_\t_',
  '2\tagain\tagain\tADV\tRB\t_\t_\t_\t_\t_',
  '',
  '',
].join('\n')

describe('stratabert chunk', function () {
  this.timeout(30_000)
  let folder: string
  let input: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-chunk-'))
    input = join(folder, 'in.conllu')
    writeFileSync(input, PARSED)
  })
  after(() => rmSync(folder, { recursive: true }))

  const records = (text: string): ChunkRecord[] =>
    text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))

  it('writes a JSON object a line: chunks, and relations where there is a parse', async () => {
    const { code, stdout, stderr } = await runHere('chunk', '--input', input)
    assert.equal(code, 0)
    const [first, second] = records(stdout)
    assert.deepEqual(first, {
      id: 'one',
      text: "The dog's owner saw it.",
      words: ['The', 'dog', "'s", 'owner', 'saw', 'it', '.'],
      parsed: true,
      chunks: [
        { kind: 'nominal', start: 0, end: 4, head: 3 },
        { kind: 'verbal', start: 4, end: 5, head: 4 },
        { kind: 'nominal', start: 5, end: 6, head: 5 },
        { kind: 'marker', start: 6, end: 7, head: 6 },
      ],
      relations: { subj: [[0, 1]], obj: [[2, 1]], nmod: [], obl: [] },
    })
    assert.deepEqual(second, {
      id: 'two',
      text: 'Rain again',
      words: ['Rain', 'again'],
      parsed: false,
      chunks: [
        { kind: 'nominal', start: 0, end: 1, head: 0 },
        { kind: 'other', start: 1, end: 2, head: 1 },
      ],
      relations: {},
    })
    assert.match(
      stderr,
      /2 sentences, 9 words, 6 chunks; relations: subj 1, obj 1, nmod 0, obl 0; 1 sentences without a parse/,
    )
  })

  it('marks the last column of CoNLL-U and leaves every other byte as it was', async () => {
    const output = join(folder, 'out.conllu')
    const { code, stdout } = await runHere('chunk', '--input', input, '--output', output)
    assert.deepEqual([code, stdout], [0, ''])
    const written = readFileSync(output, 'utf8')
    const misc = written.split('\n').flatMap((line) => (line.includes('\t') ? [line.split('\t')[9]] : []))
    assert.deepEqual(misc, [
      'Chunk=1:nominal',
      '_',
      'Chunk=1:nominal',
      'Chunk=1:nominal',
      'Entity=(e1)|Chunk=1:nominal|ChunkHead=Yes|ChunkRel=subj:2',
      'Note=old|Chunk=2:verbal|ChunkHead=Yes',
      '_',
      'SpaceAfter=No|Chunk=3:nominal|ChunkHead=Yes|ChunkRel=obj:2',
      'Chunk=4:marker|ChunkHead=Yes',
      'Chunk=1:nominal|ChunkHead=Yes',
      'Chunk=2:other|ChunkHead=Yes',
    ])
    const others = (text: string) =>
      text.split('\n').map((line) => (line.includes('\t') ? line.split('\t').slice(0, 9).join('\t') : line))
    assert.deepEqual(others(written), others(PARSED))
    const again = join(folder, 'again.conllu')
    await runHere('chunk', '--input', output, '--output', again)
    assert.equal(readFileSync(again, 'utf8'), written, 'marks are replaced, not added')
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.endsWith('.part')),
      [],
    )
  })

  it('reads .gz, keeps CR LF, counts as JSON, takes every word alone with the preset bacon', async () => {
    const zipped = join(folder, 'crlf.conllu.gz')
    writeFileSync(zipped, gzipSync(PARSED.replaceAll('\n', '\r\n')))
    const output = join(folder, 'crlf.out')
    const flags = ['--output', output, '--format', 'conllu', '--preset', 'bacon', '--json']
    const { code, stdout } = await runHere('chunk', '--input', zipped, ...flags)
    assert.equal(code, 0)
    const counts = JSON.parse(stdout)
    assert.deepEqual([counts.sentences, counts.words, counts.chunks, counts.withoutParse], [2, 9, 9, 1])
    assert.deepEqual(counts.relations, { determiner: 1, attributive: 0, predicate: 0, subject: 1 })
    const lines = readFileSync(output, 'utf8').split('\n')
    assert.ok(lines.slice(0, -1).every((line) => line.endsWith('\r')))
    assert.ok(lines.some((line) => line.endsWith('Chunk=1:other|ChunkHead=Yes|ChunkRel=determiner:4\r')))
  })

  it('gzips what is named .gz: marks for .conllu.gz, JSON lines for others', async () => {
    const [marked, plain] = [join(folder, 'marked.conllu'), join(folder, 'lines.jsonl')]
    for (const output of [marked, plain]) {
      for (const name of [output, `${output}.gz`]) {
        assert.equal((await runHere('chunk', '--input', input, '--output', name)).code, 0)
      }
      assert.equal(gunzipSync(readFileSync(`${output}.gz`)).toString(), readFileSync(output, 'utf8'))
    }
    const again = await runHere('chunk', '--input', `${marked}.gz`, '--format', 'conllu')
    assert.equal(again.stdout, readFileSync(marked, 'utf8'))
  })

  it('takes raw text from a pipe: documents, paragraphs, sentences, words as treebanks split them', async () => {
    const text = "# Notes\nThe old man fed his dogs. They didn't eat.\nIt rained.\n\nA new document.\n"
    const conllu = await runCli(['chunk', '--input', '-', '--format', 'conllu'], { input: text })
    assert.equal(conllu.code, 0)
    const sentences = parseConllu(conllu.stdout)
    assert.deepEqual(
      sentences.map(({ comments }) => comments.join(' ')),
      [
        '# newdoc id = 1 # newpar id = 1.1 # sent_id = 1.1.1 # text = # Notes',
        '# newpar id = 1.2 # sent_id = 1.2.1 # text = The old man fed his dogs.',
        "# sent_id = 1.2.2 # text = They didn't eat.",
        '# newpar id = 1.3 # sent_id = 1.3.1 # text = It rained.',
        '# newdoc id = 2 # newpar id = 2.1 # sent_id = 2.1.1 # text = A new document.',
      ],
    )
    assert.deepEqual(
      sentences[2].rows.map(({ id, form }) => `${id} ${form}`),
      ['1 They', "2-3 didn't", '2 did', "3 n't", '4 eat', '5 .'],
    )
    const piped = await runCli(['chunk', '--input', '-'], { input: conllu.stdout })
    assert.deepEqual(
      records(piped.stdout).map(({ id }) => id),
      ['1.1.1', '1.2.1', '1.2.2', '1.3.1', '2.1.1'],
    )
  })

  describe('from stdin', () => {
    const stdin = Object.getOwnPropertyDescriptor(process, 'stdin')!
    afterEach(() => Object.defineProperty(process, 'stdin', stdin))
    const chunk = (text: string, ...args: string[]) => {
      Object.defineProperty(process, 'stdin', { ...stdin, get: () => Readable.from([Buffer.from(text)]) })
      return runHere('chunk', '--input', '-', '--format', 'conllu', ...args)
    }

    it('CoNLL-U is known behind other comments, and keeps CR LF', async () => {
      const first = PARSED.replace('# sent_id = one\n', '# A treebank of ours, made in 2024\n# source: letters\n')
      const windows = `${first.replaceAll('\n', '\r\n')}`
      for (const args of [[], ['--from', 'conllu']]) {
        const { code, stdout, stderr } = await chunk(windows, ...args)
        assert.equal(code, 0, stderr)
        const lines = stdout.split('\n')
        assert.deepEqual(lines.slice(0, 2), ['# A treebank of ours, made in 2024\r', '# source: letters\r'])
        assert.ok(lines.slice(0, -1).every((line) => line.endsWith('\r')))
        assert.equal(lines.length, windows.split('\n').length)
      }
    })

    it('text that begins like a comment is text, with CR LF too', async () => {
      const { stdout } = await chunk('\r\n# Notes\r\n\r\n# More\r\nThe old man fed his dogs.\r\n')
      assert.deepEqual(
        parseConllu(stdout).map(({ comments }) => comments.at(-1)),
        ['# text = # Notes', '# text = # More', '# text = The old man fed his dogs.'],
      )
      assert.ok(!stdout.includes('\r'))
      assert.match((await chunk('# Notes\n')).stdout, /# text = # Notes/)
    })
  })

  it('a file of another name than .conllu is known by its first lines too', async () => {
    const named = async (name: string, text: string | Buffer, ...args: string[]) => {
      const file = join(folder, name)
      writeFileSync(file, text)
      const { stdout, stderr } = await runHere('chunk', '--input', file, '--format', 'conllu', ...args)
      return { told: stderr, sentences: parseConllu(stdout) }
    }
    const expected = parseConllu(PARSED).map(({ rows }) => rows.map(({ form }) => form))
    for (const name of ['treebank.conll', 'treebank.txt', 'treebank.tsv']) {
      const { sentences, told } = await named(name, PARSED)
      assert.deepEqual(
        sentences.map(({ rows }) => rows.map(({ form }) => form)),
        expected,
        `${name}: ${told}`,
      )
    }
    const text = '# Notes\r\nThe old man fed his dogs.\r\n'
    const { sentences } = await named('notes.txt', text)
    assert.deepEqual(
      sentences.map(({ comments }) => comments.at(-1)),
      ['# text = # Notes', '# text = The old man fed his dogs.'],
    )
    assert.equal((await named('as-text.conllu', 'It rained.\n', '--from', 'text')).sentences.length, 1)
    const numbered = await named('numbered.txt', '3\tItems were sold.\n')
    assert.equal(numbered.sentences.length, 1, numbered.told)
    const zipped = await named('text.txt.gz', gzipSync('It rained.\n'))
    assert.deepEqual(
      zipped.sentences.map(({ words }) => words.length),
      [3],
      zipped.told,
    )
    const { told } = await named('cyclic.txt', PARSED.replace('\t0\troot', '\t4\troot'))
    assert.match(told, /cyclic\.txt:\d+: /)
  })

  it('puts every word of raw text into exactly one chunk', () => {
    const raw = new RawSentences()
    const lines = readFileSync(join(__dirname, '../examples/data/wikipedia-sample.txt'), 'utf8')
      .split('\n')
      .slice(0, 80)
    let words = 0
    for (const sentence of lines.flatMap((line) => raw.push(line))) {
      const { chunks, chunkOfWord } = chunkSentence(sentence, RELATION_PRESETS.default)
      let end = 0
      chunks.forEach((chunk, index) => {
        assert.equal(chunk.start, end)
        assert.ok(chunk.head >= chunk.start && chunk.head < chunk.end)
        for (let word = chunk.start; word < chunk.end; word++) assert.equal(chunkOfWord[word], index)
        end = chunk.end
      })
      assert.equal(end, sentence.words.length)
      words += end
    }
    assert.ok(words > 500)
  })

  it('refuses bad requests and damaged files with file and line, and leaves nothing behind', async () => {
    const refused = async (args: string[], code: number, message: RegExp) => {
      const result = await runHere('chunk', ...args)
      assert.equal(result.code, code)
      assert.match(result.stderr, message)
    }
    await refused([], 2, /--input .* is missing/)
    await refused(['--input', input, '--json'], 2, /--json came without --output/)
    await refused(['--input', join(folder, 'none.conllu')], 2, /none\.conllu/)
    const cyclic = join(folder, 'cyclic.conllu')
    writeFileSync(cyclic, PARSED.replace('\t0\troot', '\t4\troot'))
    const output = join(folder, 'never.jsonl')
    await refused(['--input', cyclic, '--output', output], 2, /cyclic\.conllu:\d+: /)
    assert.ok(!readdirSync(folder).some((name) => name.startsWith('never')))
  })
})
