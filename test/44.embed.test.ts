/** Sentence vectors of minilm_l6 against transformers (golden/embed_huggingface.py), on the first 1,000 sentences of STS-B dev. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { Encoder } from '../lib/inference/index.js'
import { sharedData } from './golden/peers.js'

/** Column sentence1 of the file's first rows; the file has a header and no quoting. */
function firstSentences(file: string, count: number): string[] {
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.slice(1, count + 1).map((line) => line.split('\t')[7])
}

/** A file of float16 numbers; vectors of unit length have no infinities. */
function halves(file: string): Float32Array {
  const bytes = readFileSync(file)
  return Float32Array.from({ length: bytes.length / 2 }, (_, index) => {
    const bits = bytes.readUInt16LE(2 * index)
    const [exponent, fraction] = [(bits >>> 10) & 31, bits & 1023]
    const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24
    return bits & 0x8000 ? -size : size
  })
}

describe('embed against transformers', function () {
  this.timeout(240_000)
  const folder = path.join(sharedData(), 'minilm_l6')
  if (!existsSync(folder)) {
    it('needs the shared data')
    return
  }
  const sentences = firstSentences(path.join(sharedData(), 'glue/STS-B/dev.tsv'), 1000)
  const expected = halves(path.join(__dirname, 'golden/embed_minilm_l6.f16'))

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
        const referenceNorm = Math.sqrt(reference.reduce((sum, value) => sum + value * value, 0))
        worst = Math.min(worst, cosine / norm / referenceNorm)
      })
      console.log(`      least cosine ${worst.toFixed(8)}`)
      assert.ok(worst >= limit, `least cosine ${worst}`)
    })
})
