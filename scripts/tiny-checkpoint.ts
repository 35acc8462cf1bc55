/** A checkpoint of a few kilobytes with random weights, for programs that only have to show that everything loads and computes. */
import { encoderConfig, Model, saveModelFolder } from '../lib/model/index.js'
import { Tokenizer } from '../lib/text/index.js'

const WORDS = 'a the sentence for to of in is vector turn into , . ! ##s ##ed'.split(' ')

export async function writeTinyCheckpoint(folder: string): Promise<void> {
  const tokenizer = Tokenizer.fromVocabulary(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...WORDS])
  const sizes = { vocabSize: tokenizer.vocabSize, layers: 2, hiddenSize: 16, heads: 2, maxPositions: 32 }
  const head = { kind: 'masked-lm' as const, name: 'mlm', tap: { layer: 2 }, weight: 1 }
  await using model = await Model.create(
    { encoder: encoderConfig({ ...sizes, initializerRange: 0.3 }), heads: [head] },
    { device: 'cpu', seed: 3 },
  )
  await saveModelFolder(model, folder, { tokenizer: { save: async (path) => void (await tokenizer.save(path)) } })
}
