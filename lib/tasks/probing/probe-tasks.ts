/** The probing tasks that can be built, by name. */
import { StrataError } from '../../errors.js'
import { ArcProbe } from './arc-probe.js'
import { BigramShiftProbe } from './bigram-shift.js'
import type { ProbeBuilder, ProbeContext } from './builder.js'
import { CoordinationInversion } from './coordination.js'
import { DependencyDepth, TopDependencies } from './dependency-shape.js'
import { MainClauseProbe, mainVerbTense, objectNumber, subjectNumber } from './main-clause.js'
import { OddManOut } from './odd-man-out.js'
import { SentenceLength } from './sentence-length.js'
import { HEAD_DISTANCES, headDistance, partOfSpeech, relationToHead, TokenProbe } from './token-probes.js'
import { WordContent } from './word-content.js'

/** What a task has to know of a sentence: its words, their parts of speech, its tree. */
export type ProbeNeed = 'text' | 'upos' | 'tree'

export interface BuildableProbe {
  name: string
  needs: ProbeNeed
  /** What the first pass counts besides the task's own counts. */
  counts?: 'words' | 'bigrams'
  make: (context: ProbeContext) => ProbeBuilder
}

const NUMBER = ['NN', 'NNS']

/** In the order of tables: surface, syntax, meaning, words, pairs. */
export const BUILDABLE_PROBES: readonly BuildableProbe[] = [
  { name: 'SentLen', needs: 'text', make: (context) => new SentenceLength(context) },
  { name: 'WC', needs: 'text', counts: 'words', make: (context) => new WordContent(context) },
  { name: 'BShift', needs: 'text', make: (context) => new BigramShiftProbe(context) },
  { name: 'DepDepth', needs: 'tree', make: (context) => new DependencyDepth(context) },
  { name: 'TopDeps', needs: 'tree', make: (context) => new TopDependencies(context) },
  {
    name: 'Tense',
    needs: 'tree',
    counts: 'words',
    make: (context) => new MainClauseProbe(context, 'Tense', ['PAST', 'PRES'], mainVerbTense),
  },
  {
    name: 'SubjNum',
    needs: 'tree',
    counts: 'words',
    make: (context) => new MainClauseProbe(context, 'SubjNum', NUMBER, subjectNumber),
  },
  {
    name: 'ObjNum',
    needs: 'tree',
    counts: 'words',
    make: (context) => new MainClauseProbe(context, 'ObjNum', NUMBER, objectNumber),
  },
  { name: 'SOMO', needs: 'upos', counts: 'bigrams', make: (context) => new OddManOut(context) },
  { name: 'CoordInv', needs: 'tree', counts: 'words', make: (context) => new CoordinationInversion(context) },
  { name: 'UPOS', needs: 'upos', make: (context) => new TokenProbe(context, 'UPOS', partOfSpeech) },
  { name: 'DepLabel', needs: 'tree', make: (context) => new TokenProbe(context, 'DepLabel', relationToHead) },
  {
    name: 'HeadDistance',
    needs: 'tree',
    make: (context) => new TokenProbe(context, 'HeadDistance', headDistance, HEAD_DISTANCES),
  },
  { name: 'Arc', needs: 'tree', make: (context) => new ArcProbe(context) },
]

/** Names as understood everywhere: without regard to case. Throws BAD_ARGUMENT on an unknown one, naming those there are. */
export function probeName(name: string, known: readonly string[]): string {
  const found = known.find((one) => one.toLowerCase() === name.toLowerCase())
  if (found !== undefined) return found
  throw new StrataError('BAD_ARGUMENT', `unknown probing task "${name}"; known are ${known.join(', ')}`, {
    details: { task: name },
  })
}
