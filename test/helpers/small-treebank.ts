/** A made-up treebank with known answers: regular words, simple clauses, prepositional phrases in chains or side by side. */
import { stream } from '../../lib/data/random.js'
import type { LabelScheme } from '../../lib/text/index.js'

export interface MadeSentence {
  text: string
  words: string[]
  upos: string[]
  xpos: string[]
  /** From 0; -1 for the root. */
  heads: number[]
  relations: string[]
  /** Of the main clause. */
  verb: string
  past: boolean
  subject: string
  subjectPlural: boolean
  object: string
  objectPlural: boolean
  /** The sentence with its clauses exchanged, where it has two. */
  inverted?: string
}

interface Word {
  form: string
  upos: string
  xpos: string
  feats: string
  head: number
  relation: string
}

const CONSONANTS = 'bdfgklmnprst'
const VOWELS = 'aeiou'

function invent(count: number, purpose: string, end: string): string[] {
  const random = stream(5, 'lexicon', purpose)
  const words = new Set<string>()
  while (words.size < count) {
    let word = ''
    for (let i = 0; i < 2; i++)
      word += CONSONANTS[random.below(CONSONANTS.length)] + VOWELS[random.below(VOWELS.length)]
    words.add(word + end)
  }
  return [...words]
}

const NOUNS = invent(50, 'noun', 'n')
const VERBS = invent(16, 'verb', 'ck')
const ADJECTIVES = invent(12, 'adjective', 'ly')
const PREPOSITIONS = ['with', 'near', 'under', 'behind']

/** `count` sentences; all are different from one another in most draws, some occur twice. */
export function makeSentences(count: number, scheme: LabelScheme, seed = 1): MadeSentence[] {
  const random = stream(seed, 'treebank')
  const ud = scheme === 'ud'

  const clause = (phrases: number, offset: number) => {
    const words: Word[] = []
    const nounPhrase = (head: number, relation: string, plural: boolean): number => {
      const described = random.chance(0.3)
      const noun = offset + words.length + (described ? 2 : 1)
      words.push({ form: 'the', upos: 'DET', xpos: 'DT', feats: 'Definite=Def', head: noun, relation: 'det' })
      if (described) {
        const form = ADJECTIVES[random.below(ADJECTIVES.length)]
        words.push({ form, upos: 'ADJ', xpos: 'JJ', feats: 'Degree=Pos', head: noun, relation: 'amod' })
      }
      const form = NOUNS[random.below(NOUNS.length)] + (plural ? 's' : '')
      const feats = plural ? 'Number=Plur' : 'Number=Sing'
      words.push({ form, upos: 'NOUN', xpos: plural ? 'NNS' : 'NN', feats, head, relation })
      return noun
    }
    const subjectPlural = random.chance(0.5)
    const objectPlural = random.chance(0.5)
    const past = random.chance(0.5)
    const subject = nounPhrase(-2, 'nsubj', subjectPlural)
    const verb = offset + words.length
    words[subject - offset].head = verb
    const form = VERBS[random.below(VERBS.length)] + (past ? 'ed' : subjectPlural ? '' : 's')
    const feats = `Tense=${past ? 'Past' : 'Pres'}|VerbForm=Fin`
    words.push({
      form,
      upos: 'VERB',
      xpos: past ? 'VBD' : subjectPlural ? 'VBP' : 'VBZ',
      feats,
      head: -1,
      relation: 'root',
    })
    const object = nounPhrase(verb, ud ? 'obj' : 'dobj', objectPlural)
    let last = object
    const chained = random.below(phrases + 1)
    for (let phrase = 0; phrase < phrases; phrase++) {
      const head = phrase < chained ? last : verb
      const preposition = offset + words.length
      const form = PREPOSITIONS[random.below(PREPOSITIONS.length)]
      words.push({ form, upos: 'ADP', xpos: 'IN', feats: '_', head, relation: 'prep' })
      const relation = ud ? (head === verb ? 'obl' : 'nmod') : 'pobj'
      last = nounPhrase(ud ? head : preposition, relation, random.chance(0.5))
      if (ud) Object.assign(words[preposition - offset], { head: last, relation: 'case' })
    }
    const at = (place: number) => words[place - offset].form
    const known = { verb: at(verb), past, subject: at(subject), subjectPlural, object: at(object), objectPlural }
    return { words, verb, known }
  }

  return Array.from({ length: count }, () => {
    const first = clause(random.below(6), 0)
    const words = first.words
    let inverted: string | undefined
    if (words.length < 16 && random.chance(0.5)) {
      const comma = random.chance(0.5)
      const offset = words.length + (comma ? 2 : 1)
      const second = clause(random.below(3), offset)
      const spell = (part: readonly Word[]) => part.map(({ form }) => form).join(' ')
      const [one, two] = [spell(words), spell(second.words)]
      const conjunction = random.chance(0.5) ? 'and' : 'but'
      inverted = `T${two.slice(1)}${comma ? ',' : ''} ${conjunction} ${one}.`
      const head = ud ? second.verb : first.verb
      if (comma) words.push({ form: ',', upos: 'PUNCT', xpos: ',', feats: '_', head, relation: 'punct' })
      words.push({ form: conjunction, upos: 'CCONJ', xpos: 'CC', feats: '_', head, relation: 'cc' })
      words.push(...second.words)
      Object.assign(words[second.verb], { head: first.verb, relation: 'conj' })
    }
    words.push({ form: '.', upos: 'PUNCT', xpos: '.', feats: '_', head: first.verb, relation: 'punct' })
    words[0].form = 'The'
    const forms = words.map(({ form }) => form)
    return {
      text: forms.join(' ').replaceAll(' ,', ',').replace(' .', '.'),
      words: forms,
      upos: words.map(({ upos }) => upos),
      xpos: words.map(({ xpos }) => xpos),
      heads: words.map(({ head }) => head),
      relations: words.map(({ relation }) => relation),
      ...first.known,
      inverted,
    }
  })
}

/** As CoNLL-U. ClearNLP files have no features, as spaCy's have none. */
export function asConllu(sentences: readonly MadeSentence[], scheme: LabelScheme, lineEnd = '\n'): string {
  const feats = (sentence: MadeSentence, i: number): string => {
    if (scheme === 'clearnlp') return '_'
    const { upos, xpos } = sentence
    if (upos[i] === 'NOUN') return xpos[i] === 'NNS' ? 'Number=Plur' : 'Number=Sing'
    if (upos[i] === 'VERB') return `Tense=${xpos[i] === 'VBD' ? 'Past' : 'Pres'}|VerbForm=Fin`
    return '_'
  }
  const lines = sentences.flatMap((sentence) => [
    ...sentence.words.map((form, i) => {
      const next = sentence.words[i + 1]
      const misc = next === undefined || next === ',' || next === '.' ? 'SpaceAfter=No' : '_'
      const head = sentence.heads[i] + 1
      const { upos, xpos, relations } = sentence
      // UD files have features in place of the fine tags here, so that both ways are tried.
      const tag = scheme === 'ud' ? '_' : xpos[i]
      return [i + 1, form, '_', upos[i], tag, feats(sentence, i), head, relations[i], '_', misc].join('\t')
    }),
    '',
  ])
  return `${lines.join(lineEnd)}${lineEnd}`
}
