/** A small model folder with a head of every kind that answers texts. */
import {
  type AdapterConfig,
  encoderConfig,
  type HeadConfig,
  type MixConfig,
  Model,
  type SavedTask,
  saveModelFolder,
} from '../../lib/model/index.js'
import { Tokenizer } from '../../lib/text/index.js'

const LETTERS = [...'abcdefghijklmnopqrstuvwxyz0123456789']
const WORDS = 'the a of in and is cat city river woman man dancing . , ! ? café 東'.split(' ')
export const SERVING_TOKENS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...WORDS, ...new Set(LETTERS)].filter(
  (token, place, all) => all.indexOf(token) === place,
)
SERVING_TOKENS.push(...LETTERS.map((letter) => `##${letter}`))

const top = { tap: { layer: 2 }, weight: 1, dropout: 0 }
const HEADS: HeadConfig[] = [
  { kind: 'masked-lm', name: 'mlm', tap: { layer: 2 }, weight: 1 },
  { ...top, kind: 'classifier', name: 'tone', classes: 3, pooler: 'own' },
  { ...top, kind: 'regressor', name: 'likeness', pooler: 'own' },
  { ...top, kind: 'ranker', name: 'rank', pooler: 'own' },
  { ...top, kind: 'span', name: 'squad' },
  { ...top, kind: 'tagger', name: 'words', classes: 3, tap: { layer: 1 } },
  { ...top, kind: 'parser', name: 'tree', classes: 4, tags: 3, arcSize: 6, labelSize: 6, tap: { mix: 'all' } },
]
const MIXES: MixConfig[] = [{ name: 'all', includeEmbeddings: true, layerNorm: false, init: 'uniform' }]
const ADAPTERS: AdapterConfig[] = [{ name: 'tone', kind: 'lora', size: 2, alpha: 4 }]

/** A task of the head that has its name, at most 48 tokens long. */
export const servedTask = (name: string, kind: SavedTask['kind'], more: Partial<SavedTask> = {}): SavedTask => ({
  name,
  kind,
  head: name,
  sequenceTokens: 48,
  metrics: [],
  ...more,
})
const TASKS: SavedTask[] = [
  servedTask('tone', 'classification', { labels: ['bad', 'plain', 'good'], adapter: 'tone' }),
  servedTask('likeness', 'regression'),
  servedTask('rank', 'ranking', { pair: true }),
  servedTask('squad', 'span', { definition: { stride: 8, questionTokens: 8, noAnswer: true }, noAnswerThreshold: 0 }),
  servedTask('words', 'tagging', { labels: ['O', 'NOUN', 'VERB'] }),
  servedTask('tree', 'parsing', { labels: ['root', 'nsubj', 'obj', 'det'], upos: ['NOUN', 'VERB', 'DET'] }),
]

/** Writes the folder. `width`: hidden size; a wider model keeps a processor busy for longer. */
export async function writeServingFolder(folder: string, width = 16): Promise<void> {
  const tokenizer = Tokenizer.fromVocabulary(SERVING_TOKENS)
  const encoder = encoderConfig({
    vocabSize: SERVING_TOKENS.length,
    layers: 2,
    hiddenSize: width,
    heads: 2,
    intermediateSize: 2 * width,
    maxPositions: 64,
    initializerRange: 0.2,
  })
  await using model = await Model.create(
    { encoder, heads: HEADS, mixes: MIXES, adapters: ADAPTERS },
    { device: 'cpu', seed: 5 },
  )
  await saveModelFolder(model, folder, {
    tasks: TASKS,
    tokenizer: { save: async (path) => void (await tokenizer.save(path)) },
  })
}
