/**
 * Makes test/golden/loss-curve-batches.safetensors.gz: 300 pre-training batches of our own data side, from the first articles
 * of the shared enwiki text (token ids of English Wikipedia, CC BY-SA 3.0) with a WordPiece vocabulary of 2,000 trained on
 * them. Run: `npx tsx test/golden/loss-curve-batches.ts`, then loss_curve.py.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { encodeBatches } from '../../benchmarks/batch-file.js'
import { openCorpus, trainTokenizer } from '../../lib/data/index.js'
import { pretrainingSource } from '../../lib/objectives/index.js'
import { sharedData } from './peers.js'

const STEPS = 300
const TEXT_BYTES = 2_000_000

async function main(): Promise<void> {
  const scratch = mkdtempSync(path.join(tmpdir(), 'stratabert-loss-curve-'))
  try {
    const text = path.join(scratch, 'enwiki.txt')
    const archive = path.join(sharedData(), 'enwiki/enwiki_docs.txt.xz')
    const head = spawnSync('sh', ['-c', `xz -dc "$0" 2>/dev/null | head -c ${TEXT_BYTES} | sed '$d'`, archive], {
      maxBuffer: 2 * TEXT_BYTES,
    })
    writeFileSync(text, head.stdout)
    const { tokenizer } = await trainTokenizer({ inputs: [text], vocabSize: 2000 })
    const corpus = await openCorpus({ inputs: [text], tokenizer, cacheDirectory: scratch })
    const source = pretrainingSource({
      corpus,
      special: tokenizer.specialTokens,
      heads: { mlm: { name: 'mlm' }, nsp: { name: 'nsp' } },
      batchTokens: 512,
      maxSequenceTokens: 64,
      seed: 4,
    })
    const batches = Array.from({ length: STEPS }, (_, index) => source.build(0, index))
    const bytes = gzipSync(encodeBatches(batches), { level: 9 })
    writeFileSync(path.join(__dirname, 'loss-curve-batches.safetensors.gz'), bytes)
    console.log(`${batches.length} batches, vocabulary ${tokenizer.vocabSize}, ${bytes.length} bytes`)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
