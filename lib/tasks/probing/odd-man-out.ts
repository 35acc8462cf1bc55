/**
 * SOMO, semantic odd man out: is the sentence as it was (O), or was a noun or verb replaced by another one (C)? Conneau et al. 2018: both
 * words have the same part of speech and occur 40 to 400 times, the bigrams with the words before and after are about as frequent as the
 * original ones, and a replacement stands in one split only. Ours: "about as frequent" = at most a factor of two apart, and both new
 * bigrams occur in the text; sentences that stay as they are must have had a replacement, so that the choice tells nothing.
 */
import { type ProbeBuilder, type ProbeContext, tooLittle } from './builder.js'
import { Draws, splitAt } from './draws.js'
import { isPlainWord, type ProbeSentence, spell } from './sentence.js'
import { SentencePools } from './sentence-pools.js'
import { totalOf } from './sizes.js'
import type { ProbeSet } from './types.js'

const CLASSES = ['O', 'C']
const LEAST_FREQUENT = 40
const MOST_FREQUENT = 400
/** Occurrences of target words that one example needs; below, the lower frequency bound is halved. */
const OCCURRENCES_AN_EXAMPLE = 10
/** Places of a sentence that are tried, and words a place. */
const TRIED_PLACES = 3
const TRIED_WORDS = 4000
/** Log-scale distance of two bigram frequencies: a factor of two. */
const FACTOR = 2

interface TaggedWords {
  words: string[]
  /** Their numbers in the counts. */
  ids: Int32Array
  places: ReadonlyMap<string, number>
}

export class OddManOut implements ProbeBuilder {
  readonly #context: ProbeContext
  readonly #draws: Draws
  readonly #pools: SentencePools
  /** By tag, then word: occurrences as this part of speech; and those as any. */
  readonly #tagged = new Map<string, Map<string, number>>()
  readonly #occurrences = new Map<string, number>()
  /** By tag: the words that may stand in or be replaced. */
  readonly #words = new Map<string, TaggedWords>()
  #leastFrequent = LEAST_FREQUENT

  constructor(context: ProbeContext) {
    const { seed, sizes, source } = context
    this.#context = context
    this.#draws = new Draws(seed, 'SOMO')
    this.#pools = new SentencePools({
      task: 'SOMO',
      draws: this.#draws,
      sizes,
      classes: CLASSES,
      bySplit: true,
      source,
    })
  }

  count(sentence: ProbeSentence): void {
    for (let word = 1; word < sentence.words.length; word++) {
      const form = sentence.words[word]
      this.#occurrences.set(form, (this.#occurrences.get(form) ?? 0) + 1)
      const tag = tagOf(sentence, word)
      if (!tag) continue
      const counts = this.#tagged.get(tag) ?? new Map<string, number>()
      this.#tagged.set(tag, counts)
      counts.set(form, (counts.get(form) ?? 0) + 1)
    }
  }

  settle(): void {
    const { counts, sizes, source } = this.#context
    const enough = OCCURRENCES_AN_EXAMPLE * totalOf(sizes)
    for (let least = LEAST_FREQUENT; least >= 2; least = Math.floor(least / 2)) {
      this.#leastFrequent = least
      let occurrences = 0
      for (const [tag, tagged] of this.#tagged) {
        const words = [...tagged.keys()].filter((word) => {
          const all = counts.count(word)
          const mostly = 2 * tagged.get(word)! >= this.#occurrences.get(word)!
          return all >= least && all <= MOST_FREQUENT && mostly
        })
        if (words.length < 2) continue
        words.sort()
        for (const word of words) occurrences += tagged.get(word)!
        this.#words.set(tag, {
          words,
          ids: Int32Array.from(words, (word) => counts.id(word)),
          places: new Map(words.map((word, place) => [word, place])),
        })
      }
      if (occurrences >= enough) return
    }
    if (this.#words.size === 0) throw tooLittle('SOMO', source, 'no two nouns or verbs occur often enough')
  }

  offer(sentence: ProbeSentence): void {
    const { priority, first } = this.#draws.of(sentence.hash)
    const label = first < 0.5 ? 0 : 1
    if (!this.#pools.wants(label, priority)) return
    const found = this.#replacement(sentence)
    if (!found) return
    const split = splitAt(this.#draws.stream('replacement', found.word).float(), this.#context.sizes)
    let { text } = sentence
    if (label === 1) {
      const words = [...sentence.words]
      words[found.place] = found.word
      text = spell(words, sentence.spaceAfter)
    }
    this.#pools.offer(label, priority, sentence.key, text, 0, split)
  }

  #replacement(sentence: ProbeSentence): { place: number; word: string } | undefined {
    const places: number[] = []
    for (let word = 1; word + 1 < sentence.words.length; word++) {
      const tag = tagOf(sentence, word)
      if (tag && this.#words.get(tag)?.places.has(sentence.words[word])) places.push(word)
    }
    if (places.length === 0) return undefined
    const random = this.#draws.stream('word', ...sentence.hash)
    for (const place of random.shuffle(places).slice(0, TRIED_PLACES)) {
      const word = this.#fitting(sentence, place, this.#words.get(tagOf(sentence, place)!)!, random.float())
      if (word !== undefined) return { place, word }
    }
    return undefined
  }

  /** Walks the words of the place's tag from a random one on. */
  #fitting({ words, lower }: ProbeSentence, place: number, like: TaggedWords, start: number): string | undefined {
    const { counts } = this.#context
    const { ids, words: list } = like
    const own = like.places.get(words[place])!
    const before = counts.id(lower[place - 1])
    const after = counts.id(lower[place + 1])
    const left = counts.bigram(before, ids[own])
    const right = counts.bigram(ids[own], after)
    const from = Math.floor(start * list.length)
    for (let step = 0; step < Math.min(TRIED_WORDS, list.length); step++) {
      const at = (from + step) % list.length
      if (at === own) continue
      if (comparable(counts.bigram(before, ids[at]), left) && comparable(counts.bigram(ids[at], after), right)) {
        return list[at]
      }
    }
    return undefined
  }

  finish(): ProbeSet {
    const finished = this.#pools.finish()
    const notes =
      this.#leastFrequent < LEAST_FREQUENT
        ? [`target words occur at least ${this.#leastFrequent} times in the text (SentEval: ${LEAST_FREQUENT})`]
        : []
    return {
      name: 'SOMO',
      kind: 'sentence',
      source: this.#context.source,
      ...finished,
      notes: [...notes, ...finished.notes],
    }
  }
}

function comparable(one: number, other: number): boolean {
  return one > 0 && one <= FACTOR * other && other <= FACTOR * one
}

/** A noun's or verb's fine tag (number, tense), or its coarse one with features where there is none; lower-case words only. */
function tagOf(sentence: ProbeSentence, word: number): string | undefined {
  const { upos, xpos, feats } = sentence.tree!
  if (upos[word] !== 'NOUN' && upos[word] !== 'VERB') return undefined
  if (sentence.words[word] !== sentence.lower[word] || !isPlainWord(sentence, word)) return undefined
  return xpos[word] === '_' ? `${upos[word]} ${feats[word]}` : `${upos[word]} ${xpos[word]}`
}
