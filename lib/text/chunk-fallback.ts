/**
 * Chunks for text without a parse: parts of speech from a small lexicon and from endings, then runs of them: noun phrases, verb
 * groups, prepositions (a marker each, as PP in CoNLL-2000) and the rest. Deterministic; our choice (the paper has nothing on it).
 */
import type { Chunk, ChunkKind, Chunks } from './chunker.js'
import { ownString } from './encoded-text.js'

const set = (words: string): ReadonlySet<string> => new Set(words.trim().split(/\s+/))

const DETERMINERS = set(`
  the a an this that these those my your his her its our their some any no each every all both either neither another such what
  which whose many much few several more most other half 's ’s`)
const PRONOUNS = set(`
  i you he she it we they me him us them myself yourself himself herself itself ourselves themselves who whom someone somebody
  something anyone anybody anything everyone everybody everything nobody nothing none mine yours hers ours theirs there one`)
const AUXILIARIES = set(`
  be am is are was were been being do does did have has had having can could will would shall should may might must ca wo
  'm 're 've 'd 'll ’m ’re ’ve ’d ’ll ai need ought`)
const PREPOSITIONS = set(`
  of in to for on with at by from as into about like through after over between out against during without before under around among
  within upon toward towards across behind along beyond near off per since until till despite above below beside besides inside
  outside onto via throughout amid except than concerning regarding including up down unlike`)
const CONJUNCTIONS = set(`
  and or but nor yet so because although though while if unless whether whereas where when why how that once lest & either`)
const ADVERBS = set(`
  not n't n’t very also too then now here just only even still already always never ever often again soon almost quite rather
  perhaps maybe however therefore thus well much away back together later once twice instead indeed else far yet first`)
const VERBS = set(`
  said says say made make makes went go goes gone going took take takes taken got get gets gotten came come comes became become
  saw see sees seen knew know knows known gave give gives given found find finds thought think thinks told tell tells left leave
  felt feel put puts brought bring began begin begins begun kept keep keeps held hold holds wrote write writes written stood stand
  heard hear let lets meant mean means met meet ran run runs paid pay sat sit spoke speak lay lie led lead leads grew grow lost lose
  fell fall falls sent send built build understood understand drew draw broke break spent spend cut rose rise rises drove drive
  bought buy wore wear chose choose chosen won win wins sold sell born contains contain includes include want wants wanted like
  use uses work works play plays live lives seem seems appear appears remain remains serve serves provide provides consists`)
const ADJECTIVES = set(`
  new good old great high small large big long young early late important public bad same able last first second third own few free
  local national international major main different possible certain true full best better best worst worse low short strong
  whole red white black blue green open clear common human single recent several final former current general political`)
const CLITIC_S = /^['’]s$/i
/** Behind these `'s` is a verb; behind all other words it is taken for the genitive. */
const BEFORE_IS = set('he she it there who that this what here where how when why')
/** Verbs by ending; only behind a place where no noun phrase is under way. */
const VERB_ENDING = /(?:ed|ing|ize|ise|izes|ises|ized|ised|ify|ifies)$/
const ADVERB_ENDING = /ly$/
const ADJECTIVE_ENDING = /(?:ous|ful|less|ive|ible|able|ical|ic|ish|al|ary|ian|ese|est)$/

type Tag = 'det' | 'pron' | 'aux' | 'prep' | 'conj' | 'adv' | 'verb' | 'adj' | 'noun' | 'punct' | 'to'

/** Tags by the word before, then by form: text repeats its words. */
const known = new Map<Tag | undefined, Map<string, Tag>>()
const MOST_KNOWN = 20_000
/** Longer ones hardly come twice. */
const LONGEST_KNOWN = 24

function tagWord(form: string, before: Tag | undefined): Tag {
  let tags = known.get(before)
  if (!tags || tags.size > MOST_KNOWN) {
    tags = new Map()
    known.set(before, tags)
  }
  let tag = tags.get(form)
  if (tag === undefined) {
    tag = newTag(form, before)
    if (form.length <= LONGEST_KNOWN) tags.set(ownString(form), tag)
  }
  return tag
}

function newTag(form: string, before: Tag | undefined): Tag {
  const word = form.toLowerCase()
  if (!/[\p{L}\p{N}]/u.test(word)) return /^[\p{Sc}%°]+$/u.test(word) ? 'noun' : 'punct'
  if (word === 'to') return 'to'
  // "that" and its like begin a phrase or stand alone; "her" is taken for a determiner: the noun phrase that follows decides.
  if (PRONOUNS.has(word) && form !== 'US' && form !== 'IT') return 'pron'
  if (word === 'that' && before !== 'prep' && before !== undefined && before !== 'conj') return 'conj'
  if (DETERMINERS.has(word)) return 'det'
  if (AUXILIARIES.has(word)) return 'aux'
  if (CONJUNCTIONS.has(word) && !ADVERBS.has(word)) return 'conj'
  if (PREPOSITIONS.has(word) && !(word === 'like' && (before === 'pron' || before === 'to'))) return 'prep'
  if (ADVERBS.has(word)) return 'adv'
  if (/\p{N}/u.test(word)) return 'noun'
  // A sentence's first word has a capital anyway; then only the lexicon tells a verb.
  const capital =
    /^\p{Lu}/u.test(form) &&
    (before !== undefined || !(VERBS.has(word) || ADJECTIVES.has(word) || ADVERB_ENDING.test(word)))
  if (capital) return 'noun'
  const afterDeterminer = before === 'det' || before === 'adj'
  if (!afterDeterminer && (VERBS.has(word) || before === 'to' || before === 'aux' || before === 'pron')) {
    if (ADJECTIVES.has(word) || (ADJECTIVE_ENDING.test(word) && !VERBS.has(word))) return 'adj'
    if (ADVERB_ENDING.test(word) && word.length > 4) return 'adv'
    if (VERBS.has(word) || VERB_ENDING.test(word) || before === 'to' || before === 'pron') return 'verb'
  }
  if (ADVERB_ENDING.test(word) && word.length > 4) return 'adv'
  if (ADJECTIVES.has(word)) return 'adj'
  if (VERB_ENDING.test(word) && word.length > 5) return afterDeterminer || before === 'prep' ? 'adj' : 'verb'
  if (ADJECTIVE_ENDING.test(word) && word.length > 5) return 'adj'
  return 'noun'
}

/** The chunks of a sentence's W words, given by their forms. */
export function chunkWithoutParse(forms: readonly string[]): Chunks {
  const tags: Tag[] = []
  forms.forEach((form, word) => {
    const before = forms[word - 1]?.toLowerCase() ?? ''
    if (CLITIC_S.test(form) && BEFORE_IS.has(before)) tags.push('aux')
    else if (CLITIC_S.test(form) && before === 'let') tags.push('pron')
    else tags.push(tagWord(form, tags.at(-1)))
  })
  const chunks: Chunk[] = []
  const chunkOfWord = new Int32Array(forms.length)
  for (let start = 0; start < forms.length; ) {
    const [kind, end, head] = runAt(tags, forms, start)
    chunkOfWord.fill(chunks.length, start, end)
    chunks.push({ kind, head, start, end })
    start = end
  }
  return { chunks, chunkOfWord }
}

function runAt(tags: readonly Tag[], forms: readonly string[], start: number): [ChunkKind, end: number, head: number] {
  const tag = tags[start]
  if (tag === 'punct' || tag === 'prep' || tag === 'conj') return ['marker', start + 1, start]
  if (tag === 'pron') {
    // "everyone 's dog" is one phrase.
    const owned = tags[start + 1] === 'det' && CLITIC_S.test(forms[start + 1])
    const end = owned ? nounPhrase(tags, forms, start + 1) : start + 1
    return ['nominal', end, end - 1]
  }
  if (tag === 'to') return ['marker', start + 1, start]
  if (tag === 'aux' || tag === 'verb') return verbGroup(tags, start)
  const phrase = nounPhrase(tags, forms, start)
  if (phrase > start) return ['nominal', phrase, phrase - 1]
  let end = start + 1
  if (tag === 'adv') {
    while (end < tags.length && tags[end] === 'adv') end++
    if (tags[end] === 'adj') end++
  } else while (end < tags.length && tags[end] === 'adj') end++
  return ['other', end, end - 1]
}

/** Auxiliaries, adverbs between them and the verb, and the verb. */
function verbGroup(tags: readonly Tag[], start: number): [ChunkKind, end: number, head: number] {
  let end = start + 1
  if (tags[start] === 'verb') return ['verbal', end, start]
  for (let at = end; at < tags.length; at++) {
    if (tags[at] === 'adv') continue
    if (tags[at] !== 'aux' && tags[at] !== 'verb') break
    end = at + 1
    if (tags[at] === 'verb') break
  }
  return ['verbal', end, end - 1]
}

/** End of a noun phrase: determiners, adjectives (with adverbs before them) and nouns, a noun at its end; `start` without one. */
function nounPhrase(tags: readonly Tag[], forms: readonly string[], start: number): number {
  let end = start
  let sawNoun = false
  for (let at = start; at < tags.length; at++) {
    const tag = tags[at]
    // A possessor's 's goes on to what is possessed; every other determiner behind a noun begins a phrase of its own.
    if (tag === 'det' && sawNoun && !/^['’]s$/i.test(forms[at])) break
    if (tag === 'noun') sawNoun = true
    else if (tag === 'adj') {
      if (sawNoun && tags[at - 1] === 'noun') break
    } else if (tag === 'adv') {
      if (sawNoun || !(tags[at + 1] === 'adj' || tags[at + 1] === 'noun') || at === start) break
    } else if (tag !== 'det') break
    if (tag === 'noun' || tag === 'det') end = at + 1
  }
  return end
}
