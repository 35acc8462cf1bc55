import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import {
  type CorpusOptions,
  corpusFromDocuments,
  type OpenedCorpus,
  openCorpus,
  readDocuments,
  splitDocuments,
  TOKEN_FLAGS,
  wholeCorpus,
} from '../lib/data/index.js'
import { StrataError } from '../lib/errors.js'
import { splitSentences, Tokenizer } from '../lib/text/index.js'

const VOCABULARY = resolve(__dirname, 'golden/tokenizer-vocab.txt')
const SAMPLE = resolve(__dirname, '../examples/data/wikipedia-sample.txt')

describe('Corpus', function () {
  this.timeout(120_000)
  let folder: string
  let tokenizer: Tokenizer
  let cacheDirectory: string
  let small: string

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-corpus-'))
    tokenizer = await Tokenizer.load(VOCABULARY)
    small = join(folder, 'small.txt')
    writeFileSync(
      small,
      '= A =\nThe first one. It has Mr. Smith, too.\n\n= B =\n\u200b\n\n= C =\nHe said [MASK] \u{1F600} twice.\n',
    )
  })
  beforeEach(() => {
    cacheDirectory = mkdtempSync(join(folder, 'cache-'))
  })
  after(() => rmSync(folder, { recursive: true }))

  const open = (options: Partial<CorpusOptions> = {}): Promise<OpenedCorpus> =>
    openCorpus({ inputs: [small], tokenizer, cacheDirectory, ...options })

  function arraysOf({ tokenIds, tokenFlags, sentenceOffsets, documentOffsets }: OpenedCorpus) {
    return { tokenIds, tokenFlags, sentenceOffsets, documentOffsets }
  }

  it('holds documents, sentences, tokens and flags', async () => {
    const corpus = await open()
    const tokens = [...corpus.tokenIds].map((id) => tokenizer.idToToken(id)!)
    const words = tokens.map((token, index) => {
      const flags = corpus.tokenFlags[index]
      return (
        (flags & TOKEN_FLAGS.wordStart ? ' ' : '') +
        token.replace(/^##/, '') +
        (flags & TOKEN_FLAGS.punctuation ? '!' : '')
      )
    })
    const sentences = Array.from({ length: corpus.sentenceCount }, (_, index) =>
      words
        .slice(corpus.sentenceOffsets[index], corpus.sentenceOffsets[index + 1])
        .join('')
        .trim(),
    )
    assert.deepEqual(sentences, [
      'the first one .!',
      'it has mr .! smith ,! too .!',
      'he said [! mask ]! [UNK]! twice .!',
    ])
    assert.deepEqual([...corpus.documentOffsets], [0, 2, 3])
    assert.equal(corpus.documentCount, 2)
    assert.equal(corpus.tokenCount, tokens.length)
    const { statistics } = corpus
    assert.deepEqual(
      [
        statistics.documents,
        statistics.sentences,
        statistics.unknownTokens,
        statistics.emptySentences,
        statistics.tokenlessDocuments,
      ],
      [2, 3, 1, 1, 1],
    )
    assert.equal(corpus.reused, false)
    assert.deepEqual(corpus.specialTokens, tokenizer.specialTokens)
    const inMemory = await corpusFromDocuments(
      ['The first one. It has Mr. Smith, too.', ['He said [MASK] \u{1F600} twice.']],
      tokenizer,
    )
    assert.deepEqual(inMemory.tokenIds, corpus.tokenIds)
    assert.deepEqual(inMemory.tokenFlags, corpus.tokenFlags)
    assert.deepEqual(inMemory.sentenceOffsets, corpus.sentenceOffsets)
    assert.deepEqual(inMemory.documentOffsets, corpus.documentOffsets)
  })

  it('equals sentence-by-sentence encoding of a real text, and leaves the event loop free', async () => {
    await open()
    const delay = monitorEventLoopDelay({ resolution: 2 })
    delay.enable()
    const phases = new Set<string>()
    const corpus = await open({ inputs: [SAMPLE], onProgress: ({ phase }) => phases.add(phase) })
    delay.disable()
    const p50 = delay.percentile(50) / 1e6
    const p99 = delay.percentile(99) / 1e6
    console.log(`      event loop while building: p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`)
    assert.ok(p50 < 20 && p99 < 150)
    assert.ok(phases.has('hash') && phases.has('build'))
    const sentences: string[] = []
    const documentOffsets = [0]
    for await (const { paragraphs } of readDocuments({ inputs: [SAMPLE] })) {
      sentences.push(...paragraphs.flatMap(splitSentences))
      documentOffsets.push(sentences.length)
    }
    assert.equal(corpus.documentCount, 435)
    assert.deepEqual([...corpus.documentOffsets], documentOffsets)
    const encoded = await tokenizer.encodeBatch(sentences, { addSpecialTokens: false })
    encoded.forEach(({ tokenIds }, index) => {
      const [from, to] = [corpus.sentenceOffsets[index], corpus.sentenceOffsets[index + 1]]
      assert.deepEqual(corpus.tokenIds.subarray(from, to), tokenIds, sentences[index])
    })
  })

  it('comes from the cache until content, tokenizer or options change', async () => {
    const first = await open()
    const again = await open()
    assert.equal(again.reused, true)
    assert.deepEqual(arraysOf(again), arraysOf(first))
    assert.deepEqual(again.statistics, first.statistics)
    const renamed = join(folder, 'renamed.txt')
    writeFileSync(renamed, readFileSync(small))
    utimesSync(renamed, 1, 1)
    assert.equal((await open({ inputs: [renamed] })).reused, true)
    const cased = await Tokenizer.load(VOCABULARY, { lowercase: false })
    const keys = new Set([first.key])
    for (const options of [
      { tokenizer: cased },
      { format: 'plain' as const },
      { inputs: [small, small] },
      { invalidUtf8: 'replace' as const },
    ]) {
      const other = await open(options)
      assert.equal(other.reused, false)
      keys.add(other.key)
    }
    appendFileSync(renamed, '\n= D =\nMore.\n')
    const changed = await open({ inputs: [renamed] })
    assert.equal(changed.documentCount, 3)
    keys.add(changed.key)
    assert.equal(keys.size, 6)
    assert.equal((await open({ rebuild: true })).reused, false)
  })

  it('rebuilds a damaged or unfinished cache, with a warning that says why', async () => {
    const whole = await open()
    const damages: [string, (directory: string) => void, RegExp][] = [
      [
        'a flipped bit',
        (directory) => {
          const path = join(directory, 'token-ids.i32')
          const bytes = readFileSync(path)
          bytes[5] ^= 1
          writeFileSync(path, bytes)
        },
        /content of token-ids.i32 has changed/,
      ],
      ['a short file', (directory) => truncateSync(join(directory, 'token-flags.u8'), 3), /has 3 bytes/],
      [
        'a missing file',
        (directory) => rmSync(join(directory, 'sentence-offsets.u32')),
        /sentence-offsets.u32 cannot be read/,
      ],
      ['no manifest', (directory) => rmSync(join(directory, 'manifest.json')), /manifest cannot be read/],
      ['half a manifest', (directory) => truncateSync(join(directory, 'manifest.json'), 100), /manifest is damaged/],
      [
        'an empty object',
        (directory) => writeFileSync(join(directory, 'manifest.json'), '{}'),
        /another corpus or version/,
      ],
      ['null', (directory) => writeFileSync(join(directory, 'manifest.json'), 'null'), /manifest is damaged/],
    ]
    const expected = structuredClone(arraysOf(whole))
    for (const [name, damage, reason] of damages) {
      damage(whole.directory)
      const warnings: string[] = []
      const rebuilt = await open({ onWarning: (text) => warnings.push(text) })
      assert.equal(rebuilt.reused, false, name)
      assert.equal(warnings.length, 1, name)
      assert.match(warnings[0], reason, name)
      assert.deepEqual(arraysOf(rebuilt), expected, name)
      assert.equal((await open()).reused, true, name)
    }
    assert.deepEqual(readdirSync(cacheDirectory), [whole.key])
  })

  it('reads gzip and JSON lines to the same arrays', async () => {
    const plain = await open()
    const packed = join(folder, 'small.txt.gz')
    writeFileSync(packed, gzipSync(readFileSync(small)))
    const lines = join(folder, 'small.jsonl')
    const documents: string[] = []
    for await (const { paragraphs } of readDocuments({ inputs: [small] }))
      documents.push(JSON.stringify({ text: paragraphs.join('\n') }))
    writeFileSync(lines, `${documents.join('\n')}\n`)
    for (const input of [packed, lines]) assert.deepEqual(arraysOf(await open({ inputs: [input] })), arraysOf(plain))
  })

  it('leaves nothing behind after a failure, a stop or a killed process', async () => {
    const bad = join(folder, 'bad.txt')
    writeFileSync(bad, `${'Good text here.\n\n'.repeat(20_000)}bad\0\n`)
    const tokenless = join(folder, 'tokenless.txt')
    writeFileSync(tokenless, '\u200b\n')
    const empty = join(folder, 'empty.txt')
    writeFileSync(empty, '')
    const cases: [Partial<CorpusOptions>, string, RegExp][] = [
      [{ inputs: [bad] }, 'BAD_DATA', /bad\.txt:40001/],
      [{ inputs: [tokenless] }, 'BAD_DATA', /tokenless\.txt.*no document has a token/],
      [{ inputs: [empty] }, 'BAD_FILE', /empty\.txt/],
      [{ inputs: [join(folder, 'missing')] }, 'NOT_FOUND', /missing/],
      [{ inputs: [folder] }, 'BAD_FILE', /folder|regular file/],
      [{ inputs: [small, bad] }, 'BAD_DATA', /bad\.txt/],
      [{ inputs: [] }, 'BAD_ARGUMENT', /no input/],
      [{ signal: AbortSignal.abort() }, 'ABORTED', /stopped/],
      [{ cacheDirectory: join(small, 'inside-a-file') }, 'IO_ERROR', /inside-a-file/],
    ]
    for (const [options, code, message] of cases) {
      await assert.rejects(open(options), (error) => {
        assert.ok(error instanceof StrataError)
        assert.equal(error.code, code, error.message)
        assert.match(error.message, message)
        return true
      })
    }
    const control = new AbortController()
    const stopped = open({
      inputs: Array.from({ length: 30 }, () => SAMPLE),
      signal: control.signal,
      onProgress: ({ tokens }) => {
        if (tokens > 0) control.abort()
      },
    })
    await assert.rejects(stopped, { code: 'ABORTED' })
    assert.deepEqual(readdirSync(cacheDirectory), [])

    // A process that is killed while it writes leaves a folder that the next one removes.
    const child = openInProcess(SAMPLE)
    let seen = false
    for (let waited = 0; waited < 20_000 && !seen; waited += 5) {
      await new Promise((resolve) => setTimeout(resolve, 5))
      seen = readdirSync(cacheDirectory).some((name) => name.startsWith('tmp-'))
    }
    child.process.kill('SIGKILL')
    await child.result.catch(() => {})
    assert.ok(seen)
    await open()
    const left = readdirSync(cacheDirectory).filter((name) => name.startsWith('tmp-'))
    assert.deepEqual(left, [])
  })

  function openInProcess(input: string, rebuild = false) {
    const script = resolve(__dirname, 'helpers/open-corpus-process.ts')
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', script, VOCABULARY, cacheDirectory, input, rebuild ? '1' : '0'],
      { cwd: resolve(__dirname, '..'), stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const result = new Promise<{ directory: string; tokens: number; sum: number }>((resolvePromise, reject) => {
      let text = ''
      child.stdout.on('data', (part) => {
        text += part
      })
      child.on('close', (code) => {
        if (code === 0) resolvePromise(JSON.parse(text))
        else reject(new Error(`ended with ${code}`))
      })
    })
    return { process: child, result }
  }

  it('ends with one good copy when several processes build it at once', async () => {
    for (const rebuild of [false, true]) {
      const results = await Promise.all([1, 2, 3].map(() => openInProcess(SAMPLE, rebuild).result))
      assert.deepEqual(results[1], results[0])
      assert.deepEqual(results[2], results[0])
      assert.equal(readdirSync(cacheDirectory).length, 1)
      assert.equal((await open({ inputs: [SAMPLE] })).reused, true)
    }
    const inOneProcess = await Promise.all([open(), open(), open()])
    for (const corpus of inOneProcess) assert.deepEqual(arraysOf(corpus), arraysOf(inOneProcess[0]))
    assert.equal(readdirSync(cacheDirectory).length, 2)
  })

  it('keeps open arrays intact while the corpus is rebuilt', async () => {
    const first = await open()
    const expected = structuredClone(arraysOf(first))
    writeFileSync(join(first.directory, 'manifest.json'), '{}')
    await open({ onWarning: () => {} })
    assert.deepEqual(arraysOf(first), expected)
  })

  it('refuses a text that is no file, and makes the cache folder', async () => {
    await assert.rejects(open({ inputs: ['/dev/null'] }), { code: 'BAD_FILE' })
    const deep = join(cacheDirectory, 'a', 'b')
    assert.ok((await open({ cacheDirectory: deep })).directory.startsWith(deep))
    mkdirSync(join(deep, 'tmp-00000000-1-000000000000'))
    utimesSync(join(deep, 'tmp-00000000-1-000000000000'), 1, 1)
    mkdirSync(join(deep, 'another-folder'))
    await open({ cacheDirectory: deep, rebuild: true })
    assert.deepEqual(
      readdirSync(deep).filter((name) => !/^[0-9a-f]{40}$/.test(name)),
      ['another-folder'],
    )
    assert.ok(statSync(deep).isDirectory())
  })

  it('prepares a text of 1 GB in at most 600 MB of memory (with STRATABERT_LONG=1)', async function () {
    if (process.env.STRATABERT_LONG !== '1') return this.skip()
    this.timeout(1_800_000)
    const sample = readFileSync(SAMPLE)
    const copies = Math.ceil(1e9 / sample.length)
    const text = join(folder, 'large.txt')
    for (let copy = 0; copy < copies; copy++) appendFileSync(text, copy === 0 ? sample : `\n${sample}`)
    const child = resolve(__dirname, 'helpers/large-corpus-child.ts')
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...['--import', 'tsx', child, text, VOCABULARY, cacheDirectory],
    ])
    rmSync(text)
    const { documents, tokens, reused, peakMegabytes } = JSON.parse(stdout)
    assert.deepEqual([documents, reused], [435 * copies, true])
    assert.ok(tokens > 100_000_000, stdout)
    assert.ok(peakMegabytes <= 600, stdout)
  })

  it('cuts off held-out documents, the same for the same seed', async () => {
    const corpus = await open({ inputs: [SAMPLE] })
    const { train, heldOut } = splitDocuments(corpus, { heldOutDocuments: 40, seed: 3 })
    assert.deepEqual(splitDocuments(corpus, { heldOutDocuments: 40, seed: 3 }).heldOut.documents, heldOut.documents)
    assert.notDeepEqual(splitDocuments(corpus, { heldOutDocuments: 40, seed: 4 }).heldOut.documents, heldOut.documents)
    assert.equal(heldOut.documents.length, 40)
    assert.deepEqual(
      [...train.documents, ...heldOut.documents].sort((a, b) => a - b),
      [...wholeCorpus(corpus).documents],
    )
    assert.deepEqual(
      [...heldOut.documents].sort((a, b) => a - b),
      [...heldOut.documents],
    )
    assert.equal(train.tokenCount + heldOut.tokenCount, corpus.tokenCount)
    assert.equal(train.sentenceCount + heldOut.sentenceCount, corpus.sentenceCount)
    const larger = new Set(splitDocuments(corpus, { heldOutShare: 0.2, seed: 3 }).heldOut.documents)
    assert.equal(larger.size, 87)
    assert.ok([...heldOut.documents].every((document) => larger.has(document)))
    for (const options of [
      {},
      { heldOutDocuments: 0 },
      { heldOutDocuments: 435 },
      { heldOutShare: 1 },
      { heldOutShare: 0.1, heldOutDocuments: 3 },
    ]) {
      assert.throws(() => splitDocuments(corpus, options), { code: 'BAD_ARGUMENT' })
    }
  })
})
