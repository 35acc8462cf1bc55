/**
 * Agreement relations between chunks, in groups (DACBERT, arXiv 2311.04799, has four; which ones is not published, the presets are
 * our choice). A chunk takes part where its head word attaches, through markers, to a word of another chunk: ClearNLP's prep and pobj
 * are collapsed, UD's case marks are passed by, so both give "in the house → lives".
 */
import { StrataError } from '../errors.js'
import { type Chunks, isMarker, type ParsedWords } from './chunker.js'

/**
 * Groups by name, each a list of relations; `obl:*` stands for every subtype of obl. Labels beyond those of the parse:
 * - ClearNLP's pobj counts as `nmod` under a nominal chunk and as `obl` elsewhere (as `dative` below a dative), its pcomp as `acl` or `advcl`;
 * - `predicate:subject`: from a predicate adjective to its subject; `subject:verb`: from a subject to its verb or copula.
 */
export type RelationGroups = Readonly<Record<string, readonly string[]>>

/** What counts as a chunk, and which relations between chunks are learned. */
export interface RelationOptions {
  /** `word` makes every word a chunk. Default `chunk`. */
  unit: 'chunk' | 'word'
  groups: RelationGroups
}

const list = (labels: string): string[] => labels.trim().split(/\s+/)

/** Units and groups of relations by the name that a recipe gives them (`agreements.preset`). */
export const RELATION_PRESETS = {
  /** Subjects, objects and complements, modifiers of nominals, adverbials. */
  default: {
    unit: 'chunk',
    groups: {
      subj: list('nsubj nsubj:pass nsubjpass nsubj:outer csubj csubj:pass csubjpass csubj:outer'),
      obj: list('obj dobj iobj dative ccomp xcomp attr oprd acomp'),
      nmod: list('nmod nmod:unmarked nmod:tmod nmod:npmod acl acl:relcl relcl appos'),
      obl: list('obl obl:* advcl advcl:* advmod npadvmod'),
    },
  },
  /** The four agreements of Bacon & Regier (arXiv 1908.09892), between words. */
  bacon: {
    unit: 'word',
    groups: {
      determiner: list('det'),
      attributive: list('amod'),
      predicate: ['predicate:subject'],
      subject: ['subject:verb'],
    },
  },
} as const satisfies Record<string, RelationOptions>

/** In place of a target: the parse does not say what the chunk attaches to. */
export const UNKNOWN_TARGET = -100

export interface ChunkRelations {
  /** Names of the R groups. */
  groups: string[]
  /** (R, C) row-major: the chunk that chunk c attaches to in group r, -1 for none, UNKNOWN_TARGET where a word on the way has no head. */
  targets: Int32Array
}

/** The relations between the chunks of a sentence, of which some words may have no head. Throws BAD_ARGUMENT for groups without a name or label. */
export function chunkRelations(
  words: ParsedWords,
  { chunks, chunkOfWord }: Chunks,
  groups: RelationGroups = RELATION_PRESETS.default.groups,
): ChunkRelations {
  const names = Object.keys(groups)
  const accepts = names.map((name) => labelTest(name, groups[name]))
  const derived = names.map((name) => groups[name].some((label) => DERIVED.has(label)))
  const targets = new Int32Array(names.length * chunks.length).fill(-1)
  // A derived label takes several arcs: any that is missing may be one of them.
  if (derived.includes(true) && Array.from(words.heads).some((head) => head < 0)) {
    derived.forEach((isDerived, group) => {
      if (isDerived) targets.fill(UNKNOWN_TARGET, group * chunks.length, (group + 1) * chunks.length)
    })
  }
  const put = (group: number, dependent: number, head: number): void => {
    const [from, to] = [chunkOfWord[dependent], chunkOfWord[head]]
    if (from !== to && chunks[to].kind !== 'marker') targets[group * chunks.length + from] = to
  }
  chunks.forEach((chunk, index) => {
    if (chunk.kind === 'marker') return
    const arc = attachment(words, chunk.head, (word) => chunks[chunkOfWord[word]].kind === 'nominal')
    if (arc === UNKNOWN_TARGET) {
      for (let group = 0; group < names.length; group++) targets[group * chunks.length + index] = UNKNOWN_TARGET
      return
    }
    if (arc === undefined) return
    accepts.forEach((accepted, group) => {
      if (accepted(arc.label)) put(group, chunk.head, arc.head)
    })
  })
  if (derived.includes(true)) {
    for (const { label, dependent, head } of agreements(words)) {
      accepts.forEach((accepted, group) => {
        if (accepted(label)) put(group, dependent, head)
      })
    }
  }
  return { groups: names, targets }
}

interface Attachment {
  label: string
  /** Index of the word, from 0. */
  head: number
}

/** Where a word attaches, markers in between left out; undefined for a root, UNKNOWN_TARGET where it or a marker has no head. */
function attachment(
  words: ParsedWords,
  word: number,
  isNominal: (word: number) => boolean,
): Attachment | typeof UNKNOWN_TARGET | undefined {
  let label = words.deprels[word]
  let head = words.heads[word] - 1
  let collapsed = label === 'pobj' || label === 'pcomp' ? label : undefined
  while (head >= 0 && isMarker(words, head)) {
    if (collapsed === 'pobj' && words.deprels[head] === 'dative') collapsed = 'dative'
    head = words.heads[head] - 1
  }
  if (head < -1) return UNKNOWN_TARGET
  if (head < 0) return undefined
  if (collapsed === 'pobj') label = isNominal(head) ? 'nmod' : 'obl'
  else if (collapsed === 'pcomp') label = isNominal(head) ? 'acl' : 'advcl'
  else if (collapsed !== undefined) label = collapsed
  return { label, head }
}

const DERIVED: ReadonlySet<string> = new Set(['predicate:subject', 'subject:verb'])

/** The agreements that take two arcs of the tree to see; both schemes. */
function* agreements(words: ParsedWords): Generator<{ label: string; dependent: number; head: number }> {
  const count = words.upos.length
  const subjects = new Int32Array(count).fill(-1)
  const copulas = new Int32Array(count).fill(-1)
  for (let word = 0; word < count; word++) {
    const head = words.heads[word] - 1
    if (head < 0) continue
    if (/^[nc]subj/.test(words.deprels[word])) subjects[head] = word
    if (words.deprels[word] === 'cop') copulas[head] = word
  }
  for (let word = 0; word < count; word++) {
    const subject = subjects[word]
    if (subject >= 0) {
      const isVerb = words.upos[word] === 'VERB' || words.upos[word] === 'AUX'
      const verb = isVerb ? word : copulas[word]
      if (verb >= 0) yield { label: 'subject:verb', dependent: subject, head: verb }
      if (words.upos[word] === 'ADJ') yield { label: 'predicate:subject', dependent: word, head: subject }
    }
    const head = words.heads[word] - 1
    if (words.deprels[word] === 'acomp' && head >= 0 && subjects[head] >= 0) {
      yield { label: 'predicate:subject', dependent: word, head: subjects[head] }
    }
  }
}

function labelTest(name: string, labels: readonly string[]): (label: string) => boolean {
  if (
    name === '' ||
    !Array.isArray(labels) ||
    labels.length === 0 ||
    labels.some((label) => typeof label !== 'string')
  ) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `relation group ${JSON.stringify(name)} holds ${JSON.stringify(labels)?.slice(0, 60)}; a name and a list of relations were expected`,
    )
  }
  const exact = new Set(labels)
  const families = labels.filter((label) => label.endsWith(':*')).map((label) => label.slice(0, -1))
  return (label) => exact.has(label) || families.some((family) => label.startsWith(family))
}
