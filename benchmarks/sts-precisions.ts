/**
 * What a precision costs in quality: Spearman correlation of sentence vectors' cosines with STS-B's scores, dev set.
 *
 *   npx tsx benchmarks/sts-precisions.ts --model DIR --data DIR/dev.tsv [--precisions fp32,bf16,int8]
 *
 * Prints one JSON document: points (100 ρ), the loss against the first precision, and how far vectors turned.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { spearman } from '../lib/evaluation/correlation.js'
import { Encoder } from '../lib/inference/index.js'
import type { InferencePrecision } from '../lib/model/index.js'

const { values: flags } = parseArgs({
  options: {
    model: { type: 'string' },
    data: { type: 'string' },
    precisions: { type: 'string', default: 'fp32,bf16,int8' },
  },
})

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
  return sum
}

async function main(): Promise<void> {
  if (!flags.model || !flags.data) throw new Error('--model DIR and --data FILE were expected')
  // No quote handling: a " is a character of the sentence.
  const [header, ...lines] = readFileSync(flags.data, 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split('\t'))
  const column = (name: string) => lines.map((cells) => cells[header.indexOf(name)])
  const [first, second, scores] = [column('sentence1'), column('sentence2'), column('score').map(Number)]
  const rows: Record<string, unknown>[] = []
  let exact: { vectors: Float32Array[]; points: number } | undefined
  for (const precision of flags.precisions.split(',') as InferencePrecision[]) {
    await using encoder = await Encoder.load(flags.model, { device: 'cpu', precision })
    const { vectors } = await encoder.embed([...first, ...second], { normalize: true })
    const cosines = first.map((_, i) => dot(vectors[i], vectors[first.length + i]))
    const points = 100 * spearman(cosines, scores)
    exact ??= { vectors, points }
    const turns = vectors.map((vector, i) => dot(vector, exact!.vectors[i]))
    const [loss, leastCosine] = [exact.points - points, Math.min(...turns)]
    rows.push({ precision, points, loss, leastCosine, meanCosine: turns.reduce((a, b) => a + b) / turns.length })
  }
  process.stdout.write(`${JSON.stringify({ model: flags.model, pairs: first.length, rows }, null, 1)}\n`)
}

void main()
