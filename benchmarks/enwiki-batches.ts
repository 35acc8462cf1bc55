/** Real pre-training batches of the benchmarks: enwiki as packed pairs of at most 128 tokens, or as sequences of exactly 128. */
import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, renameSync } from 'node:fs'
import { homedir } from 'node:os'
import path from 'node:path'
import { openCorpus, type PackedBatch, trainTokenizer } from '../lib/data/index.js'
import { packedMaskedLmSource, pretrainingSource } from '../lib/objectives/index.js'
import { Tokenizer } from '../lib/text/index.js'
import { writeBatchFile } from './batch-file.js'

const BATCHES = 400
/** Enough text for them; the whole corpus would only cost time. */
const TEXT_BYTES = 16_000_000

/** Data beside the project, or STRATABERT_SHARED. */
export function sharedData(): string {
  return process.env.STRATABERT_SHARED ?? path.resolve(__dirname, '../../shared/data')
}

export function benchmarkCache(): string {
  const base = process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache')
  const folder = path.join(base, 'stratabert', 'benchmarks')
  mkdirSync(folder, { recursive: true })
  return folder
}

/** BERT's uncased vocabulary; another size is trained from the benchmark's text. */
const BERT_VOCABULARY = 30522

/** Path of the batch file; made by our own data side on first use. */
export async function enwikiBatches(batchTokens: number, vocabulary = BERT_VOCABULARY): Promise<string> {
  const size = vocabulary === BERT_VOCABULARY ? '' : `-V${vocabulary}`
  const file = path.join(benchmarkCache(), `enwiki-${batchTokens}${size}-v1.safetensors`)
  if (existsSync(file)) return file
  const text = enwikiText()
  const tokenizer =
    vocabulary === BERT_VOCABULARY
      ? await Tokenizer.load(path.join(sharedData(), 'bert_uncased'))
      : (await trainTokenizer({ inputs: [text], vocabSize: vocabulary, lowercase: true })).tokenizer
  const corpus = await openCorpus({ inputs: [text], tokenizer, cacheDirectory: path.join(benchmarkCache(), 'corpora') })
  const source = pretrainingSource({
    corpus,
    special: tokenizer.specialTokens,
    heads: { mlm: { name: 'mlm' }, nsp: { name: 'nsp' } },
    batchTokens,
    maxSequenceTokens: 128,
    seed: 1,
  })
  return writtenBatches(file, source)
}

/**
 * Path of a file of batches as Cramming has them: lower-case ASCII text, documents joined by [SEP] and cut into sequences of exactly 128
 * tokens, a quarter of which is masked in exact counts; the vocabulary is learned from the text.
 */
export async function enwikiPackedBatches(batchTokens: number, vocabSize: number): Promise<string> {
  const file = path.join(benchmarkCache(), `enwiki-packed-${batchTokens}-V${vocabSize}-v1.safetensors`)
  if (existsSync(file)) return file
  const text = enwikiText()
  const { tokenizer } = await trainTokenizer({ inputs: [text], vocabSize, lowercase: true })
  const corpus = await openCorpus({
    inputs: [text],
    tokenizer,
    cacheDirectory: path.join(benchmarkCache(), 'corpora'),
    normalize: { lowercase: true, stripAccents: true, ascii: true },
  })
  const source = packedMaskedLmSource({
    corpus,
    special: tokenizer.specialTokens,
    mlm: { name: 'mlm', maskShare: 0.25, exact: true, exactSplit: true, includeSpecial: true },
    batchTokens,
    sequenceTokens: 128,
    seed: 1,
  })
  return writtenBatches(file, source)
}

function writtenBatches(
  file: string,
  source: { batchCount(epoch: number): number; build(epoch: number, index: number): PackedBatch },
): string {
  // The last batch of a pass may be shorter.
  const count = Math.min(BATCHES, source.batchCount(0) - 1)
  writeBatchFile(
    `${file}.partial`,
    Array.from({ length: count }, (_, index) => source.build(0, index)),
  )
  renameSync(`${file}.partial`, file)
  return file
}

/** Path of the text, unpacked on first use. */
export function enwikiText(): string {
  const archive = path.join(sharedData(), 'enwiki/enwiki_docs.txt.xz')
  if (!existsSync(archive)) {
    throw new Error(
      `${archive} does not exist; set STRATABERT_SHARED to the folder that holds enwiki/ and bert_uncased/`,
    )
  }
  const text = path.join(benchmarkCache(), 'enwiki.txt')
  if (!existsSync(text)) unpackStart(archive, text)
  return text
}

/** The first documents of the archive: whole lines of its first bytes. */
function unpackStart(archive: string, text: string): void {
  const output = openSync(`${text}.partial`, 'w')
  const command = `xz -dc "$0" 2>/dev/null | head -c ${TEXT_BYTES} | sed '$d'`
  const done = spawnSync('sh', ['-c', command, archive], { stdio: ['ignore', output, 'inherit'] })
  closeSync(output)
  if (done.status !== 0) throw new Error(`cannot unpack ${archive}; the xz program is needed`)
  renameSync(`${text}.partial`, text)
}
