/**
 * Prepares a text with a vocabulary, finds it again in the cache, and prints { documents, tokens, reused, peakMegabytes }: the largest resident
 * memory that the process had, all of it counted.
 */
import { openCorpus } from '../../lib/data/index.js'
import { Tokenizer } from '../../lib/text/index.js'

async function main(): Promise<void> {
  const [text, vocabulary, cacheDirectory] = process.argv.slice(2)
  const options = { inputs: [text], tokenizer: await Tokenizer.load(vocabulary), cacheDirectory }
  const { documentCount: documents, tokenCount: tokens } = await openCorpus(options)
  const { reused } = await openCorpus(options)
  const peakMegabytes = process.resourceUsage().maxRSS / 1024
  console.log(JSON.stringify({ documents, tokens, reused, peakMegabytes }))
}

void main()
