// Probing tasks: what a frozen encoder's layers know.

export { type BuildProbesOptions, buildProbeSets, DEFAULT_PROBE_SIZES } from './build.js'
export { type OpenProbesOptions, openProbeSets } from './open.js'
export { probeSize, readProbeSets, writeProbeSets } from './probe-files.js'
export { BUILDABLE_PROBES } from './probe-tasks.js'
export { readSentEval, SENTEVAL_FILES } from './senteval-files.js'
export type {
  PairProbeExample,
  PairProbeSet,
  ProbeKind,
  ProbeSet,
  ProbeSplit,
  SentenceProbeExample,
  SentenceProbeSet,
  TokenProbeExample,
  TokenProbeSet,
} from './types.js'
export { PROBE_SPLITS } from './types.js'
