/** The agreements that a checkpoint sees in a text, and the table that the command line prints. */
import { type AgreementMap, agreementMaps } from '../evaluation/index.js'
import { loadModel } from '../model/index.js'
import { Tokenizer } from '../text/index.js'
import { readGates, resolveCheckpoint } from '../training/index.js'
import { warn } from '../warn.js'
import { alignedTable } from './held-out-table.js'
import type { ResolvedRecipe } from './resolve-recipe.js'
import { runtimeChoice } from './run-model.js'

export interface ShownAgreements {
  format: 1
  checkpoint: string
  text: string
  /** How much of each relation the encoder takes. */
  gates: Record<string, number>
  sentences: AgreementMap[]
}

/** Loads a checkpoint with agreements and asks it about a text. Errors as {@link agreementMaps}. */
export async function showAgreements(
  checkpoint: string,
  text: string,
  options: { device?: string; precision?: ResolvedRecipe['precision'] } = {},
): Promise<ShownAgreements> {
  const { folder, warnings } = await resolveCheckpoint(checkpoint)
  warn(warnings)
  const tokenizer = await Tokenizer.load(folder)
  const choice = runtimeChoice({ device: options.device ?? 'auto', precision: options.precision ?? 'auto' })
  const { model } = await loadModel(folder, choice)
  try {
    const sentences = await agreementMaps(model, tokenizer, text)
    return { format: 1, checkpoint: folder, text, gates: (await readGates(model)) ?? {}, sentences }
  } finally {
    await model.dispose()
  }
}

/** One line a chunk: the head that it has in each relation with its probability in per cent, – where none is likelier. */
export function agreementTable({ chunks, relations }: AgreementMap): string[] {
  const said = ([...row]: number[]): string => {
    const best = row.indexOf(Math.max(...row))
    return best === chunks.length ? '–' : `${chunks[best]} ${(100 * row[best]).toFixed(0)}`
  }
  const names = Object.keys(relations)
  const rows = chunks.map((chunk, index) => [chunk, ...names.map((name) => said(relations[name][index]))])
  return alignedTable([['chunk', ...names], ...rows], 1 + names.length)
}
