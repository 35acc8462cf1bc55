/** What a training run's result follows from, as one hash. */
import type { ResolvedRecipe } from '../recipes/index.js'
import { type Fingerprints, hashOf } from './fingerprint.js'

/** Keys that decide about speed, disk and logs, not about what is computed. */
const FREE = [
  'name',
  'description',
  'extends',
  'preset',
  'resolved',
  'threads',
  'taskMegabytes',
  'prefetchWorkers',
  'log',
  'device',
  'init',
  'tokenizer',
  'data',
]

/** The run that a training run starts from. */
export interface StartOfRun {
  parent?: { id: string }
  fromBest: boolean
}

/** SHA-256 of the settings, the content of the data and what the run starts from. */
export async function trainId(
  recipe: ResolvedRecipe,
  { parent, fromBest }: StartOfRun,
  fingerprints: Fingerprints,
): Promise<string> {
  const { checkpoint, tokenizer, init, data } = recipe
  const settings = Object.fromEntries(Object.entries(recipe).filter(([key]) => !FREE.includes(key)))
  const files = Object.entries(data).map(async ([slot, value]) => [slot, await fingerprints.ofSlot(value)])
  return hashOf({
    ...settings,
    // A best checkpoint is written besides; how many are kept changes nothing.
    checkpoint: checkpoint.best,
    order: [Object.keys(recipe.heads), Object.keys(recipe.tasks)],
    init: parent ? [parent.id, fromBest] : init === undefined ? null : await fingerprints.ofPath(init),
    tokenizer:
      typeof tokenizer !== 'string' ? tokenizer : tokenizer === init ? 'init' : await fingerprints.ofPath(tokenizer),
    data: Object.fromEntries(await Promise.all(files)),
  })
}
