import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { defaultCorpusDirectory } from '../data/index.js'
import { fileError, StrataError } from '../errors.js'
import { type AgreementConfig, readModelFolder } from '../model/index.js'
import type { OpenedTask } from '../tasks/index.js'
import type { Tokenizer } from '../text/index.js'
import { openRecipeTasks, writeCorpusOfTasks } from './recipe-tasks.js'
import type { ResolvedRecipe } from './resolve-recipe.js'
import { expandFiles, openText, openTokenizer, type RunText } from './run-text.js'
import { sequenceNotes } from './sequence-length.js'

/** A recipe's data, tokenised and divided. */
export interface RunData {
  tokenizer: Tokenizer
  /** `trained` from the corpus, or loaded from this path. */
  tokenizerSource: string
  /** Text of the self-supervised heads; missing when the recipe has none. */
  text?: RunText
  /** The labelled tasks, without their test sets: no run looks at them. */
  tasks: OpenedTask[]
  /** Those of the checkpoint to start from, where the recipe has none of its own: they stay on. */
  agreements?: AgreementConfig
  /** What a user should know: skipped documents, bad rows, a smaller vocabulary, no held-out data. */
  notes: string[]
}

/** Where caches lie, and how much is opened. */
export interface OpenDataOptions {
  /** Where a run keeps the tokenizer that it was started with; stands before everything else when it exists. */
  tokenizerFolder?: string
  cacheDirectory?: string
  signal?: AbortSignal
  /** For counting only: tasks without data are left out, test sets are read too. */
  planOnly?: boolean
  /** One line about what is going on, now and then. */
  onProgress?: (line: string) => void
}

/** Opens (tokenises once and caches) the recipe's data slots. Throws BAD_RECIPE when a slot that is needed is missing. */
export async function openRunData(recipe: ResolvedRecipe, options: OpenDataOptions = {}): Promise<RunData> {
  const notes: string[] = sequenceNotes(recipe)
  const { corpus } = recipe.data
  const needsText = Object.keys(recipe.heads).length > 0
  if (needsText && corpus === undefined) {
    throw new StrataError(
      'BAD_RECIPE',
      'data.corpus: is missing, expected a text file, a folder or a list of them; give --data corpus=FILE',
    )
  }
  const inputs = needsText ? await textInputs(recipe, options, notes) : []
  const { tokenizer, source } = await openTokenizer(recipe, inputs, options, notes)
  const text = needsText ? await openText(recipe, inputs, tokenizer, options, notes) : undefined
  const tasks = await openRecipeTasks(recipe, tokenizer, options)
  for (const task of tasks) notes.push(...task.notes)
  const agreements = await inheritedAgreements(recipe, notes)
  return { tokenizer, tokenizerSource: source, text, tasks, ...(agreements && { agreements }), notes }
}

/** Whether submodels learn is a run's matter, not the checkpoint's: where the recipe says nothing of them they stay as they are. */
async function inheritedAgreements(recipe: ResolvedRecipe, notes: string[]): Promise<AgreementConfig | undefined> {
  // A run that is gone on with has its own checkpoint; the one that it started from may be gone.
  if (recipe.agreements || !recipe.init || !existsSync(recipe.init)) return undefined
  const { agreements } = (await readModelFolder(recipe.init)).config
  if (!agreements) return undefined
  const { train: _, ...kept } = agreements
  const { relations, off = [] } = kept
  const on = relations.filter((relation) => !off.includes(relation))
  notes.push(`agreements of ${recipe.init} that stay on: ${on.join(', ') || 'none'}; their submodels stay as they are`)
  return kept
}

/** The corpus's files; the texts of tasks are first written to one, under a name that follows from where they come from. */
async function textInputs(recipe: ResolvedRecipe, options: OpenDataOptions, notes: string[]): Promise<string[]> {
  const corpus = recipe.data.corpus!
  if (typeof corpus === 'string' || Array.isArray(corpus)) return expandFiles(corpus)
  options.onProgress?.(`collecting the texts of ${corpus.fromTasks.join(', ')}`)
  const folder = options.cacheDirectory ?? defaultCorpusDirectory()
  await mkdir(folder, { recursive: true }).catch((error) => {
    throw fileError(error, folder, 'write the texts of the tasks')
  })
  return [await writeCorpusOfTasks(recipe, corpus.fromTasks, (name) => join(folder, name), options.signal, notes)]
}
