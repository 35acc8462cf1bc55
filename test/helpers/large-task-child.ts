/**
 * Opens a large task with few bytes of memory for its examples, runs once through its batches and prints
 * { examples, openingMegabytes, passMegabytes, storeMegabytes }: how much the peak of the process's memory grew while opening, and its
 * own memory (without mapped files) while batches were built.
 */
import { readFileSync } from 'node:fs'
import { definitionOf, type ExampleSet, openTask } from '../../lib/tasks/index.js'
import { Tokenizer } from '../../lib/text/index.js'

/** Memory of the process that no file stands behind. */
function ownMegabytes(): number {
  const status = readFileSync('/proc/self/status', 'utf8')
  return Number(/RssAnon:\s+(\d+)/.exec(status)![1]) / 1024
}

const peakMegabytes = (): number => process.resourceUsage().maxRSS / 1024

async function main(): Promise<void> {
  const [vocabulary, small, large, cacheDirectory, memoryBytes] = process.argv.slice(2)
  const tokenizer = await Tokenizer.load(vocabulary)
  const open = async (train: string) => {
    const options = { tokenizer, seed: 1, cacheDirectory, memoryBytes: Number(memoryBytes) }
    return (await openTask({ definition: definitionOf('SST-2'), data: { train }, ...options })).train as ExampleSet
  }
  // What a process needs once, whatever the size of the set: threads, compiled code, room for blocks.
  await open(small)
  const before = peakMegabytes()
  const set = await open(large)
  const openingMegabytes = peakMegabytes() - before
  const resting = ownMegabytes()
  let passMegabytes = 0
  let tokens = 0
  for (let index = 0; index < set.batchCount(); index++) {
    tokens += set.build(0, index).tokenIds.length
    if (index % 1000 === 0) passMegabytes = Math.max(passMegabytes, ownMegabytes() - resting)
  }
  const storeMegabytes = (2 * tokens + 21 * set.examples) / 2 ** 20
  console.log(JSON.stringify({ examples: set.examples, openingMegabytes, passMegabytes, storeMegabytes }))
}

void main()
