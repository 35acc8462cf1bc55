/** Folders of a tiny encoder with random weights and the heads that a service asks: masked LM, classes, answers. */
import {
  computeThreads,
  encoderConfig,
  type HeadConfig,
  Model,
  type SavedTask,
  saveModelFolder,
} from '../../lib/model/index.js'
import { Tokenizer } from '../../lib/text/index.js'

export const SERVICE_WORDS =
  'the a man woman is was born in city of london paris france capital riding horse hat hard river where who good bad soup , . ? !'.split(
    ' ',
  )

const HEADS: HeadConfig[] = [
  { kind: 'masked-lm', name: 'mlm', tap: { layer: 3 }, weight: 1 },
  { kind: 'classifier', name: 'mood', tap: { layer: 3 }, weight: 1, classes: 2, pooler: 'own', dropout: 0 },
  { kind: 'span', name: 'squad', tap: { layer: 3 }, weight: 1, dropout: 0 },
]
const TASKS: SavedTask[] = [
  {
    name: 'mood',
    kind: 'classification',
    head: 'mood',
    labels: ['bad', 'good'],
    pair: false,
    sequenceTokens: 32,
    metrics: [],
  },
  { name: 'squad', kind: 'span', head: 'squad', sequenceTokens: 48, metrics: [] },
]

export async function writeServiceModel(folder: string, seed: number): Promise<void> {
  computeThreads(1)
  const tokenizer = Tokenizer.fromVocabulary(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...SERVICE_WORDS])
  const encoder = encoderConfig({
    vocabSize: tokenizer.vocabSize,
    layers: 3,
    hiddenSize: 32,
    heads: 2,
    maxPositions: 64,
    initializerRange: 0.3,
  })
  await using model = await Model.create({ encoder, heads: HEADS }, { device: 'cpu', seed })
  await saveModelFolder(model, folder, {
    tasks: TASKS,
    tokenizer: { save: async (path) => void (await tokenizer.save(path)) },
  })
}
