/** Which of a model's parameters a stage trains. */
import {
  ENCODER_NORM,
  type Model,
  type ParameterGroup,
  type ParameterInfo,
  pruningScores,
  SCORES_PREFIX,
} from '../model/index.js'
import { parameterGroups, reachedParameters } from './parameter-groups.js'
import type { Stage, TrainingTask } from './types.js'

/** What is asked of a model here. */
type Parameters = Pick<Model, 'config' | 'parameters'>

/** What of a stage says which parameters it trains. */
export interface TrainedStage extends Pick<Stage, 'freeze' | 'train'> {
  tasks: readonly Pick<TrainingTask, 'heads' | 'adapter'>[]
}

/** The optimiser's groups of a stage. */
export function stageGroups(model: Model, stage: Stage): ParameterGroup[] {
  return parameterGroups(
    reachedBy(model, stage),
    optimizerOf(model, stage),
    stage.freeze,
    stage.train,
    model.parameters(),
  )
}

/** Names of the parameters that a stage with these tasks trains. */
export function trainedNames(model: Parameters, stage: TrainedStage): string[] {
  const settings = { weightDecay: 0, layerDecay: 1 }
  const groups = parameterGroups(reachedBy(model, stage), settings, stage.freeze, stage.train, model.parameters())
  return groups.flatMap(({ names }) => names)
}

function reachedBy(model: Parameters, { tasks }: TrainedStage): ParameterInfo[] {
  const active = tasks.flatMap((task) => task.heads)
  const adapters = tasks.flatMap(({ adapter }) => adapter ?? [])
  // Where every task has LayerNorms of its own, nothing reaches the encoder's.
  const ownNorms = tasks.every(({ adapter }) =>
    model.config.adapters?.some(({ name, layerNorms }) => name === adapter && layerNorms),
  )
  return reachedParameters(model.parameters(), model.config, active, adapters).filter(
    ({ name }) => !(ownNorms && ENCODER_NORM.test(name)),
  )
}

/** The optimiser's settings with the scores' own learning rate. */
function optimizerOf(model: Model, { optimizer, pruning }: Stage) {
  if (!pruning || pruningScores(model.config).length === 0) return optimizer
  const factor = pruning.scoreLearningRate / optimizer.learningRate
  return { ...optimizer, rateFactors: { ...optimizer.rateFactors, [SCORES_PREFIX]: factor } }
}

/** Parameters of the model, and those that at least one stage trains; scores of pruning are not counted. */
export function countParameters(model: Model, stages: readonly Stage[]): { parameters: number; trainable: number } {
  const own = model.parameters().filter(({ name }) => !name.startsWith(SCORES_PREFIX))
  const sizes = new Map(own.map(({ name, shape }) => [name, shape.reduce((a, b) => a * b, 1)]))
  const trained = new Set(stages.flatMap((stage) => stageGroups(model, stage).flatMap((group) => group.names)))
  const total = (names: Iterable<string>) => [...names].reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0)
  return { parameters: total(sizes.keys()), trainable: total(trained) }
}
