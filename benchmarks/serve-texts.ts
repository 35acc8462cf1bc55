/**
 * Real texts of mixed length for the serving benchmark: five sentences of STS-B dev to each paragraph of SQuAD dev, in a fixed random order; the
 * pairs of STS-B dev; and single sentences of about 16 tokens.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Tokenizer } from '../lib/text/index.js'
import { benchmarkCache, sharedData } from './enwiki-batches.js'

export const MAX_TOKENS = 512
/** Sentences to a paragraph. */
const SENTENCES = 5
const QUERY_TOKENS = { least: 15, most: 17 }

export interface ServeTexts {
  /** JSON file of the sets below, which every program reads. */
  file: string
  mixed: string[]
  /** Tokens of each of them, special tokens included, cut at 512. */
  mixedTokens: number[]
  /** STS-B dev: the sentences of its first pair, of its second, and so on. */
  pairs: string[]
  /** Their similarity, 0 … 5. */
  similarity: number[]
  queries: string[]
}

/** Park and Miller's generator: a fixed order is all that is asked of it. */
function shuffled<T>(values: readonly T[], seed: number): T[] {
  const order = [...values]
  let state = seed
  for (let index = order.length - 1; index > 0; index--) {
    state = (state * 48271) % 2147483647
    const other = state % (index + 1)
    ;[order[index], order[other]] = [order[other], order[index]]
  }
  return order
}

function readPairs(): { first: string[]; second: string[]; similarity: number[] } {
  const file = path.join(sharedData(), 'glue/STS-B/dev.tsv')
  const [header, ...rows] = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line)
    .map((line) => line.split('\t'))
  const column = (name: string) => rows.map((row) => row[header.indexOf(name)])
  return { first: column('sentence1'), second: column('sentence2'), similarity: column('score').map(Number) }
}

function readParagraphs(): string[] {
  const file = path.join(sharedData(), 'squad/dev-v1.1.rebuilt.json')
  const { data } = JSON.parse(readFileSync(file, 'utf8')) as { data: { paragraphs: { context: string }[] }[] }
  return [...new Set(data.flatMap(({ paragraphs }) => paragraphs.map(({ context }) => context)))]
}

/** Every run of six texts holds five sentences and a paragraph, so that any stretch of them is of about the same mix. */
function mix(sentences: readonly string[], paragraphs: readonly string[]): string[] {
  const groups = Math.min(Math.floor(sentences.length / SENTENCES), paragraphs.length)
  return Array.from({ length: groups }, (_, group) =>
    shuffled([...sentences.slice(group * SENTENCES, (group + 1) * SENTENCES), paragraphs[group]], group + 1),
  ).flat()
}

export async function serveTexts(model: string): Promise<ServeTexts> {
  const { first, second, similarity } = readPairs()
  const pairs = first.flatMap((sentence, index) => [sentence, second[index]])
  const sentences = shuffled([...new Set(pairs)], 1)
  const mixed = mix(sentences, shuffled(readParagraphs(), 2))
  const tokenizer = await Tokenizer.load(model)
  const lengths = async (texts: string[]) =>
    (await tokenizer.encodeBatch(texts, { maxTokens: MAX_TOKENS })).map(({ tokenIds }) => tokenIds.length)
  const sentenceTokens = await lengths(sentences)
  const queries = sentences.filter(
    (_, index) => sentenceTokens[index] >= QUERY_TOKENS.least && sentenceTokens[index] <= QUERY_TOKENS.most,
  )
  const file = path.join(benchmarkCache(), 'serve-texts.json')
  writeFileSync(file, JSON.stringify({ mixed, pairs, queries }))
  return { file, mixed, mixedTokens: await lengths(mixed), pairs, similarity, queries }
}
