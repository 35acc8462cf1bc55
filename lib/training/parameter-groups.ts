/** Which parameters decay, at which rate each learns, and which stay as they are. */
import { StrataError } from '../errors.js'
import { type ModelConfig, type ParameterInfo, tapLayer } from '../model/index.js'
import type { OptimizerSettings } from './types.js'

export interface ParameterGroup {
  names: string[]
  weightDecay: number
  learningRateFactor: number
}

/**
 * Parameters that a stage's heads reach: the heads themselves, a next-sentence head that hands its vector to one of them,
 * and the encoder up to the highest tap. What gets no gradient must not be in a group, or weight decay alone would move it.
 */
export function reachedParameters(
  parameters: readonly ParameterInfo[],
  config: ModelConfig,
  activeHeads: readonly string[],
): ParameterInfo[] {
  const heads = config.heads.filter((head) => activeHeads.includes(head.name))
  const reached = new Set(activeHeads)
  let top = Math.max(...heads.map((head) => tapLayer(head.tap, config.encoder.layers)))
  for (const head of heads) {
    if (head.kind !== 'masked-lm' || !head.transfer) continue
    const source = config.heads.find((other) => other.name === head.transfer?.from)
    if (!source || head.transfer.stopGradient) continue
    reached.add(source.name)
    top = Math.max(top, tapLayer(source.tap, config.encoder.layers))
  }
  return parameters.filter(({ name, layer }) => {
    const head = /^heads\.([^.]+)\./.exec(name)?.[1]
    return head === undefined ? layer <= top : reached.has(head)
  })
}

/**
 * Groups for {@link Optimizer.create}: no decay on biases and LayerNorm, rate factor `layerDecay ** (L + 1 - layer)`
 * (heads 1, embeddings `layerDecay ** (L + 1)`). A frozen parameter is in no group.
 * Throws BAD_ARGUMENT when a prefix of `freeze` matches nothing, or everything is frozen.
 */
export function parameterGroups(
  parameters: readonly ParameterInfo[],
  settings: Pick<OptimizerSettings, 'weightDecay' | 'layerDecay'>,
  freeze: readonly string[] = [],
): ParameterGroup[] {
  for (const prefix of freeze) {
    if (!parameters.some((parameter) => parameter.name.startsWith(prefix))) {
      throw new StrataError('BAD_ARGUMENT', `freeze names ${prefix}, but no parameter's name starts with it`)
    }
  }
  const top = Math.max(...parameters.map((parameter) => parameter.layer))
  const groups = new Map<string, ParameterGroup>()
  for (const { name, decays, layer } of parameters) {
    if (freeze.some((prefix) => name.startsWith(prefix))) continue
    const weightDecay = decays ? settings.weightDecay : 0
    const learningRateFactor = settings.layerDecay ** (top - layer)
    const key = `${weightDecay} ${learningRateFactor}`
    const group = groups.get(key) ?? { names: [], weightDecay, learningRateFactor }
    group.names.push(name)
    groups.set(key, group)
  }
  if (groups.size === 0) {
    throw new StrataError('BAD_ARGUMENT', `freeze (${freeze.join(', ')}) leaves no parameter to train`)
  }
  return [...groups.values()]
}
