// Tasks with labels: definitions, files, examples, batches.

export { type CustomTask, customDefinition } from './custom.js'
export { drawShare, splitBySeed } from './data-share.js'
export { definitionOf, findDefinition, KNOWN_TASKS, openTask } from './definitions.js'
export { ExampleSet } from './example-set.js'
export { glueSubmission, type SubmissionRow, writeGlueSubmission } from './glue-submission.js'
export { HEAD_KINDS } from './head-kinds.js'
export { QNLI } from './nli.js'
export { decodeParses, type Parse, wholeParse } from './parse-decoding.js'
export { ParsingSet } from './parsing-set.js'
export { openParsingTask, type ParsingTaskDefinition, UD_PARSING } from './parsing-task.js'
export {
  BUILDABLE_PROBES,
  type BuildProbesOptions,
  buildProbeSets,
  DEFAULT_PROBE_SIZES,
  type OpenProbesOptions,
  openProbeSets,
  type PairProbeExample,
  type PairProbeSet,
  PROBE_SPLITS,
  type ProbeKind,
  type ProbeSet,
  type ProbeSplit,
  probeSize,
  readProbeSets,
  readSentEval,
  SENTEVAL_FILES,
  type SentenceProbeExample,
  type SentenceProbeSet,
  type TokenProbeExample,
  type TokenProbeSet,
  writeProbeSets,
} from './probing/index.js'
export { qnliTable, sentencePairs } from './question-candidates.js'
export { RankingSet } from './ranking-set.js'
export { openRankingTask, QNLI_RANKING, type RankingTaskDefinition, SQUAD_RANKING } from './ranking-task.js'
export { decodeSpans, writeSpanPredictions } from './span-decoding.js'
export { openSpanTask, SpanSet, type SpanTaskDefinition, SQUAD_11, SQUAD_20 } from './span-task.js'
export { maximumSpanningTree } from './spanning-tree.js'
export { openTaggingTask, TaggingSet, type TaggingTaskDefinition, UPOS_EWT } from './tagging-task.js'
export { type TaskCorpusFile, writeTaskCorpus } from './task-corpus.js'
export { isPredictionSplit, namedSplits } from './task-files.js'
export type { TaskTextSource } from './task-texts.js'
export type { TextTaskDefinition } from './text-definition.js'
export type {
  ExamplePlace,
  MetricName,
  OpenedTask,
  OpenTaskOptions,
  TaskDefinition,
  TaskFiles,
  TaskKind,
  TaskScores,
  TaskSet,
} from './types.js'
