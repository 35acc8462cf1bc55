/** A treebank of a small grammar, and an encoder that knows its words. */
import { stream } from '../../lib/data/random.js'
import { type EncoderConfig, encoderConfig, Model, saveModelFolder } from '../../lib/model/index.js'
import { type ConlluSentence, formatConllu, makeSentence, type NewWord, Tokenizer } from '../../lib/text/index.js'

const DETERMINERS = ['the', 'a', 'every']
const ADJECTIVES = ['old', 'small', 'red']
const NOUNS = ['dog', 'cat', 'bird', 'man', 'river']
const VERBS = ['sees', 'likes', 'finds']
const ADVERBS = ['often', 'here']

export const TREEBANK_WORDS = [...DETERMINERS, ...ADJECTIVES, ...NOUNS, ...VERBS, ...ADVERBS, '.']

/** "the old dog often sees a cat ." with a tree of Universal Dependencies; the order of the rules tells every head. */
export function treebankSentences(seed: number, count: number): ConlluSentence[] {
  const random = stream(seed, 'treebank')
  const one = (words: readonly string[]): string => words[random.below(words.length)]
  return Array.from({ length: count }, (_, index) => {
    const words: NewWord[] = []
    const phrase = (relation: string): { word: NewWord; number: number } => {
      const before: NewWord[] = [{ form: one(DETERMINERS), upos: 'DET', deprel: 'det' }]
      for (let n = random.below(3); n > 0; n--) before.push({ form: one(ADJECTIVES), upos: 'ADJ', deprel: 'amod' })
      const word: NewWord = { form: one(NOUNS), upos: 'NOUN', deprel: relation }
      words.push(...before, word)
      const number = words.length
      for (const dependent of before) dependent.head = number
      return { word, number }
    }
    const subject = phrase('nsubj').word
    const adverb: NewWord | undefined =
      random.below(2) === 0 ? { form: one(ADVERBS), upos: 'ADV', deprel: 'advmod' } : undefined
    if (adverb) words.push(adverb)
    words.push({ form: one(VERBS), upos: 'VERB', head: 0, deprel: 'root' })
    const verb = words.length
    subject.head = verb
    if (adverb) adverb.head = verb
    phrase('obj').word.head = verb
    words.push({ form: '.', upos: 'PUNCT', head: verb, deprel: 'punct' })
    return makeSentence(words, [`# sent_id = s${index + 1}`])
  })
}

export function treebankText(sentences: readonly ConlluSentence[]): string {
  return sentences.map((sentence) => formatConllu(sentence)).join('')
}

export function treebankTokenizer(): Tokenizer {
  return Tokenizer.fromVocabulary(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...TREEBANK_WORDS, '##s', 'b', '##i'])
}

/** Writes an untrained encoder with the treebank's vocabulary. */
export async function writeTreebankEncoder(folder: string, more: Partial<EncoderConfig> = {}): Promise<void> {
  const tokenizer = treebankTokenizer()
  const { vocabSize } = tokenizer
  const encoder = encoderConfig({ vocabSize, layers: 2, hiddenSize: 32, heads: 2, maxPositions: 64, ...more })
  await using model = await Model.create({ encoder, heads: [] }, { device: 'cpu', seed: 3 })
  await saveModelFolder(model, folder, { tokenizer: { save: async (path) => void (await tokenizer.save(path)) } })
}
