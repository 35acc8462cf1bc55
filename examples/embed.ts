/** Nearest sentences by meaning. Usage: npx tsx examples/embed.ts CHECKPOINT SENTENCE SENTENCE [SENTENCE …] */
import { Encoder } from '../lib/index.js' // yours: from 'stratabert'

async function main([checkpoint, ...sentences]: string[]): Promise<void> {
  await using encoder = await Encoder.load(checkpoint)
  const { vectors } = await encoder.embed(sentences, { pooling: 'mean', normalize: true })
  const [query, ...others] = vectors
  for (const [index, vector] of others.entries()) {
    const cosine = vector.reduce((sum, value, column) => sum + value * query[column], 0)
    console.log(`${cosine.toFixed(4)}  ${sentences[index + 1]}`)
  }
}

main(process.argv.slice(2))
