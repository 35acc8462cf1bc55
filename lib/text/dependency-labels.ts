/** The two label sets of English parses: Universal Dependencies v2 and ClearNLP (Choi & Palmer 2012; what spaCy's English models write). */

const list = (labels: string): ReadonlySet<string> => new Set(labels.trim().split(/\s+/))

/** Universal relations (universaldependencies.org/u/dep); each may have a subtype after a colon. */
export const UD_RELATIONS = list(`
  acl advcl advmod amod appos aux case cc ccomp clf compound conj cop csubj dep det discourse dislocated expl fixed flat goeswith
  iobj list mark nmod nsubj nummod obj obl orphan parataxis punct reparandum root vocative xcomp`)

/** ClearNLP's labels; they have no subtypes. */
export const CLEARNLP_RELATIONS = list(`
  acl acomp advcl advmod agent amod appos attr aux auxpass case cc ccomp complm compound conj csubj csubjpass dative dep det dobj
  expl hmod hyph infmod intj iobj mark meta neg nmod nn npadvmod nsubj nsubjpass num number nummod oprd parataxis partmod pcomp
  pobj poss possessive preconj predet prep prt punct quantmod rcmod relcl root xcomp`)

/** Universal parts of speech (universaldependencies.org/u/pos). */
export const UPOS_TAGS = list('ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X')

export type LabelScheme = 'ud' | 'clearnlp'

/** Is the relation one of the scheme? UD's may have a subtype. */
export function isRelation(label: string, scheme: LabelScheme): boolean {
  if (scheme === 'clearnlp') return CLEARNLP_RELATIONS.has(label.toLowerCase())
  const colon = label.indexOf(':')
  return UD_RELATIONS.has(colon < 0 ? label : label.slice(0, colon)) && colon !== label.length - 1
}

/** The scheme that alone knows one of the labels; undefined where both know all of them. */
export function detectScheme(labels: Iterable<string>): LabelScheme | undefined {
  let [ud, clearnlp] = [0, 0]
  for (const label of labels) {
    const [isUd, isClear] = [isRelation(label, 'ud'), isRelation(label, 'clearnlp')]
    if (isUd && !isClear) ud++
    if (isClear && !isUd) clearnlp++
  }
  if (ud === clearnlp) return undefined
  return ud > clearnlp ? 'ud' : 'clearnlp'
}
