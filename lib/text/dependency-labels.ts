/** The two label sets of English parses: Universal Dependencies v2 and ClearNLP (Choi & Palmer 2012; what spaCy's English models write). */

const list = (labels: string): ReadonlySet<string> => new Set(labels.trim().split(/\s+/))

/** Universal relations (universaldependencies.org/u/dep); each may have a subtype after a colon. */
const UD_RELATIONS = list(`
  acl advcl advmod amod appos aux case cc ccomp clf compound conj cop csubj dep det discourse dislocated expl fixed flat goeswith
  iobj list mark nmod nsubj nummod obj obl orphan parataxis punct reparandum root vocative xcomp`)

/** ClearNLP's labels; they have no subtypes. */
const CLEARNLP_RELATIONS = list(`
  acl acomp advcl advmod agent amod appos attr aux auxpass case cc ccomp complm compound conj csubj csubjpass dative dep det dobj
  expl hmod hyph infmod intj iobj mark meta neg nmod nn npadvmod nsubj nsubjpass num number nummod oprd parataxis partmod pcomp
  pobj poss possessive preconj predet prep prt punct quantmod rcmod relcl root xcomp`)

export type LabelScheme = 'ud' | 'clearnlp'

/** Is the relation one of the scheme? UD's may have a subtype. */
export function isRelation(label: string, scheme: LabelScheme): boolean {
  if (scheme === 'clearnlp') return CLEARNLP_RELATIONS.has(label.toLowerCase())
  const colon = label.indexOf(':')
  return UD_RELATIONS.has(colon < 0 ? label : label.slice(0, colon)) && colon !== label.length - 1
}
