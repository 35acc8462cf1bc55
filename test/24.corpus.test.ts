import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  cpSync,
  existsSync,
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
import { basename, join, resolve } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { ArrayWriter } from '../lib/data/array-writer.js'
import { CORPUS_FILES, CorpusWriter } from '../lib/data/corpus-files.js'
import { runWorkerJob } from '../lib/data/corpus-job.js'
import { CorpusParts } from '../lib/data/corpus-parts.js'
import type { CorpusDone, CorpusJob } from '../lib/data/corpus-worker.js'
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
      // Less than a part, which would be kept.
      inputs: Array.from({ length: 20 }, () => SAMPLE),
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
      await setTimeout(5)
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

  describe('of which the building was killed or stopped', () => {
    const PART = 40_000
    let text: string
    let expected: ReturnType<typeof arraysOf>
    let whole: OpenedCorpus
    let options: Partial<CorpusOptions>

    before(async () => {
      // Copies, lines that do not compress and empty documents on both sides of every border of a part.
      const articles = readFileSync(SAMPLE, 'utf8')
        .slice(0, 250_000)
        .split(/\n(?== )/)
      const documents = articles.flatMap((article, index) => [
        article,
        ...(index % 3 === 0 ? [article] : []),
        ...(index % 5 === 0 ? [`= x =\n${index}${'q#z@'.repeat(40)}\n`] : []),
      ])
      text = join(folder, 'parts.txt')
      writeFileSync(text, documents.join('\n'))
      options = {
        inputs: [text],
        dropDuplicates: true,
        maxTokensPerCharacter: 0.5,
        normalize: { lowercase: true, ascii: true },
      }
      whole = await open({ ...options, cacheDirectory: join(folder, 'uninterrupted') })
      expected = arraysOf(whole)
      const { duplicateDocuments, incompressibleDocuments } = whole.statistics
      assert.ok(duplicateDocuments! > 9 && incompressibleDocuments! > 9)
    })

    const jobOf = (given: Partial<CorpusJob> = {}): Omit<CorpusJob, 'stop'> => {
      const { inputs, dropDuplicates, maxTokensPerCharacter, normalize } = options
      return {
        ...{
          inputs: inputs!,
          dropDuplicates,
          maxTokensPerCharacter,
          normalize,
          cacheDirectory,
          definition: tokenizer.definition,
        },
        ...{ format: 'auto', textField: 'text', invalidUtf8: 'error', rebuild: false, partCharacters: PART },
        ...given,
      }
    }

    /** Kills a process that builds the corpus when it passes the point for the n-th time. */
    async function killAt(point: string): Promise<void> {
      const script = resolve(__dirname, 'helpers/build-corpus-process.ts')
      const child = spawn(process.execPath, ['--import', 'tsx', script, JSON.stringify(jobOf())], {
        cwd: resolve(__dirname, '..'),
        stdio: ['ignore', 'ignore', 'inherit'],
        env: { ...process.env, STRATABERT_FAULT: point },
      })
      const [, signal] = await once(child, 'close')
      assert.equal(signal, 'SIGKILL', point)
    }

    const unfinished = (): string[] => readdirSync(cacheDirectory).filter((name) => /^(tmp|stopped)-/.test(name))
    /** Documents up to the end of each part of the one unfinished build. */
    const ends = (): number[] =>
      [
        ...readFileSync(join(cacheDirectory, unfinished()[0], 'parts.jsonl'), 'utf8').matchAll(
          /"documentsRead":(\d+)/g,
        ),
      ].map(([, count]) => Number(count))

    async function resumedDocuments(): Promise<number> {
      const resumed = await open(options)
      assert.deepEqual(arraysOf(resumed), expected)
      assert.deepEqual({ ...resumed.statistics, seconds: 0 }, { ...whole.statistics, seconds: 0 })
      assert.deepEqual(readdirSync(resumed.directory).sort(), [...Object.values(CORPUS_FILES), 'manifest.json'].sort())
      return resumed.resumedDocuments
    }

    it('goes on at the last whole part, with the same arrays and counts', async () => {
      await killAt('after-corpus-part:2')
      const [first, second] = ends()
      assert.ok(first > 5 && second > first)
      // This one takes two parts over, ends a third one, and dies, its first file torn, before the fourth is entered.
      await killAt('before-corpus-part:4')
      assert.deepEqual(ends().slice(0, 2), [first, second])
      assert.equal(ends().length, 3)
      assert.ok([first, second].includes(await resumedDocuments()))
      assert.deepEqual(readdirSync(cacheDirectory), [whole.key])
      assert.equal((await open(options)).resumedDocuments, 0)
    })

    it('takes nothing of damaged parts, other settings or other text, and keeps them for 7 days', async () => {
      await killAt('after-corpus-part:3')
      const [name] = unfinished()
      const kept = join(folder, name)
      cpSync(join(cacheDirectory, name), kept, { recursive: true })
      const [first, second, third] = ends()
      const sizes = readFileSync(join(kept, 'parts.jsonl'), 'utf8')
        .split('\n')
        .flatMap((line) => (line === '' ? [] : [JSON.parse(line.slice(65)).files]))
      const flip = (file: string, at: number) => (directory: string) => {
        const bytes = readFileSync(join(directory, file))
        bytes[at] ^= 1
        writeFileSync(join(directory, file), bytes)
      }
      const cut = (file: string, bytes: number) => (directory: string) => truncateSync(join(directory, file), bytes)
      const cases: [string, (directory: string) => void, number][] = [
        ['nothing', () => {}, third],
        ['token ids of the third part', flip('token-ids.i32', sizes[1]['token-ids.i32'].bytes + 7), second],
        ['flags are missing', cut('token-flags.u8', sizes[0]['token-flags.u8'].bytes), first],
        ['texts that came before', flip('seen-texts.u64', 3), 0],
        ['a file is missing', (directory) => rmSync(join(directory, 'document-offsets.u32')), 0],
        ['half a line', cut('parts.jsonl', statSync(join(kept, 'parts.jsonl')).size - 9), second],
        ['a count', flip('parts.jsonl', 90), 0],
      ]
      for (const [what, damage, documents] of cases) {
        const [copy, target] = ['copy-', 'target-'].map((prefix) => mkdtempSync(join(folder, prefix)))
        cpSync(kept, copy, { recursive: true })
        damage(copy)
        const writer = new CorpusWriter(target)
        const files = writer.writers.set('seen-texts.u64', new ArrayWriter(join(target, 'seen-texts.u64')))
        const last = new CorpusParts(target, whole.key, files).takeOver(copy, () => {})
        assert.equal(last?.documentsRead ?? 0, documents, what)
        if (last) {
          const size = sizes[[first, second, third].indexOf(documents)]['token-ids.i32'].bytes
          const [mine, theirs] = [target, kept].map((of) => readFileSync(join(of, 'token-ids.i32')))
          assert.deepEqual(mine, theirs.subarray(0, size), what)
        }
        for (const file of files.values()) file.close()
      }
      rmSync(cacheDirectory, { recursive: true })
      // Of another host's process nobody knows whether it still works.
      const other = join(cacheDirectory, 'tmp-00000000-1-000000000000')
      cpSync(kept, other, { recursive: true })
      assert.equal((await open({ ...options, maxTokensPerCharacter: 0.51 })).resumedDocuments, 0)
      assert.equal((await open({ ...options, inputs: [text, small] })).resumedDocuments, 0)
      assert.equal(await resumedDocuments(), third)
      assert.deepEqual(unfinished(), [basename(other)])
      const week = Date.now() / 1000 - 8 * 24 * 3600
      utimesSync(join(other, 'parts.jsonl'), week, week)
      utimesSync(other, week, week)
      await open()
      assert.deepEqual(unfinished(), [])
    })

    it('goes on after a stop, chunks included', async () => {
      const chunks = { unit: 'chunk', groups: { subj: ['nsubj'], obj: ['obj'] }, longestSentence: 24 } as const
      const given = { chunks, dropDuplicates: false }
      const job: CorpusJob = { ...jobOf(given), stop: new SharedArrayBuffer(4) }
      const stopped = runWorkerJob<CorpusDone, unknown>('corpus-worker', job, 'prepare the corpus', {})
      const rejected = assert.rejects(stopped, { code: 'ABORTED', message: /goes on/ })
      while (!unfinished().some((name) => existsSync(join(cacheDirectory, name, 'parts.jsonl')))) await setTimeout(1)
      Atomics.store(new Int32Array(job.stop), 0, 1)
      await rejected
      assert.match(unfinished()[0], /^stopped-/)
      const last = ends().at(-1)!
      const resumed = await open({ ...options, ...given })
      assert.equal(resumed.resumedDocuments, last)
      assert.ok(last > 0 && last < resumed.statistics.documents)
      assert.deepEqual(unfinished(), [])
      const anew = await open({ ...options, ...given, rebuild: true })
      assert.equal(anew.resumedDocuments, 0)
      assert.deepEqual([arraysOf(resumed), resumed.chunks], [arraysOf(anew), anew.chunks])
      assert.deepEqual({ ...resumed.statistics, seconds: 0 }, { ...anew.statistics, seconds: 0 })
      assert.ok(anew.statistics.cutSentences! > 10)
    })
  })

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
