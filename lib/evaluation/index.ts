export { type EvaluateOptions, evaluateHeads, type HeadScores, scoreHead } from './evaluate-heads.js'
export { balancedAccuracy, f1Score, perplexity, wilsonInterval } from './metrics.js'
