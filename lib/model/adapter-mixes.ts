/** Layer mixes that come with an adapter, beside those that its base has. */
import type { AdapterParts } from './adapter-folder.js'
import type { HeadConfig, MixConfig, ModelConfig } from './config.js'
import { modelParameterShapes } from './parameter-shapes.js'

/** Values of a parameter of the model so far, or of the adapter's file; undefined for one that is stored nowhere. */
type StoredValues = (name: string) => Promise<Float32Array> | Float32Array | undefined

/** What an adapter brings, and which of its mixes go by another name than in its file: name in the model → in the file. */
export interface PlacedMixes {
  parts: Pick<AdapterParts, 'heads' | 'mixes'>
  renamed: Record<string, string>
}

/**
 * A mix of a name that the model has is shared with it when settings and numbers are the same, as those of adapters out of one run are.
 * With others it comes as `<adapter>-<mix>`.
 */
export async function placedMixes(
  { encoder, mixes: there = [] }: ModelConfig,
  { adapter, heads, mixes }: AdapterParts,
  read: { model: StoredValues; file: StoredValues },
): Promise<PlacedMixes> {
  const isSame = async (a: MixConfig, b: MixConfig): Promise<boolean> => {
    if (a.includeEmbeddings !== b.includeEmbeddings || a.layerNorm !== b.layerNorm) return false
    for (const parameter of mixParameters(encoder, b)) {
      const [ours, theirs] = [await read.model(parameter), await read.file(parameter)]
      if (!ours || !theirs?.every((value, place) => value === ours[place])) return false
    }
    return true
  }
  const placed: PlacedMixes = { parts: { heads, mixes: [] }, renamed: {} }
  for (const mix of mixes) {
    const taken = there.find(({ name }) => name === mix.name)
    if (taken && (await isSame(taken, mix))) continue
    const name = taken ? `${adapter.name}-${mix.name}` : mix.name
    placed.parts.mixes.push({ ...mix, name })
    if (name === mix.name) continue
    placed.renamed[name] = mix.name
    placed.parts.heads = placed.parts.heads.map((head) => onMix(head, mix.name, name))
  }
  return placed
}

function mixParameters(encoder: ModelConfig['encoder'], mix: MixConfig): string[] {
  const shapes = modelParameterShapes({ encoder, heads: [], mixes: [mix] })
  return Object.keys(shapes).filter((name) => name.startsWith(`mixes.${mix.name}.`))
}

function onMix(head: HeadConfig, from: string, to: string): HeadConfig {
  return head.tap?.mix === from ? ({ ...head, tap: { mix: to } } as HeadConfig) : head
}
