export type ProbeSplit = 'train' | 'dev' | 'test'

export const PROBE_SPLITS: readonly ProbeSplit[] = ['train', 'dev', 'test']

/** One sentence with one label: SentLen, WC, BShift, … */
export interface SentenceProbeExample {
  text: string
  label: number
}

/**
 * Words of one sentence and labelled places in it: UPOS, dependency label, head distance.
 * `spaceAfter[i]`: a space follows word i in the text.
 */
export interface TokenProbeExample {
  words: string[]
  spaceAfter: boolean[]
  targets: { word: number; label: number }[]
}

/** Ordered pairs of words of one sentence: is there an arc (first = dependent, second = head)? */
export interface PairProbeExample {
  words: string[]
  spaceAfter: boolean[]
  pairs: { first: number; second: number; label: number }[]
}

interface ProbeSetBase {
  name: string
  /** Names of the classes; label = index. */
  classes: string[]
  /** Where it came from: files, builder options, seed; goes into reports. */
  source: string
  /** Notes for the reader: classes filled less than asked, words shared between splits, … */
  notes: string[]
}

export type SentenceProbeSet = ProbeSetBase & { kind: 'sentence'; splits: Record<ProbeSplit, SentenceProbeExample[]> }
export type TokenProbeSet = ProbeSetBase & { kind: 'token'; splits: Record<ProbeSplit, TokenProbeExample[]> }
export type PairProbeSet = ProbeSetBase & { kind: 'pair'; splits: Record<ProbeSplit, PairProbeExample[]> }

export type ProbeSet = SentenceProbeSet | TokenProbeSet | PairProbeSet
export type ProbeKind = ProbeSet['kind']
