import { readdir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import {
  type CorpusProgress,
  type CorpusStatistics,
  type CorpusView,
  type DocumentFilters,
  defaultCorpusDirectory,
  openCorpus,
  type ParseOrigin,
  parseOrigins,
  splitDocuments,
  trainTokenizer,
  wholeCorpus,
} from '../data/index.js'
import { fileError, StrataError } from '../errors.js'
import { Tokenizer } from '../text/index.js'
import { chunkOptions, relationNames } from './agreements-of-recipe.js'
import { stagesOf } from './recipe-stages.js'
import type { ResolvedRecipe } from './resolve-recipe.js'
import type { OpenDataOptions } from './run-data.js'

/** Text of the self-supervised heads, tokenised and divided. */
export interface RunText {
  training: CorpusView
  /** Missing when nothing is held out. */
  heldOut?: CorpusView
  /** Of a recipe with agreements: which parser made the trees of its CoNLL-U files. */
  parses?: ParseOrigin[]
}

/** Opens (tokenises once and caches) text files and divides them; what a user should know goes into `notes`. */
export async function openText(
  recipe: ResolvedRecipe,
  inputs: string[],
  tokenizer: Tokenizer,
  options: OpenDataOptions,
  notes: string[],
): Promise<RunText> {
  const { maxTokensPerCharacter, dropDuplicates, ...reading } = recipe.text
  const open = async (files: string[], filters: DocumentFilters = {}) => {
    const onProgress = (progress: CorpusProgress) => options.onProgress?.(corpusProgress(files, progress))
    const corpus = await openCorpus({
      inputs: files,
      tokenizer,
      ...reading,
      ...filters,
      chunks: chunkOptions(recipe),
      cacheDirectory: options.cacheDirectory,
      onProgress,
      signal: options.signal,
    })
    notes.push(...corpusNotes(files, corpus.statistics))
    if (corpus.resumedDocuments > 0) {
      notes.push(`${corpus.resumedDocuments} documents had been tokenised before an interruption (${files.join(', ')})`)
    }
    return corpus
  }
  const corpus = await open(inputs, { maxTokensPerCharacter, dropDuplicates })
  const parses = recipe.agreements ? await parsesOf(recipe, inputs, corpus.statistics, notes) : undefined
  if (recipe.data.heldOut !== undefined) {
    const files = await expandFiles(recipe.data.heldOut)
    const heldOut = await open(files)
    if (learnedRelations(recipe).length > 0 && isUnparsed(heldOut.statistics))
      notes.push(`no sentence of the held-out text has a parse: no relation is scored (${files.join(', ')})`)
    return { training: wholeCorpus(corpus), heldOut: wholeCorpus(heldOut), parses }
  }
  const heldOutDocuments = heldOutCount(recipe, corpus.documentCount, notes)
  if (heldOutDocuments === 0) return { training: wholeCorpus(corpus), parses }
  const { train, heldOut } = splitDocuments(corpus, { heldOutDocuments, seed: recipe.seed })
  return { training: train, heldOut, parses }
}

/** Files as they are, folders as the text files in them, in order of name. */
export async function expandFiles(slot: string | readonly string[]): Promise<string[]> {
  const files: string[] = []
  for (const entry of typeof slot === 'string' ? [slot] : slot) {
    const path = resolve(entry)
    const found = await stat(path).catch((error) => {
      throw fileError(error, path, 'open the data')
    })
    if (!found.isDirectory()) {
      files.push(path)
      continue
    }
    const names = (await readdir(path)).filter((name) => /\.(txt|text|jsonl|ndjson|conllu?)(\.gz)?$/i.test(name)).sort()
    if (names.length === 0)
      throw new StrataError(
        'BAD_DATA',
        `${path} has no .txt, .jsonl, .conllu or .conll file (also .gz), expected at least one`,
      )
    files.push(...names.map((name) => join(path, name)))
  }
  return files
}

/** The run's own tokenizer, the recipe's, or one that is trained from the text. */
export async function openTokenizer(
  recipe: ResolvedRecipe,
  inputs: readonly string[],
  options: OpenDataOptions,
  notes: string[],
): Promise<{ tokenizer: Tokenizer; source: string }> {
  const kept = options.tokenizerFolder
  if (kept && (await stat(join(kept, 'tokenizer.json')).catch(() => undefined))) {
    return { tokenizer: await Tokenizer.load(kept), source: kept }
  }
  if (typeof recipe.tokenizer === 'string') {
    return { tokenizer: await Tokenizer.load(recipe.tokenizer), source: recipe.tokenizer }
  }
  const { vocabSize, lowercase } = recipe.tokenizer.train
  if (inputs.length === 0) {
    throw new StrataError(
      'BAD_RECIPE',
      'tokenizer: is to be trained, but there is no text to train it from; start from a checkpoint (--init), name a tokenizer, or give --data corpus=FILE',
    )
  }
  options.onProgress?.(`training a vocabulary of ${vocabSize} pieces`)
  const { tokenizer, statistics } = await trainTokenizer({
    inputs: [...inputs],
    vocabSize,
    lowercase,
    ...recipe.text,
    cacheDirectory: options.cacheDirectory ?? defaultCorpusDirectory(),
    signal: options.signal,
    onProgress: ({ phase, documents, learned }) =>
      options.onProgress?.(
        {
          hash: 'reading the text of the vocabulary',
          count: `counting words: ${documents} documents`,
          learn: `learning pieces: ${learned} of ${vocabSize}`,
        }[phase],
      ),
  })
  if (statistics.droppedChunks > 0) {
    notes.push(`${statistics.droppedChunks} rare words were left out of the vocabulary's text to bound memory`)
  }
  if (tokenizer.vocabSize < vocabSize) {
    notes.push(`the text gives a vocabulary of ${tokenizer.vocabSize} pieces only, ${vocabSize} were asked for`)
  }
  return { tokenizer, source: 'trained' }
}

function heldOutCount(recipe: ResolvedRecipe, documentCount: number, notes: string[]): number {
  const { documents } = recipe.evaluation
  if (documents === 'auto') {
    const count = documentCount < 2 ? 0 : Math.min(100, Math.max(1, Math.floor(documentCount / 10)))
    if (count === 0)
      notes.push('the corpus is one document: nothing is held out, no head is evaluated; give data.heldOut')
    return count
  }
  if (documents >= documentCount) {
    const message = `came ${documents}, but the corpus has ${documentCount} documents, expected fewer; or give data.heldOut`
    throw new StrataError('BAD_RECIPE', `evaluation.documents: ${message}`)
  }
  return documents
}

/** Who made the parses that relations are learned from; the rules of Cramming allow no trained parser. */
async function parsesOf(
  recipe: ResolvedRecipe,
  files: string[],
  statistics: CorpusStatistics,
  notes: string[],
): Promise<ParseOrigin[]> {
  checkParsed(recipe, files, statistics)
  const parses = await parseOrigins(files, recipe.text.format)
  notes.push(...parses.map(({ generator, files }) => `generator of the parse: ${generator} (${files.join(', ')})`))
  return parses
}

/** Relations that some stage learns. */
function learnedRelations(recipe: ResolvedRecipe): string[] {
  const stages = stagesOf(recipe)
  return relationNames(recipe).filter((relation) => stages.some(({ heads }) => heads.includes(relation)))
}

/** Every parsed sentence has labels; numbers of sentences do not tell, as long ones become several. */
const isUnparsed = ({ parseLabels = {} }: CorpusStatistics): boolean => Object.keys(parseLabels).length === 0

/** Submodels learn from parses alone, and a relation that never holds would be learned as "none" everywhere. */
function checkParsed(recipe: ResolvedRecipe, files: string[], statistics: CorpusStatistics): void {
  const learned = learnedRelations(recipe)
  if (learned.length === 0) return
  if (isUnparsed(statistics)) {
    throw new StrataError(
      'BAD_DATA',
      `${files.join(', ')}: no sentence has a parse, which the relations are learned from; give CoNLL-U (stratabert parse makes it), or train without submodels (agreements=null)`,
    )
  }
  const { relatedChunks = {} } = statistics
  const missing = learned.filter((relation) => relatedChunks[relation] === 0)
  if (missing.length === 0) return
  const { groups } = chunkOptions(recipe)!
  const expected = missing.map((relation) => `${relation} (${groups[relation].join(', ')})`)
  throw new StrataError(
    'BAD_DATA',
    `${files.join(', ')}: no chunk stands in the relation ${expected.join(', ')}; the parses have the labels ${parseLabels(statistics)}: give agreements.groups some of these, or other text`,
    { details: { missing } },
  )
}

/** Some dozens of labels, the frequent ones first; plain text, whatever the files hold. */
function parseLabels({ parseLabels = {} }: CorpusStatistics): string {
  const labels = Object.entries(parseLabels).sort(([, left], [, right]) => right - left)
  const shown = labels.slice(0, MOST_LABELS).map(([label]) => label.replaceAll(/\p{C}/gu, ' ').slice(0, LONGEST_LABEL))
  return shown.join(', ') + (labels.length > MOST_LABELS ? ' …' : '')
}

const MOST_LABELS = 60
const LONGEST_LABEL = 40

const FILTERS: ReadonlySet<string> = new Set(['duplicateDocuments', 'incompressibleDocuments'])

/** Every count of a corpus that tells of skipped or changed text, and how often each relation holds. */
function corpusNotes(files: string[], statistics: CorpusStatistics): string[] {
  const told = {
    emptyDocuments: 'documents without text were skipped',
    tokenlessDocuments: 'documents without a token were skipped',
    emptySentences: 'sentences without a token were skipped',
    replacedLines: 'lines had invalid UTF-8, replaced',
    cutDocuments: 'very long documents were cut',
    cutSentences: 'sentences longer than a sequence were cut between chunks',
    unparsedSentences: 'sentences have no parse: their chunks come from a lexicon and teach no relation',
    partlyParsedSentences: 'sentences have words without a head: chunks that hang on these teach no relation',
    duplicateDocuments: `documents were exact copies of others, removed (${statistics.duplicateCharacters} characters)`,
    incompressibleDocuments: `documents had too many tokens a character, removed (${statistics.incompressibleCharacters} characters in ${statistics.incompressibleTokens} tokens)`,
  } as const
  const lines = Object.entries(told).flatMap(([key, what]) => {
    const count = statistics[key as keyof typeof told] ?? -1
    // A filter that found nothing says so.
    return count > 0 || (count === 0 && FILTERS.has(key)) ? [`${count} ${what}`] : []
  })
  const { relatedChunks, chunks } = statistics
  if (relatedChunks && !isUnparsed(statistics)) {
    const counts = Object.entries(relatedChunks).map(([relation, count]) => `${relation} ${count}`)
    lines.push(`of ${chunks} chunks stand in a relation: ${counts.join(', ')}`)
  }
  return lines.map((line) => `${line} (${files.join(', ')})`)
}

function corpusProgress(files: string[], progress: CorpusProgress): string {
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1)
  const done = `${megabytes(progress.bytesDone)} of ${megabytes(progress.bytesTotal)} MB`
  const what = { hash: 'reading', verify: 'checking the cache of', build: 'tokenising' }[progress.phase]
  const counts = progress.phase === 'build' ? `, ${progress.documents} documents, ${progress.tokens} tokens` : ''
  return `${what} ${files.length === 1 ? files[0] : `${files.length} files`}: ${done}${counts}`
}
