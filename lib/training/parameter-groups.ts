/** Which parameters decay, at which rate each learns, and which stay as they are. */
import { StrataError } from '../errors.js'
import {
  type HeadConfig,
  type ModelConfig,
  type ParameterGroup,
  type ParameterInfo,
  SCORES_PREFIX,
  tapLayer,
} from '../model/index.js'
import type { OptimizerSettings, TrainedPart } from './types.js'

/**
 * Parameters that a stage's heads reach: the heads themselves, the submodels that agreement heads train, the projections and gates of
 * agreements that join the encoder's input (and their submodels where these are trained by it), a next-sentence head that hands its vector to one of them,
 * the mixes that they read, the shared pooler if one of them uses it, the encoder up to the highest tap (a mix needs all of it)
 * and, of the active adapters, what lies below that tap. What gets no gradient must not be in a group, or weight decay alone
 * would move it.
 */
export function reachedParameters(
  parameters: readonly ParameterInfo[],
  config: ModelConfig,
  activeHeads: readonly string[],
  activeAdapters: readonly string[] = [],
): ParameterInfo[] {
  const heads = config.heads.filter((head) => activeHeads.includes(head.name))
  for (const head of [...heads]) {
    if (head.kind !== 'masked-lm' || !head.transfer || head.transfer.stopGradient) continue
    const source = config.heads.find((other) => other.name === head.transfer?.from)
    if (source) heads.push(source)
  }
  const { layers } = config.encoder
  const top = Math.max(...heads.map((head) => tapLayer(head.tap, layers)))
  const active: Record<string, Set<string | undefined>> = {
    heads: new Set(heads.map((head) => head.name)),
    mixes: new Set(heads.map((head) => head.tap?.mix)),
    adapters: new Set(activeAdapters),
  }
  const agreements = agreementReach(config, heads, top >= 0)
  const sharedPooler = heads.some((head) => 'pooler' in head && head.pooler === 'shared')
  return parameters.filter(({ name, layer }) => {
    if (name.startsWith('pooler.')) return sharedPooler
    if (name.startsWith('agreements.')) return agreements(name)
    const [, room, owner] = /^(heads|mixes|adapters)\.([^.]+)\./.exec(name) ?? []
    if (room !== undefined && !active[room].has(owner)) return false
    // Modules on top of the last block count as part of it.
    return room === 'heads' || room === 'mixes' || Math.min(layer, layers) <= top
  })
}

/** Of the parameters of agreements. `joins`: whether a head reads the encoder, whose input they join. */
function agreementReach(
  { agreements }: ModelConfig,
  heads: readonly HeadConfig[],
  joins: boolean,
): (name: string) => boolean {
  const trained = new Set(heads.map((head) => (head.kind === 'agreement' ? head.relation : undefined)))
  const merged = joins ? (agreements?.relations.filter((relation) => !agreements.off?.includes(relation)) ?? []) : []
  return (name) => {
    if (name === 'agreements.gates') return merged.length > 0 && !agreements?.fixedGates
    const [, relation, part] = name.split('.')
    const isMerged = merged.includes(relation)
    if (part === 'projection') return isMerged
    return trained.has(relation) || (isMerged && agreements?.train === true)
  }
}

type GroupSettings = Pick<OptimizerSettings, 'weightDecay' | 'layerDecay'> &
  Partial<Pick<OptimizerSettings, 'decayAll' | 'rateFactors'>>

/**
 * Groups for {@link Optimizer.create}: no decay on biases, LayerNorm, mixes, gates and scores of pruning, rate factor `layerDecay ** (L + 1 - layer)`
 * (heads 1, embeddings `layerDecay ** (L + 1)`) times the one of `rateFactors`; scores of pruning have the latter alone. A frozen parameter is in no group.
 * Throws BAD_ARGUMENT when a name of `freeze` or `rateFactors` matches nothing of `known` (the whole model, where `parameters`
 * is a part), a factor is no number of at least 0, or everything is frozen.
 */
export function parameterGroups(
  parameters: readonly ParameterInfo[],
  settings: GroupSettings,
  freeze: readonly string[] = [],
  train: TrainedPart = 'all',
  known: readonly ParameterInfo[] = parameters,
): ParameterGroup[] {
  for (const prefix of freeze) {
    if (!known.some((parameter) => parameter.name.startsWith(prefix))) {
      throw new StrataError('BAD_ARGUMENT', `freeze names ${prefix}, but no parameter's name starts with it`)
    }
  }
  if (train !== 'all' && train !== 'adapters') {
    throw new StrataError('BAD_ARGUMENT', `train is ${train}, all or adapters was expected`)
  }
  const rateFactor = rateFactors(known, settings.rateFactors ?? {})
  const top = Math.max(...parameters.map((parameter) => parameter.layer))
  const groups = new Map<string, ParameterGroup>()
  for (const { name, decays, layer } of parameters) {
    if (freeze.some((prefix) => name.startsWith(prefix))) continue
    if (train === 'adapters' && !BESIDE_THE_ENCODER.test(name)) continue
    const isScore = name.startsWith(SCORES_PREFIX)
    const mayDecay = !name.startsWith('mixes.') && name !== 'agreements.gates' && !isScore
    const weightDecay = mayDecay && (decays || settings.decayAll) ? settings.weightDecay : 0
    const learningRateFactor = (isScore ? 1 : settings.layerDecay ** (top - layer)) * rateFactor(name)
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

/** What `train: 'adapters'` trains; LayerNorms of the submodels of agreements are none of the encoder's. */
const BESIDE_THE_ENCODER = /^(adapters|heads|pooler|mixes)\.|^bert\..*\bLayerNorm\b/

/** The factor of the longest beginning that fits a name, else 1. */
function rateFactors(known: readonly ParameterInfo[], factors: Record<string, number>): (name: string) => number {
  const rows = Object.entries(factors).map(([beginning, factor]) => {
    const literal = beginning.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    return { beginning, factor, fits: new RegExp(`^${literal.join('.*')}`) }
  })
  for (const { beginning, factor, fits } of rows) {
    if (!(typeof factor === 'number' && factor >= 0 && Number.isFinite(factor))) {
      throw new StrataError('BAD_ARGUMENT', `rateFactors['${beginning}'] is ${factor}, a number ≥ 0 was expected`)
    }
    if (!known.some(({ name }) => fits.test(name))) {
      throw new StrataError('BAD_ARGUMENT', `rateFactors names ${beginning}, but no parameter's name starts like that`)
    }
  }
  rows.sort((a, b) => b.beginning.length - a.beginning.length)
  return (name) => rows.find(({ fits }) => fits.test(name))?.factor ?? 1
}
