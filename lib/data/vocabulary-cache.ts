/** Vocabularies that were learned before, one file each, named by a hash of everything that decides them. */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileError } from '../errors.js'
import { writeOutput } from '../output-file.js'
import type { TokenizerTrainingStatistics } from './corpus-tokenizer-worker.js'

/** Changes when the same text and options would give another vocabulary. */
const VOCABULARY_VERSION = 2

export interface LearnedVocabulary {
  tokens: string[]
  statistics: TokenizerTrainingStatistics
}

/** `decides`: the text's content and the options. */
export function vocabularyFile(cacheDirectory: string, decides: object): string {
  // Words are found by Unicode's tables.
  const { icu, unicode } = process.versions
  const text = JSON.stringify({ version: VOCABULARY_VERSION, icu, unicode, ...decides })
  return join(cacheDirectory, `vocabulary-${hashOf(text).slice(0, 40)}.json`)
}

/** Undefined when the file does not exist, or is not whole: the vocabulary is then learned anew. */
export function readVocabulary(file: string): LearnedVocabulary | undefined {
  try {
    const { sha256, vocabulary } = JSON.parse(readFileSync(file, 'utf8'))
    return hashOf(JSON.stringify(vocabulary)) === sha256 ? vocabulary : undefined
  } catch {
    return undefined
  }
}

/** Throws READ_ONLY, DISK_FULL or IO_ERROR. */
export async function storeVocabulary(file: string, vocabulary: LearnedVocabulary): Promise<void> {
  const doing = 'put the vocabulary into the cache'
  try {
    mkdirSync(join(file, '..'), { recursive: true })
  } catch (error) {
    throw fileError(error, file, doing)
  }
  const content = { sha256: hashOf(JSON.stringify(vocabulary)), vocabulary }
  await writeOutput(file, doing, (write) => write(`${JSON.stringify(content)}\n`))
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
