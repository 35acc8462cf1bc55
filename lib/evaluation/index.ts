export { type AgreementMap, agreementMaps } from './agreement-maps.js'
export { type AttachmentGuess, type AttachmentScores, AttachmentTally } from './attachment.js'
export {
  type ComparisonOptions,
  type ComparisonRow,
  compareToBaseline,
  type ScoreTable,
  type SeedScores,
} from './baseline-comparison.js'
export { accuracy, confusionMatrix, macroF1, matthews, microF1 } from './classification-metrics.js'
export {
  type Convergence,
  type ConvergencePair,
  convergence,
  ENOUGH_SEEDS,
  medianInterval,
  type PairConvergence,
  type ScoreCurve,
} from './convergence.js'
export { averageRanks, pearson, spearman } from './correlation.js'
export {
  DEPENDENCY_METRICS,
  type DependencyFigure,
  type DependencyMetric,
  type DependencyScores,
  scoreDependencies,
} from './dependency-score.js'
export { type EvaluateOptions, evaluateHeads, type HeadScores, headFigures, scoreHead } from './evaluate-heads.js'
export {
  type AttentionMeans,
  type AttentionReading,
  attentionByHead,
  type HeadAttention,
  type LayerSimilarity,
  type LayerUnit,
  layerSimilarity,
  type ReadingOptions,
  type ReadSentence,
  type SentenceReader,
  type SimilarityOptions,
} from './layers/index.js'
export { balancedAccuracy, f1Score, perplexity, wilsonInterval } from './metrics.js'
export {
  type BootstrapLayers,
  type ExampleScore,
  type PairedBootstrap,
  type PairedBootstrapOptions,
  pairedBootstrap,
  pairedBootstrapOf,
} from './paired-bootstrap.js'
export {
  holm,
  type PairedTTest,
  pairedTTest,
  type SignFlipOptions,
  type SignFlipTest,
  signFlipTest,
} from './paired-tests.js'
export {
  bestLayer,
  layerCentroid,
  type PlannedSet,
  PROBE_CONTROLS,
  type ProbeCell,
  type ProbeClassifier,
  type ProbeControl,
  type ProbedTask,
  type ProbeFigures,
  type ProbeOptions,
  type ProbePooling,
  type ProbeReport,
  type ProbeScore,
  type ProbeSets,
  probeCsv,
  probeLines,
  probeMarkdown,
  probeModelFolder,
  unconvergedNote,
  writePredictions,
  writeProbeReport,
} from './probing/index.js'
export { type RankingFigures, rankingFigures } from './ranking-metrics.js'
export { metricsTold, type ScoreTaskOptions, scoreTask, splitOf } from './score-task.js'
export { type SpanFigures, spanFigures } from './span-metrics.js'
export {
  normalizeAnswer,
  type Squad20Options,
  type SquadGold,
  type SquadPredictions,
  type SquadScores,
  scoreSquad11,
  scoreSquad20,
} from './squad-score.js'
export { studentQuantile, studentTail } from './student-t.js'
export {
  median,
  type PowerOptions,
  pairedEffectSize,
  type Summary,
  smallestPairedEffect,
  smallestUnpairedEffect,
  summarize,
  unpairedEffectSize,
} from './summary.js'
export type { TaskPrediction, TaskScorer, TaskScorerContext, TaskScorerFactory } from './task-scorer.js'
