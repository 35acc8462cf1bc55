/** Words of two splittings of one text, aligned as in the CoNLL 2018 shared task (`align_words` of its script). */

export interface AlignableWord {
  /** Place of its token among the characters without spaces; all words of a multi-word token have the token's. */
  start: number
  end: number
  isMultiword: boolean
  /** In lower case. */
  form: string
}

/** Pairs of words that are the same, in order: by place, and inside multi-word tokens by the longest common sequence of forms. */
export function alignWords<Word extends AlignableWord>(
  gold: readonly Word[],
  system: readonly Word[],
): [gold: Word, system: Word][] {
  const pairs: [Word, Word][] = []
  let [g, s] = [0, 0]
  while (g < gold.length && s < system.length) {
    if (gold[g].isMultiword || system[s].isMultiword) {
      const span = multiwordSpan(gold, system, g, s)
      alignForms(gold.slice(span.goldStart, span.goldEnd), system.slice(span.systemStart, span.systemEnd), pairs)
      g = span.goldEnd
      s = span.systemEnd
    } else if (gold[g].start === system[s].start && gold[g].end === system[s].end) {
      pairs.push([gold[g++], system[s++]])
    } else if (gold[g].start <= system[s].start) g++
    else s++
  }
  return pairs
}

/** The smallest run of characters around a multi-word token whose borders are token borders on both sides. */
function multiwordSpan(gold: readonly AlignableWord[], system: readonly AlignableWord[], g: number, s: number) {
  let end: number
  if (gold[g].isMultiword) {
    end = gold[g].end
    if (!system[s].isMultiword && system[s].start < gold[g].start) s++
  } else {
    end = system[s].end
    if (!gold[g].isMultiword && gold[g].start < system[s].start) g++
  }
  const [goldStart, systemStart] = [g, s]
  const beyond = (words: readonly AlignableWord[], at: number): boolean =>
    at >= words.length || (words[at].isMultiword ? words[at].start >= end : words[at].end > end)
  const extend = (word: AlignableWord): void => {
    if (word.isMultiword && word.end > end) end = word.end
  }
  while (!beyond(gold, g) || !beyond(system, s)) {
    if (g < gold.length && (s >= system.length || gold[g].start <= system[s].start)) extend(gold[g++])
    else extend(system[s++])
  }
  return { goldStart, goldEnd: g, systemStart, systemEnd: s }
}

function alignForms<Word extends AlignableWord>(gold: Word[], system: Word[], pairs: [Word, Word][]): void {
  const width = system.length + 1
  /** Longest common sequence of the words from (g, s) on. */
  const longest = new Int32Array((gold.length + 1) * width)
  for (let g = gold.length - 1; g >= 0; g--) {
    for (let s = system.length - 1; s >= 0; s--) {
      const both = gold[g].form === system[s].form ? 1 + longest[(g + 1) * width + s + 1] : 0
      longest[g * width + s] = Math.max(both, longest[(g + 1) * width + s], longest[g * width + s + 1])
    }
  }
  let [g, s] = [0, 0]
  while (g < gold.length && s < system.length) {
    if (gold[g].form === system[s].form) pairs.push([gold[g++], system[s++]])
    else if (longest[g * width + s] === longest[(g + 1) * width + s]) g++
    else s++
  }
}
