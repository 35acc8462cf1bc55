/** A treebank's split as packed batches. */
import type { HeadLabels } from '../data/packed-batch.js'
import { NO_LABEL } from '../data/packed-batch.js'
import type { ConlluSentence, Tokenizer } from '../text/index.js'
import { SequencePacker, SequenceSet, type SequenceSetOptions } from './sequence-set.js'

/** An example as the scorer needs it. */
export interface TreebankSentence {
  sentence: ConlluSentence
  /** How many of its words, from the first on, the model sees. */
  seen: number
}

/** A split: an example is a sentence and one sequence. */
export class ParsingSet extends SequenceSet {
  readonly sentences: readonly TreebankSentence[]

  /** @internal */
  constructor(options: SequenceSetOptions, sentences: readonly TreebankSentence[]) {
    super(options)
    this.sentences = sentences
  }
}

export interface ParsingSetOptions
  extends Omit<SequenceSetOptions, 'packed' | 'places' | 'labels' | 'truncated' | 'load' | 'units' | 'sequences'> {
  tokenizer: Tokenizer
  sequenceTokens: number
  /** About how many words a batch has. */
  batchWords: number
  /** Numbers of the relations and of the parts of speech; without the latter none are learned. */
  relations: ReadonlyMap<string, number>
  upos?: ReadonlyMap<string, number>
}

/** What happened while a set was made. */
export interface ParsingSetCounts {
  words: number
  /** Words that do not fit into a sequence. */
  beyond: number
  /** Words whose relation has no number. */
  unknown: number
}

/**
 * Lays sentences out as [CLS] pieces [SEP]; a word is known by its first piece, one without any is [UNK]. Words beyond `sequenceTokens`, and
 * those whose head is beyond, have no label.
 */
export async function parsingSet(
  sentences: readonly ConlluSentence[],
  options: ParsingSetOptions,
): Promise<{ set: ParsingSet; counts: ParsingSetCounts }> {
  const { tokenizer, sequenceTokens, batchWords, relations, upos, labelled } = options
  const { clsId, sepId, unkId } = tokenizer.specialTokens
  const forms = [...new Set(sentences.flatMap(({ words }) => words.map(({ form }) => form)))]
  const encoded = await tokenizer.encodeBatch(forms, { addSpecialTokens: false })
  const pieces = new Map(forms.map((form, index) => [form, encoded[index].tokenIds]))
  const counts: ParsingSetCounts = { words: 0, beyond: 0, unknown: 0 }
  const packer = new SequencePacker()
  const examples: TreebankSentence[] = []
  const rows: { positions: Int32Array; heads: Int32Array; labels: Int32Array; tags: Int32Array }[] = []
  let truncated = 0
  for (const sentence of sentences) {
    const { words } = sentence
    const ids = [clsId]
    const positions: number[] = []
    let cut = false
    for (const { form } of words) {
      const own = pieces.get(form)!
      const free = sequenceTokens - 1 - ids.length
      if (free === 0) break
      positions.push(ids.length)
      if (own.length === 0) ids.push(unkId)
      else ids.push(...own.subarray(0, free))
      cut ||= own.length > free
    }
    const seen = positions.length
    counts.words += words.length
    counts.beyond += words.length - seen
    if (cut || seen < words.length) truncated++
    const heads = labelled ? sentence.heads.slice(0, seen) : new Int32Array(seen)
    const labels = new Int32Array(seen)
    const tags = new Int32Array(seen)
    for (let i = 0; labelled && i < seen; i++) {
      const relation = relations.get(words[i].deprel)
      if (relation === undefined) counts.unknown++
      labels[i] = heads[i] > seen ? NO_LABEL : (relation ?? NO_LABEL)
      tags[i] = upos?.get(words[i].upos) ?? NO_LABEL
    }
    packer.add(examples.length, Int32Array.from([...ids, sepId]))
    rows.push({ positions: Int32Array.from(positions), heads, labels, tags })
    examples.push({ sentence, seen })
  }
  const labels = (members: Uint32Array, offsets: Int32Array): HeadLabels => {
    const total = members.reduce((sum, sequence) => sum + rows[sequence].labels.length, 0)
    const empty = (): Int32Array => new Int32Array(total)
    const all = { positions: empty(), labels: empty(), heads: empty(), ...(upos && { tags: empty() }) }
    let place = 0
    members.forEach((sequence, i) => {
      const { positions, heads, labels, tags } = rows[sequence]
      positions.forEach((position, word) => {
        all.positions[place + word] = position + offsets[i]
      })
      all.labels.set(labels, place)
      all.heads.set(heads, place)
      all.tags?.set(tags, place)
      place += labels.length
    })
    return all
  }
  const places = examples.map(({ sentence: { source, words } }) => ({ file: source, line: words[0].line }))
  const load = { of: Uint32Array.from(examples, ({ seen }) => seen), most: batchWords }
  const set = { ...options, sequences: 1, truncated, packed: packer.finish(), places, labels, load }
  return { set: new ParsingSet(set, examples), counts }
}
