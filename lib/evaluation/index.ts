export { type AgreementMap, agreementMaps } from './agreement-maps.js'
export { type AttachmentGuess, type AttachmentScores, AttachmentTally } from './attachment.js'
export { compareToBaseline } from './baseline-comparison.js'
export { accuracy, confusionMatrix, macroF1, matthews } from './classification-metrics.js'
export { type Convergence, convergence, ENOUGH_SEEDS, type ScoreCurve } from './convergence.js'
export { averageRanks, pearson, spearman } from './correlation.js'
export {
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
export { type PairedBootstrap, pairedBootstrap, pairedBootstrapOf } from './paired-bootstrap.js'
export {
  bestLayer,
  layerCentroid,
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
  probeLines,
  probeModelFolder,
  unconvergedNote,
  writePredictions,
  writeProbeReport,
} from './probing/index.js'
export { type RankingFigures, rankingFigures } from './ranking-metrics.js'
export { metricsTold, type ScoreTaskOptions, scoreTask, splitOf } from './score-task.js'
export { spanFigures } from './span-metrics.js'
export {
  normalizeAnswer,
  type Squad20Options,
  type SquadGold,
  type SquadPredictions,
  type SquadScores,
  scoreSquad11,
  scoreSquad20,
} from './squad-score.js'
export { median, smallestPairedEffect, summarize } from './summary.js'
export type { TaskPrediction } from './task-scorer.js'
