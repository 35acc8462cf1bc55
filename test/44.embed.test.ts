/** Sentence vectors of minilm_l6 against transformers, on the first 1,000 sentences of STS-B dev. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Encoder } from '../lib/inference/index.js'
import { pythonPeer, sharedData } from './golden/peers.js'

/** Column sentence1 of the file's first rows; the file has a header and no quoting. */
function firstSentences(file: string, count: number): string[] {
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.slice(1, count + 1).map((line) => line.split('\t')[7])
}

describe('embed against transformers', function () {
  this.timeout(240_000)
  const folder = path.join(sharedData(), 'minilm_l6')
  const python = pythonPeer()
  if (!existsSync(folder) || !python) {
    it('needs the shared data and a Python with transformers (STRATABERT_PYTHON)')
    return
  }
  const sentences = firstSentences(path.join(sharedData(), 'glue/STS-B/dev.tsv'), 1000)
  let expected: Float32Array
  before(() => {
    const scratch = mkdtempSync(path.join(tmpdir(), 'stratabert-embed-'))
    try {
      const [input, output] = [path.join(scratch, 'sentences.json'), path.join(scratch, 'vectors.f32')]
      writeFileSync(input, JSON.stringify(sentences))
      const script = path.join(__dirname, 'golden/embed_huggingface.py')
      const done = spawnSync(python, [script, '--folder', folder, '--input', input, '--output', output], {
        encoding: 'utf8',
      })
      assert.equal(done.status, 0, done.stderr)
      expected = new Float32Array(new Uint8Array(readFileSync(output)).buffer)
    } finally {
      rmSync(scratch, { recursive: true, force: true })
    }
  })

  for (const [precision, limit] of [
    ['fp32', 0.999999],
    ['bf16', 0.999],
  ] as const)
    it(`${precision}: cosine at least ${limit} for every sentence`, async () => {
      await using encoder = await Encoder.load(folder, { precision, device: 'cpu' })
      const { vectors, dimension } = await encoder.embed(sentences, { pooling: 'mean', normalize: true })
      assert.equal(vectors.length, 1000)
      assert.equal(1000 * dimension, expected.length)
      let worst = 1
      vectors.forEach((vector, row) => {
        const reference = expected.subarray(row * dimension, (row + 1) * dimension)
        const cosine = vector.reduce((sum, value, column) => sum + value * reference[column], 0)
        const norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))
        assert.ok(Math.abs(norm - 1) < 1e-5, `sentence ${row} has length ${norm}`)
        worst = Math.min(worst, cosine / norm)
      })
      console.log(`      least cosine ${worst.toFixed(8)}`)
      assert.ok(worst >= limit, `least cosine ${worst}`)
    })
})
