import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CORPUS_FILES,
  CORPUS_VERSION,
  type CorpusManifest,
  CorpusWriter,
  writeManifest,
} from '../lib/data/corpus-files.js'
import { prefetch } from '../lib/data/prefetch.js'
import { reopenCorpus } from '../lib/data/reopen-corpus.js'
import { pretrainingSource } from '../lib/objectives/index.js'
import { SPECIAL, syntheticCorpus } from './helpers/synthetic-corpus.js'

const inMemory = syntheticCorpus({ documents: 30 })

/** Writes the corpus as the text pipeline does. */
async function writeCorpus(directory: string): Promise<void> {
  const writer = new CorpusWriter(directory)
  const { documentOffsets, sentenceOffsets, tokenIds, tokenFlags } = inMemory
  for (let document = 0; document < inMemory.documentCount; document++) {
    const sentences = sentenceOffsets.subarray(documentOffsets[document], documentOffsets[document + 1] + 1)
    const lengths = Array.from(sentences.subarray(1), (end, i) => end - sentences[i])
    const [start, end] = [sentences[0], sentences.at(-1)]
    writer.addSentences(tokenIds.slice(start, end), tokenFlags.slice(start, end), lengths)
    writer.endDocument()
  }
  const files = await writer.finish()
  const statistics = {
    documents: inMemory.documentCount,
    sentences: inMemory.sentenceCount,
    tokens: inMemory.tokenCount,
  } as CorpusManifest['statistics']
  const manifest = {
    kind: 'stratabert-corpus',
    version: CORPUS_VERSION,
    key: 'k',
    inputs: [],
    files,
    statistics,
  } as const
  writeManifest(directory, { ...manifest, inputs: [], tokenizerFingerprint: '', specialTokens: SPECIAL })
}

describe('reopening a corpus', () => {
  let directory: string

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'stratabert-reopen-'))
  })

  afterEach(() => rmSync(directory, { recursive: true }))

  it('maps the same arrays, and workers build the same batches from the folder', async function () {
    this.timeout(10_000)
    await writeCorpus(directory)
    const corpus = reopenCorpus(directory)
    assert.deepEqual({ ...corpus, directory: '' }, inMemory)
    const options = {
      special: SPECIAL,
      heads: { mlm: { name: 'mlm' }, nsp: { name: 'nsp' } },
      batchTokens: 512,
      seed: 2,
    }
    const source = pretrainingSource({ ...options, corpus })
    assert.deepEqual((source.describe().options as { corpus: unknown }).corpus, { directory })
    const reference = pretrainingSource({ ...options, corpus: inMemory })
    for await (const { index, batch } of prefetch(source, { workers: 1, epochs: 1 })) {
      assert.deepEqual(batch, reference.build(0, index))
    }
  })

  it('names the file that is missing, damaged or of another size', async () => {
    assert.throws(() => reopenCorpus(directory), { code: 'NOT_FOUND', message: /manifest\.json/ })
    writeFileSync(join(directory, 'manifest.json'), '{')
    assert.throws(() => reopenCorpus(directory), { code: 'BAD_FILE', message: /manifest\.json/ })
    writeFileSync(join(directory, 'manifest.json'), 'null')
    assert.throws(() => reopenCorpus(directory), { code: 'BAD_FILE', message: /no corpus of version/ })
    rmSync(join(directory, 'manifest.json'))
    await writeCorpus(directory)
    appendFileSync(join(directory, CORPUS_FILES.tokenFlags), 'x')
    assert.throws(() => reopenCorpus(directory), { code: 'BAD_FILE', message: /token-flags/ })
    rmSync(join(directory, CORPUS_FILES.tokenFlags))
    assert.throws(() => reopenCorpus(directory), { code: 'NOT_FOUND', message: /token-flags/ })
  })
})
