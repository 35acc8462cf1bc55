import { openCorpus } from '../../lib/data/index.js'
import { Tokenizer } from '../../lib/text/index.js'

/** Opens a corpus in a process of its own and prints what came: arguments are vocabulary, cache folder, text, 1 to rebuild. */
async function main([vocabulary, cacheDirectory, input, rebuild]: string[]): Promise<void> {
  const tokenizer = await Tokenizer.load(vocabulary)
  const corpus = await openCorpus({ inputs: [input], tokenizer, cacheDirectory, rebuild: rebuild === '1' })
  let sum = 0
  for (const id of corpus.tokenIds) sum = (sum * 31 + id) >>> 0
  console.log(JSON.stringify({ directory: corpus.directory, tokens: corpus.tokenCount, sum }))
}

void main(process.argv.slice(2))
