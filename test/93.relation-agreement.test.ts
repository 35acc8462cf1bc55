/** Agreement of two parsers on what UD and ClearNLP draw alike, counted by hand. */
import assert from 'node:assert/strict'
import { addDocuments, documentsOf, splitAnew } from '../benchmarks/parse-agreement.js'
import { StrataError } from '../lib/errors.js'
import { RelationAgreement } from '../lib/evaluation/relation-agreement.js'
import { type ConlluSentence, commentValue, parseConllu } from '../lib/text/index.js'

/** `form upos head relation`, an underscore behind the form where no space follows; a `range form` line begins a multi-word token. */
function conllu(...sentences: string[][]): ConlluSentence[] {
  const lines = sentences.flatMap((words) => {
    let number = 0
    const rows = words.map((word) => {
      const [first, ...rest] = word.split(' ')
      if (first.startsWith('#')) return word
      if (/^\d+-\d+$/.test(first)) return `${first}\t${rest[0]}\t_\t_\t_\t_\t_\t_\t_\t_`
      const form = first.replace(/_$/, '')
      const [upos, head, relation] = rest
      return `${++number}\t${form}\t_\t${upos}\t_\t_\t${head}\t${relation}\t_\t${form === first ? '_' : 'SpaceAfter=No'}`
    })
    return [...rows, '']
  })
  return parseConllu(`${lines.join('\n')}\n`, { source: 'fixture', strict: true })
}

/** spaCy's way: ClearNLP labels, "re-used" in three words. */
const reference = conllu(
  ['# newdoc', '# newpar', 'She PRON 2 nsubj', 'is AUX 0 root', 'tall_ ADJ 2 acomp', '. PUNCT 2 punct'],
  [
    'The DET 3 det',
    'old ADJ 3 amod',
    'dog NOUN 6 nsubj',
    'did_ AUX 6 aux',
    "n't PART 6 neg",
    'see VERB 0 root',
    'a DET 11 det',
    're_ ADJ 10 npadvmod',
    '-_ PUNCT 10 punct',
    'used VERB 11 amod',
    'ball_ NOUN 6 dobj',
    '. PUNCT 6 punct',
  ],
  ['# newpar', 'Dogs NOUN 2 nsubj', 'see VERB 0 root', 'birds_ NOUN 2 dobj', '. PUNCT 2 punct'],
)

/** Ours: the subject hangs on the predicate, "re-used" is one word, "birds" is taken for a second subject. */
const parse = conllu(
  ['She PRON 3 nsubj', 'is AUX 3 cop', 'tall_ ADJ 0 root', '. PUNCT 3 punct'],
  [
    'The DET 3 det',
    'old ADJ 3 amod',
    'dog NOUN 6 nsubj',
    "4-5 didn't",
    'did AUX 6 aux',
    "n't PART 6 advmod",
    'see VERB 0 root',
    'a DET 9 det',
    're-used ADJ 9 amod',
    'ball_ NOUN 6 obj',
    '. PUNCT 6 punct',
  ],
  ['Dogs NOUN 2 nsubj', 'see VERB 0 root', 'birds_ NOUN 2 nsubj', '. PUNCT 2 punct'],
)

const SCHEMES = { reference: 'clearnlp', parse: 'ud' } as const

describe('agreement of two parsers', () => {
  const agreement = new RelationAgreement(SCHEMES)
  agreement.add(reference, parse)
  const { words, sentences, relations } = agreement.finish()

  it('aligns words by their characters', () => {
    assert.deepEqual(words, { reference: 20, parse: 18, aligned: 17 })
    assert.deepEqual(sentences, { reference: 3, parse: 3 })
  })

  it('counts arcs by relation, the copula taken for the head of its subject', () => {
    assert.deepEqual(relations.subject, {
      reference: 3,
      parse: 4,
      agreed: 3,
      f1: 6 / 7,
      unlabelled: 1,
      label: 1,
      labelled: 1,
    })
    assert.deepEqual(relations.object, {
      reference: 2,
      parse: 1,
      agreed: 1,
      f1: 2 / 3,
      unlabelled: 1,
      label: 1 / 2,
      labelled: 1 / 2,
    })
    assert.deepEqual([relations.determiner.f1, relations.determiner.agreed], [1, 2])
    // "used" has no word of its own on the other side.
    const { reference: there, parse: here, f1, labelled } = relations.adjective
    assert.deepEqual([there, here, f1, labelled], [2, 2, 1 / 2, 1])
    assert.deepEqual([relations.all.reference, relations.all.parse, relations.all.agreed], [9, 9, 7])
    assert.equal(relations.all.f1, 14 / 18)
  })

  it('a wrong head counts against the arc, whatever its label', () => {
    const wrong = new RelationAgreement({ reference: 'ud', parse: 'ud' })
    const [, sentence] = conllu(['a X 0 root'], ['Dogs NOUN 3 nsubj', 'see VERB 0 root', 'birds NOUN 2 obj'])
    const [gold] = conllu(['Dogs NOUN 2 nsubj', 'see VERB 0 root', 'birds NOUN 2 obj'])
    wrong.add([gold], [sentence])
    const { subject, object, adjective } = wrong.finish().relations
    assert.deepEqual([subject.f1, subject.unlabelled, subject.label], [0, 0, 1])
    assert.deepEqual([object.f1, adjective.f1, adjective.labelled], [1, 0, 0])
  })

  it('refuses another text', () => {
    const other = conllu(['She PRON 0 root'])
    assert.throws(
      () => new RelationAgreement(SCHEMES).add(reference, other),
      (error) => error instanceof StrataError && error.code === 'BAD_DATA' && /the same text/.test(error.message),
    )
  })

  it("splits the reference's own text anew, by documents and paragraphs", async () => {
    const twice = [...reference, ...reference]
    const documents: ConlluSentence[][] = []
    for await (const document of documentsOf(twice, 1)) documents.push(document)
    assert.deepEqual(documents, [reference])
    const split = splitAnew(reference)
    assert.deepEqual(
      split.map(({ words }) => words.map(({ form }) => form)),
      parse.map(({ words }) => words.map(({ form }) => form)),
    )
    assert.deepEqual(
      split.map((sentence) => commentValue(sentence, 'newpar id')),
      ['1.1', undefined, '1.2'],
    )
    const tally = new RelationAgreement(SCHEMES)
    await addDocuments(tally, [reference, reference], async (lists) =>
      lists.map((_, index) => {
        const { heads, words } = parse[index % parse.length]
        return { heads, relations: words.map(({ deprel }) => deprel), tags: words.map(({ upos }) => upos) }
      }),
    )
    const { all } = tally.finish().relations
    assert.deepEqual([all.reference, all.parse, all.agreed], [18, 18, 14])
  })
})
