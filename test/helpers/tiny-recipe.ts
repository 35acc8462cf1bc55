import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Values } from '../../lib/recipes/index.js'

/** Writes the first articles of the sample in `examples/data`. */
export function writeSmallCorpus(path: string, documents = 40): void {
  const sample = readFileSync(resolve(__dirname, '../../examples/data/wikipedia-sample.txt'), 'utf8')
  writeFileSync(
    path,
    `${sample
      .split(/\n\n(?== )/)
      .slice(0, documents)
      .join('\n\n')}\n`,
  )
}

/** Values that make any recipe train in a second or two. */
export function tinyValues(corpus: string, more: Values = {}): Values {
  return {
    data: { corpus },
    device: 'cpu',
    precision: 'fp32',
    encoder: { layers: 2, hiddenSize: 32, heads: 2, maxPositions: 64 },
    tokenizer: { train: { vocabSize: 400 } },
    bigramShift: { level: 'both' },
    batch: { tokens: 256, sequenceTokens: 48 },
    budget: { steps: 6 },
    evaluation: { everySteps: 0, documents: 4 },
    checkpoint: { everySteps: 3, keep: 0 },
    log: { everySteps: 2 },
    // More threads only wait for each other in a model this small.
    threads: 1,
    prefetchWorkers: 0,
    ...more,
  }
}
